"""Import of fields by period: rows extend and restate what a data folder holds, all or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pandas as pd

from rollwright.calendar.periods import interval_of
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.file_uris import read_path
from rollwright.errors import DataError, DataNotFoundError
from rollwright.market.folder.atomic_replace import replace_folder, write_file
from rollwright.market.folder.bins import content_digest
from rollwright.market.folder.layout import calendar_stems, code_of_folder, folder_of_code
from rollwright.market.folder.manifest import (
    FILES_NAME,
    MANIFEST_NAME,
    PERIODS,
    FileEntry,
    Manifest,
    first_manifest,
    format_files,
)
from rollwright.market.folder.periods.kinds import KINDS_PATH, format_kinds, name_kind
from rollwright.market.folder.periods.period_files import DATA, INDEX, period_path
from rollwright.market.folder.periods.records import encode_records
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.folder.recent_sessions import read_recent_sessions, recent_sessions_name
from rollwright.market.ingest.options import ReadOptions
from rollwright.market.ingest.periods.period_merge import PeriodMerge, Series, merge_periods
from rollwright.market.ingest.periods.period_options import PeriodOptions, read_kind_options
from rollwright.market.ingest.periods.period_rows import PeriodRows, read_period_rows
from rollwright.market.ingest.symbols import describe_rewritten, spell_as_qlib
from rollwright.market.source import UNKNOWN_KIND, FieldKind

__all__ = ["PeriodReport", "declare_kind", "import_periods", "open_period_market"]

_logger: Final = logging.getLogger("rollwright.market")

Progress: TypeAlias = Callable[[int, int], None]
_SHOWN: Final = 5
_FREQ: Final = "period"
"""What stands for the frequency in the manifest's list of imports: no daily or intraday session changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReport:
    """What an import of fields by period did, or would do.

    Attributes
    ----------
    path : Path
    kind : str
        ``periods``; ``none`` when the folder held everything already.
    generation : str
        Of the folder now.
    rows, instruments : int
        Of the source.
    first, last : str
        Days on which values of the source became known.
    fields : dict of str to str
        Of the source, with what they measure.
    added, repeated, restated, corrected, withdrawn, removed : int
        As `rollwright.market.ingest.periods.period_merge.PeriodMerge` explains them.
    corrections : tuple of str
        The first values that replace one of the same day.
    first_changed : str or None
        First day from which anything is known otherwise than before.
    series : int
        Fields of instruments whose files were written.
    without_series : tuple of str
        Instruments of the source that have no daily series, so that no expression reads them.
    skipped, notes : tuple of str
        Columns that were left out, and what was taken otherwise than it stands in the source.
    dry_run : bool
        Whether nothing was written since only the report was asked for.
    """

    path: Path
    kind: str
    generation: str
    rows: int
    instruments: int
    first: str
    last: str
    fields: dict[str, str]
    added: int
    repeated: int
    restated: int
    corrected: int
    withdrawn: int
    removed: int
    corrections: tuple[str, ...]
    first_changed: str | None
    series: int
    without_series: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    dry_run: bool


def import_periods(
    source: pd.DataFrame | Path | str,
    out: Path | str,
    *,
    kind: str | Mapping[str, str] | None = None,
    interval: str | None = None,
    field: str | None = None,
    fields: Sequence[str] | Mapping[str, str] | None = None,
    date_column: str | None = None,
    period_column: str | None = None,
    value_column: str | None = None,
    field_column: str | None = None,
    symbol_column: str | None = None,
    symbol: str | None = None,
    symbols: str | None = None,
    symbol_digits: int | None = None,
    timezone: str | None = None,
    date_form: str = "ymd",
    encoding: str | None = None,
    allow_early: bool = False,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> PeriodReport:
    """Import values by period, with the days on which they became known, into the market data folder `out`.

    Guarantees: the folder is replaced as a whole when everything is written, and left as it was otherwise; values are
    stored as given, in float64; rows may come in any order and again, and the same rows give the same files whatever
    the order of imports. The one exception is a value that replaces another one of the same day and period: it comes
    after those that are there, and counts from then on. Only files of fields and instruments that the source says
    something new of are written.

    .. warning:: **Look-ahead.** The date of a row is trusted. The day of a period's end, or of a database's update,
       given for that of the announcement makes every back-test read what nobody knew.

    Parameters
    ----------
    source : DataFrame, Path or str
        See `rollwright.market.ingest.periods.period_rows.read_period_rows`.
    out : Path or str
        A folder that has daily data.
    kind : str or mapping, optional
        What the fields measure: ``flow-cumulative``, ``flow-discrete`` or ``stock``; of all fields of the source, or by
        field.
    interval : {"quarterly", "annual", "monthly", "dated"}, optional
        What fields that do not end with their interval are.
    field : str, optional
        The one field that all rows are about.
    fields : sequence of str or mapping of str to str, optional
        Of a table with a column for each field: the columns, or the field that each of them is. An empty cell is no
        value.
    date_column, period_column, value_column, field_column : str, optional
        Columns whose names are not the usual ones.
    symbol_column, symbol, symbols, symbol_digits, timezone, date_form, encoding : optional
        See `rollwright.market.ingest.options.ReadOptions`.
    allow_early : bool
        Allow values that became known before their period ended, as forecasts.

        .. warning:: **Look-ahead.** A period's end given for the announcement passes only so.
    replace : bool
        Take the source for all there is of its fields of its instruments: their values that it does not have are
        removed.

        .. warning:: **Look-ahead.** What was known at the time is gone where the source has only the last version.
    dry_run : bool
        Report what would be done, and write nothing.
    progress : callable, optional
        Called with the number of files written and their total.
    clock : Clock, optional
        Whose day is today: nothing can have become known later.

    Raises
    ------
    ConfigError
        For an option that is none.
    DataNotFoundError
        When there is nothing at `source`, or no daily data in `out`.
    DataError
        When a row cannot be taken as it stands, when a kind contradicts the one that is declared, or when the disk
        refuses.
    LookAheadError
        For values known before their period ended, or from days to come.
    CorruptFileError
        When what lies in `out` is damaged.
    """
    options = PeriodOptions(
        source=ReadOptions(
            symbol_column=symbol_column, date_column=date_column, symbol=symbol, symbols=symbols,
            symbol_digits=symbol_digits, timezone=timezone, date_form=date_form, encoding=encoding,
        ),
        period_column=period_column, value_column=value_column, field_column=field_column, field_name=field,
        wide=dict(fields) if isinstance(fields, Mapping) else {name: name for name in fields or ()},
        interval=interval, kinds=read_kind_options({"*": kind} if isinstance(kind, str) else kind or {}),
        allow_early=allow_early,
    )  # fmt: skip
    folder = open_period_market(read_path(out).resolve())
    rows = read_period_rows(source, options, now=(clock or SystemClock()).now())
    codes, note = _spell_codes(rows.codes, folder)
    folders = [folder_of_code(code) for code in codes]
    _refuse_twins(rows.codes, folders)
    kinds = _merge_kinds(folder.periods.kinds, rows.kinds)
    merge = merge_periods(rows, folders, folder.periods, replace=replace)
    daily = {folder_of_code(code) for code in folder.instruments()}
    without = tuple(code for code, name in zip(codes, folders, strict=True) if name not in daily)
    notes = (*rows.notes, *note, *_describe_without(without), *_describe_corrections(merge))
    manifest, nothing = folder.manifest, not merge.series and kinds == folder.periods.kinds
    if not dry_run:
        for text in notes:
            _logger.warning("import.note note=%s", text)
        if rows.skipped:
            _logger.warning("import.columns_left_out names=%s", ", ".join(rows.skipped))
    if not (nothing or dry_run):
        manifest = _write(folder, merge.series, kinds, merge=merge, rows=rows, progress=progress)
    return PeriodReport(
        path=folder.root,
        kind="none" if nothing else "periods",
        generation=folder.generation if manifest is None else manifest.generation,
        rows=len(rows),
        instruments=len(rows.codes),
        first=str(rows.day.min()),
        last=str(rows.day.max()),
        fields={name: name_kind(kinds.get(name, UNKNOWN_KIND)) for name in rows.fields},
        added=merge.added,
        repeated=merge.repeated,
        restated=merge.restated,
        corrected=merge.corrected,
        withdrawn=merge.withdrawn,
        removed=merge.removed,
        corrections=tuple(merge.examples),
        first_changed=merge.first_changed,
        series=len(merge.series),
        without_series=without,
        skipped=rows.skipped,
        notes=notes,
        dry_run=dry_run,
    )


def declare_kind(path: Path | str, field: str, kind: FieldKind, *, change: bool = False) -> FieldKind:
    """Declare what a field by period of a data folder measures, and return what was declared before.

    Raises
    ------
    UnknownFieldError
        When no instrument has the field.
    DataError
        When another kind is declared and `change` is False.
    """
    folder = open_period_market(read_path(path).resolve())
    name, _ = folder.periods.check_known(field)
    before = folder.periods.kinds.get(name, UNKNOWN_KIND)
    kinds = {**folder.periods.kinds, name: kind} if change else _merge_kinds(folder.periods.kinds, {name: kind})
    if kind != before:
        _write(folder, {}, kinds)
    return before


def open_period_market(target: Path) -> QlibProvider:
    """Open the market data folder `target` in a frequency that it has.

    Raises
    ------
    DataNotFoundError
        When it has no daily data.
    CorruptFileError
        When its calendar or its manifest is damaged.
    """
    stems = calendar_stems(target)
    if not stems:
        raise DataNotFoundError(
            target, "it has no daily data, beside which fields by period are kept",
            hint="import prices first: `rollwright data import PATH --out DIR`",
        )  # fmt: skip
    return QlibProvider(target, freq="day" if "day" in stems else stems[0])


def _spell_codes(codes: Sequence[str], folder: QlibProvider) -> tuple[list[str], list[str]]:
    """Return the codes as the folder spells them, and a note on Chinese ones that name their exchange otherwise."""
    known = {folder_of_code(code) for code in folder.instruments()}
    known.update(name for own in folder.periods.files.values() for name in own)
    spelled, changed = [], {}
    for code in codes:
        other = spell_as_qlib(code)
        if other != code and folder_of_code(code) not in known and folder_of_code(other) in known:
            changed[code] = other
        spelled.append(changed.get(code, code))
    return spelled, [describe_rewritten(changed)] if changed else []


def _refuse_twins(codes: Sequence[str], folders: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for code, name in zip(codes, folders, strict=True):
        twin = seen.setdefault(name, code)
        if twin != code:
            raise DataError(
                f"the source has the codes `{twin}` and `{code}`, which are one instrument ({code_of_folder(name)})",
                hint="spell it in one way",
            )


def _merge_kinds(known: Mapping[str, FieldKind], given: Mapping[str, FieldKind]) -> dict[str, FieldKind]:
    for name, kind in given.items():
        before = known.get(name, UNKNOWN_KIND)
        if before not in (UNKNOWN_KIND, kind):
            raise DataError(
                f"`$${name}` is declared as {name_kind(before)}, and is to be {name_kind(kind)}",
                hint=f"nothing was written; if the declaration is wrong: `rollwright pit kind {name} {name_kind(kind)} "
                "--change`",
            )
    return {**known, **given}


def _describe_without(codes: Sequence[str]) -> list[str]:
    if not codes:
        return []
    more = f" and {len(codes) - _SHOWN} more" if len(codes) > _SHOWN else ""
    return [f"no daily series, so no expression reads them: {', '.join(codes[:_SHOWN])}{more}"]


def _describe_corrections(merge: PeriodMerge) -> list[str]:
    if not merge.corrected:
        return []
    more = f" and {merge.corrected - len(merge.examples)} more" if merge.corrected > len(merge.examples) else ""
    return [f"several values of one day and period, of which the last counts: {', '.join(merge.examples)}{more}"]


def _write(
    folder: QlibProvider,
    series: Mapping[tuple[str, str], Series],
    kinds: Mapping[str, FieldKind],
    *,
    merge: PeriodMerge | None = None,
    rows: PeriodRows | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Put the new version of the folder in its place."""
    target, before = folder.root, folder.manifest
    manifest = before if before is not None else first_manifest(folder.generation)
    files = folder.files()
    anew = {path: data for name, records in series.items() for path, data in _encode(name, records, files)}
    with replace_folder(target, keep=lambda path: path not in anew) as staging:
        if not folder.is_current:
            raise DataError(f"{target} was changed by somebody else meanwhile", hint="run it again")
        for done, (path, data) in enumerate(anew.items(), 1):
            write_file(staging / path, data)
            files[path] = FileEntry(digest=content_digest(data))
            if progress is not None:
                progress(done, len(anew))
        if kinds != folder.periods.kinds:
            data = format_kinds(kinds)
            write_file(staging / KINDS_PATH, data)
            files[KINDS_PATH] = FileEntry(digest=content_digest(data))
        manifest = manifest.after(
            files,
            kind=PERIODS,
            freq=_FREQ,
            first_changed=merge.first_changed if merge is not None else None,
            rows=len(rows) if rows is not None else 0,
            cells=merge.corrected + merge.removed if merge is not None else 0,
            fields=rows.fields if rows is not None else (),
        )
        write_file(staging / FILES_NAME, format_files(files))
        write_file(staging / MANIFEST_NAME, manifest.to_bytes(files))
        if before is not None:
            _carry_recent_sessions(target, staging, before.generation, manifest.generation)
    return manifest


def _encode(name: tuple[str, str], records: Series, files: Mapping[str, FileEntry]) -> Iterator[tuple[str, bytes]]:
    """Give the paths and bytes of a series' files that are not there already."""
    interval = interval_of(name[1])
    assert interval is not None  # noqa: S101 - fields of checked rows
    for ending, data in zip((DATA, INDEX), encode_records(*records, interval), strict=True):
        path = period_path(*name, ending)
        if data is not None and (path not in files or files[path].digest != content_digest(data)):
            yield path, data


def _carry_recent_sessions(target: Path, staging: Path, before: str, now: str) -> None:
    """Let the copies of the last sessions count for the new state, whose series are those of the old one."""
    for token in calendar_stems(target):
        recent = read_recent_sessions(target, token, before)
        if recent is not None:
            write_file(staging / recent_sessions_name(token), recent.to_bytes(now))
