"""Laying new values by period over those that a data folder holds: in any order, each once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollwright.market.folder.periods.period_folder import PeriodFolder
from rollwright.market.ingest.periods.period_rows import PeriodRows

__all__ = ["PeriodMerge", "Series", "merge_periods"]

_SHOWN: Final = 5


class Series(NamedTuple):
    """All records of one field of one instrument, in the order in which they are written.

    Attributes
    ----------
    day : ndarray of datetime64[D]
    period : ndarray of int64
    value : ndarray of float64
    """

    day: NDArray[np.datetime64]
    period: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class PeriodMerge:
    """What the folder is to hold of the fields and instruments of a source.

    Attributes
    ----------
    series : dict
        Records to write, by folder and field; those that stay as they are have none.
    added : int
        Values that the folder did not hold.
    repeated : int
        Values of the source that were there already.
    restated, corrected, withdrawn : int
        Of the added ones: those of a period that was known before, those that replace a value of the same day, and
        those that are NaN.
    removed : int
        Values that are gone, since the source is all there is.
    examples : list of str
        The first values that replace one of the same day.
    first_changed : str or None
        First day from which anything is known otherwise than before.
    """

    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    added: int = 0
    repeated: int = 0
    restated: int = 0
    corrected: int = 0
    withdrawn: int = 0
    removed: int = 0
    examples: list[str] = field(default_factory=list)
    first_changed: str | None = None


class _Table(NamedTuple):
    """Records of many series; `series` numbers them."""

    series: NDArray[np.int64]
    day: NDArray[np.datetime64]
    period: NDArray[np.int64]
    value: NDArray[np.float64]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> _Table:
        return _Table(self.series[rows], self.day[rows], self.period[rows], self.value[rows])

    def sorted(self) -> tuple[_Table, NDArray[np.intp]]:
        """Return the records by series, day and period, those equal in all in their order; and where each stood."""
        order = np.lexsort((self.period, self.day, self.series))
        return self.take(order), order


def _concatenate(parts: Sequence[_Table]) -> _Table:
    return _Table(
        series=np.concatenate([part.series for part in parts]),
        day=np.concatenate([part.day for part in parts]),
        period=np.concatenate([part.period for part in parts]),
        value=np.concatenate([part.value for part in parts]),
    )


def merge_periods(rows: PeriodRows, folders: Sequence[str], known: PeriodFolder, *, replace: bool) -> PeriodMerge:
    """Lay `rows` over what the folder holds, or put them in place of what it holds of their fields and instruments.

    Nothing is written. A value that the folder holds for the same day and period changes nothing; another value for
    them comes after it, and counts from then on. Of one day and period of the source, the later row counts.

    Parameters
    ----------
    rows : PeriodRows
    folders : sequence of str
        Of each of its codes, the name of the instrument's folder.
    known : PeriodFolder
    replace : bool

    Raises
    ------
    CorruptFileError
        When a file that has to be read is damaged.
    """
    numbers, place = np.unique(rows.field * len(rows.codes) + rows.code, return_inverse=True)
    names = [(folders[number % len(rows.codes)], rows.fields[number // len(rows.codes)]) for number in numbers.tolist()]
    new = _Table(place.astype(np.int64), rows.day, rows.period, rows.value)
    old = _read_old(names, known)
    before = old.take(slice(0, 0)) if replace else old
    whole, order = _concatenate([before, new]).sorted()
    is_new = order >= len(before.day)
    kept = _keep(whole, is_new)
    whole, is_new = whole.take(kept), is_new[kept]
    gone = old.take(slice(0, 0))
    touched = np.zeros(len(names), np.bool_)
    touched[whole.series[is_new]] = True
    if replace:
        touched = _find_other(whole, old, len(names))
        is_new, gone = _differs(whole, old), old.take(_differs(old, whole))
    merge = _count(whole, is_new, names)
    merge.repeated, merge.removed = len(rows) - merge.added, len(gone.day)
    changed = np.concatenate([whole.day[is_new], gone.day])
    merge.first_changed = str(changed.min()) if len(changed) else None
    edges = np.searchsorted(whole.series, np.arange(len(names) + 1))
    for number in np.flatnonzero(touched).tolist():
        part = whole.take(slice(int(edges[number]), int(edges[number + 1])))
        merge.series[names[number]] = Series(part.day, part.period, part.value)
    return merge


def _read_old(names: Sequence[tuple[str, str]], known: PeriodFolder) -> _Table:
    """Return what the folder holds of the series, in the order of `names`."""
    parts = [_Table(np.empty(0, np.int64), np.empty(0, "datetime64[D]"), np.empty(0, np.int64), np.empty(0))]
    for field_name, places in _by_field(names):
        if field_name not in known.files:
            continue
        found = known.read(field_name, [names[place][0] for place in places])
        owner = np.repeat(np.array(places, np.int64), np.diff(found.offsets))
        parts.append(_Table(owner, found.day, found.period, found.value))
    return _concatenate(parts)


def _by_field(names: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[int]]]:
    places: dict[str, list[int]] = {}
    for place, (_, field_name) in enumerate(names):
        places.setdefault(field_name, []).append(place)
    yield from places.items()


def _to_bits(value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers that are equal where values are, NaN with NaN."""
    plain = np.where(np.isnan(value), np.nan, value + 0.0)  # -0.0 + 0.0 is 0.0
    return plain.view(np.int64)


def _starts(table: _Table) -> NDArray[np.bool_]:
    """Say of each record whether it is the first of its series, day and period."""
    first = np.ones(len(table.day), np.bool_)
    same = [np.diff(column.astype(np.int64)) == 0 for column in (table.series, table.day, table.period)]
    first[1:] = ~np.logical_and.reduce(same)
    return first


def _keep(table: _Table, is_new: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which records of a sorted table are to be kept: all old ones, and new ones that say something new."""
    first, bits = _starts(table), _to_bits(table.value)
    kept = ~is_new | first
    group = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    other = bits != bits[starts][group] if len(starts) else np.zeros(0, np.bool_)
    ends = np.append(starts[1:], len(first))
    for number in np.unique(group[other]).tolist():  # several values of one day and period
        rows = slice(int(starts[number]), int(ends[number]))
        kept[rows] = _keep_in_chain(bits[rows].tolist(), is_new[rows].tolist())
    return kept


def _keep_in_chain(bits: list[int], is_new: list[bool]) -> list[bool]:
    """Say which values of one day and period are kept.

    New ones that follow one another in the old ones as they do here are there already; from the first that does not on,
    they come after the old ones. Of one value several times in a row, one is taken.
    """
    old = [value for value, new in zip(bits, is_new, strict=True) if not new]
    kept, found, before = [True] * len(old), 0, None
    for value in bits[len(old) :]:
        if value != before and value in old[found:]:
            found = old.index(value, found) + 1
            kept.append(False)
        elif value == before:
            kept.append(False)
        else:
            found = len(old)
            kept.append(True)
        before = value
    return kept


def _find_other(table: _Table, old: _Table, count: int) -> NDArray[np.bool_]:
    """Say of each series whether its records, in their order, are others than they were."""
    old, _ = old.sorted()
    sizes = [np.bincount(one.series, minlength=count) for one in (table, old)]
    other: NDArray[np.bool_] = sizes[0] != sizes[1]
    one, two = (part.take(~other[part.series]) for part in (table, old))
    moved = (one.day != two.day) | (one.period != two.period) | (_to_bits(one.value) != _to_bits(two.value))
    other[one.series[moved]] = True
    return other


def _differs(table: _Table, other: _Table) -> NDArray[np.bool_]:
    """Say which records of `table` are not in `other`."""
    kinds = np.dtype([(name, np.int64) for name in ("series", "day", "period", "value")])

    def keys(one: _Table) -> NDArray[np.void]:
        made = np.empty(len(one.day), kinds)
        made["series"], made["day"], made["period"] = one.series, one.day.astype(np.int64), one.period
        made["value"] = _to_bits(one.value)
        return made

    return ~np.isin(keys(table), keys(other))


def _count(table: _Table, is_new: NDArray[np.bool_], names: Sequence[tuple[str, str]]) -> PeriodMerge:
    """Return the counts of what the new records of a sorted table say."""
    merge = PeriodMerge(added=int(is_new.sum()), withdrawn=int((is_new & np.isnan(table.value)).sum()))
    order = np.lexsort((table.day, table.period, table.series))
    after = np.zeros(len(order), np.bool_)
    after[1:] = (np.diff(table.series[order]) == 0) & (np.diff(table.period[order]) == 0)
    same_day = after.copy()
    same_day[1:] &= np.diff(table.day[order].astype(np.int64)) == 0
    merge.corrected = int((same_day & is_new[order]).sum())
    merge.restated = int((after & ~same_day & is_new[order]).sum())
    for at in np.flatnonzero(same_day & is_new[order])[:_SHOWN].tolist():
        row, before = order[at], order[at - 1]
        folder, field_name = names[int(table.series[row])]
        merge.examples.append(
            f"{field_name} of {folder} for {table.period[row]} on {table.day[row]}: {table.value[before]:g}, then "
            f"{table.value[row]:g}"
        )
    return merge
