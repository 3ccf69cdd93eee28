"""Import: rows become a market data folder, or extend and revise one, all or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.files import format_sessions
from rollwright.data.bins import content_digest, encode_bin
from rollwright.data.intake import Rows, read_rows
from rollwright.data.layout import (
    BASE_FIELDS,
    CALENDARS,
    FEATURES,
    INSTRUMENTS,
    bin_path,
    check_universe,
    folder_of_code,
    normal_freq,
    refuse_case_twins,
)
from rollwright.data.manifest import (
    FILES_NAME,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    first_manifest,
    format_files,
    text_entries,
)
from rollwright.data.provider import QlibProvider
from rollwright.data.publication import replaced_folder, write_file
from rollwright.data.universe import extended, format_lifetimes
from rollwright.errors import DataError
from rollwright.expression.source import Lifetimes

__all__ = ["ImportReport", "Series", "import_market", "write_series"]

log = logging.getLogger("rollwright.data")

Progress: TypeAlias = Callable[[int, int], None]
Series: TypeAlias = dict[str, tuple[int, NDArray[np.float32]]]
"""The fields of one instrument: the calendar position of row 0, and the rows."""

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    path : Path
    kind : str
        ``create``, ``append`` or ``revise``; ``none`` when the folder held everything already.
    generation : str
        Of the folder now.
    rows, instruments, sessions : int
        Of the source.
    first, last : str
        Sessions of the source.
    fields : tuple of str
        Of the source.
    missing : tuple of str
        Base fields that nothing in the folder has; they read as NaN.
    skipped : tuple of str
        Columns of text that were left out.
    added_instruments, added_sessions, changed_cells : int
    first_changed : str or None
        Session from which values differ from before.
    infinite : int
        Values that are infinite in the source and were stored so.
    """

    path: Path
    kind: str
    generation: str
    rows: int
    instruments: int
    sessions: int
    first: str
    last: str
    fields: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: tuple[str, ...]
    added_instruments: int
    added_sessions: int
    changed_cells: int
    first_changed: str | None
    infinite: int


def import_market(
    source: pd.DataFrame | Path | str,
    out: Path | str,
    *,
    freq: str = "day",
    universe: str = "all",
    symbol_column: str | None = None,
    date_column: str | None = None,
    timezone: str | None = None,
    revise: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Import rows into the folder `out`: make it, append to it, or revise it.

    Guarantees: the folder is replaced as a whole when everything is written, and left as it was otherwise; values are
    stored as given (in float32); no field and no row is invented. Rows that are there already with the same values
    change nothing. An instrument lives, in `universe`, from its first to its last row.

    Parameters
    ----------
    source : DataFrame, Path or str
        See `rollwright.data.intake.read_rows`.
    out : Path or str
    freq : str
    universe : str
        The universe that all the instruments of the source join.
    symbol_column, date_column, timezone : str, optional
        See `rollwright.data.intake.read_rows`.
    revise : bool
        Allow the source to change values that are there.

        .. warning:: **Look-ahead.** A revised value replaces what was known at the time: a back-test run afterwards
           reads prices nobody had on that day.
    progress : callable, optional
        Called with the number of instruments done and their total.

    Raises
    ------
    DataError
        When a row cannot be taken as it stands, when values differ and `revise` is not given, or when the disk
        refuses.
    CorruptFileError
        When what lies in `out` is damaged.
    """
    freq = normal_freq(freq)
    universe = check_universe(universe)
    target = Path(out).expanduser().resolve()
    rows = read_rows(
        source, symbol_column=symbol_column, date_column=date_column, timezone=timezone, daily=freq == "day"
    )
    _tell(rows)
    before = _open_before(target, freq)
    merge = _merge(rows, before, freq)
    if merge.changed and not revise:
        raise DataError(
            f"{merge.changed} values in {target} differ from the source: {', '.join(merge.examples)}",
            hint="nothing was written; to replace them: --revise",
        )
    if before is not None and before.manifest is not None and not merge.series and not merge.new_members(universe):
        return _report(target, "none", before.manifest, rows, merge)
    kind = "create" if before is None else "revise" if merge.changed else "append"
    manifest = _write(target, merge, before, freq=freq, universe=universe, kind=kind, rows=rows, progress=progress)
    return _report(target, kind, manifest, rows, merge)


def _tell(rows: Rows) -> None:
    if rows.unsorted:
        log.info("the rows were not in order of symbol and date; they were sorted")
    if rows.skipped:
        log.warning("columns of text were left out: %s", ", ".join(rows.skipped))
    if rows.infinite:
        log.warning("%d values are infinite; they were stored as they are", rows.infinite)


def _open_before(target: Path, freq: str) -> QlibProvider | None:
    if not target.is_dir() or not any(target.iterdir()):
        return None
    if not (target / CALENDARS).is_dir():
        raise DataError(
            f"{target} holds files that are no market data", hint="give an empty or a new folder with --out"
        )
    return QlibProvider(target, freq=freq)


@dataclass(slots=True, kw_only=True)
class _Merge:
    """What the folder is to hold of this frequency.

    Attributes
    ----------
    calendar : ndarray of datetime64[s]
    series : dict
        Of each instrument to write: folder, then field, then first position and values.
    codes : dict of str to str
        Spelling of the source's codes, by folder.
    lifetimes : dict
        First and last session of each instrument in the source.
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

    def new_members(self, universe: str) -> bool:
        """Say whether `universe` would grow."""
        known = self.members(universe)
        return dict(extended(known, self.spans)) != dict(known)


def _merge(rows: Rows, before: QlibProvider | None, freq: str) -> _Merge:
    old = before.calendar().known_part().values if before is not None else np.empty(0, "datetime64[s]")
    calendar = np.union1d(old, rows.sessions).astype("datetime64[s]")
    known = {} if before is None else {folder_of_code(code): code for code in before.instruments()}
    given = {folder_of_code(code): code for code in rows.codes}
    refuse_case_twins(
        [*known.values(), *(code for code in rows.codes if known.get(folder_of_code(code)) != code)],
        where="the source together with the folder",
    )
    moved = bool(len(old)) and not np.array_equal(calendar[: len(old)], old)
    positions = np.searchsorted(calendar, rows.sessions)
    merge = _Merge(
        calendar=calendar,
        added_sessions=len(calendar) - len(old),
        series={},
        spans={},
        members=lambda universe: (
            before.members(universe) if before is not None and universe in before.universes() else {}
        ),
        added=tuple(code for folder, code in given.items() if folder not in known),
        changed=0,
        examples=[],
        first_changed=None,
        fields=frozenset(rows.values) | (frozenset(before.fields()) if before is not None else frozenset()),
    )
    first_changed = len(calendar)
    if moved:
        first_changed = int(np.flatnonzero(~np.isin(calendar, old))[0])
    stamps = pd.DatetimeIndex(rows.sessions)
    for place, code in enumerate(rows.codes):
        part = slice(int(rows.offsets[place]), int(rows.offsets[place + 1]))
        merge.spans[known.get(folder_of_code(code), code)] = (stamps[part.start], stamps[part.stop - 1])
        new = {name: column[part] for name, column in rows.values.items()}
        series = _old_series(before, known.get(folder_of_code(code)), calendar, old)
        first = _overlay(merge, code, series, positions[part], new, moved=moved)
        first_changed = min(first_changed, first)
    if moved and before is not None:
        for folder in known.keys() - given.keys():
            merge.series[folder] = _old_series(before, known[folder], calendar, old)
    if first_changed < len(calendar) or before is None:
        first_changed = first_changed if before is not None else 0
        merge.first_changed = str(pd.Timestamp(calendar[first_changed])).removesuffix(" 00:00:00")
    del freq
    return merge


def _old_series(
    before: QlibProvider | None, code: str | None, calendar: NDArray[np.datetime64], old: NDArray[np.datetime64]
) -> Series:
    """Return what an instrument has, on the new calendar; sessions that came between are NaN."""
    if before is None or code is None:
        return {}
    fields = before.fields_of(code)
    start, stop = (int(edge) for edge in before.bounds([code])[0])
    block = before.load(fields, [code], start, stop)
    places = np.searchsorted(calendar, old[start:stop])
    series = {}
    for name, column in zip(fields, block[:, :, 0], strict=True):
        values = np.full(int(places[-1] - places[0]) + 1 if len(places) else 0, np.nan, np.float32)
        if len(places):
            values[places - places[0]] = column
        series[name] = (int(places[0]) if len(places) else 0, values)
    return series


def _overlay(
    merge: _Merge,
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


def _count_changes(
    merge: _Merge,
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


def _write(
    target: Path,
    merge: _Merge,
    before: QlibProvider | None,
    *,
    freq: str,
    universe: str,
    kind: str,
    rows: Rows,
    progress: Progress | None,
) -> Manifest:
    token = before.token if before is not None else freq
    old = before.files() if before is not None else {}
    manifest = before.manifest if before is not None else None
    if manifest is None:
        manifest = first_manifest(before.generation if before is not None else "")
    with replaced_folder(target) as staging:
        files = {path: entry for path, entry in old.items() if path.startswith(f"{FEATURES}/")}
        for done, (folder, series) in enumerate(sorted(merge.series.items()), 1):
            files.update(write_series(staging, folder, series, token))
            if progress is not None:
                progress(done, len(merge.series))
        _write_texts(staging, merge, token=token, universe=universe, before=before)
        files.update(text_entries(staging))
        manifest = manifest.after(
            files,
            kind=kind,
            freq=freq,
            first_changed=merge.first_changed,
            rows=len(rows),
            instruments=len(merge.added),
            sessions=merge.added_sessions,
            cells=merge.changed,
            fields=tuple(sorted(rows.values)),
        )
        write_file(staging / FILES_NAME, format_files(files))
        write_file(staging / MANIFEST_NAME, manifest.to_bytes(files))
    return manifest


def write_series(staging: Path, folder: str, series: Series, token: str) -> dict[str, FileEntry]:
    """Write every field of one instrument into a folder that is being made, and return their entries."""
    written = {}
    for name, (start, values) in series.items():
        path = bin_path(folder, name, token)
        data = encode_bin(start, values)
        write_file(staging / path, data)
        written[path] = FileEntry(digest=content_digest(data), start=start, length=len(values))
    return written


def _write_texts(staging: Path, merge: _Merge, *, token: str, universe: str, before: QlibProvider | None) -> None:
    known: pd.DatetimeIndex = pd.DatetimeIndex(merge.calendar)
    write_file(staging / CALENDARS / f"{token}.txt", format_sessions(known).encode())
    if before is not None and before.calendar().known < len(before.calendar()):
        coming = pd.DatetimeIndex(before.calendar().values[before.calendar().known :])
        ahead = pd.DatetimeIndex(known.append(coming[coming > known[-1]]))
        write_file(staging / CALENDARS / f"{token}_future.txt", format_sessions(ahead).encode())
    grown = extended(merge.members(universe), merge.spans)
    write_file(staging / INSTRUMENTS / f"{universe}.txt", format_lifetimes(grown))


def _report(target: Path, kind: str, manifest: Manifest, rows: Rows, merge: _Merge) -> ImportReport:
    sessions = np.unique(rows.sessions)
    return ImportReport(
        path=target,
        kind=kind,
        generation=manifest.generation,
        rows=len(rows),
        instruments=len(rows.codes),
        sessions=len(sessions),
        first=str(pd.Timestamp(sessions[0])).removesuffix(" 00:00:00"),
        last=str(pd.Timestamp(sessions[-1])).removesuffix(" 00:00:00"),
        fields=tuple(sorted(rows.values)),
        missing=tuple(name for name in BASE_FIELDS[:7] if name not in merge.fields),
        skipped=rows.skipped,
        added_instruments=len(merge.added),
        added_sessions=merge.added_sessions,
        changed_cells=merge.changed,
        first_changed=merge.first_changed if kind != "none" else None,
        infinite=rows.infinite,
    )
