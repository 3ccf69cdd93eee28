"""The rules of a market applied to sessions and instruments: what a trade costs there, and where prices are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.costs import Costs
from rollwright.backtest.rules.boards import find_boards
from rollwright.backtest.rules.rule_table import RuleTable
from rollwright.backtest.terms import DatedTerms
from rollwright.errors import ConfigError, nearest

__all__ = ["ExchangeRules"]

Floats = NDArray[np.float64]

_PARTS: Final = 10_000
"""Limits are counted in ten-thousandths, ticks in whole numbers: rounding is then exact."""
_CHANGE_SLACK: Final = 0.005
"""Without factors the rounded limit is not known; a change this much below the limit is at it (9.5 % of 10 %)."""
_COST_KINDS: Final = ("sale_duty", "purchase_duty", "transfer_fee", "lot", "least_order")
_SAID: Final = ("close_cost", "trade_unit", "limit_threshold", "min_unit", "open_duty", "close_duty")
_SWITCHES: Final = ("shares_next_day", "cash_next_day")
_COLUMNS: Final = ("instrument", "start", "end")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExchangeRules:
    """The dated rules of a market, and who is under special treatment.

    Attributes
    ----------
    table : RuleTable
    special : DataFrame or str or None
        Who is under special treatment (ST) when: a table with the columns ``instrument``, ``start``, ``end`` (both
        sessions belong to it; no end is until now), or a field of the market that is not 0 where it is. None: nobody
        is, and the limits of such shares are taken too wide.
    shares_next_day, cash_next_day : bool or None
        In place of what the table says.
    """

    table: RuleTable
    special: pd.DataFrame | str | None = None
    shares_next_day: bool | None = None
    cash_next_day: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.special, pd.DataFrame):
            missing = [name for name in _COLUMNS if name not in self.special.columns]
            if missing:
                raise ConfigError(f"the table of special treatment has no column {', '.join(missing)}")

    @classmethod
    def from_config(cls, config: str | Mapping[str, Any] | ExchangeRules) -> ExchangeRules:
        """Return the rules that a setting means: ``cn``, or ``{market: cn, special: is_st, cash_next_day: true}``.

        Raises
        ------
        ConfigError
            For an unknown market or key.
        """
        if isinstance(config, ExchangeRules):
            return config
        given = {"market": config} if isinstance(config, str) else dict(config)
        known = ("market", "special", *_SWITCHES)
        unknown = [str(key) for key in given if key not in known]
        if unknown or "market" not in given:
            near = nearest(unknown[0], known) if unknown else "market"
            told = f"the unknown key `{unknown[0]}`" if unknown else "no market"
            raise ConfigError(f"rules: there is {told}", hint=f"did you mean `{near}`?" if near else ", ".join(known))
        return cls(table=RuleTable.for_market(str(given.pop("market"))), **given)

    @property
    def market(self) -> str:
        """``cn``, ``us`` or ``none``."""
        return self.table.market

    @property
    def has_duties(self) -> bool:
        """Whether they charge anything beside the commission."""
        return any(row.kind in ("sale_duty", "purchase_duty", "transfer_fee") for row in self.table.rows)

    def check_terms(self, given: Mapping[str, object]) -> None:
        """Find out whether terms that were given say what the rules say.

        Raises
        ------
        ConfigError
            When they do. A `close_cost` of Qlib's holds the stamp duty, which would be charged twice.
        """
        said = [name for name in _SAID if name in given and (name != "close_cost" or self.has_duties)]
        if said:
            raise ConfigError(
                f"`{said[0]}` is given, and the rules of `{self.market}` say it by themselves",
                hint="leave it out; `open_cost` is then the commission of purchases and of sales"
                if said[0] == "close_cost"
                else "leave it out, or leave `rules` out",
            )

    def check_names(self, names: Sequence[str], sessions: NDArray[np.datetime64]) -> None:
        """Find out whether there are rules for so many instruments and sessions; no price is needed.

        Raises
        ------
        ConfigError
            For codes without a board, and for sessions before the rules begin.
        """
        for board in dict.fromkeys(self._find_boards(names)):
            self._find_kinds(Costs(), board, sessions.astype("datetime64[D]"), [])

    def _find_boards(self, names: Sequence[str]) -> tuple[str, ...]:
        return find_boards(names) if self.market == "cn" else ("all",) * len(names)

    def make_base(self, costs: Costs | None) -> Costs:
        """Return the terms that the rules begin with: those given, or a commission alike on both sides."""
        if costs is not None:
            return costs
        plain = Costs()
        return replace(plain, close_cost=plain.open_cost) if self.has_duties else plain

    def make_terms(
        self,
        base: Costs,
        names: Sequence[str],
        sessions: NDArray[np.datetime64],
        *,
        close: Floats,
        last: Floats,
        factor: Floats | None,
        listed: NDArray[np.int64],
        special: NDArray[np.bool_] | None = None,
    ) -> DatedTerms:
        """Return the terms of each session and instrument.

        Parameters
        ----------
        base : Costs
            Commissions and the least cost; lots, limits and duties are those of the rules.
        names : sequence of str
            Codes.
        sessions : ndarray of datetime64 [sessions]
        close, last : ndarray of float64 [sessions, instruments]
            Adjusted closes, and the last one before each session; NaN where there is none.
        factor : ndarray of float64 [sessions, instruments] or None
            Adjusted over unadjusted price. With it a price is at its limit when its tick is that of the last price
            times one plus or minus the limit, rounded half up, as exchanges do; without it, or where it is missing,
            from 0.5 percentage points below the limit on.
        listed : ndarray of int [instruments]
            Row of the first session of each series, below zero where that is before the first row. Where it is not
            known whether a listing began with its series, give a row far below zero.
        special : ndarray of bool [sessions, instruments], optional
            In place of what `special` says; needed where that is a field.

        Raises
        ------
        ConfigError
            For codes without a board, and for sessions before the rules begin.
        """
        days = sessions.astype("datetime64[D]")
        boards = self._find_boards(names)
        kinds: list[Costs] = []
        kind = np.zeros((len(days), len(names)), dtype=np.int16)
        limits = np.full(kind.shape, np.nan)
        for board in dict.fromkeys(boards):
            columns = np.flatnonzero([one == board for one in boards])
            kind[:, columns] = self._find_kinds(base, board, days, kinds)[:, None]
            limits[:, columns] = self._find_limits(board, days, listed[columns])
        under = special if special is not None else self._find_special(names, days)
        if under is not None:
            for board in dict.fromkeys(boards):
                columns = np.flatnonzero([one == board for one in boards])
                narrow = self.table.values("special_limit", board, days)[:, None]
                takes = under[:, columns] & np.isfinite(narrow) & np.isfinite(limits[:, columns])
                limits[:, columns] = np.where(takes, narrow, limits[:, columns])
        upper, lower = self._judge(limits, close, last, factor)
        return DatedTerms(kinds=tuple(kinds), kind=kind if len(kinds) > 1 else None, upper=upper, lower=lower)

    def _find_kinds(
        self, base: Costs, board: str, days: NDArray[np.datetime64], kinds: list[Costs]
    ) -> NDArray[np.int16]:
        """Return which of `kinds` holds on each day, adding those that are new."""
        columns = [self.table.values(name, board, days) for name in (*_COST_KINDS, *_SWITCHES)]
        if self.has_duties and np.isnan(columns[0]).any():
            first = days[np.isnan(columns[0])][0]
            begins = min(row.since for row in self.table.rows if row.kind == "sale_duty")
            raise ConfigError(
                f"the duties of `{self.market}` are known from {begins} on, and {first} is before",
                hint="begin later, or leave `rules` out",
            )
        rows, place = np.unique(np.nan_to_num(np.stack(columns, axis=1)), axis=0, return_inverse=True)
        found = []
        for sale, purchase, fee, lot, least, shares, cash in rows.tolist():
            one = replace(
                base,
                trade_unit=int(lot) or None,
                min_unit=int(least) or None,
                limit_threshold=None,
                open_duty=purchase + fee,
                close_duty=sale + fee,
                shares_next_day=bool(shares) if self.shares_next_day is None else self.shares_next_day,
                cash_next_day=bool(cash) if self.cash_next_day is None else self.cash_next_day,
            )
            if one not in kinds:
                kinds.append(one)
            found.append(kinds.index(one))
        return np.array(found, dtype=np.int16)[place.ravel()]

    def _find_limits(self, board: str, days: NDArray[np.datetime64], listed: NDArray[np.int64]) -> Floats:
        """Return the greatest change of each day and column of `board`; NaN where there is no limit."""
        limit = np.repeat(self.table.values("price_limit", board, days)[:, None], len(listed), axis=1)
        # how many sessions are free is decided by the day of the listing
        free = np.nan_to_num(self.table.values("free_sessions", board, days))
        count = free[np.clip(listed, 0, len(days) - 1)]
        rows = np.arange(len(days))[:, None]
        limit[(rows >= listed) & (rows < listed + count)] = np.nan
        return limit

    def _find_special(self, names: Sequence[str], days: NDArray[np.datetime64]) -> NDArray[np.bool_] | None:
        if self.special is None:
            return None
        if isinstance(self.special, str):
            raise ConfigError(f"the field `{self.special}` of special treatment has not been read")
        under = np.zeros((len(days), len(names)), dtype=np.bool_)
        places = {name: place for place, name in enumerate(names)}
        starts = pd.to_datetime(self.special["start"]).to_numpy(dtype="datetime64[D]")
        ends = pd.to_datetime(self.special["end"]).to_numpy(dtype="datetime64[D]", copy=True)
        ends[np.isnat(ends)] = np.datetime64("9999-12-31")
        for name, start, end in zip(self.special["instrument"], starts, ends, strict=True):
            place = places.get(str(name))
            if place is not None:
                under[(days >= start) & (days <= end), place] = True
        return under

    def _judge(
        self, limits: Floats, close: Floats, last: Floats, factor: Floats | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where a close is at its upper and at its lower limit."""
        traded = np.isfinite(close) & (close > 0) & np.isfinite(last) & (last > 0) & np.isfinite(limits)
        upper = np.zeros(close.shape, dtype=np.bool_)
        lower = np.zeros(close.shape, dtype=np.bool_)
        exact = traded & (factor > 0) if factor is not None else np.zeros_like(traded)
        loose = traded & ~exact
        change = close[loose] / last[loose] - 1
        upper[loose] = change >= limits[loose] - _CHANGE_SLACK
        lower[loose] = change <= _CHANGE_SLACK - limits[loose]
        if factor is not None and exact.any():
            tick = min(row.value for row in self.table.rows if row.kind == "tick")
            price = _count_ticks(close[exact] / factor[exact], tick)
            reference = _count_ticks(last[exact] / factor[exact], tick)
            share = np.rint(limits[exact] * _PARTS).astype(np.int64)
            half = _PARTS // 2
            # rounded half up, and a tick away at least
            high = np.maximum((reference * (_PARTS + share) + half) // _PARTS, reference + 1)
            low = np.minimum((reference * (_PARTS - share) + half) // _PARTS, reference - 1)
            upper[exact], lower[exact] = price >= high, price <= low
        return upper, lower


def _count_ticks(price: Floats, tick: float) -> NDArray[np.int64]:
    return np.rint(price / tick).astype(np.int64)
