"""TopkDropoutStrategy: hold the best, and replace the few worst each day."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import ConfigError

__all__ = ["Choice", "TopkDropoutStrategy"]

Places = NDArray[np.intp]


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
class TopkDropoutStrategy:
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
    method_sell : {"bottom"}
        Sell the worst. Qlib's ``random`` draws from a generator without a seed, and is not simulated.
    method_buy : {"top"}
        Buy the best.
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
        nested = {
            "trade_exchange": trade_exchange,
            "level_infra": level_infra,
            "common_infra": common_infra,
            "outer_trade_decision": outer_trade_decision,
        }
        for name, value in nested.items():
            if value is not None:
                raise ConfigError(
                    f"{name} is given, and there is no nested execution that would use it",
                    hint="leave it out; the terms of trade are backtest_daily(exchange_kwargs=…)",
                )
        for name, only in (("method_sell", "bottom"), ("method_buy", "top")):
            if (method := getattr(self, name)) != only:
                raise ConfigError(
                    f"{name} = {method!r} is not simulated: its draws could not be repeated", hint=f"take {only!r}"
                )
        object.__setattr__(self, "signal", _resolve_scores(self.signal, model, dataset))
        if self.topk < 1 or not 0 <= self.n_drop <= self.topk:
            raise ConfigError(
                f"topk = {self.topk} and n_drop = {self.n_drop}: 1 ≤ topk and 0 ≤ n_drop ≤ topk must hold"
            )
        if not 0 < self.risk_degree <= 1:
            raise ConfigError(f"risk_degree = {self.risk_degree} is not a share of the cash (0 to 1)")
        if self.hold_thresh < 0:
            raise ConfigError(f"hold_thresh = {self.hold_thresh} must not be negative")

    def choose(
        self,
        scores: NDArray[np.float64],
        held: Places,
        tradable: NDArray[np.bool_],
        *,
        lots: NDArray[np.uint64] | None = None,
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
        lots : ndarray of uint64 [n], optional
            Among equal scores that are held alike the lowest ranks first; if not given, the first column.

        .. warning:: **Look-ahead.** `scores` must have been known before the trade; `simulate` sees to it.
        """
        key = np.where(np.isnan(scores), -np.inf, scores)
        wanted = ~np.isnan(scores)
        if self.only_tradable:
            wanted &= tradable
        wanted[held] = False
        drawn = np.zeros(len(scores), dtype=np.uint64) if lots is None else lots
        fresh = _take_best(np.flatnonzero(wanted), key, drawn, self.n_drop + self.topk - len(held))
        both = np.concatenate([held, fresh])
        new = np.arange(len(both)) >= len(held)
        if self.only_tradable:
            both, new = both[tradable[both]], new[tradable[both]]
        ranked = both[np.lexsort((both, drawn[both], new, -key[both]))]
        dropped = np.zeros(len(scores), dtype=np.bool_)
        dropped[ranked[max(len(ranked) - self.n_drop, 0) :]] = True
        return Choice(sell=held[dropped[held]], buy=fresh)

    def places(self, *, planned: int, sold: int, held: int) -> int:
        """Return how many purchases there is room for, with `held` holdings before the `sold` of `planned` sales."""
        return max((planned if self.exceed_topk else sold) + self.topk - held, 0)


def _resolve_scores(signal: Any, model: Any, dataset: Any) -> Any:
    """Return the scores: given as they are, or what a model predicts."""
    if model is not None or dataset is not None:
        if signal is not None:
            raise ConfigError("a signal and a model are given", hint="give the signal, or model and dataset")
        signal = (model, dataset)
    if isinstance(signal, tuple | list):
        if len(signal) != 2 or any(part is None for part in signal):
            raise ConfigError("a signal is made by a model and a dataset together", hint="give both of them")
        return signal[0].predict(signal[1])
    if signal is not None and not isinstance(signal, pd.Series | pd.DataFrame):
        raise ConfigError(
            f"the signal is a {type(signal).__name__}, neither scores nor a pair of a model and a dataset",
            hint="give the predictions: a Series or DataFrame with the index (datetime, instrument)",
        )
    return signal


def _take_best(places: Places, key: NDArray[np.float64], lots: NDArray[np.uint64], count: int) -> Places:
    """Return the `count` of `places` with the highest keys, best first; among equal keys those with the lowest lots."""
    if count <= 0:
        return places[:0]
    if count < len(places):
        bound = np.partition(key[places], len(places) - count)[len(places) - count]
        places = places[key[places] >= bound]
    return places[np.lexsort((places, lots[places], -key[places]))][:count]
