"""Markets for back-tests of a few months: the demo's kind, with late listings, suspensions, splits and delistings."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from rollwright.backtest.costs import Costs
from rollwright.backtest.inputs import BacktestInputs, load_inputs
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import TradingCalendar
from rollwright.market.demo import simulate_market
from rollwright.testing.market import ArraySource

__all__ = ["demo_predictions", "demo_source", "make_inputs"]

TERMS = Costs(open_cost=0.0005, close_cost=0.0015, min_cost=5.0, trade_unit=100, limit_threshold=0.06)
RULE = TopkDropoutStrategy(topk=8, n_drop=2)


@cache
def demo_source(names: int = 40, sessions: int = 160) -> ArraySource:
    """Return a demo market in memory."""
    market = simulate_market(instruments=names, sessions=sessions, seed=9, planted_ic=0.1)
    fields = {name: market.fields[name] for name in ("open", "close", "factor")}
    return ArraySource(fields, market.codes, calendar=TradingCalendar(market.sessions), bounds=market.listed)


@cache
def demo_predictions(names: int = 40, sessions: int = 160) -> pd.DataFrame:
    """Return scores that know a little of the days ahead, of every name that is listed."""
    source = demo_source(names, sessions)
    codes = list(source.instruments())
    close = source.load(["close"], codes, 0, sessions)[0].astype(np.float64)
    ahead = np.full(close.shape, np.nan)
    ahead[:-2] = close[2:] / close[1:-1] - 1
    scores = np.nan_to_num(ahead) + np.random.default_rng(9).normal(0, 0.04, close.shape)
    days = pd.DatetimeIndex(source.calendar().values[:sessions], name="datetime")
    frame = pd.DataFrame(np.where(np.isnan(close), np.nan, scores), days, pd.Index(codes, name="instrument"))
    return frame.stack().rename("score").to_frame()


def make_inputs(strategy: TopkDropoutStrategy = RULE, **terms: object) -> BacktestInputs:
    """Return what a back-test of the predictions needs."""
    given = {"costs": TERMS, "account": 1e6, "benchmark": "mean", **terms}
    return load_inputs(strategy, demo_predictions(), demo_source(), **given)
