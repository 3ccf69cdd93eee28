"""Columns of sessions that show what was reported before it was announced.

A daily column that was made from reports shows their values, as they are or in another unit. Once a report is out it
shows that report's value, which tells which field it was made from and in what unit. From there on it is counted how
many of the reported values the column had before the day on which they became known: that of the period's end taken for
the announcement, the last version taken for the first, a database's dates of entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.periods import Interval, to_period_ends
from rollwright.market.source import Vintages

__all__ = ["EarlyValue", "FieldUse", "measure_use"]

_ALIKE: Final = 2e-6
"""By what share two values may differ that are one: float32 rounds by 6e-8 at each step."""
_DIGITS: Final = 5
"""Significant digits by which ratios of column and field are told apart."""
_AFTER: Final = (0, 1, 3, 21, 42)
"""Sessions after it became known on which a column is asked for a value: it may show it late, or by a fixed delay."""
_LEAST: Final = 3
_MOST_SESSIONS: Final = 270
"""Before its announcement a value is looked for in so many sessions: a year, so that a restatement is one too."""
_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyValue:
    """One value that a column had before it was known.

    Attributes
    ----------
    instrument : int
        Column of the instrument.
    session : int
        Position of the first session on which it stands.
    period : int
    value : float
        As it was reported.
    known_at : datetime64[s]
        When it became known.
    """

    instrument: int
    session: int
    period: int
    value: float
    known_at: np.datetime64


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldUse:
    """How a column of sessions uses a field by period.

    Attributes
    ----------
    unit : float
        What the values of the field are multiplied by in the column.
    checked : int
        Reported values that nobody could have read off earlier reports, with sessions of the column before.
    early : tuple of EarlyValue
        Those of them that the column had before they were known.
    by_chance : int
        How many of the values of another instrument it had: what equal numbers alone explain.
    """

    unit: float
    checked: int
    early: tuple[EarlyValue, ...]
    by_chance: int

    @property
    def is_early(self) -> bool:
        """Whether more of them are early than chance explains."""
        return len(self.early) > 3 * self.by_chance + 1


def measure_use(
    column: NDArray[np.floating], sessions: NDArray[np.datetime64], vintages: Vintages, interval: Interval
) -> FieldUse | None:
    """Return how `column` uses a field by period; None when it shows no values of it.

    1. Tell the unit: the ratio that the column has to the reported value once it is known, in most reports.
    2. Leave out values that were known already, of another period or version.
    3. Look for each on the sessions before it became known, back to the end of the period before its own, and no more
       than a year.
    4. Do the same with the values of the next instrument, to tell chance.

    Parameters
    ----------
    column : float ``[sessions, instruments]``
    sessions : datetime64[s] ``[sessions]``
        Labels, ascending.
    vintages : Vintages
        Of the instruments of the columns, in their order.
    interval : Interval
        Of the field.
    """
    values = np.asarray(column, np.float64)
    reports = _Reports.of(vintages, sessions, interval)
    unit = _find_unit(values, reports)
    if unit is None:
        return None
    new = reports.take(reports.are_new() & (reports.stop > reports.start))
    seen = _find_first(values, new, unit, new.owner)
    other = (new.owner + 1) % values.shape[1]
    chance = _find_first(values, new, unit, other) if values.shape[1] > 1 else np.full(len(new.owner), -1)
    checked = [bool(np.isfinite(values[low:high, at]).any()) for low, high, at in zip(*new.spans, strict=True)]
    rows = np.flatnonzero(seen >= 0)
    return FieldUse(
        unit=unit,
        checked=sum(checked),
        early=tuple(
            EarlyValue(
                instrument=int(new.owner[row]),
                session=int(seen[row]),
                period=int(new.period[row]),
                value=float(new.value[row]),
                known_at=new.known_at[row],
            )
            for row in rows.tolist()
        ),
        by_chance=int((chance >= 0).sum()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reports:
    """Reported values that are numbers, each with the sessions ``[start, stop)`` on which it was not known yet."""

    owner: NDArray[np.int64]
    period: NDArray[np.int64]
    known_at: NDArray[np.datetime64]
    value: NDArray[np.float64]
    start: NDArray[np.int64]
    ended: NDArray[np.int64]
    stop: NDArray[np.int64]

    @classmethod
    def of(cls, found: Vintages, sessions: NDArray[np.datetime64], interval: Interval) -> _Reports:
        owner = np.repeat(np.arange(len(found.offsets) - 1), np.diff(found.offsets))
        kept = np.isfinite(found.value) & (found.value != 0)
        known_at, period = found.known_at[kept], found.period[kept].astype(np.int64)
        stop = np.searchsorted(sessions, known_at, "left")
        ends = to_period_ends(period, interval)
        length = {"q": 92, "a": 366, "m": 31, "d": 0}[interval]
        begin = np.searchsorted(sessions, (ends - np.timedelta64(length, "D")).astype("datetime64[s]"), "right")
        return cls(
            owner=owner[kept],
            period=period,
            known_at=known_at,
            value=found.value[kept],
            start=np.maximum(begin, stop - _MOST_SESSIONS).clip(0),
            ended=np.searchsorted(sessions, (ends + np.timedelta64(1, "D")).astype("datetime64[s]"), "left"),
            stop=stop,
        )

    @property
    def spans(self) -> tuple[list[int], list[int], list[int]]:
        return self.start.tolist(), self.stop.tolist(), self.owner.tolist()

    def take(self, which: NDArray[np.bool_]) -> _Reports:
        return _Reports(**{name: getattr(self, name)[which] for name in self.__slots__})

    def are_new(self) -> NDArray[np.bool_]:
        """Tell which values no earlier report of the instrument had, of whatever period."""
        order = np.lexsort((self.value, self.owner))
        value, owner = self.value[order], self.owner[order]
        starts = np.ones(len(order), np.bool_)
        starts[1:] = (np.diff(owner) != 0) | (np.diff(value) > _ALIKE * np.abs(value[1:]))
        group = np.empty(len(order), np.int64)
        group[order] = np.cumsum(starts)
        by_time = np.lexsort((self.known_at.astype(np.int64), group))
        new = np.ones(len(order), np.bool_)
        new[by_time[1:]] = np.diff(group[by_time]) != 0
        return new


def _find_unit(values: NDArray[np.float64], reports: _Reports) -> float | None:
    """Return the ratio of column and field that most reports have, once they are out or their period has ended.

    It is one of a fifth of the reported values at least, those of instruments and times of which the column has nothing
    left out: a table may tell of some instruments only.
    """
    ratios: list[NDArray[np.float64]] = []
    shown: list[NDArray[np.float64]] = []
    for probe in (reports.ended, *(reports.stop + after for after in _AFTER)):
        inside = probe < len(values)
        found = values[probe[inside], reports.owner[inside]] / reports.value[inside]
        usable = np.isfinite(found) & (found != 0)
        ratios.append(found[usable])
        shown.append(reports.value[inside][usable])
    ratio, value = np.concatenate(ratios), np.concatenate(shown)
    if not len(ratio):
        return None
    bins, place = np.unique([float(f"{one:.{_DIGITS - 1}e}") for one in ratio.tolist()], return_inverse=True)
    counts = np.bincount(place, minlength=len(bins))
    best = place == int(counts.argmax())
    distinct = len(np.unique(value[best]))
    if distinct < _LEAST or distinct * 5 < len(np.unique(value)):
        return None
    return float(np.median(ratio[best]))


def _find_first(
    values: NDArray[np.float64], reports: _Reports, unit: float, columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the first session on which each value stands in its column before it was known; -1 where none does."""
    first = np.full(len(reports.owner), -1, np.int64)
    for low in range(0, len(first), _ROWS):
        rows = slice(low, low + _ROWS)
        for offset, here in _walk(reports.start[rows], reports.stop[rows]):
            wanted = reports.value[rows][here] * unit
            found = values[reports.start[rows][here] + offset, columns[rows][here]]
            hit = (np.abs(found - wanted) <= _ALIKE * np.abs(wanted)) & (first[rows][here] < 0)
            place = here[hit] + low
            first[place] = reports.start[place] + offset
    return first


def _walk(start: NDArray[np.int64], stop: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each number of sessions after `start`, with the rows that have not reached their `stop` by then."""
    length = stop - start
    for offset in range(int(length.max(initial=0))):
        yield offset, np.flatnonzero(length > offset)
