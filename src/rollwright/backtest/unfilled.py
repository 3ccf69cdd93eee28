"""Orders that a strategy wanted and that were not made, or made smaller: each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["REASONS", "Reason", "TradingDays", "UnfilledOrder"]

TradeSide: TypeAlias = Literal["buy", "sell", "settle"]
Reason: TypeAlias = Literal[
    "suspended",
    "no_factor",
    "limit_up",
    "limit_down",
    "hold_thresh",
    "cash",
    "below_lot",
    "no_room",
    "minimum_lot",
    "t_plus_1",
    "unsettled",
]

REASONS: Final[Mapping[str, str]] = {
    "suspended": "it has no price on that day",
    "no_factor": "it has no factor on that day, so that its lots cannot be told",
    "limit_up": "its price stands at the upper limit",
    "limit_down": "its price stands at the lower limit",
    "hold_thresh": "it has not been held for `hold_thresh` sessions yet",
    "cash": "the cash does not cover the order and its cost",
    "below_lot": "the value meant for it buys less than one lot",
    "no_room": "a sale that was to make room for it was not made",
    "minimum_lot": "the order is smaller than the smallest that its exchange takes",
    "t_plus_1": "it was bought on that day, and may be sold from the next session on",
    "unsettled": "the cash that would cover it comes from sales of that day, and may be spent from the next session on",
}
"""What each reason means, as the end of a sentence."""


class UnfilledOrder(NamedTuple):
    """One order that was not made, or made smaller; row and column of the market.

    `wanted_amount` is in whole lots, unless it is less than one. It is NaN where there is no price to tell it by, and,
    as `wanted_value`, where there was no room for the order, so that it never got a size.
    """

    session: int
    instrument: int
    side: TradeSide
    reason: Reason
    wanted_amount: float
    wanted_value: float
    made_amount: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TradingDays:
    """Which instruments can be sold and bought on each session, and why others cannot.

    Attributes
    ----------
    priced : ndarray of bool [sessions, instruments]
        Where there is a price.
    sized : ndarray of bool [sessions, instruments]
        Where there is a price, and lots can be told.
    upper, lower : ndarray of bool [sessions, instruments]
        Where the price stands at its limit.
    is_limit_closed : bool
        Whether nothing at all trades at a limit; if not, one may sell at the upper and buy at the lower.
    """

    priced: NDArray[np.bool_]
    sized: NDArray[np.bool_]
    upper: NDArray[np.bool_]
    lower: NDArray[np.bool_]
    is_limit_closed: bool

    def find_sellable(self) -> NDArray[np.bool_]:
        """Return what can be sold on each session."""
        return self.priced & ~self.lower & ~(self.upper & self.is_limit_closed)

    def find_buyable(self) -> NDArray[np.bool_]:
        """Return what can be bought on each session."""
        return self.sized & ~self.upper & ~(self.lower & self.is_limit_closed)

    def find_reason(self, session: int, instrument: int) -> Reason:
        """Return why an instrument that cannot be traded cannot."""
        if not self.priced[session, instrument]:
            return "suspended"
        if self.upper[session, instrument]:
            return "limit_up"
        return "limit_down" if self.lower[session, instrument] else "no_factor"
