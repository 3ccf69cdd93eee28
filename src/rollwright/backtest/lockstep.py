"""Many simulations of the same scores, a session of all of them at a time.

It does what `simulate` does, for the strategies and terms that `is_plain` accepts, and to the last bit: sums run in the
same order, and what depends on the cash of the moment is asked of the same `Costs`. A law over random markets holds the
two together. There are two since neither can do the other's work: one simulation by array operations is slower than by
plain numbers, and a hundred of them by plain numbers take a hundred times one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.backtest.case import Case, CaseResults
from rollwright.backtest.costs import LOT_SLACK, NOTHING
from rollwright.backtest.simulate import MarketPrices, find_trading_days
from rollwright.backtest.terms import DatedTerms
from rollwright.backtest.tie_order import TieOrder
from rollwright.backtest.topk_dropout import TopkDropoutStrategy

__all__ = ["is_plain", "simulate_plain"]

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]
Flags: TypeAlias = NDArray[np.bool_]


def is_plain(case: Case) -> bool:
    """Tell whether a case can be simulated here: the top-k dropout rule itself, without random draws."""
    strategy = case.strategy
    return type(strategy) is TopkDropoutStrategy and "random" not in (strategy.method_buy, strategy.method_sell)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rules:
    """The numbers of the strategies, one entry for each case."""

    topk: Places
    n_drop: Places
    delay: Places
    hold_thresh: NDArray[np.int64]
    risk_degree: Floats
    exceeds: Flags
    asks_tradable: Flags

    @classmethod
    def of(cls, cases: Sequence[Case]) -> _Rules:
        rules = [case.strategy for case in cases if isinstance(case.strategy, TopkDropoutStrategy)]
        return cls(
            topk=np.array([rule.topk for rule in rules], np.intp),
            n_drop=np.array([rule.n_drop for rule in rules], np.intp),
            delay=np.array([case.delay for case in cases], np.intp),
            hold_thresh=np.array([rule.hold_thresh for rule in rules], np.int64),
            risk_degree=np.array([rule.risk_degree for rule in rules]),
            exceeds=np.array([rule.exceed_topk for rule in rules]),
            asks_tradable=np.array([rule.only_tradable for rule in rules]),
        )


_NUMBERS: Final = ("open_cost", "close_cost", "open_duty", "close_duty", "min_cost", "trade_unit", "min_unit")


class _Terms:
    """The numbers of the terms, those of each case after those of the one before; NaN where there are no lots."""

    def __init__(self, cases: Sequence[Case], *, has_lots: bool) -> None:
        given = [DatedTerms.of(case.costs) for case in cases]
        self.each: Final = [terms if has_lots else terms.without_lots() for terms in given]
        most = self._most = max(len(terms.kinds) for terms in self.each)
        padded = [[*terms.kinds, *[terms.kinds[0]] * (most - len(terms.kinds))] for terms in self.each]
        self.number: Final[dict[str, Floats]] = {
            name: np.array(
                [np.nan if (value := getattr(one, name)) is None else float(value) for row in padded for one in row]
            )
            for name in _NUMBERS
        }
        self.waits: Final = np.array([one.cash_next_day for row in padded for one in row])
        self.delisting: Final = np.array([terms.kinds[0].delisting for terms in self.each])
        tables = {id(terms.kind): terms.kind for terms in self.each if terms.kind is not None}
        numbers = {key: place for place, key in enumerate(tables)}
        self._tables: Final = list(tables.values())
        self._table: Final = np.array([numbers.get(id(terms.kind), -1) for terms in self.each], np.intp)

    def find(self, day: int, cases: Places, places: Places) -> Places:
        """Return where in the numbers the terms of each trade of a session stand."""
        terms = cases * self._most
        for number, table in enumerate(self._tables):
            own = self._table[cases] == number
            terms[own] += table[day, places[own]]
        return terms


@dataclass(slots=True, kw_only=True, eq=False)
class _Trades:
    """Trades of one session, in order within each case, as far as their sums go."""

    cases: list[Places] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    cost: list[Floats] = field(default_factory=list)

    def add(self, cases: Places, value: Floats, cost: Floats) -> None:
        self.cases.append(cases)
        self.value.append(value)
        self.cost.append(cost)

    def total(self, parts: list[Floats], count: int) -> Floats:
        """Return the sum of each case, added one after the other."""
        if not parts:
            return np.zeros(count)
        return _add_up(np.concatenate(self.cases), np.concatenate(parts), count)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ranking:
    """The instruments of one session, best first.

    `order` holds their columns, and `scored` tells which of these have a score. Where scores are equal, `slots` is the
    order of 2n slots: those of the holdings, and n further ones of the same instruments as newcomers.
    """

    order: Places
    scored: Flags
    slots: Places | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Orders:
    """Purchases of one session, in order within each case; `terms` is where those of each stand."""

    cases: Places
    places: Places
    terms: Places
    price: Floats
    factor: Floats
    amount: Floats

    def keep(self, kept: Flags) -> _Orders:
        return _Orders(**{name: getattr(self, name)[kept] for name in _Orders.__dataclass_fields__})


def _number_in_lines(marked: Flags) -> tuple[Places, Places, Places, Places]:
    """Return line and column of what is marked, its number from 0 among that of its line, and how much each line has.

    It does what `nonzero` and `cumsum` do, from the marks alone: a fifth of their time where few are marked.
    """
    lines, width = marked.shape
    cells = np.flatnonzero(marked)
    line = cells // width
    counts = np.bincount(line, minlength=lines)
    number = np.arange(len(cells)) - (counts.cumsum() - counts).take(line)
    return line, cells - line * width, number, counts


class _Simulator:
    """The cases between two sessions; a cell is a place of a case: ``case * width + place``."""

    def __init__(self, cases: Sequence[Case], market: MarketPrices) -> None:
        count, (sessions, width) = len(cases), market.close.shape
        self.rules: Final = _Rules.of(cases)
        self.terms: Final = _Terms(cases, has_lots=market.factor is not None)
        self.market: Final = market
        self.may_sell, self.may_buy, self.days = _find_days(cases, self.terms.each, market)
        self.buy_price: Final = market.fill_deal_price(market.buy_price)
        self.sell_price: Final = market.fill_deal_price(market.sell_price)
        self.price: Floats = np.zeros(width)  # 0 until there is one; nothing is held before
        self.priced: Final = market.traded()
        self.ends: Final = market.ends
        self.funds = np.array([float(case.account) for case in cases])
        self.unsettled = np.zeros(count)
        self.width: Final = width
        self.amount: Final = np.zeros(count * width)
        self.held: Final = np.zeros(count * width, np.bool_)
        self.holdings: Places = np.zeros(count, np.intp)
        # when each holding was bought, in the order of purchases: session * pace + number
        self.bought: Final = np.zeros(count * width, np.int64)
        self.pace: Final = count * width + 1
        self.every: Final = np.arange(count)
        self.lots: Final = TieOrder(width)
        self.lots.add(market.before)
        shape = (sessions, count)
        self.made: Final = CaseResults(
            start=self.funds,
            **{name: np.zeros(shape) for name in ("cash", "value", "cost", "turnover", "held")},
            **{name: np.zeros(count) for name in ("least_cost", "settled", "meant", "lot_loss")},
        )

    def run(self, scores: Floats) -> CaseResults:
        """Simulate all sessions; the steps of each are those of `simulate`."""
        # 1. Take the prices; 2. settle; 3. choose, sell, buy; 4. record.
        delays = np.unique(self.rules.delay).tolist()
        members = [np.flatnonzero(self.rules.delay == delay) for delay in delays]
        has_scores = np.any(~np.isnan(scores), axis=1)
        for day in range(len(scores)):
            trades = _Trades()
            self.unsettled = np.zeros(len(self.funds))
            np.copyto(self.price, self.market.close[day], where=self.priced[day])
            self._settle(day, trades)
            rows = [
                (cases, scores[day - 1 - delay])
                for delay, cases in zip(delays, members, strict=True)
                if day > delay and has_scores[day - 1 - delay]
            ]
            if rows:
                self._trade(day, rows, trades)
            self.lots.add(self.market.close[day], None if self.market.factor is None else self.market.factor[day])
            self._record(day, trades)
        return self.made

    def _settle(self, day: int, trades: _Trades) -> None:
        if self.ends is None:
            return
        ended = np.flatnonzero(self.ends <= day)
        if len(ended) and (found := self._see_held()[:, ended]).any():
            cases, columns = np.nonzero(found)
            places = ended[columns]
            self.made.settled[:] += self._sell(
                day, cases, places, self.price[places] * self.terms.delisting[cases], trades
            )

    def _see_held(self) -> Flags:
        """Return what is held, [cases, instruments]."""
        return self.held.reshape(-1, self.width)

    def _trade(self, day: int, rows: list[tuple[Places, Floats]], trades: _Trades) -> None:
        planned_cases, planned_places, fresh = [], [], []
        before = self.holdings
        for cases, row in rows:
            dropped, chosen = self._choose(day, cases, row, before)
            planned_cases.append(dropped[0])
            planned_places.append(dropped[1])
            fresh.append(chosen)
        cases, places = np.concatenate(planned_cases), np.concatenate(planned_places)
        planned = np.bincount(cases, minlength=len(before))
        since = self.bought[cases * self.width + places] // self.pace
        can = self._may(self.may_sell, day, cases, places) & (day - since >= self.rules.hold_thresh[cases])
        cases, places = cases[can], places[can]
        sold = self._sell(day, cases, places, self.sell_price[day, places], trades)
        room = np.where(self.rules.exceeds, planned, sold) + self.rules.topk - before
        self._buy(day, fresh, room, trades)

    def _may(self, allowed: Flags, day: int, cases: Places, places: Places) -> Flags:
        """Return whether each trade of a session is `allowed`, [tables, sessions, instruments]."""
        return np.asarray(allowed[:, day].ravel()[self.days[cases] * self.width + places])

    def _choose(
        self, day: int, cases: Places, row: Floats, before: Places
    ) -> tuple[tuple[Places, Places], tuple[Places, Places, Places]]:
        """Return what some cases would sell (case, place), and buy (case, place, rank from 1), best first."""
        rules = self.rules
        ranking = self._rank(row)
        order, width = ranking.order, self.width
        n_drop, topk, asks = rules.n_drop[cases], rules.topk[cases], rules.asks_tradable[cases]
        held = self._see_held()[cases].take(order, axis=1)
        tradable = None
        if asks.any():
            groups = self.days[cases]
            tradable = (self.may_sell[groups, day] & self.may_buy[groups, day])[:, order] | ~asks[:, None]
        # the best of those that are not held
        reach = width if tradable is not None else min(width, int((n_drop + topk).max()))
        free = ranking.scored[:reach] & ~held[:, :reach]
        if tradable is not None:
            free &= tradable
        buyer, what, number, _ = _number_in_lines(free)
        is_fresh = number < (n_drop + topk - before[cases])[buyer]
        buyer, what, number = buyer[is_fresh], what[is_fresh], number[is_fresh]
        # of them and the holdings the worst
        slots = ranking.slots
        if slots is None:
            both = held.copy()
            both[buyer, what] = True
        else:
            both = np.hstack([held, np.zeros_like(held)])
            both[buyer, width + what] = True
        if tradable is not None:
            both &= tradable if slots is None else np.hstack([tradable, tradable])
        if slots is not None:
            both = both[:, slots]
        who, where, place, counts = _number_in_lines(both)
        is_worst = place >= (counts - n_drop)[who]
        who, where = who[is_worst], where[is_worst]
        if slots is not None:
            where = slots[where]
            is_held = where < width
        else:
            is_held = held[who, where]
        who, where = who[is_held], where[is_held]
        return (cases[who], order[where]), (cases[buyer], order[what], number + 1)

    def _rank(self, row: Floats) -> _Ranking:
        """Return the instruments by score, and by lot where scores are equal."""
        missing = np.isnan(row)
        falling = np.where(missing, np.inf, -row)
        order = np.argsort(falling)
        scored = len(row) - int(np.count_nonzero(missing))
        ranked = falling[order[:scored]]
        if (ranked[1:] != ranked[:-1]).all() and ranked[-1] < np.inf:
            # lots tell those without a score apart
            if scored < len(row) and self._see_held()[:, order[scored:]].any():
                order = np.lexsort((self.lots.numbers(), falling))
            return _Ranking(order=order, scored=np.arange(len(row)) < scored, slots=None)
        order = np.lexsort((self.lots.numbers(), falling))
        ranked, places = falling[order], np.arange(len(row))
        group = np.concatenate([[0], np.cumsum(ranked[1:] != ranked[:-1])])
        is_new = np.repeat([False, True], len(row))
        slots = np.lexsort((np.tile(places, 2), is_new, np.tile(group, 2)))
        return _Ranking(order=order, scored=~missing[order], slots=slots)

    def _sell(self, day: int, cases: Places, places: Places, prices: Floats, trades: _Trades) -> Places:
        """Sell whole holdings in the order of their purchase; return how many of each case were."""
        count = len(self.funds)
        if not len(cases):
            return np.zeros(count, np.intp)
        cells = cases * self.width + places
        order = np.argsort(cases * (self.pace * (day + 1)) + self.bought[cells])
        cases, cells, prices = cases[order], cells[order], prices[order]
        value = self.amount[cells] * prices
        terms = self.terms.find(day, cases, places[order])
        rate, cost = self._charge(value, terms, "close")
        waits = self.terms.waits[terms]
        if (value < cost).any():  # the proceeds may not cover the cost: then the cash of the moment decides
            kept = self._find_covered(cases, value, cost, waits)
            cases, cells, waits = cases[kept], cells[kept], waits[kept]
            value, rate, cost = value[kept], rate[kept], cost[kept]
        self.funds = self._add_to_funds(cases, value - cost)
        if waits.any():
            late = np.where(waits, np.maximum(value - cost, 0.0), 0.0)
            self.unsettled = _add_up(np.concatenate([self.every, cases]), np.concatenate([self.unsettled, late]), count)
        self.amount[cells] = 0.0
        self.held[cells] = False
        self._note(cases, value, rate, cost, trades)
        sold = np.bincount(cases, minlength=count)
        self.holdings = self.holdings - sold
        return sold

    def _find_covered(self, cases: Places, value: Floats, cost: Floats, waits: Flags) -> Flags:
        funds, unsettled = self.funds.tolist(), self.unsettled.tolist()
        kept = np.ones(len(cases), np.bool_)
        rows = zip(cases.tolist(), value.tolist(), cost.tolist(), waits.tolist(), strict=True)
        for number, (case, worth, fee, late) in enumerate(rows):
            if funds[case] - unsettled[case] + worth < fee:
                kept[number] = False
                continue
            funds[case] += worth - fee
            if late:
                unsettled[case] += max(worth - fee, 0.0)
        return kept

    def _buy(self, day: int, fresh: list[tuple[Places, Places, Places]], room: Places, trades: _Trades) -> None:
        """Spread the cash of each case evenly over the best purchases there is room for."""
        cases, places, rank = (np.concatenate(parts) for parts in zip(*fresh, strict=True))
        inside = rank <= room[cases]
        cases, places = cases[inside], places[inside]
        if not len(cases):
            return
        count, number = len(self.funds), self.terms.number
        shares = np.bincount(cases, minlength=count)
        cash = self.funds - self.unsettled
        value = (cash * self.rules.risk_degree / np.maximum(shares, 1))[cases]
        self.made.meant[:] += _add_up(cases, value, count)
        can = self._may(self.may_buy, day, cases, places)
        cases, places, value = cases[can], places[can], value[can]
        terms = self.terms.find(day, cases, places)
        price = self.buy_price[day, places]
        factor = np.ones(len(places)) if self.market.factor is None else self.market.factor[day, places]
        amount = _size_orders(value / price, factor, number["trade_unit"][terms])
        small = (amount * price <= NOTHING) | (amount * factor + LOT_SLACK < number["min_unit"][terms])
        amount[small] = 0.0
        self.made.lot_loss[:] += _add_up(cases, np.maximum(value - amount * price, 0.0), count)
        orders = _Orders(cases=cases, places=places, terms=terms, price=price, factor=factor, amount=amount)
        if small.any():
            orders = orders.keep(~small)
        spent, rate, cost = self._price(orders)
        left = self._add_to_funds(orders.cases, -(spent + cost))
        # the difference of two sums is not exact: where cash waits, a hair's breadth is for the cash of the moment
        short = left - self.unsettled < np.where(self.unsettled > 0, 1e-9 * self.funds, 0.0)
        if short.any():
            orders = replace(orders, amount=self._fit_to_cash(day, short, orders))
            orders = orders.keep(orders.amount > 0)
            spent, rate, cost = self._price(orders)
            left = self._add_to_funds(orders.cases, -(spent + cost))
        self.funds = left
        cells = orders.cases * self.width + orders.places
        self.amount[cells] = orders.amount
        self.held[cells] = True
        self.bought[cells] = day * self.pace + np.arange(len(cells))
        self.holdings = self.holdings + np.bincount(orders.cases, minlength=count)
        self._note(orders.cases, spent, rate, cost, trades)

    def _price(self, orders: _Orders) -> tuple[Floats, Floats, Floats]:
        """Return what orders spend, and cost by the rate and in all."""
        spent = orders.amount * orders.price
        return spent, *self._charge(spent, orders.terms, "open")

    def _charge(self, value: Floats, terms: Places, side: str) -> tuple[Floats, Floats]:
        """Return what trades cost by the rates alone, and in all: `Costs.charge_purchase` or `Costs.charge_sale`."""
        number = self.terms.number
        rate, duty = value * number[f"{side}_cost"][terms], value * number[f"{side}_duty"][terms]
        cost = np.where(value > NOTHING, np.maximum(rate, number["min_cost"][terms]) + duty, 0.0)
        return rate + duty, cost

    def _fit_to_cash(self, day: int, short: Flags, orders: _Orders) -> Floats:
        """Return the amounts that the cash of each case covers, one purchase after the other."""
        fitted, funds = orders.amount.copy(), self.funds.tolist()
        for number in np.flatnonzero(short[orders.cases]).tolist():
            case, price, factor = int(orders.cases[number]), float(orders.price[number]), float(orders.factor[number])
            costs = self.terms.each[case].find(day, int(orders.places[number]))
            cash = funds[case] - float(self.unsettled[case])
            got = costs.fit_to_cash(float(orders.amount[number]), price=price, factor=factor, cash=cash)
            if got * price <= NOTHING or costs.is_too_small(got, factor=factor):
                got = 0.0
            else:
                funds[case] -= got * price + costs.charge_purchase(got * price)
            fitted[number] = got
        return fitted

    def _add_to_funds(self, cases: Places, change: Floats) -> Floats:
        """Return the funds after changes that are added one after the other."""
        count = len(self.funds)
        return _add_up(np.concatenate([self.every, cases]), np.concatenate([self.funds, change]), count)

    def _note(self, cases: Places, value: Floats, rate: Floats, cost: Floats, trades: _Trades) -> None:
        trades.add(cases, value, cost)
        self.made.least_cost[:] += _add_up(cases, cost - rate, len(self.funds))

    def _record(self, day: int, trades: _Trades) -> None:
        count = len(self.funds)
        cells, made = np.flatnonzero(self.held), self.made
        cases = cells // self.width
        made.cash[day] = self.funds
        made.value[day] = _add_up(cases, self.amount[cells] * self.price[cells - cases * self.width], count)
        made.cost[day] = trades.total(trades.cost, count)
        made.turnover[day] = trades.total(trades.value, count)
        made.held[day] = self.holdings


def simulate_plain(cases: Sequence[Case], scores: Floats, market: MarketPrices) -> CaseResults:
    """Return what `simulate` finds in mode ``strict`` for each of the cases, all of them plain."""
    return _Simulator(cases, market).run(scores)


def _find_days(cases: Sequence[Case], terms: Sequence[DatedTerms], market: MarketPrices) -> tuple[Flags, Flags, Places]:
    """Return what can be sold and bought, [tables, sessions, instruments], and the table of each case."""
    keys = [
        (case.strategy.forbid_all_trade_at_limit, own.kinds[0].limit_threshold, id(own.upper), id(own.lower))
        for case, own in zip(cases, terms, strict=True)
    ]
    tables = {}
    for key, case, own in zip(keys, cases, terms, strict=True):
        if key not in tables:
            days = find_trading_days(case.strategy, market, own)
            tables[key] = days.find_sellable(), days.find_buyable()
    numbers = {key: place for place, key in enumerate(tables)}
    sellable, buyable = zip(*tables.values(), strict=True)
    return np.array(sellable), np.array(buyable), np.array([numbers[key] for key in keys], np.intp)


def _add_up(cases: Places, values: Floats, count: int) -> Floats:
    """Return the sum of each case: its values are added one after the other, from zero."""
    return np.asarray(np.bincount(cases, values, minlength=count), dtype=np.float64)


def _size_orders(amount: Floats, factor: Floats, unit: Floats) -> Floats:
    """Return the whole lots in each amount, as `Costs.size_order`; where `unit` is NaN there are none."""
    whole = (amount * factor + LOT_SLACK) // unit * unit / factor
    return np.where(np.isnan(unit), amount, whole)
