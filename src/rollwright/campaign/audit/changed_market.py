"""A part of a market in which something was changed: everything after a session, who is listed, or the price base.

A `MarketExcerpt` holds some sessions of some instruments of a source in memory. Sessions need not be neighbours: what
is computed from the past alone does not care which past it is, so a year between two segments can be left out. A
`ChangedMarket` is a source over it that shows the data with one `MarketChange`; each has a generation of its own, so
that nothing computed from one is taken for another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.core.canonical import sha256_hex
from rollwright.errors import UnknownInstrumentError
from rollwright.market.source import DataSource, Lifetimes, Vintages, check_rows
from rollwright.market.viewpoint import Viewpoint, by_period

__all__ = ["AS_IT_IS", "ChangeKind", "ChangedMarket", "MarketChange", "MarketExcerpt"]

ChangeKind: TypeAlias = Literal["none", "noise", "nan", "split", "nan or split", "members", "base", "start", "order"]
PRICES: Final = frozenset(("open", "high", "low", "close", "vwap", "adjclose", "preclose", "pre_close", "factor"))
"""Fields that a split divides, and that a new base multiplies."""
VOLUMES: Final = frozenset(("volume",))
"""Fields that go the other way."""
BASES: Final = (2.0**5, 2.0**-5)
"""What the base run multiplies prices with, one instrument after the other; exact in floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketChange:
    """What is changed, in which rows of the excerpt.

    Attributes
    ----------
    kind : str
        ``noise``, ``nan``, ``split``: the values of those rows. ``nan or split``: the one or the other, instrument by
        instrument. ``members``: from the row on another instrument is listed, one that was is not any more, those that
        would be listed later never are, and one leaves its universes. ``base``: prices of every other instrument
        throughout, by powers of two. ``start``: series begin with the row. ``order``: nothing of the market, but
        columns that were computed from it, or read elsewhere, are in another order.
    start, stop : int
        The first row and one past the last.
    """

    kind: ChangeKind
    start: int = 0
    stop: int = 0

    def describe(self, calendar: TradingCalendar) -> str:
        """Return what was changed, in words."""
        if self.kind == "none":
            return "nothing"
        if self.kind == "base":
            return "its whole history was adjusted to another base (prices by a power of two)"
        begin = f"{calendar[self.start]:%Y-%m-%d}"
        if self.kind == "start":
            return f"the history was made to begin on {begin}"
        if self.kind == "order":
            return f"labels, or columns that are not the market's, were put in another order from {begin} on"
        if self.kind == "members":
            return f"other instruments were listed and delisted from {begin} on"
        what = {"noise": "noise", "nan": "missing values", "split": "a 2-for-1 split", "nan or split": "other values"}
        until = "" if self.stop >= len(calendar) else f" until {calendar[self.stop - 1]:%Y-%m-%d}"
        return f"{what[self.kind]} from {begin} on{until}"


AS_IT_IS: Final = MarketChange(kind="none")


class MarketExcerpt:
    """Some sessions of some instruments of a source, loaded once.

    Parameters
    ----------
    source : DataSource
    rows : int array
        Calendar positions, increasing.
    instruments : sequence of str
    named : set of str
        Those of them that an expression names: all others read their prices.
    """

    def __init__(
        self,
        source: DataSource,
        rows: NDArray[np.int64],
        instruments: Sequence[str],
        named: AbstractSet[str] = frozenset(),
    ) -> None:
        self.source = source
        self.generation = source.generation
        self.rows = rows
        self.instruments = tuple(sorted(instruments))
        self.is_rescaled = np.array(
            [number % 2 == 0 or code in named for number, code in enumerate(self.instruments)], np.bool_
        )
        whole = source.calendar()
        self.calendar = whole.take(rows)
        self._fields: dict[str, NDArray[np.float32]] = {}
        self._noise: dict[str, NDArray[np.float32]] = {}
        self._series: dict[str, NDArray[np.int64] | None] = {}
        self._bounds = self._place(source.bounds(self.instruments))

    @cached_property
    def digest(self) -> str:
        """Identity of the choice of sessions and instruments."""
        return sha256_hex(self.rows.tobytes() + "\n".join(self.instruments).encode())[:16]

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Rows of the excerpt at which the series begin and end, as `DataSource.bounds`."""
        return self._bounds

    def field_bounds(self, field: str) -> NDArray[np.int64] | None:
        """Return the same for the series of a field, None where nobody has it; read once."""
        if field not in self._series:
            is_there = not self.source.missing_fields([field])
            found = self.source.field_bounds([field], self.instruments)[0] if is_there else None
            self._series[field] = None if found is None else self._place(found)
        return self._series[field]

    def field(self, name: str) -> NDArray[np.float32]:
        """Return ``[rows, instruments]`` of a field; read once."""
        if name not in self._fields:
            parts = [self.source.load([name], self.instruments, start, stop)[0] for start, stop in _runs(self.rows)]
            values = np.concatenate(parts) if parts else np.empty((0, len(self.instruments)), np.float32)
            values.flags.writeable = False
            self._fields[name] = values
        return self._fields[name]

    def noise(self, name: str) -> NDArray[np.float32]:
        """Return ``[rows, instruments]`` that stand in for a field; the same at every call."""
        if name not in self._noise:
            self._noise[name] = _make_noise(self.field(name), name)
        return self._noise[name]

    @property
    def rescaled(self) -> tuple[str, ...]:
        """The instruments whose prices a change of the base multiplies: every other one, and those that are named."""
        return tuple(code for code, is_it in zip(self.instruments, self.is_rescaled.tolist(), strict=True) if is_it)

    def row_of(self, position: int) -> int:
        """Return the first row at or after a calendar position."""
        return int(np.searchsorted(self.rows, position))

    def _place(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.searchsorted(self.rows, bounds).astype(np.int64)
        found[..., 1] = np.maximum(found[..., 0], found[..., 1])
        return found


class ChangedMarket(Viewpoint):
    """An excerpt as it looks after a change; implements `DataSource`, and `VintageSource` where its source does.

    Parameters
    ----------
    excerpt : MarketExcerpt
    change : MarketChange
    """

    def __init__(self, excerpt: MarketExcerpt, change: MarketChange) -> None:
        super().__init__(excerpt.source)
        self._excerpt = excerpt
        self._change = change
        self._new = _find_free_code(excerpt) if change.kind == "members" else None
        self._leaving, self._delisted = _choose_victims(excerpt, change.start) if self._new else (None, None)
        self._names = tuple(sorted((*excerpt.instruments, *([self._new] if self._new else ()))))
        self._rows = self._find_bounds()

    def __repr__(self) -> str:
        return f"ChangedMarket({self._change})"

    @property
    def generation(self) -> str:
        """Identity of the data: that of the source, the excerpt and the change."""
        change = self._change
        return f"audit:{change.kind}:{change.start}:{change.stop}:{self._excerpt.digest}:{self._excerpt.generation}"

    def calendar(self) -> TradingCalendar:
        """Return the sessions of the excerpt, all of them known."""
        return self._excerpt.calendar

    def instruments(self) -> tuple[str, ...]:
        """Return the instruments of the excerpt, sorted by code."""
        return self._names

    def members(self, universe: str) -> Lifetimes:
        """Return who belongs to `universe`, and when.

        Raises
        ------
        UnknownInstrumentError
            When the source has no such universe.
        """
        names = set(self._names)
        members = {code: spans for code, spans in self.source.members(universe).items() if code in names}
        if self._new is None:
            return members
        calendar, start = self._excerpt.calendar, self._change.start
        last = calendar[start - 1]
        for code in (self._leaving, self._delisted):
            if code in members:
                members[code] = tuple((begin, min(end, last)) for begin, end in members[code] if begin <= last)
        members[self._new] = ((calendar[start], calendar.last),)
        return {code: spans for code, spans in sorted(members.items()) if spans}

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the first row of each series and one past its last.

        Raises
        ------
        UnknownInstrumentError
            For an instrument that the excerpt does not have.
        """
        self._check(instruments)
        return np.array([self._rows[code] for code in instruments], np.int64).reshape(len(instruments), 2)

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: the same for the series of each field."""
        outer = self.bounds(instruments)
        place = {code: number for number, code in enumerate(self._excerpt.instruments)}
        columns = np.array([place.get(code, -1) for code in instruments], np.intp)
        made = np.empty((len(fields), len(instruments), 2), np.int64)
        for own, name in zip(made, fields, strict=True):
            series = self._excerpt.field_bounds(name)
            own[:] = 0 if series is None else np.where(columns[:, None] >= 0, series[columns], outer)
            own[:, 0] = np.clip(own[:, 0], outer[:, 0], outer[:, 1])
            own[:, 1] = np.clip(own[:, 1], own[:, 0], outer[:, 1])
        return made

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]`` after the change.

        Raises
        ------
        UnknownInstrumentError
            For an instrument that the excerpt does not have.
        DataError
            When the range is none of the calendar.
        """
        check_rows(start, stop, self._excerpt.calendar)
        bounds = self.field_bounds(fields, instruments)
        rows = np.arange(start, stop)[:, None]
        loaded = np.empty((len(fields), stop - start, len(instruments)), np.float32)
        place = {code: number for number, code in enumerate(self._excerpt.instruments)}
        columns = [place.get(code, 0) for code in instruments]
        is_new = np.array([code == self._new for code in instruments], np.bool_)
        for number, name in enumerate(fields):
            values = self._changed(name)[start:stop, columns]
            if is_new.any():
                values[:, is_new] = self._excerpt.noise(name)[start:stop, columns][:, is_new]
            first, last = bounds[number].T
            loaded[number] = np.where((rows >= first) & (rows < last), values, np.float32(np.nan))
        return loaded

    def unchanged_before(self, generation: str) -> int:
        """Return all sessions for its own generation, 0 for any other."""
        return len(self._excerpt.calendar) if generation == self.generation else 0

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of what is known of `fields` after the change.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        """
        own = super().vintage_generation(fields)
        return f"audit:{self._change.kind}:{self._change.start}:{self._change.stop}:{self._excerpt.digest}:{own}"

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return the values of `field` that became known, those of the changed sessions changed.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        UnknownFieldError, UnknownInstrumentError
            As the source.
        """
        source = by_period(self.source, field)
        self._check(instruments)
        known = [code for code in instruments if code != self._new]
        found = source.vintages(field, known)
        counts = dict(zip(known, np.diff(found.offsets).tolist(), strict=True))
        offsets = np.concatenate([[0], np.cumsum([counts.get(code, 0) for code in instruments])]).astype(np.int64)
        factors = [_make_factors(field, code, counts[code]) for code in known]
        return found._replace(offsets=offsets, value=self._changed_vintages(found, np.concatenate([[], *factors])))

    def _changed_vintages(self, found: Vintages, factors: NDArray[np.float64]) -> NDArray[np.float64]:
        change, labels = self._change, self._excerpt.calendar.values
        if change.kind not in ("noise", "nan", "nan or split") or change.start == 0:
            return found.value
        later = found.known_at > labels[change.start - 1].astype("datetime64[s]")
        if change.stop < len(labels):
            later &= found.known_at <= labels[change.stop - 1].astype("datetime64[s]")
        if change.kind == "noise":
            return np.where(later, found.value * factors, found.value)
        return np.where(later, np.nan, found.value)

    def _changed(self, name: str) -> NDArray[np.float32]:
        """Return a field of the excerpt with its values changed; who is listed is left to the bounds."""
        values, change = self._excerpt.field(name), self._change
        part = slice(change.start, change.stop)
        if change.kind in ("none", "start", "members"):
            return values
        made = values.copy()
        if change.kind == "base":
            these = self._excerpt.is_rescaled
            made[:, these] *= _direction(name, np.resize(BASES, int(these.sum())))
        elif change.kind == "noise":
            made[part] = self._excerpt.noise(name)[part]
        elif change.kind == "nan":
            made[part] = np.nan
        elif change.kind == "split":
            made[part] *= _direction(name, np.array(0.5))
        else:
            made[part, ::2] = np.nan
            made[part, 1::2] *= _direction(name, np.array(0.5))
        return made

    def _find_bounds(self) -> dict[str, tuple[int, int]]:
        change, length = self._change, len(self._excerpt.calendar)
        found = dict(zip(self._excerpt.instruments, map(tuple, self._excerpt.bounds.tolist()), strict=True))
        if change.kind == "start":
            return {code: (max(first, change.start), max(stop, change.start)) for code, (first, stop) in found.items()}
        if self._new is not None:  # who would be listed later never is
            found = {code: (first, first if first >= change.start else stop) for code, (first, stop) in found.items()}
            found[self._new] = (change.start, length)
        if self._delisted is not None:
            first, stop = found[self._delisted]
            found[self._delisted] = (first, min(stop, change.start))
        return found

    def _check(self, instruments: Sequence[str]) -> None:
        unknown = next((code for code in instruments if code not in self._rows), None)
        if unknown is not None:
            raise UnknownInstrumentError(f"the excerpt of the audit has no instrument `{unknown}`")


def _direction(name: str, factor: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what multiplies a field when prices are multiplied by `factor`."""
    if name.lower() in PRICES:
        return factor.astype(np.float32)
    return (1 / factor if name.lower() in VOLUMES else np.ones_like(factor)).astype(np.float32)


def _make_noise(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return numbers of the size of each instrument's values that have nothing to do with them."""
    rng = np.random.default_rng(int(sha256_hex(name.encode())[:8], 16))
    finite = np.where(np.isfinite(values), np.abs(values), np.nan).astype(np.float64)
    counted = np.isfinite(finite).sum(axis=0)
    sizes = np.where(counted > 0, np.nansum(finite, axis=0) / np.maximum(counted, 1), 1.0)
    noise = np.where(sizes > 0, sizes, 1.0) * rng.lognormal(0.0, 0.6, values.shape)
    if (values < 0).any():
        noise *= rng.choice([-1.0, 1.0], values.shape)
    return noise.astype(np.float32)


def _make_factors(field: str, code: str, count: int) -> NDArray[np.float64]:
    """Return by what the values of an instrument's field by period are multiplied, whoever else is asked for."""
    rng = np.random.default_rng(int(sha256_hex(f"{field}\n{code}".encode())[:8], 16))
    return rng.uniform(1.5, 3.0, count)


def _find_free_code(excerpt: MarketExcerpt) -> str:
    known = set(excerpt.source.instruments())
    return next(code for code in (f"{excerpt.instruments[-1]}N{n}" for n in range(len(known) + 1)) if code not in known)


def _choose_victims(excerpt: MarketExcerpt, start: int) -> tuple[str | None, str | None]:
    """Return who leaves its universes, and who is delisted, of those that are listed before `start` and after it."""
    listed = [
        code
        for code, (first, stop) in zip(excerpt.instruments, excerpt.bounds.tolist(), strict=True)
        if first < start < stop
    ]
    return (listed[0] if len(listed) > 1 else None), (listed[-1] if listed else None)


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the runs of neighbouring positions, half open."""
    if not len(rows):
        return
    edges = np.flatnonzero(np.diff(rows) != 1) + 1
    for part in np.split(rows, edges):
        yield int(part[0]), int(part[-1]) + 1
