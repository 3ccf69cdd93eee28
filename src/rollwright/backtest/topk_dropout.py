"""TopkDropoutStrategy: hold the best, and replace the few worst each day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.backtest.costs import Mode
from rollwright.backtest.signal_scores import refuse_nested, resolve_scores
from rollwright.backtest.strategy import Account, BaseStrategy, Order, TradingDay
from rollwright.backtest.tie_order import TieOrder
from rollwright.errors import ConfigError

__all__ = ["Choice", "TopkDropoutStrategy"]

Places = NDArray[np.intp]
Lots: TypeAlias = NDArray[np.uint64] | TieOrder
_MAX_SEED: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """Intended trades of one session, before any limit of trading.

    Attributes
    ----------
    sell : ndarray of intp
        Holdings to sell, at most ``n_drop``.
    buy : ndarray of intp
        What to buy, best first: as many of them as there are free places after the sales.
    """

    sell: Places
    buy: Places


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TopkDropoutStrategy(BaseStrategy):
    """The top-k dropout rule.

    Each day the best ``n_drop`` names that are not held (more when places are free) compete with the holdings. Of
    the union, the ``n_drop`` with the lowest scores are dropped: those of them that are held are sold, so nothing is
    sold to buy something worse; where there is nothing to buy, the worst are sold all the same. A holding without
    score counts as the worst. Cash times ``risk_degree`` is spread evenly over the purchases.

    Equal scores: a holding ranks before a name that is not held, since a tie is no reason to trade; the rest is drawn
    by lot, anew each session and from prices (`TieOrder`), never by the names.

    Guarantees: with ``exceed_topk=False`` never more than ``topk`` holdings; never more than ``n_drop`` sales a day.

    Attributes
    ----------
    topk : int
        Holdings at most.
    n_drop : int
        Sales a day at most.
    signal : Series, DataFrame or (model, dataset), optional
        Scores by (datetime, instrument), for those that take them from here; of a pair, what the model predicts of
        the dataset's segment ``test``.
    method_sell : {"bottom", "random"}
        Sell the worst, or `n_drop` holdings at random, whatever would be bought instead of them.
    method_buy : {"top", "random"}
        Buy the best, or draw from those of the best `topk` that are not held.
    seed : int or None
        Of the draws of a random method, which needs one. They are those of NumPy's legacy generator, so that Qlib under
        ``numpy.random.seed(seed)`` draws the same. Each simulation begins with them anew.
    hold_thresh : int
        Sessions a holding is kept at least.
    only_tradable : bool
        Rank only names that can be traded on the day of the trade. Otherwise a sale or purchase that turns out
        impossible is left out and its place stays empty for the day.
    forbid_all_trade_at_limit : bool
        Trade nothing at its price limit in either direction; if False, one may sell at the upper and buy at the
        lower limit.
    risk_degree : float
        Share of the cash that is spent.
    exceed_topk : bool
        Count a sale that was planned but impossible (a suspended holding) as done when counting purchases. Qlib
        does, and then holds more than ``topk``.

    Parameters
    ----------
    model, dataset : optional
        Both together are another way to write ``signal=(model, dataset)``.
    trade_exchange, level_infra, common_infra, outer_trade_decision : None
        Only None: Qlib's nested execution, in which a strategy is called back at each bar, is not here.
    """

    topk: int = 50
    n_drop: int = 5
    signal: Any = None
    hold_thresh: int = 1
    only_tradable: bool = False
    forbid_all_trade_at_limit: bool = True
    risk_degree: float = 0.95
    exceed_topk: bool = False
    method_sell: str = "bottom"
    method_buy: str = "top"
    seed: int | None = None
    model: InitVar[Any] = None
    dataset: InitVar[Any] = None
    trade_exchange: InitVar[None] = None
    level_infra: InitVar[None] = None
    common_infra: InitVar[None] = None
    outer_trade_decision: InitVar[None] = None

    def __post_init__(
        self,
        model: Any,
        dataset: Any,
        trade_exchange: object,
        level_infra: object,
        common_infra: object,
        outer_trade_decision: object,
    ) -> None:
        refuse_nested(
            trade_exchange=trade_exchange,
            level_infra=level_infra,
            common_infra=common_infra,
            outer_trade_decision=outer_trade_decision,
        )
        for name, known in (("method_sell", ("bottom", "random")), ("method_buy", ("top", "random"))):
            if (method := getattr(self, name)) not in known:
                raise ConfigError(f"{name} = {method!r} is not simulated", hint=f"take {' or '.join(known)}")
            if method == "random" and self.seed is None:
                raise ConfigError(f"{name} = 'random' without a seed: its draws could not be repeated", hint="seed=0")
        if self.seed is not None and not 0 <= self.seed <= _MAX_SEED:
            raise ConfigError(f"seed = {self.seed} is not between 0 and {_MAX_SEED}")
        object.__setattr__(self, "signal", resolve_scores(self.signal, model, dataset))
        if self.topk < 1 or not 0 <= self.n_drop <= self.topk:
            raise ConfigError(
                f"topk = {self.topk} and n_drop = {self.n_drop}: 1 ≤ topk and 0 ≤ n_drop ≤ topk must hold"
            )
        if not 0 < self.risk_degree <= 1:
            raise ConfigError(f"risk_degree = {self.risk_degree} is not a share of the cash (0 to 1)")
        if self.hold_thresh < 0:
            raise ConfigError(f"hold_thresh = {self.hold_thresh} must not be negative")

    def make_draws(self) -> np.random.RandomState | None:
        """Return the generator that one simulation draws from; None where nothing is random."""
        if "random" not in (self.method_buy, self.method_sell):
            return None
        return np.random.RandomState(self.seed)

    def decide(self, day: TradingDay, account: Account) -> Iterator[Order]:
        """Return the orders of a session; see `Strategy.decide`.

        .. warning:: **Look-ahead.** With `only_tradable` it goes by what can be traded on the session itself.
        """
        # 1. Choose, from yesterday's scores. 2. Sell what has been held long enough. 3. Count the places that are free
        # now. 4. Spread the cash evenly over the best purchases; one that cannot be made leaves its place and its cash
        # for the next session.
        before = len(account.held)
        choice = self.choose(
            day.scores,
            np.array(account.held, dtype=np.intp),
            day.may_sell & day.may_buy,
            lots=day.order,
            draws=day.draws,
            mode=day.mode,
        )
        planned = len(choice.sell)
        for place in choice.sell.tolist():
            # whatever is held was bought on a session before
            is_young = self.hold_thresh > 1 and bool(day.may_sell[place]) and account.age[place] < self.hold_thresh
            yield Order(place, "sell", refusal="hold_thresh" if is_young else None)
        sold = before - len(account.held)
        room = self.places(planned=planned, sold=sold, held=before, mode=day.mode)
        buy = choice.buy[:room].tolist()
        value = account.cash * self.risk_degree / len(buy) if buy else 0.0
        for place in buy:
            yield Order(place, "buy", value=value)
        for place in choice.buy[room : self.places(planned=planned, sold=planned, held=before, mode=day.mode)].tolist():
            yield Order(place, "buy", refusal="no_room")

    def choose(
        self,
        scores: NDArray[np.float64],
        held: Places,
        tradable: NDArray[np.bool_],
        *,
        lots: NDArray[np.uint64] | TieOrder | None = None,
        draws: np.random.RandomState | None = None,
        mode: Mode = "strict",
    ) -> Choice:
        """Return what to sell and to buy.

        Parameters
        ----------
        scores : ndarray of float64 [n]
            The latest signal, NaN where there is none.
        held : ndarray of intp
            Holdings, in any order.
        tradable : ndarray of bool [n]
            Asked only with `only_tradable`.
        lots : ndarray of uint64 [n] or TieOrder, optional
            Among equal scores that are held alike the lowest ranks first; if not given, the first column. Those of an
            order are asked for where scores are equal.
        draws : RandomState, optional
            What the random methods draw from; those of `make_draws` if not given.
        mode : {"strict", "qlib"}
            As Qlib, drop everything where `n_drop` is 0, and with `only_tradable` take one name where none is meant.

        .. warning:: **Look-ahead.** `scores` must have been known before the trade; `simulate` sees to it.
        """
        # 1. The names that may be bought, best first. 2. The holdings, best first. 3. Of both, what is sold.
        draws = self.make_draws() if draws is None else draws
        missing = np.isnan(scores)
        key = np.where(missing, -np.inf, scores)
        drawn = np.zeros(len(scores), dtype=np.uint64) if lots is None else lots
        count = self.n_drop + self.topk - len(held)
        least = int(mode == "qlib" and self.only_tradable)
        wanted = ~missing
        if self.only_tradable:
            wanted &= tradable
        if self.method_buy == "random" and draws is not None:
            fresh = _draw(draws, self._find_candidates(wanted, key, drawn, held), count)
        else:
            wanted[held] = False
            fresh = _take_best(np.flatnonzero(wanted), key, drawn, max(count, least))
        if self.method_sell == "random" and draws is not None:
            ranked = _rank(held, key, drawn)
            chosen = _draw(draws, ranked[tradable[ranked]] if self.only_tradable else ranked, self.n_drop)
        else:
            worst = len(scores) if mode == "qlib" and not self.n_drop and not least else max(self.n_drop, least)
            chosen = self._find_worst(key, drawn, held, fresh, tradable, worst)
        dropped = np.zeros(len(scores), dtype=np.bool_)
        dropped[chosen] = True
        return Choice(sell=held[dropped[held]], buy=fresh)

    def _find_candidates(self, wanted: NDArray[np.bool_], key: NDArray[np.float64], lots: Lots, held: Places) -> Places:
        """Return those of the best `topk` that are not held, best first."""
        is_held = np.zeros(len(key), dtype=np.bool_)
        is_held[held] = True
        best = _take_best(np.flatnonzero(wanted), key, np.where(is_held, np.uint64(0), _numbers(lots)), self.topk)
        return best[~is_held[best]]

    def _find_worst(
        self,
        key: NDArray[np.float64],
        lots: Lots,
        held: Places,
        fresh: Places,
        tradable: NDArray[np.bool_],
        count: int,
    ) -> Places:
        """Return the `count` worst of holdings and newcomers, in any order; of equal scores a newcomer is the worse."""
        both = np.concatenate([held, fresh])
        new = np.arange(len(both)) >= len(held)
        if self.only_tradable:
            both, new = both[tradable[both]], new[tradable[both]]
        falling, cut = -key[both], max(len(both) - count, 0)
        order: Places = falling.argsort(kind="stable")
        if 0 < cut < len(both) and falling[order[cut - 1]] == falling[order[cut]]:
            order = np.lexsort((both, _numbers(lots)[both], new, falling))
        return both[order[cut:]]

    def places(self, *, planned: int, sold: int, held: int, mode: Mode = "strict") -> int:
        """Return how many purchases there is room for, with `held` holdings before the `sold` of `planned` sales.

        In the mode of Qlib every planned sale counts, and the number may be below zero: that many are left out.
        """
        if mode == "qlib":
            return planned + self.topk - held
        return max((planned if self.exceed_topk else sold) + self.topk - held, 0)


def _rank(places: Places, key: NDArray[np.float64], lots: Lots) -> Places:
    """Return `places` from the highest key; equal keys by lot."""
    falling = -key[places]
    order = falling.argsort(kind="stable")
    ranked = falling[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.lexsort((places, _numbers(lots)[places], falling))
    return places[order]


def _numbers(lots: Lots) -> NDArray[np.uint64]:
    return lots.numbers() if isinstance(lots, TieOrder) else lots


def _take_best(places: Places, key: NDArray[np.float64], lots: Lots, count: int) -> Places:
    """Return the `count` of `places` with the highest keys, best first; among equal keys those with the lowest lots."""
    if count <= 0:
        return places[:0]
    if count < len(places):
        values = key[places]
        ordered = values.copy()
        ordered.partition(len(places) - count)
        places = places[values >= ordered[len(places) - count]]
    return _rank(places, key, lots)[:count]


def _draw(draws: np.random.RandomState, places: Places, count: int) -> Places:
    """Return `count` of `places` in the order drawn; all of them, as they are, where there are no more."""
    if not 0 <= count <= len(places):
        return places
    return places[draws.choice(len(places), count, replace=False)] if len(places) else places
