"""The port of strategies: what one sees of a session and of its account, and the orders it answers with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.costs import Mode
from rollwright.backtest.terms import DatedTerms
from rollwright.backtest.tie_order import TieOrder
from rollwright.backtest.unfilled import Reason, TradingDays

__all__ = ["Account", "BaseStrategy", "Order", "Strategy", "TradingDay"]


class Order(NamedTuple):
    """One order of a strategy.

    `instrument` is a column of the market. A sale is of `amount` adjusted shares, or of all that is held when that is
    None; a purchase is of `amount`, or of what `value` buys in whole lots. An order with a `refusal` is not tried, only
    written down with that reason: the strategy wants it and knows that it may not be.
    """

    instrument: int
    side: Literal["buy", "sell"]
    amount: float | None = None
    value: float = np.nan
    refusal: Reason | None = None


class Account(Protocol):
    """What a strategy sees of its account: always as it is now, after the orders filled so far.

    Arrays are ``[instruments]``; nothing may be written into them.
    """

    @property
    def cash(self) -> float:
        """Cash that can be spent now."""
        ...

    @property
    def held(self) -> Sequence[int]:
        """Columns of the holdings."""
        ...

    @property
    def amount(self) -> NDArray[np.float64]:
        """Adjusted shares."""
        ...

    @property
    def known_price(self) -> NDArray[np.float64]:
        """Last close before the session; NaN where there was none yet."""
        ...

    @property
    def age(self) -> NDArray[np.int64]:
        """Closes that each holding has seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TradingDay:
    """One session on which scores are traded; arrays are ``[instruments]``.

    Attributes
    ----------
    number : int
        Row of the market.
    scores : ndarray of float64
        Those of the session before; NaN where there is none.
    order : TieOrder
        Of the prices before this session.
    draws : RandomState or None
        What `Strategy.make_draws` made for this simulation.
    mode : {"strict", "qlib"}
    names : tuple of str or None
        Codes of the columns, where the market has them.
    dates : DatetimeIndex or None
        All sessions of the market, by `number`.
    close_before : ndarray of float64
        Closes of the session before; NaN or not above zero where nothing was traded.
    may_sell, may_buy : ndarray of bool
        Whether it can be sold and bought on this session.
    buy_price, sell_price : ndarray of float64
        What it is dealt at on this session.
    factor : ndarray of float64 or None
        Adjusted over unadjusted price; None trades adjusted shares.
    terms : DatedTerms
        What a trade costs, and its lots.
    cost_rate : float
        The greatest share of a traded value that a trade may cost.
    tradable_before : ndarray of bool
        Whether it could be bought and sold on the session before.
    fields : mapping of str to ndarray of float64
        `Strategy.fields` on the session before.
    days : TradingDays
        The same for all sessions.

    .. warning:: **Look-ahead.** `may_sell`, `may_buy` and the prices are of the session of the trade itself: a rule
       that sizes its orders by them knows what nobody knows when orders are placed. Of the rest all is known before.
    """

    number: int
    scores: NDArray[np.float64]
    order: TieOrder
    draws: np.random.RandomState | None
    mode: Mode
    names: tuple[str, ...] | None
    dates: pd.DatetimeIndex | None
    close_before: NDArray[np.float64]
    may_sell: NDArray[np.bool_]
    may_buy: NDArray[np.bool_]
    buy_price: NDArray[np.float64]
    sell_price: NDArray[np.float64]
    factor: NDArray[np.float64] | None
    terms: DatedTerms
    cost_rate: float
    tradable_before: NDArray[np.bool_]
    fields: Mapping[str, NDArray[np.float64]]
    days: TradingDays

    @property
    def lots(self) -> NDArray[np.uint64]:
        """Numbers that tell equal scores apart, see `TieOrder`; made when they are asked for, during the session."""
        return self.order.numbers()

    def find_reason(self, place: int) -> Reason:
        """Return why an instrument that cannot be traded on this session cannot."""
        return self.days.find_reason(self.number, place)

    def find_factor(self, place: int) -> float | None:
        """Return the factor to size a purchase by; None where it cannot be sized."""
        if not self.days.sized[self.number, place]:
            return None
        return 1.0 if self.factor is None else float(self.factor[place])

    def size_order(self, place: int, amount: float) -> float:
        """Return the adjusted shares of whole lots in `amount`; 0 where lots cannot be told."""
        factor = self.find_factor(place)
        return 0.0 if factor is None else self.terms.find(self.number, place).size_order(amount, factor=factor)


@runtime_checkable
class Strategy(Protocol):
    """What decides on the orders of a session."""

    @property
    def signal(self) -> Any:
        """Scores by (datetime, instrument), for `backtest_daily`; None where there are none."""
        ...

    @property
    def forbid_all_trade_at_limit(self) -> bool:
        """Trade nothing at its price limit; if False, one may sell at the upper and buy at the lower limit."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """Fields of the market that it reads, each as of the session before the trade; `TradingDay.fields` has them."""
        ...

    def make_draws(self) -> np.random.RandomState | None:
        """Return the generator that one simulation draws from; None where nothing is random."""
        ...

    def decide(self, day: TradingDay, account: Account) -> Iterable[Order]:
        """Return the orders of one session.

        They are taken one at a time, and each is filled before the next is asked for: a generator sees in `account`
        what became of those before. What cannot be traded may be ordered; it is refused with its reason. Nothing may
        be kept from one session to the next but what `account` tells, so that every simulation of it is the same.
        """
        ...


class BaseStrategy(ABC):
    """A strategy that reads no field and draws nothing: a base for those of one's own, and that of all that come along.

    What derives from it has a ``signal`` and says whether it trades at limits, and decides.
    """

    __slots__ = ()

    @property
    def fields(self) -> Sequence[str]:
        """No field."""
        return ()

    def make_draws(self) -> np.random.RandomState | None:
        """Nothing is random."""
        return None

    @abstractmethod
    def decide(self, day: TradingDay, account: Account) -> Iterable[Order]:
        """Return the orders of one session, as `Strategy.decide` says."""
