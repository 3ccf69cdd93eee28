"""How many orders of a back-test were made whole, made smaller or not made, and why."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rollwright.backtest.unfilled import REASONS

__all__ = ["OrderCounts", "ReasonCount", "count_orders"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """Orders of one side that one reason kept from being made whole.

    Attributes
    ----------
    side : str
        buy, sell or settle.
    reason : str
        A key of `REASONS`.
    orders : int
    smaller : int
        How many of them were made smaller; the others were not made.
    sessions : int
        Sessions on which that happened.
    """

    side: str
    reason: str
    orders: int
    smaller: int
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCounts:
    """Counts of the orders that a strategy wanted.

    Attributes
    ----------
    wanted : int
    whole : int
        Those made at their whole size.
    reasons : tuple of ReasonCount
        Of the others, the most frequent first.
    """

    wanted: int
    whole: int
    reasons: tuple[ReasonCount, ...]


def count_orders(trades: pd.DataFrame, unfilled: pd.DataFrame) -> OrderCounts:
    """Count the orders of a back-test.

    Parameters
    ----------
    trades, unfilled : DataFrame
        As `BacktestResult` has them.
    """
    order = {reason: place for place, reason in enumerate(REASONS)}
    reasons = [
        ReasonCount(
            side=str(side),
            reason=str(reason),
            orders=len(rows),
            smaller=int((rows["made_amount"] > 0).sum()),
            sessions=int(rows.index.get_level_values("datetime").nunique()),
        )
        for (side, reason), rows in unfilled.groupby(["side", "reason"])
    ]
    reasons.sort(key=lambda one: (-one.orders, one.side, order[one.reason]))
    whole = len(trades) - sum(one.smaller for one in reasons)
    return OrderCounts(wanted=whole + len(unfilled), whole=whole, reasons=tuple(reasons))
