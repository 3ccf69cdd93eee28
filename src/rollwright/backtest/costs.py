"""Trading costs, lot sizes and price limits of a market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import ConfigError

__all__ = ["LOT_SLACK", "NOTHING", "Costs", "Mode"]

Mode: TypeAlias = Literal["strict", "qlib"]
"""``strict`` keeps every promise of the simulation; ``qlib`` breaks those that Qlib breaks, to give its numbers."""

LOT_SLACK: Final = 0.1
"""Shares are rounded down after adding so much, as in Qlib, so that 299.9999… are 300."""
_SIDES: Final = 2
NOTHING: Final = 1e-5
"""Orders worth no more are none, as in Qlib."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The terms of trade of one market.

    Attributes
    ----------
    open_cost, close_cost : float
        Share of the traded value that a purchase and a sale cost.
    min_cost : float
        Least cost of a trade, in currency.
    trade_unit : int or None
        Shares in a lot, unadjusted; only whole lots are bought. None trades any fraction.
    limit_threshold : float or (str, str) or None
        From this daily change on, up or down, the price is held at its limit and nothing trades. Two expressions say
        where nothing can be bought, and where nothing can be sold: on the sessions on which they are not 0. None is no
        limit.
    min_unit : int or None
        Shares of the smallest order, unadjusted; what would be less is not ordered. All of a holding may be sold.
    open_duty, close_duty : float
        Share of the traded value that a purchase and a sale cost beside the commission and its least cost.
    shares_next_day : bool
        What was bought may be sold on the next session only. Daily orders sell before they buy, so this matters only
        to strategies that order both on one session.
    cash_next_day : bool
        What a sale brought may be spent on the next session only.
    delisting : float
        Share of the last price that a holding is settled at when its listing has ended. 1 is kinder than most
        delistings are.
    """

    open_cost: float = 0.0005
    close_cost: float = 0.0015
    min_cost: float = 5.0
    trade_unit: int | None = 1
    limit_threshold: float | tuple[str, str] | None = None
    min_unit: int | None = None
    open_duty: float = 0.0
    close_duty: float = 0.0
    shares_next_day: bool = False
    cash_next_day: bool = False
    delisting: float = 1.0

    def __post_init__(self) -> None:
        rates = ("open_cost", "close_cost", "open_duty", "close_duty")
        shares = {name: getattr(self, name) for name in rates}
        wrong = [f"{name} = {share}" for name, share in shares.items() if not 0 <= share < 1]
        if not 0 <= self.min_cost < np.inf:
            wrong.append(f"min_cost = {self.min_cost}")
        if self.trade_unit is not None and self.trade_unit < 1:
            wrong.append(f"trade_unit = {self.trade_unit}")
        if self.min_unit is not None and self.min_unit < 1:
            wrong.append(f"min_unit = {self.min_unit}")
        if not 0 <= self.delisting <= 1:
            wrong.append(f"delisting = {self.delisting}")
        if not _is_limit(self.limit_threshold):
            wrong.append(f"limit_threshold = {self.limit_threshold!r}")
        if wrong:
            raise ConfigError(f"terms of trade that no market has: {', '.join(wrong)}")

    @classmethod
    def for_region(cls, region: str) -> Costs:
        """Return the terms of a market.

        Lots of 100 and a limit of 9.5 % in ``cn``, of 1000 and 10 % in ``tw``, single shares and no limit in ``us``.

        Raises
        ------
        ConfigError
            For an unknown region.
        """
        known = {
            "cn": cls(trade_unit=100, limit_threshold=0.095),
            "us": cls(trade_unit=1),
            "tw": cls(trade_unit=1000, limit_threshold=0.1),
        }
        if region not in known:
            raise ConfigError(f"no terms of trade for region {region!r}", hint=f"known regions: {', '.join(known)}")
        return known[region]

    def charge_purchase(self, value: float) -> float:
        """Return what buying for `value` costs."""
        return max(value * self.open_cost, self.min_cost) + value * self.open_duty if value > NOTHING else 0.0

    def charge_sale(self, value: float) -> float:
        """Return what selling for `value` costs."""
        return max(value * self.close_cost, self.min_cost) + value * self.close_duty if value > NOTHING else 0.0

    def size_order(self, shares: float, *, factor: float) -> float:
        """Return the adjusted amount of whole lots in `shares`; a tenth of a share is added before rounding down.

        Parameters
        ----------
        shares : float
            Adjusted shares.
        factor : float
            Adjusted price over unadjusted price, so that ``shares * factor`` counts real shares.
        """
        if self.trade_unit is None:
            return shares
        return (shares * factor + LOT_SLACK) // self.trade_unit * self.trade_unit / factor

    def is_too_small(self, amount: float, *, factor: float) -> bool:
        """Tell whether an order of `amount` adjusted shares, above zero, is smaller than the smallest one."""
        return self.min_unit is not None and amount * factor + LOT_SLACK < self.min_unit

    def fit_to_cash(self, amount: float, *, price: float, factor: float, cash: float, mode: Mode = "strict") -> float:
        """Return how much of `amount` can be bought at `price`: whole lots; with their cost never above `cash`.

        Parameters
        ----------
        amount : float
            Wanted, as of `size_order`.
        price : float
            Adjusted price of one adjusted share.
        factor, cash : float
        mode : {"strict", "qlib"}
            As Qlib, buy nothing where the cost of `amount` alone is above the cash, and let the slack of rounding take
            the cash below zero.
        """
        # 1. If cash does not cover the amount and its cost, lots for what is left after the cost. 2. Rounding adds a
        # little slack: if that is too much, one lot less (without lots, 1e-12 less).
        if mode == "qlib" and cash < max(amount * price * self.open_cost, self.min_cost):
            return 0.0
        if cash < amount * price + self.charge_purchase(amount * price):
            # what is left after the cost, whichever of its two forms is the greater
            duty = self.open_duty
            spendable = min(cash / (1 + self.open_cost + duty), (cash - self.min_cost) / (1 + duty))
            amount = self.size_order(min(amount, max(spendable, 0.0) / price), factor=factor)
            too_much = cash < amount * price + self.charge_purchase(amount * price)
            if too_much and mode == "strict":  # the slack or the last bit was too much
                amount = amount * (1 - 1e-12) if self.trade_unit is None else amount - self.trade_unit / factor
        return max(amount, 0.0)

    def find_limits(self, change: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where a daily `change` is at its upper and at its lower limit; NaN is at none.

        Raises
        ------
        ConfigError
            For limits that are expressions: a change does not tell them; see `DatedTerms`.
        """
        if self.limit_threshold is None:
            none = np.zeros(change.shape, dtype=np.bool_)
            return none, none
        if isinstance(self.limit_threshold, tuple):
            raise ConfigError("limits that are expressions are not told by a change", hint="back-test with a market")
        return change >= self.limit_threshold, change <= -self.limit_threshold


def _is_limit(limit: object) -> bool:
    if isinstance(limit, tuple):
        return len(limit) == _SIDES and all(isinstance(one, str) for one in limit)
    return limit is None or (isinstance(limit, int | float) and limit > 0)
