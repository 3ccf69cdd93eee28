"""Laying new rows over what a data folder holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import DataError
from rollwright.market.folder.layout import calendar_path, calendar_stems, folder_of_code, refuse_case_twins
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.folder.universe import extend_lifetimes
from rollwright.market.ingest.readers import Rows
from rollwright.market.price_jumps import is_jump
from rollwright.market.source import Lifetimes

__all__ = ["Before", "Merge", "Series", "merge_rows", "open_before"]

Series: TypeAlias = dict[str, tuple[int, NDArray[np.float32]]]
"""The fields of one instrument: the calendar position of row 0, and the rows."""

_SHOWN: Final = 5
_SHARED: Final = 2  # so many sessions tell a factor from a correction
_OTHER: Final = 5e-4  # prices are given to the cent, so one factor is never exactly one


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The folder as an import finds it.

    Attributes
    ----------
    folder : QlibProvider or None
        Any frequency of it; None when there is no data yet.
    series : QlibProvider or None
        The frequency of the import; None when the folder lacks it.
    """

    folder: QlibProvider | None
    series: QlibProvider | None

    def members(self, universe: str) -> Lifetimes:
        """Return who belongs to `universe` so far; nobody to one that is new."""
        if self.folder is None or universe not in self.folder.universes():
            return {}
        return self.folder.members(universe)

    def spelling(self) -> dict[str, str]:
        """Return the codes the folder knows, by the names of their folders."""
        if self.folder is None:
            return {}
        return self.folder.spelling()


def open_before(target: Path, freq: str) -> Before:
    """Open what lies in `target`.

    Raises
    ------
    DataError
        When it is something else than market data.
    CorruptFileError
        When it is damaged.
    """
    if not target.is_dir() or all(path.name.startswith(".") for path in target.iterdir()):
        return Before(folder=None, series=None)
    if calendar_path(target, freq) is not None:
        series = QlibProvider(target, freq=freq)
        return Before(folder=series, series=series)
    others = calendar_stems(target)
    if not others:
        raise DataError(
            f"{target} holds files that are no market data", hint="give an empty or a new folder with --out"
        )
    return Before(folder=QlibProvider(target, freq=others[0]), series=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescaled:
    """An instrument whose prices in the source are those of the folder times a number.

    Attributes
    ----------
    code : str
    ratio : float
        The source's close divided by the folder's.
    sessions : int
        On how many sessions both have one.
    example : str
    """

    code: str
    ratio: float
    sessions: int
    example: str


@dataclass(slots=True, kw_only=True)
class Merge:
    """What the folder is to hold of this frequency.

    Attributes
    ----------
    calendar : ndarray of datetime64[s]
    series : dict
        Of each instrument to write: folder, then field, then first position and values.
    spans : dict
        First and last session of each instrument in the source.
    members : callable
        Who belongs to a universe so far, and when; nobody to one that is new.
    added : tuple of str
        Codes without a series of this frequency so far.
    changed : int
        Values that are there and differ from the source.
    examples : list of str
        The first few of them.
    first_changed : str or None
        First session where anything differs from before.
    fields : frozenset of str
        Of the folder, after the import.
    replaced : int
        Instruments that were there and are written anew as a whole.
    rescaled : list of Rescaled
        Instruments whose earlier rows would stay as they were adjusted before.
    notes : list of str
        Places where the source's prices do not go on from those that are there.
    """

    calendar: NDArray[np.datetime64]
    added_sessions: int
    series: dict[str, Series]
    spans: dict[str, tuple[pd.Timestamp, pd.Timestamp]]
    members: Callable[[str], Lifetimes]
    added: tuple[str, ...]
    changed: int
    examples: list[str]
    first_changed: str | None
    fields: frozenset[str]
    replaced: int = 0
    rescaled: list[Rescaled] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def new_members(self, universe: str) -> bool:
        """Say whether `universe` would grow."""
        known = self.members(universe)
        return dict(extend_lifetimes(known, self.spans)) != dict(known)


def merge_rows(rows: Rows, before: Before, *, replace: bool = False) -> Merge:
    """Lay `rows` over what the folder holds, or put them in place of what it holds of their instruments.

    Nothing is written.

    Raises
    ------
    DataError
        When a code of the source and one of the folder differ only in case.
    CorruptFileError
        When a series that has to be read is damaged.
    """
    provider = before.series
    old = provider.calendar().known_part().values if provider is not None else np.empty(0, "datetime64[s]")
    calendar = np.union1d(old, rows.sessions).astype("datetime64[s]")
    known = {} if provider is None else {folder_of_code(code): code for code in provider.instruments()}
    spelling = before.spelling() | known
    given = {folder_of_code(code): code for code in rows.codes}
    refuse_case_twins(
        [*spelling.values(), *(code for code in rows.codes if spelling.get(folder_of_code(code)) != code)],
        where="the source together with the folder",
    )
    moved = bool(len(old)) and not np.array_equal(calendar[: len(old)], old)
    positions = np.searchsorted(calendar, rows.sessions)
    merge = Merge(
        calendar=calendar,
        added_sessions=len(calendar) - len(old),
        series={},
        spans={},
        members=before.members,
        added=tuple(code for folder, code in given.items() if folder not in known),
        changed=0,
        examples=[],
        first_changed=None,
        fields=frozenset(rows.values) | frozenset(provider.fields() if provider is not None else ()),
    )
    first_changed = len(calendar)
    if moved:
        first_changed = int(np.flatnonzero(~np.isin(calendar, old))[0])
    stamps = pd.DatetimeIndex(rows.sessions)
    for place, code in enumerate(rows.codes):
        part = slice(int(rows.offsets[place]), int(rows.offsets[place + 1]))
        merge.spans[known.get(folder_of_code(code), code)] = (stamps[part.start], stamps[part.stop - 1])
        new = {name: column[part] for name, column in rows.values.items()}
        series = _old_series(provider, known.get(folder_of_code(code)), calendar, old)
        if not replace:
            _compare_close(merge, code, series, positions[part], new)
        first = _merge_series(merge, code, {} if replace else series, positions[part], new, moved=moved)
        if replace and series:
            first = _note_replaced(merge, folder_of_code(code), series, first, moved=moved)
        first_changed = min(first_changed, first)
    if moved and provider is not None:
        for folder in known.keys() - given.keys():
            merge.series[folder] = _old_series(provider, known[folder], calendar, old)
    if first_changed < len(calendar) or provider is None:
        first_changed = first_changed if provider is not None else 0
        merge.first_changed = str(pd.Timestamp(calendar[first_changed])).removesuffix(" 00:00:00")
    return merge


def _old_series(
    provider: QlibProvider | None, code: str | None, calendar: NDArray[np.datetime64], old: NDArray[np.datetime64]
) -> Series:
    """Return what an instrument has, on the new calendar; sessions that came between are NaN."""
    if provider is None or code is None:
        return {}
    fields = provider.fields_of(code)
    start, stop = (int(edge) for edge in provider.bounds([code])[0])
    block = provider.load(fields, [code], start, stop)
    places = np.searchsorted(calendar, old[start:stop])
    series = {}
    for name, column in zip(fields, block[:, :, 0], strict=True):
        values = np.full(int(places[-1] - places[0]) + 1 if len(places) else 0, np.nan, np.float32)
        if len(places):
            values[places - places[0]] = column
        series[name] = (int(places[0]) if len(places) else 0, values)
    return series


def _merge_series(
    merge: Merge,
    code: str,
    series: Series,
    positions: NDArray[np.intp],
    new: Mapping[str, NDArray[np.float32]],
    *,
    moved: bool,
) -> int:
    """Lay the new rows over an instrument's series; return the first position where anything differs from before."""
    folder = folder_of_code(code)
    low, high = int(positions[0]), int(positions[-1]) + 1
    nothing = (low, np.empty(0, np.float32))
    reach = [(low, high), *((start, start + len(values)) for start, values in series.values() if len(values))]
    start, stop = min(edge for edge, _ in reach), max(edge for _, edge in reach)
    first = len(merge.calendar)
    touched = moved
    result: Series = {}
    for name in sorted({*series, *new}):
        at, values = series.get(name, nothing)
        whole = np.full(stop - start, np.nan, np.float32)
        whole[at - start : at - start + len(values)] = values
        was = whole.copy()
        if name in new:
            whole[positions - start] = new[name]
        differs = ~((was == whole) | (np.isnan(was) & np.isnan(whole)))
        grew = len(values) != stop - start or name not in series
        if bool(differs.any()) or grew:
            touched = True
            fresh = np.ones(len(whole), bool)
            fresh[at - start : at - start + len(values)] = False
            _count_changes(merge, code, name, differs & ~fresh & ~np.isnan(was), was, whole, start)
            hits = np.flatnonzero(differs | fresh)
            first = min(first, start + int(hits[0])) if len(hits) else first
        result[name] = (start, whole)
    if touched:
        merge.series[folder] = result
    return first


def _note_replaced(merge: Merge, folder: str, series: Series, first: int, *, moved: bool) -> int:
    """Count an instrument that was written anew; return the first position where it may differ from before."""
    now = merge.series.get(folder, {})
    same = now.keys() == series.keys() and all(
        at == now[name][0] and np.array_equal(values, now[name][1], equal_nan=True)
        for name, (at, values) in series.items()
    )
    if same and not moved:
        del merge.series[folder]
        return len(merge.calendar)
    merge.replaced += not same
    return min(first, *(at for at, _ in series.values()))


def _compare_close(
    merge: Merge, code: str, series: Series, positions: NDArray[np.intp], new: Mapping[str, NDArray[np.float32]]
) -> None:
    """Note prices that were adjusted anew: they are the old ones times a number, or do not go on from them."""
    start, old = series.get("close", (0, np.empty(0, np.float32)))
    if "close" not in new or not len(old):
        return
    close = new["close"].astype(np.float64)
    inside = (positions >= start) & (positions < start + len(old))
    was = np.full(len(close), np.nan)
    was[inside] = old[positions[inside] - start]
    both = np.flatnonzero((was > 0) & (close > 0))
    earlier = np.flatnonzero(old[: max(0, int(positions[0]) - start)] > 0)
    if not len(earlier):
        return  # the source has every row there is
    if len(both) >= _SHARED:
        ratios = close[both] / was[both]
        middle = float(np.median(ratios))
        if abs(middle - 1) > _OTHER and bool((np.abs(ratios / middle - 1) < _OTHER).all()):
            day = str(pd.Timestamp(merge.calendar[positions[both[0]]])).removesuffix(" 00:00:00")
            example = f"{day}: {was[both[0]]:g} there, {close[both[0]]:g} here"
            merge.rescaled.append(Rescaled(code=code, ratio=middle, sessions=len(both), example=example))
    elif not len(both) and close[0] > 0 and int(positions[0]) > start + int(earlier[-1]):
        last = float(old[earlier[-1]])
        if is_jump(np.log(close[0] / last)):
            merge.notes.append(
                f"close of {code} goes from {last:g} to {close[0]:g} where the source begins; if its prices were "
                "adjusted anew, import the whole history with --replace"
            )


def _count_changes(
    merge: Merge,
    code: str,
    name: str,
    changed: NDArray[np.bool_],
    was: NDArray[np.float32],
    now: NDArray[np.float32],
    start: int,
) -> None:
    places = np.flatnonzero(changed)
    merge.changed += len(places)
    for at in places[: max(0, _SHOWN - len(merge.examples))]:
        day = str(pd.Timestamp(merge.calendar[start + at])).removesuffix(" 00:00:00")
        merge.examples.append(f"{code} {day} {name} {was[at]:g} becomes {now[at]:g}")
