"""Simulate a strategy session by session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.costs import NOTHING, Costs, Mode
from rollwright.backtest.strategy import Order, Strategy, TradingDay
from rollwright.backtest.terms import DatedTerms
from rollwright.backtest.tie_order import TieOrder
from rollwright.backtest.unfilled import Reason, TradeSide, TradingDays, UnfilledOrder
from rollwright.errors import ConfigError

__all__ = ["MarketPrices", "Simulation", "Trade", "find_trading_days", "simulate"]

Floats: TypeAlias = NDArray[np.float64]

_NEARLY_ALL: Final = 1e-5
"""A sale that leaves no greater share of the holding is one of all of it, as in Qlib."""
_NO_PRICE: Final = 1e-8
"""A price to deal at that is no higher is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarketPrices:
    """Prices of the sessions that are simulated.

    Attributes
    ----------
    close : ndarray of float64 [sessions, instruments]
        Adjusted closing prices; NaN (or anything not above zero) where nothing was traded.
    factor : ndarray of float64 [sessions, instruments] or None
        Adjusted over unadjusted price. None trades adjusted shares, without lots.
    before : ndarray of float64 [instruments], optional
        The last prices before the first session, from which its changes are counted.
    ends : ndarray of int [instruments], optional
        One past the last row of each series. From there on a holding is settled at its last price, less the closing
        cost: its listing has ended, and it would block its place for ever. None settles nothing.

    buy_price, sell_price : ndarray of float64 [sessions, instruments], optional
        Adjusted prices that purchases and sales are made at; where one is missing or not above zero, and if not given,
        the close. Whether something trades, limits and the value of holdings go by the close.

    change : ndarray of float64 [sessions, instruments], optional
        Daily changes that limits go by; those of the closes if not given. NaN is at no limit.

    names : tuple of str, optional
        Codes of the instruments, for strategies that go by them.
    dates : DatetimeIndex, optional
        The sessions, for strategies that go by them.
    begins_on_eve : bool
        The first session is one before those that were asked for. Qlib's exchange does not know it: in its mode nothing
        counts as tradable then.
    fields : mapping of str to ndarray of float64 [sessions, instruments]
        What strategies read, each session's only on the next; see `Strategy.fields`.

    .. warning:: **Look-ahead.** `ends` is known only afterwards, and the last price is kinder than most
       delistings. It decides how a holding ends, never what is bought.
    """

    close: Floats
    factor: Floats | None = None
    before: Floats | None = None
    ends: NDArray[np.int64] | None = None
    buy_price: Floats | None = None
    sell_price: Floats | None = None
    change: Floats | None = None
    names: tuple[str, ...] | None = None
    dates: pd.DatetimeIndex | None = None
    begins_on_eve: bool = False
    fields: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.close.ndim != 2:
            raise ConfigError(f"close has the shape {self.close.shape}, not [sessions, instruments]")
        for what, labels, count in (
            ("names", self.names, self.close.shape[1]),
            ("dates", self.dates, self.close.shape[0]),
        ):
            if labels is not None and len(labels) != count:
                raise ConfigError(f"there are {len(labels)} {what} of {count} in close")
        for name, array, shape in (
            ("factor", self.factor, self.close.shape),
            ("before", self.before, self.close.shape[1:]),
            ("ends", self.ends, self.close.shape[1:]),
            ("buy_price", self.buy_price, self.close.shape),
            ("sell_price", self.sell_price, self.close.shape),
            ("change", self.change, self.close.shape),
            *((name, array, self.close.shape) for name, array in self.fields.items()),
        ):
            if array is not None and array.shape != shape:
                raise ConfigError(f"{name} has the shape {array.shape}, close {self.close.shape}")

    def traded(self) -> NDArray[np.bool_]:
        """Return where there is a price."""
        return np.isfinite(self.close) & (self.close > 0)

    def fill_deal_price(self, price: Floats | None) -> Floats:
        """Return the prices that are traded at: `price`, and the close where that has none."""
        if price is None:
            return self.close
        return np.where(np.isfinite(price) & (price > _NO_PRICE), price, self.close)

    def last_prices(self) -> Floats:
        """Return the last price before each session; NaN where there is none."""
        known = np.full(self.close.shape, np.nan)
        last = np.full(self.close.shape[1], np.nan)
        if self.before is not None:
            np.copyto(last, self.before, where=np.isfinite(self.before) & (self.before > 0))
        for session, traded in enumerate(self.traded()):
            known[session] = last
            np.copyto(last, self.close[session], where=traded)
        return known

    def changes(self) -> Floats:
        """Return each price over the last one before it, less one; NaN where there is none."""
        out = self.last_prices()
        with np.errstate(all="ignore"):
            np.divide(self.close, out, out=out)
        out -= 1
        out[~self.traded()] = np.nan
        return out


class Trade(NamedTuple):
    """One trade: row and column of the market, and what it came to."""

    session: int
    instrument: int
    side: TradeSide
    amount: float
    price: float
    value: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """Result of a simulation, one entry per session.

    Attributes
    ----------
    cash, value, cost, turnover : ndarray of float64 [sessions]
        Cash and worth of the holdings after the close; costs and traded value of the day.
    sessions, instruments : ndarray of intp [holdings]
        Row and column of each holding at each close, in order.
    amounts, prices : ndarray of float64 [holdings]
        Its adjusted shares, and their last price.
    trades : tuple of Trade
        In the order they were made.
    unfilled : tuple of UnfilledOrder
        Orders that were wanted and not made, or made smaller, in the order they were tried.
    account : float
        The cash at the beginning.
    """

    cash: Floats
    value: Floats
    cost: Floats
    turnover: Floats
    sessions: NDArray[np.intp]
    instruments: NDArray[np.intp]
    amounts: Floats
    prices: Floats
    trades: tuple[Trade, ...]
    unfilled: tuple[UnfilledOrder, ...]
    account: float


@dataclass(slots=True, kw_only=True)
class _Book:
    """Cash and holdings during the simulation; `funds` is all of the cash, of which `unsettled` cannot be spent yet."""

    terms: DatedTerms
    mode: Mode
    funds: float
    amount: Floats
    price: Floats
    known_price: Floats
    age: NDArray[np.int64]
    held: list[int] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    unfilled: list[UnfilledOrder] = field(default_factory=list)
    closes: list[tuple[float, NDArray[np.intp], Floats, Floats]] = field(default_factory=list)
    unsettled: float = 0.0
    bought: dict[int, float] = field(default_factory=dict)

    @property
    def cash(self) -> float:
        """Cash that can be spent now."""
        return self.funds - self.unsettled

    def settle(self, day: int, ends: Sequence[int] | None) -> None:
        """Sell the holdings whose series have ended, at their last prices."""
        if ends is not None and self.mode == "strict":
            share = self.terms.kinds[0].delisting
            for place in [place for place in self.held if ends[place] <= day]:
                self.sell(day, place, float(self.price[place]) * share, side="settle")

    def take_prices(self, close: Floats, priced: NDArray[np.bool_]) -> None:
        """Begin a session: its closes become the last prices, those before it what is known; what waited is settled."""
        self.unsettled = 0.0
        self.bought.clear()
        self.known_price = self.price
        self.price = np.where(priced, close, self.price)

    def fill(self, order: Order, today: TradingDay) -> None:
        """Make an order as far as the session, the holdings and the cash allow, or write down why not."""
        day, place = today.number, order.instrument
        if order.side == "sell":
            reason = order.refusal if today.may_sell[place] else order.refusal or today.find_reason(place)
            if reason is None:
                self.sell(day, place, float(today.sell_price[place]), wanted=order.amount, today=today)
            else:
                self.refuse_sale(day, place, reason, wanted=order.amount)
            return
        price = float(today.buy_price[place])
        factor = None if order.refusal else today.find_factor(place)
        if order.refusal is not None:
            self.refuse_purchase(day, order, order.refusal, price=np.nan, factor=None)
        elif factor is None or not today.may_buy[place]:
            self.refuse_purchase(day, order, today.find_reason(place), price=price, factor=factor)
        else:
            self.buy(day, order, price, factor=factor)

    def sell(
        self,
        day: int,
        place: int,
        price: float,
        *,
        side: TradeSide = "sell",
        wanted: float | None = None,
        today: TradingDay | None = None,
    ) -> None:
        """Sell `wanted` of `place` in whole lots, or all of it, unless cash and proceeds do not cover the cost."""
        held = float(self.amount[place])
        if not held:
            raise ConfigError(
                f"an order to sell instrument {place}, of which nothing is held", hint="sell what `account.held` has"
            )
        costs = self.terms.find(day, place)
        amount = held
        if wanted is not None and abs(wanted - held) > _NEARLY_ALL * held:
            factor = None if today is None else today.find_factor(place)
            amount = min(wanted if factor is None else costs.size_order(min(held, wanted), factor=factor), held)
            small: Reason = (
                "minimum_lot" if factor is not None and costs.is_too_small(amount, factor=factor) else "below_lot"
            )
            if amount * price <= NOTHING or small == "minimum_lot":
                self.unfilled.append(UnfilledOrder(day, place, side, small, wanted, wanted * price, 0.0))
                return
        if costs.shares_next_day and self.bought.get(place):
            settled = held - self.bought[place]
            if amount > settled:
                self.unfilled.append(UnfilledOrder(day, place, side, "t_plus_1", amount, amount * price, settled))
                amount = settled
        if amount <= 0:
            return
        value = amount * price
        cost = costs.charge_sale(value)
        if self.cash + value < cost:
            self.unfilled.append(UnfilledOrder(day, place, side, "cash", amount, value, 0.0))
            return
        self.funds += value - cost
        if costs.cash_next_day:
            self.unsettled += max(value - cost, 0.0)
        if amount < held:
            self.amount[place] = held - amount
        else:
            self.amount[place] = 0.0
            self.held.remove(place)
        self.trades.append(Trade(day, place, side, amount, price, value, cost))

    def buy(self, day: int, order: Order, price: float, *, factor: float) -> None:
        """Buy in whole lots: less where the cash covers less, nothing where it is less than the smallest order."""
        place = order.instrument
        costs = self.terms.find(day, place)
        asked = order.value / price if order.amount is None else order.amount
        value = order.value if order.amount is None else order.amount * price
        wanted = costs.size_order(asked, factor=factor)
        if wanted * price <= NOTHING or costs.is_too_small(wanted, factor=factor):
            reason: Reason = "cash" if value <= NOTHING else "below_lot" if wanted * price <= NOTHING else "minimum_lot"
            self.unfilled.append(UnfilledOrder(day, place, "buy", reason, asked, value, 0.0))
            return
        amount, paid = wanted, wanted * price
        cost = costs.charge_purchase(paid)
        if self.cash < paid + cost:
            amount = costs.fit_to_cash(wanted, price=price, factor=factor, cash=self.cash, mode=self.mode)
            if amount * price <= NOTHING or costs.is_too_small(amount, factor=factor):
                amount = 0.0
            paid = amount * price
            cost = costs.charge_purchase(paid)
        if amount < wanted:
            reason = "cash"
            if self.unsettled:
                later = costs.fit_to_cash(wanted, price=price, factor=factor, cash=self.funds, mode=self.mode)
                reason = "unsettled" if later > amount else "cash"
            self.unfilled.append(UnfilledOrder(day, place, "buy", reason, wanted, wanted * price, amount))
        if amount == 0.0:
            return
        self.funds -= paid + cost
        if not self.amount[place]:
            self.age[place] = 0
            self.held.append(place)
        self.amount[place] += amount
        if costs.shares_next_day:
            self.bought[place] = self.bought.get(place, 0.0) + amount
        self.trades.append(Trade(day, place, "buy", amount, price, paid, cost))

    def refuse_sale(self, day: int, place: int, reason: Reason, *, wanted: float | None = None) -> None:
        """Write down that a holding was to be sold and is kept; its value is that of its last price."""
        amount = float(self.amount[place]) if wanted is None else wanted
        self.unfilled.append(UnfilledOrder(day, place, "sell", reason, amount, amount * float(self.price[place]), 0.0))

    def refuse_purchase(self, day: int, order: Order, reason: Reason, *, price: float, factor: float | None) -> None:
        """Write down that something was to be bought; without a factor it cannot be sized."""
        if order.amount is not None:
            amount, value = order.amount, order.amount * price
        else:
            amount, value = np.nan, order.value
            if factor is not None:
                size = self.terms.find(day, order.instrument).size_order(value / price, factor=factor)
                amount = size or value / price
        self.unfilled.append(UnfilledOrder(day, order.instrument, "buy", reason, amount, value, 0.0))

    def close(self) -> None:
        """End the day: what is held grows a session older and is written down."""
        held = np.array(self.held, dtype=np.intp)
        held.sort()
        self.age[held] += 1
        self.closes.append((self.funds, held, self.amount[held], self.price[held]))

    def make_simulation(self, *, account: float) -> Simulation:
        """Return the result of the simulation."""
        cash, held, amounts, prices = zip(*self.closes, strict=True)
        sessions = np.repeat(np.arange(len(cash), dtype=np.intp), [len(places) for places in held])
        amount, price = np.concatenate(amounts), np.concatenate(prices)
        days = np.array([trade.session for trade in self.trades], dtype=np.intp)
        # sums of each session, added one after the other
        cost = np.bincount(days, weights=[trade.cost for trade in self.trades], minlength=len(cash))
        turnover = np.bincount(days, weights=[trade.value for trade in self.trades], minlength=len(cash))
        value = np.bincount(sessions, weights=amount * price, minlength=len(cash))
        return Simulation(
            cash=np.array(cash),
            value=value.astype(np.float64),
            cost=cost.astype(np.float64),
            turnover=turnover.astype(np.float64),
            sessions=sessions,
            instruments=np.concatenate(held),
            amounts=amount,
            prices=price,
            trades=tuple(self.trades),
            unfilled=tuple(self.unfilled),
            account=account,
        )


def simulate(
    strategy: Strategy,
    scores: Floats,
    market: MarketPrices,
    *,
    costs: Costs | DatedTerms,
    account: float = 1e8,
    mode: Mode = "strict",
) -> Simulation:
    """Trade `strategy` once a session, at the close or the prices that `market` says.

    The scores of session `t` are traded on session ``t + 1``: they are made from what was known after
    the close of `t`. So nothing is traded in the first session, and the scores of the last are not used. A session
    whose predecessor has no scores at all is passed without trading. Sales come before purchases. A holding without
    a price keeps its last one. Equal scores are told apart by lots drawn from the prices up to the session of the
    scores, see `TieOrder`.

    Guarantees: nothing is bought or sold without a price of the day (but settled, see `MarketPrices.ends`); cash is
    never negative; ``cash + value`` changes only by price moves and costs; the same input gives the same result; the
    order of the instruments changes nothing, unless the prices of two were equal to the last bit from the beginning on;
    every order of the strategy is a trade of its whole size, or stands in `Simulation.unfilled` with the reason. Its
    whole size is what the value meant for it buys in whole lots.

    Parameters
    ----------
    strategy : Strategy
    scores : ndarray of float64 [sessions, instruments]
        NaN where there is none.
    market : MarketPrices
    costs : Costs or DatedTerms
        The same for all, or by session and instrument.
    account : float
        Cash to begin with.
    mode : {"strict", "qlib"}
        ``qlib`` does what Qlib's daily exchange does with the same orders, to compare with it: a holding whose series
        has ended is kept, a planned sale makes room though it is not made, rounding may take the cash below zero, and
        ``n_drop=0`` sells everything. The guarantees of places and cash do not hold then.

    .. warning:: **Look-ahead.** Row `t` of `scores` may hold only what was known after the close of session `t`;
       pass them as predicted, unshifted.

    Raises
    ------
    ConfigError
        For arrays of different shapes, no sessions, or no cash to begin with.
    """
    if scores.shape != market.close.shape or not len(scores):
        raise ConfigError(f"scores have the shape {scores.shape}, close {market.close.shape}")
    if mode not in get_args(Mode):
        raise ConfigError(f"mode = {mode!r} is not one of {', '.join(get_args(Mode))}")
    if not 0 < account < np.inf:
        raise ConfigError(f"account = {account} is nothing to begin with")
    sessions, width = scores.shape
    terms = DatedTerms.of(costs)
    terms.check_shape(scores.shape)
    days = find_trading_days(strategy, market, terms)
    may_sell, may_buy = days.find_sellable(), days.find_buyable()
    tradable = may_sell & may_buy
    if mode == "qlib" and market.begins_on_eve:
        tradable[0] = False
    buy_price, sell_price = market.fill_deal_price(market.buy_price), market.fill_deal_price(market.sell_price)
    asked = np.concatenate([[False], np.any(~np.isnan(scores[:-1]), axis=1)])
    terms = terms if market.factor is not None else terms.without_lots()  # adjusted shares have none
    book = _Book(
        terms=terms,
        mode=mode,
        funds=float(account),
        amount=np.zeros(width),
        price=np.full(width, np.nan),
        known_price=np.full(width, np.nan),
        age=np.zeros(width, dtype=np.int64),
    )
    draws, cost_rate = strategy.make_draws(), terms.greatest_rate()
    ends = None if market.ends is None else market.ends.tolist()
    missing = [name for name in strategy.fields if name not in market.fields]
    if missing:
        raise ConfigError(f"the strategy reads `{missing[0]}`, which the prices of the market do not bring")
    order = TieOrder(width)
    order.add(market.before)
    # Each session: 1. take its prices, where there are any; 2. settle holdings whose listing has ended; 3. trade on the
    # scores of the session before, sales first; 4. record cash, value and holdings at the close.
    for day in range(sessions):
        book.take_prices(market.close[day], days.priced[day])
        book.settle(day, ends)
        if asked[day]:
            today = TradingDay(
                number=day,
                scores=scores[day - 1],
                order=order,
                draws=draws,
                mode=mode,
                names=market.names,
                dates=market.dates,
                close_before=market.close[day - 1],
                may_sell=may_sell[day],
                may_buy=may_buy[day],
                buy_price=buy_price[day],
                sell_price=sell_price[day],
                factor=None if market.factor is None else market.factor[day],
                terms=terms,
                cost_rate=cost_rate,
                tradable_before=tradable[day - 1],
                fields={name: market.fields[name][day - 1] for name in strategy.fields},
                days=days,
            )
            for wanted in strategy.decide(today, book):
                book.fill(wanted, today)
        order.add(market.close[day], None if market.factor is None else market.factor[day])
        book.close()
    return book.make_simulation(account=float(account))


def find_trading_days(strategy: Strategy, market: MarketPrices, terms: DatedTerms) -> TradingDays:
    """Return what can be traded on each session."""
    priced = market.traded()
    change = market.changes() if market.change is None and terms.goes_by_change() else market.change
    upper, lower = terms.find_limits(market.close if change is None else change)
    return TradingDays(
        priced=priced,
        sized=priced if market.factor is None else priced & (market.factor > 0),
        upper=upper,
        lower=lower,
        is_limit_closed=strategy.forbid_all_trade_at_limit,
    )
