"""One of many back-tests of the same scores, and what became of all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.backtest.costs import Costs
from rollwright.backtest.strategy import Strategy
from rollwright.backtest.terms import DatedTerms
from rollwright.errors import ConfigError

__all__ = ["Case", "CaseResults"]

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One back-test among several of the same scores.

    Attributes
    ----------
    strategy : Strategy
    costs : Costs or DatedTerms
    account : float
        Cash to begin with.
    delay : int
        Sessions that scores wait before they are traded, beyond the one that they always wait.

    Raises
    ------
    ConfigError
        For a delay below zero, or no cash.
    """

    strategy: Strategy
    costs: Costs | DatedTerms
    account: float = 1e8
    delay: int = 0

    def __post_init__(self) -> None:
        if self.delay < 0:
            raise ConfigError(f"delay = {self.delay}: scores cannot be traded before they are known")
        if not 0 < self.account < np.inf:
            raise ConfigError(f"account = {self.account} is nothing to begin with")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaseResults:
    """Accounts of several cases, a column each.

    Attributes
    ----------
    cash, value, cost, turnover : ndarray of float64 [sessions, cases]
        As in `Simulation`, in currency.
    held : ndarray of float64 [sessions, cases]
        Holdings at each close.
    start : ndarray of float64 [cases]
        The cash at the beginning.
    least_cost : ndarray of float64 [cases]
        What the least cost of a trade took beyond the rates, in currency.
    settled : ndarray of float64 [cases]
        Holdings that were settled since their listings had ended.
    meant, lot_loss : ndarray of float64 [cases]
        What was meant to be spent on purchases, in currency, and what of it whole lots left unspent. NaN of a case that
        is simulated on its own, see `simulate_cases`.
    """

    cash: Floats
    value: Floats
    cost: Floats
    turnover: Floats
    held: Floats
    start: Floats
    least_cost: Floats
    settled: Floats
    meant: Floats
    lot_loss: Floats

    @property
    def account(self) -> Floats:
        """Cash and holdings at each close, [sessions, cases]."""
        return self.cash + self.value

    @property
    def before(self) -> Floats:
        """The account a session before, [sessions, cases]."""
        return np.vstack([self.start, self.account[:-1]])

    @property
    def gross_return(self) -> Floats:
        """Change of the account, before costs, over the account a session before: `return` of a report."""
        before = self.before
        return (self.account - before + self.cost) / before

    @property
    def net_return(self) -> Floats:
        """The same after costs."""
        return self.gross_return - self.cost / self.before

    def take(self, start: int, stop: int) -> CaseResults:
        """Return the cases ``[start, stop)`` alone."""
        parts = {name: getattr(self, name)[..., start:stop] for name in CaseResults.__dataclass_fields__}
        return CaseResults(**parts)

    def after(self, rows: int) -> CaseResults:
        """Return the same without its first `rows` sessions; totals stay what they are."""
        if not rows:
            return self
        by_session = ("cash", "value", "cost", "turnover", "held")
        return replace(self, start=self.account[rows - 1], **{name: getattr(self, name)[rows:] for name in by_session})
