"""From what the best names earned to what the account earned: the gap, friction by friction."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.panel import share_places
from rollwright.backtest.case import Case, CaseResults
from rollwright.backtest.costs import Costs
from rollwright.backtest.inputs import BacktestInputs
from rollwright.backtest.simulate import MarketPrices
from rollwright.backtest.terms import DatedTerms
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.errors import DataError

__all__ = ["STEPS", "list_step_cases", "reconcile"]

Floats: TypeAlias = NDArray[np.float64]

STEPS: Final = (
    "group_at_once",
    "delay",
    "holding_rule",
    "cash_share",
    "rejected_orders",
    "deal_price",
    "lots",
    "costs",
)
"""The steps in the order they are taken.

``group_at_once``
    The `topk` best at equal weights, bought at the very close their scores were made of. Nobody can have that.
``delay``
    The same bought one session later: the theoretical return of the group, from the next close to the one after.
``holding_rule``
    The top-k dropout rule in place of a new group each day: few are replaced, and weights move with prices.
``cash_share``
    Only the share `risk_degree` of the cash is spent.
``rejected_orders``
    Nothing trades while it is suspended or at its limit, and what is delisted is settled; before, all was filled at
    the last price.
``deal_price``
    The price that is dealt at, in place of the close.
``lots``
    Whole lots.
``costs``
    Costs of trades, the least cost among them: the account as it was back-tested.
"""

_FREE: Final = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0, trade_unit=None, limit_threshold=None)


def reconcile(inputs: BacktestInputs, *, periods: float, made: CaseResults | None = None) -> pd.DataFrame:
    """Split the gap between what the top group earned and what the account earned.

    The back-test is simulated again with all frictions off, and then with one more of them on at a time, in the order
    of `STEPS`. What a step takes depends on that order: a limit costs more where lots are counted, too. The parts add
    up to the whole gap by construction.

    Parameters
    ----------
    inputs : BacktestInputs
    periods : float
        Sessions of a year.
    made : CaseResults, optional
        What became of `list_step_cases`, where they were simulated together with others.

    Returns
    -------
    DataFrame
        A row for each step: ``step``; ``annualized_return``, the mean of the daily returns times `periods` once the
        step is taken; ``difference`` to the step before, NaN in the first row. The last return is that of the
        back-test after costs.

    .. warning:: **Look-ahead.** The first row trades on prices at which its own scores were made. It is here to tell
       what the delay costs, and is no return that anybody could have.

    Raises
    ------
    DataError
        For a strategy that has no top group.
    """
    strategy = inputs.strategy
    if not isinstance(strategy, TopkDropoutStrategy):
        raise DataError(f"a {type(strategy).__name__} has no group of best names to start from")
    weights = _weigh_groups(inputs.scores, strategy.topk)
    changes = np.nan_to_num(inputs.market.changes())  # without a price a holding is worth what it was
    returns = [_follow(weights, changes, lag)[inputs.eve :] for lag in (1, 2)]
    returns += _simulate_steps(inputs, strategy, inputs.compare(list_step_cases(inputs)) if made is None else made)
    annualized = np.array([one.mean() * periods for one in returns])
    return pd.DataFrame(
        {"step": STEPS, "annualized_return": annualized, "difference": np.diff(annualized, prepend=np.nan)}
    )


def _weigh_groups(scores: Floats, topk: int) -> Floats:
    """Return the weights of the best names of each row, [rows, instruments]; of a row without scores those before it.

    Equal scores share the places that they reach into.
    """
    day, column = np.nonzero(~np.isnan(scores))
    first, size = np.zeros(len(scores), np.intp), np.full(len(scores), topk)
    weights = np.zeros(scores.shape)
    weights[day, column] = share_places(day, -scores[day, column], first, size)
    total = weights.sum(axis=1, keepdims=True)
    np.divide(weights, total, out=weights, where=total > 0)
    last = np.maximum.accumulate(np.where(total[:, 0] > 0, np.arange(len(scores)), 0))
    return weights[last]


def _follow(weights: Floats, changes: Floats, lag: int) -> Floats:
    """Return what each session earned with the weights of the row `lag` before it."""
    earned = np.zeros(len(changes))
    earned[lag:] = (weights[:-lag] * changes[lag:]).sum(axis=1)
    return earned


def list_step_cases(inputs: BacktestInputs) -> list[Case]:
    """Return the steps of `reconcile` that trade in the back-test's own market: rejected orders, lots, costs."""
    base = inputs.case
    kept = [_free_terms(inputs.terms, lots=lots) for lots in (False, True)]
    return [*(replace(base, costs=terms) for terms in kept), base]


def _simulate_steps(inputs: BacktestInputs, strategy: TopkDropoutStrategy, made: CaseResults) -> list[Floats]:
    """Return the daily returns after costs, after each of the steps from `holding_rule` on; `made` are the last."""
    base, free = inputs.case, _FREE
    invested = replace(base, strategy=replace(strategy, risk_degree=1.0), costs=free)
    unlimited = inputs.compare([invested, replace(base, costs=free)], market=_fill_prices(inputs.market))
    at_close = made.take(0, 1)  # the price that is dealt at is the close, and takes nothing
    if inputs.market.buy_price is not None or inputs.market.sell_price is not None:
        closes = replace(inputs.market, buy_price=None, sell_price=None)
        at_close = inputs.compare(list_step_cases(inputs)[:1], market=closes)
    return [returns for part in (unlimited, at_close, made) for returns in part.net_return.T]


def _free_terms(terms: DatedTerms, *, lots: bool) -> DatedTerms:
    """Return the terms without costs, and without lots where those are not asked for."""
    kinds = [
        replace(one, open_cost=0.0, close_cost=0.0, open_duty=0.0, close_duty=0.0, min_cost=0.0) for one in terms.kinds
    ]
    made = replace(terms, kinds=tuple(kinds))
    return made if lots else made.without_lots()


def _fill_prices(market: MarketPrices) -> MarketPrices:
    """Return a market in which whatever ever had a price trades at its last one, for ever."""
    last = market.last_prices()
    close = np.where(market.traded(), market.close, last)
    return MarketPrices(close=close, before=market.before, names=market.names, dates=market.dates)
