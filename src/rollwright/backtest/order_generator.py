"""From weights to orders: what is bought and sold so that a position comes near to its weights."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollwright.backtest.strategy import Account, Order, TradingDay
from rollwright.errors import ConfigError, nearest

__all__ = ["OrderGenWInteract", "OrderGenWOInteract", "OrderGenerator", "Targets", "Weights", "find_generator"]

Floats = NDArray[np.float64]

_MOST_WEIGHT: Final = 1 + 1e-5


class Weights(NamedTuple):
    """Weights by column, ``[instruments]``, and which were named; those that were not are 0."""

    values: Floats
    named: NDArray[np.bool_]


class Targets(NamedTuple):
    """What a generator wants, ``[instruments]``: adjusted shares, and which of them Qlib's list of targets has."""

    amounts: Floats
    listed: NDArray[np.bool_]


class OrderGenerator(ABC):
    """Base of what turns weights into orders."""

    @abstractmethod
    def find_targets(self, weights: Weights, risk_degree: float, day: TradingDay, account: Account) -> Targets:
        """Return how many adjusted shares of each instrument are wanted.

        Parameters
        ----------
        weights : Weights
        risk_degree : float
            Share of the account that is invested.
        """

    def generate(
        self, target: Mapping[str, float], risk_degree: float, day: TradingDay, account: Account
    ) -> Iterator[Order]:
        """Return the orders that bring the account to `target`, sales before purchases.

        A change is made in whole lots, but what is to go altogether goes at any size; one of less than a lot is no
        order, unless nothing is held yet. What cannot be traded is ordered too, and refused with its reason. Purchases
        are tried from the greatest value down, equal ones by lots; in the mode of Qlib in the shuffled order of Qlib,
        which decides who is left out where the cash does not cover them all.

        Parameters
        ----------
        target : mapping of str to float
            Weights by code.
        risk_degree : float
            Share of the account that is invested.

        Raises
        ------
        ConfigError
            For codes without a column, weights outside of 0 to 1, and those that make more than 1.
        """
        held = account.amount.copy()  # the account changes while the orders are taken
        wanted, listed = self.find_targets(_read_weights(target, day), risk_degree, day, account)
        sales = np.flatnonzero(wanted < held).tolist()
        buys = np.flatnonzero(wanted > held).tolist()
        for place in _arrange(sales, day, wanted, held, listed):
            amount = None if wanted[place] == 0 else float(held[place] - wanted[place])
            if amount is not None and day.may_sell[place] and day.find_factor(place) is not None:
                amount = day.size_order(place, amount)
                if amount == 0:
                    continue
            yield Order(place, "sell", amount=amount)
        for place in _arrange(buys, day, wanted, held, listed):
            amount = float(wanted[place] - held[place])
            if held[place] and day.may_buy[place] and day.size_order(place, amount) == 0:
                continue
            yield Order(place, "buy", amount=amount)


class OrderGenWInteract(OrderGenerator):
    """With interaction: by the prices of the session itself, and only for what can be traded on it.

    Of the account, `risk_degree` is invested, holdings that cannot be traded included. What they leave is spread over
    what can be traded, in the proportion of the weights, less the greatest cost of a trade. If that is below zero,
    everything that can be sold is sold.

    A holding without a price counts at its last one; Qlib fails there. In the mode of Qlib, targets are whole adjusted
    shares.

    .. warning:: **Look-ahead.** Prices at which a session deals, and what can be traded then, are not known when its
       orders are placed. Where that matters take `OrderGenWOInteract`.
    """

    def find_targets(self, weights: Weights, risk_degree: float, day: TradingDay, account: Account) -> Targets:
        """Return how many adjusted shares of each instrument are wanted; see the class."""
        is_strict = day.mode == "strict"
        held, tradable = account.amount, day.may_sell & day.may_buy
        price = np.where(day.days.priced[day.number], day.sell_price, account.known_price)
        value = np.where(held > 0, held * price, 0.0)
        whole = float(value.sum()) + account.cash
        free = float(value[tradable].sum()) + account.cash - (1 - risk_degree) * whole
        if free < 0:
            return Targets(np.zeros_like(held), np.zeros_like(tradable))
        free /= 1 + day.cost_rate
        asked = weights.values
        targets = np.where(tradable | (asked == 0), 0.0, held)
        spread = np.where(tradable, asked, 0.0)
        total = float(spread.sum())
        if total > 0:
            share = free * spread / total
            with np.errstate(invalid="ignore", divide="ignore"):
                wanted = share / day.buy_price if is_strict else share // day.buy_price
            targets = np.where(spread > 0, wanted, targets)
        # what cannot be traded is wanted too, so that the refusal tells why it is not bought
        barred = ~tradable & (asked > 0) & (held == 0) & (account.known_price > 0)
        refused = free * asked / np.where(barred, account.known_price, 1.0)
        return Targets(np.where(barred, refused, targets), spread > 0)


class OrderGenWOInteract(OrderGenerator):
    """Without interaction: by the closes and the value of the account before the session.

    A target is its weight of `risk_degree` of the account, at the last close. What could not be traded on the session
    before and is not held is not ordered.
    """

    def find_targets(self, weights: Weights, risk_degree: float, day: TradingDay, account: Account) -> Targets:
        """Return how many adjusted shares of each instrument are wanted; see the class."""
        held = account.amount
        value = np.where(held > 0, held * account.known_price, 0.0)
        whole = risk_degree * (float(value.sum()) + account.cash)
        tradable = day.may_sell & day.may_buy
        ordered = weights.named & (day.tradable_before | (held > 0))
        at_close = tradable & day.tradable_before
        price = np.where(at_close, day.close_before, account.known_price)
        return Targets(
            np.where(ordered, whole * weights.values / np.where(ordered, price, 1.0), 0.0), ordered & at_close
        )


_GENERATORS: Final = {one.__name__: one for one in (OrderGenWInteract, OrderGenWOInteract)}


def find_generator(given: OrderGenerator | type[OrderGenerator] | str) -> OrderGenerator:
    """Return an order generator: as it is, of its class, or by the name of one that is here.

    Raises
    ------
    ConfigError
        For what is none.
    """
    if isinstance(given, OrderGenerator):
        return given
    if isinstance(given, str):
        name = given.rpartition(".")[2]
        if name not in _GENERATORS:
            near = nearest(name, list(_GENERATORS))
            raise ConfigError(
                f"there is no order generator `{given}`",
                hint=f"did you mean `{near}`?" if near else f"known: {', '.join(_GENERATORS)}",
            )
        return _GENERATORS[name]()
    if isinstance(given, type) and issubclass(given, OrderGenerator):
        return given()
    raise ConfigError(f"a {type(given).__name__} generates no orders", hint=f"take one of {', '.join(_GENERATORS)}")


def _read_weights(target: Mapping[str, float], day: TradingDay) -> Weights:
    if day.names is None:
        raise ConfigError("weights by code, and a market without codes", hint="give MarketPrices(names=…)")
    places = {name: place for place, name in enumerate(day.names)}
    weights, named = np.zeros(len(places)), np.zeros(len(places), dtype=np.bool_)
    unknown = [code for code in target if code not in places]
    if unknown:
        raise ConfigError(
            f"a weight of `{unknown[0]}`, which is none of the {len(places)} instruments that are scored",
            hint="weigh only instruments that the predictions name",
        )
    for code, weight in target.items():
        if not 0 <= weight <= _MOST_WEIGHT:
            raise ConfigError(f"the weight of `{code}` is {weight}, not between 0 and 1")
        weights[places[code]], named[places[code]] = weight, True
    if weights.sum() > _MOST_WEIGHT:
        raise ConfigError(f"the weights make {weights.sum():.6g}, more than 1")
    return Weights(weights, named)


def _arrange(places: list[int], day: TradingDay, wanted: Floats, held: Floats, listed: NDArray[np.bool_]) -> list[int]:
    """Return places in the order in which they are tried."""
    if day.mode == "qlib":
        # Qlib shuffles all codes that are held or wanted, sorted, always alike
        involved = np.flatnonzero((held > 0) | listed).tolist()
        random.Random(0).shuffle(involved)  # noqa: S311 - Qlib's order, no secret
        chosen = set(places)
        rest = [place for place in places if place not in set(involved)]  # refused, whatever their order
        return [place for place in involved if place in chosen] + rest
    value = np.nan_to_num(np.abs(wanted - held) * np.where(held > 0, day.sell_price, day.buy_price))
    return sorted(places, key=lambda place: (-value[place], int(day.lots[place])))
