"""Markets, scores, rules and terms drawn at random, for what holds in every back-test."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from rollwright.backtest.costs import Costs
from rollwright.backtest.simulate import MarketPrices
from rollwright.backtest.topk_dropout import TopkDropoutStrategy

NAN = float("nan")


@st.composite
def worlds(draw):
    """A market with suspensions and delistings, scores with holes, a rule and terms."""
    sessions, width = draw(st.integers(2, 12)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    close = rng.uniform(1, 50, (sessions, width))
    close[rng.random((sessions, width)) < draw(st.sampled_from([0.0, 0.2, 0.6]))] = NAN
    ends = rng.integers(1, sessions + 3, width)
    close[np.arange(sessions)[:, None] >= ends] = NAN
    scores = rng.normal(size=(sessions, width)).round(draw(st.integers(0, 3)))
    scores[rng.random((sessions, width)) < 0.2] = NAN
    scores[rng.random(sessions) < 0.2] = NAN
    topk = draw(st.integers(1, 6))
    strategy = TopkDropoutStrategy(
        topk=topk,
        n_drop=draw(st.integers(0, topk)),
        hold_thresh=draw(st.integers(0, 3)),
        only_tradable=draw(st.booleans()),
        forbid_all_trade_at_limit=draw(st.booleans()),
        method_buy=draw(st.sampled_from(["top", "top", "random"])),
        method_sell=draw(st.sampled_from(["bottom", "bottom", "random"])),
        seed=3,
        risk_degree=draw(st.sampled_from([0.5, 0.95, 1.0])),
    )
    costs = Costs(
        open_cost=draw(st.sampled_from([0.0, 0.0005, 0.05])),
        close_cost=draw(st.sampled_from([0.0, 0.0015])),
        min_cost=draw(st.sampled_from([0.0, 5.0])),
        trade_unit=draw(st.sampled_from([None, 1, 100])),
        limit_threshold=draw(st.sampled_from([None, 0.3])),
    )
    factor = rng.uniform(0.1, 3, (1, width)).repeat(sessions, axis=0) if draw(st.booleans()) else None
    deal = close * rng.uniform(0.9, 1.1, close.shape)
    deal[rng.random(close.shape) < 0.2] = NAN
    prices = MarketPrices(
        close=close,
        factor=factor,
        ends=ends if draw(st.booleans()) else None,
        buy_price=deal if draw(st.booleans()) else None,
        sell_price=deal if draw(st.booleans()) else None,
    )
    account = draw(st.sampled_from([50.0, 5e3, 1e8]))
    return strategy, scores, prices, costs, account
