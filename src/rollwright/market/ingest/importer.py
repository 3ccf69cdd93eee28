"""Import: rows become a market data folder, or extend and revise one, all or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from rollwright.calendar.files import format_sessions
from rollwright.core.file_uris import read_path
from rollwright.errors import DataError
from rollwright.market.folder.atomic_replace import replace_folder, write_file
from rollwright.market.folder.bins import content_digest, encode_bin
from rollwright.market.folder.layout import (
    BASE_FIELDS,
    CALENDARS,
    FEATURES,
    FINANCIAL,
    INSTRUMENTS,
    bin_path,
    check_universe,
    normalize_freq,
)
from rollwright.market.folder.manifest import (
    DEMO_NAME,
    FILES_NAME,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    first_manifest,
    format_files,
    hash_whole_files,
)
from rollwright.market.folder.recent_sessions import gather_recent_sessions, recent_sessions_name
from rollwright.market.folder.universe import extend_lifetimes, format_lifetimes
from rollwright.market.ingest.merge import Before, Merge, Series, merge_rows, open_before
from rollwright.market.ingest.options import ReadOptions
from rollwright.market.ingest.readers import Rows, read_rows

__all__ = ["ImportReport", "import_market", "write_series"]

_logger = logging.getLogger("rollwright.market")

Progress: TypeAlias = Callable[[int, int], None]


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
        Columns that were left out: text, and those whose names cannot be fields.
    notes : tuple of str
        What was taken otherwise than it stands in the source, and what deserves a look.
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
    notes: tuple[str, ...]
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
    time_column: str | None = None,
    symbol: str | None = None,
    symbols: str | None = None,
    symbol_digits: int | None = None,
    timezone: str | None = None,
    date_form: str = "ymd",
    columns: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    encoding: str | None = None,
    preset: str | None = None,
    wide: str | None = None,
    adjust: bool | None = None,
    revise: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Import rows into the folder `out`: make it, append to it, or revise it.

    Guarantees: the folder is replaced as a whole when everything is written, and left as it was otherwise; values are
    stored as given (in float32), but for what a preset, a unit in a heading or `adjust` says, which the report tells;
    no field and no row is invented. Rows that are there already with the same values change nothing. An instrument
    lives, in `universe`, from its first to its last row.

    Parameters
    ----------
    source : DataFrame, Path or str
        See `rollwright.market.ingest.readers.read_rows`.
    out : Path or str
    freq : str
    universe : str
        The universe that all the instruments of the source join.
    symbol_column, date_column, time_column, symbol, symbols, symbol_digits, timezone, date_form : optional
        See `rollwright.market.ingest.options.ReadOptions`.
    columns, drop, encoding, preset, wide, adjust : optional
        See there too.
    revise : bool
        Allow the source to change values that are there.

        .. warning:: **Look-ahead.** A revised value replaces what was known at the time: a back-test run afterwards
           reads prices nobody had on that day.
    replace : bool
        Take the source for all there is of its instruments: their rows that it does not have are removed. Prices that
        were adjusted anew are imported so.

        .. warning:: **Look-ahead.** As for `revise`: what was known at the time is gone.
    progress : callable, optional
        Called with the number of instruments done and their total.

    Raises
    ------
    ConfigError
        For an option that is none.
    DataError
        When a row cannot be taken as it stands, when values differ and neither `revise` nor `replace` is given, when
        prices were adjusted anew and earlier rows would stay as they were adjusted before, or when the disk refuses.
    CorruptFileError
        When what lies in `out` is damaged.
    """
    freq = normalize_freq(freq)
    universe = check_universe(universe)
    target = read_path(out).resolve()
    options = ReadOptions(
        symbol_column=symbol_column, date_column=date_column, time_column=time_column, symbol=symbol, symbols=symbols,
        symbol_digits=symbol_digits, timezone=timezone, date_form=date_form, intraday=freq.endswith("min"),
        columns=dict(columns or {}), drop=tuple(drop), encoding=encoding, preset=preset, wide=wide, adjust=adjust,
    )  # fmt: skip
    rows = read_rows(source, options)
    before = open_before(target, freq)
    merge = merge_rows(rows, before, replace=replace)
    _refuse_changes(merge, target, revise=revise)
    _log_rows(rows, merge)
    present = before.folder.manifest if before.folder is not None else None
    if present is not None and before.series is not None and not merge.series and not merge.new_members(universe):
        return _report(target, "none", present, rows, merge)
    kind = "create" if before.series is None else "revise" if merge.changed or merge.replaced else "append"
    manifest = _write(target, merge, before, freq=freq, universe=universe, kind=kind, rows=rows, progress=progress)
    return _report(target, kind, manifest, rows, merge)


def _refuse_changes(merge: Merge, target: Path, *, revise: bool) -> None:
    """Refuse values that differ from those that are there, unless that is wanted."""
    if merge.rescaled:
        first = merge.rescaled[0]
        more = f", and so it is of {len(merge.rescaled) - 1} more" if len(merge.rescaled) > 1 else ""
        raise DataError(
            f"the prices of the source were adjusted anew: close of {first.code} is {first.ratio:.6g} times that in "
            f"{target} on all {first.sessions} sessions of both ({first.example}){more}; the rows before would stay as "
            "they are, and a jump that never was would be where the source begins",
            hint="nothing was written; import the whole history of these instruments with --replace",
        )
    if merge.changed and not revise:
        raise DataError(
            f"{merge.changed} values in {target} differ from the source: {', '.join(merge.examples)}",
            hint="nothing was written; to replace these values: --revise; to replace all that is there of the source's "
            "instruments, as when prices were adjusted anew: --replace",
        )


def _log_rows(rows: Rows, merge: Merge) -> None:
    if rows.unsorted:
        _logger.info("import.rows_sorted")
    if rows.skipped:
        _logger.warning("import.columns_left_out names=%s", ", ".join(rows.skipped))
    for note in (*rows.notes, *merge.notes):
        _logger.warning("import.note note=%s", note)
    if rows.infinite:
        _logger.warning("import.infinite_values values=%d action=store", rows.infinite)


def _write(
    target: Path,
    merge: Merge,
    before: Before,
    *,
    freq: str,
    universe: str,
    kind: str,
    rows: Rows,
    progress: Progress | None,
) -> Manifest:
    folder = before.folder
    token = before.series.token if before.series is not None else freq
    manifest = folder.manifest if folder is not None else None
    if manifest is None:
        manifest = first_manifest(folder.generation if folder is not None else "")
    old = folder.files() if folder is not None else {}
    anew = {bin_path(name, field, token) for name, series in merge.series.items() for field in series}
    with replace_folder(target, keep=lambda path: path not in anew) as staging:
        if folder is not None and not folder.is_current:
            raise DataError(f"{target} was changed by somebody else meanwhile", hint="run it again")
        (staging / DEMO_NAME).unlink(missing_ok=True)  # what it states no longer holds
        files = {path: entry for path, entry in old.items() if path.startswith((f"{FEATURES}/", f"{FINANCIAL}/"))}
        for done, (name, series) in enumerate(sorted(merge.series.items()), 1):
            files.update(write_series(staging, name, series, token))
            if progress is not None:
                progress(done, len(merge.series))
        _write_texts(staging, merge, token=token, universe=universe, before=before)
        files.update(hash_whole_files(staging, known=files))
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
        _write_recent_sessions(staging, files, token, merge, manifest.generation)
    return manifest


def _write_recent_sessions(
    staging: Path, files: Mapping[str, FileEntry], token: str, merge: Merge, generation: str
) -> None:
    recent = gather_recent_sessions(
        staging, files, token, sessions=len(merge.calendar),
        given=lambda folder, field: merge.series.get(folder, {}).get(field),
    )  # fmt: skip
    (staging / recent_sessions_name(token)).unlink(missing_ok=True)
    if recent is not None:
        write_file(staging / recent_sessions_name(token), recent.to_bytes(generation))


def write_series(staging: Path, folder: str, series: Series, token: str) -> dict[str, FileEntry]:
    """Write every field of one instrument into a folder that is being made, and return their entries."""
    written = {}
    for name, (start, values) in series.items():
        path = bin_path(folder, name, token)
        data = encode_bin(start, values)
        write_file(staging / path, data)
        written[path] = FileEntry(digest=content_digest(data), start=start, length=len(values))
    return written


def _write_texts(staging: Path, merge: Merge, *, token: str, universe: str, before: Before) -> None:
    known: pd.DatetimeIndex = pd.DatetimeIndex(merge.calendar)
    write_file(staging / CALENDARS / f"{token}.txt", format_sessions(known).encode())
    if before.series is not None:
        coming = before.series.calendar().to_index()[before.series.calendar().known :]
        coming = coming[coming > known[-1]]
        if len(coming):
            ahead: pd.DatetimeIndex = pd.DatetimeIndex(known.append(coming))
            write_file(staging / CALENDARS / f"{token}_future.txt", format_sessions(ahead).encode())
    grown = extend_lifetimes(merge.members(universe), merge.spans)
    write_file(staging / INSTRUMENTS / f"{universe}.txt", format_lifetimes(grown))


def _report(target: Path, kind: str, manifest: Manifest, rows: Rows, merge: Merge) -> ImportReport:
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
        notes=(*rows.notes, *merge.notes),
        added_instruments=len(merge.added),
        added_sessions=merge.added_sessions,
        changed_cells=merge.changed,
        first_changed=merge.first_changed if kind != "none" else None,
        infinite=rows.infinite,
    )
