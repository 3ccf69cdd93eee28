"""Rows of fields by period as users hold them: what, about which period, known since when, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.periods import Interval, interval_of, to_period_ends
from rollwright.errors import DataError, LookAheadError, RollwrightError
from rollwright.market.folder.layout import check_field, check_period_field
from rollwright.market.folder.periods.kinds import name_kind, parse_kind
from rollwright.market.ingest.headings import SYMBOL_NAMES, find_column, lacks_column
from rollwright.market.ingest.numbers import read_numbers
from rollwright.market.ingest.periods.period_options import INTERVALS, PeriodOptions
from rollwright.market.ingest.periods.period_text import PERIOD_NAMES, read_periods
from rollwright.market.ingest.sessions import read_sessions
from rollwright.market.ingest.symbols import describe_rewritten, read_codes
from rollwright.market.ingest.tables import SourceTable, read_tables, with_plain_columns
from rollwright.market.source import FieldKind

__all__ = ["PeriodRows", "last_day_of", "read_period_rows"]

# The actual announcement stands before the planned one, which may be earlier.
DATE_NAMES: Final = (
    "date", "known_at", "f_ann_date", "ann_date", "pubdate", "pub_date", "publish_date", "announce_date",
    "announcement_date", "notice_date", "实际公告日期", "公告日期", "公告日", "披露日期", "信息发布日期", "发布日期",
)  # fmt: skip
PERIOD_COLUMNS: Final = (
    "period", "report_period", "statdate", "stat_date", "end_date", "report_date", "报告期", "报告期末", "报告日期",
    "报表日期", "截止日期", "会计期间",
)  # fmt: skip
VALUE_NAMES: Final = ("value", "数值", "值")
FIELD_NAMES: Final = ("field", "indicator", "item", "指标", "字段", "项目")
KIND_NAMES: Final = ("kind", "种类", "类型")
_AHEAD: Final = timedelta(hours=14)
"""What the earliest time zone is ahead of UTC: a later day has begun nowhere."""
_TIMED_REPORTS: Final = (
    "days are kept: give the day from which it may be used, the next one for what was announced after the close, or "
    "leave the time out of the column and set point_in_time.same_day = false"
)
_WIDE: Final = "a table with a column for each field: --fields COLUMN,COLUMN=FIELD"
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRows:
    """Checked rows, in the order of their source.

    Attributes
    ----------
    codes : tuple of str
        Sorted.
    fields : tuple of str
        Names with their intervals, without ``$$``, sorted.
    code, field : ndarray of int64
        Of each row, its place in `codes` and `fields`.
    day : ndarray of datetime64[D]
        When each became known.
    period : ndarray of int64
    value : ndarray of float64
        NaN for a value that was withdrawn.
    kinds : dict of str to FieldKind
        What the source says of its fields.
    skipped : tuple of str
        Columns that were left out.
    notes : tuple of str
        What was taken otherwise than it stands in the source.
    """

    codes: tuple[str, ...]
    fields: tuple[str, ...]
    code: NDArray[np.int64]
    field: NDArray[np.int64]
    day: NDArray[np.datetime64]
    period: NDArray[np.int64]
    value: NDArray[np.float64]
    kinds: dict[str, FieldKind]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Where things stand in a table; each column of values with the field that it is, None where rows say it."""

    symbol: str | None
    date: str
    period: str
    values: dict[str, str | None]
    field: str | None
    kind: str | None
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The checked rows of one table."""

    codes: NDArray[np.object_]
    fields: NDArray[np.object_]
    day: NDArray[np.datetime64]
    period: NDArray[np.int64]
    value: NDArray[np.float64]
    kinds: dict[str, FieldKind]
    rewritten: dict[str, str]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]

    def take(self, rows: NDArray[np.bool_]) -> _Part:
        """Return the part with some of its rows."""
        return replace(
            self, codes=self.codes[rows], fields=self.fields[rows], day=self.day[rows], period=self.period[rows],
            value=self.value[rows],
        )  # fmt: skip


def read_period_rows(source: pd.DataFrame | Path | str, options: PeriodOptions, *, now: datetime) -> PeriodRows:
    """Read a frame, a CSV or Parquet file, or a folder of them, of one value a row or of a column for each field.

    Parameters
    ----------
    source : DataFrame, Path or str
        With the columns date (when the value became known), period, value, field and instrument, under the usual names;
        a file without a column of instruments is one instrument, named after the file. With `PeriodOptions.wide` it has
        columns of values in place of value and field; an empty cell of theirs is no value, and none that was withdrawn.
    options : PeriodOptions
        What is declared of it.
    now : datetime
        The present moment, aware; nothing can have become known later.

    Raises
    ------
    DataNotFoundError
        When there is nothing at the path.
    DataError
        When a row cannot be taken as it stands; nothing is dropped or repaired.
    LookAheadError
        For a value that became known before its period ended, unless that is allowed, or that is yet to be known.
    """
    texts = {*SYMBOL_NAMES, *DATE_NAMES, *PERIOD_COLUMNS, *FIELD_NAMES, *KIND_NAMES}
    named = (options.source.symbol_column, options.source.date_column, options.period_column, options.field_column)
    texts.update(name.strip().lower() for name in named if name)
    tables = read_tables(source, encoding=options.source.encoding, as_text=texts)
    parts = [part for table in tables for part in _read_table(table, options, now)]
    if not any(len(part.day) for part in parts):
        raise DataError("there are no rows", hint="the source holds a header at most")
    return _join(parts, options)


def last_day_of(now: datetime) -> np.datetime64:
    """Return the last day that has begun anywhere at the moment `now`."""
    return np.datetime64((now.astimezone(UTC) + _AHEAD).replace(tzinfo=None), "D")


def _read_table(table: SourceTable, options: PeriodOptions, now: datetime) -> list[_Part]:
    """Return the rows of a table: one part, or of a wide one a part for each column of values."""
    frame, where, first = with_plain_columns(table.frame, table.where), table.where, table.first_row
    columns = _find_columns(list(frame.columns), options, table)
    notes = [*table.notes]
    if columns.symbol is not None:
        codes, rewritten = read_codes(frame[columns.symbol], columns.symbol, options.source, where, first)
    else:
        only = pd.Series([options.source.symbol or table.code], dtype=object)
        code, rewritten = read_codes(only, "the file's name", options.source, where, first)
        codes = np.repeat(code, len(frame))
        if table.alone and options.source.symbol is None:
            notes.append(f"no symbol column: the rows are `{code[0]}`, after the file's name")
    day = _read_days(frame[columns.date], columns.date, options, where, first)
    parts = []
    for column, named in columns.values.items():
        fields = _read_fields(frame, columns.field, named, options, where, first)
        intervals = np.array([name[-1] for name in fields], dtype=np.str_)
        period = read_periods(frame[columns.period], intervals, where, first)
        value, percentages = _read_values(frame[column], fields, table)
        notes += [f"`{name}` is in percent, and 1% was stored as 0.01" for name in percentages]
        part = _Part(
            codes=codes, fields=fields, day=day, period=period,
            value=value, kinds=_read_kinds(frame, columns, fields, where, first),
            rewritten=rewritten, skipped=columns.left_out, notes=tuple(notes),
        )  # fmt: skip
        _refuse_future(part, where, first, now)
        if not options.allow_early:
            _refuse_early(part, intervals, where, first)
        parts.append(part.take(~np.isnan(value)) if options.wide else part)
    return parts


def _find_columns(names: list[str], options: PeriodOptions, table: SourceTable) -> _Columns:
    free = list(names)

    def take(role: str, wanted: str | None, aliases: tuple[str, ...], *, needed: bool) -> str | None:
        found = find_column(free, wanted, aliases)
        if found is not None:
            free.remove(found)
        elif wanted or needed:
            error = lacks_column(table.where, role, wanted or aliases[0], names)
            raise DataError(error.message, hint=f"{error.hint}; {_WIDE}") if role in ("value", "field") else error
        return found

    given = options.source
    date = take("date", given.date_column, DATE_NAMES, needed=True)
    period = take("period", options.period_column, PERIOD_COLUMNS, needed=True)
    values: dict[str, str | None] = {}
    for column, name in options.wide.items():
        values[take("value", column, (), needed=True) or ""] = name
    field = None
    if not values:
        values[take("value", options.value_column, VALUE_NAMES, needed=True) or ""] = options.field_name
        field = None if options.field_name else take("field", options.field_column, FIELD_NAMES, needed=True)
    symbol = None
    if given.symbol is None:
        symbol = take("symbol", given.symbol_column, (*SYMBOL_NAMES, "股票", "证券"), needed=table.code is None)
    kind = take("kind", None, KIND_NAMES, needed=False)
    assert date is not None and period is not None  # noqa: S101, PT018 - needed
    return _Columns(
        symbol=symbol, date=date, period=period, values=values, field=field, kind=kind, left_out=tuple(free)
    )


def _read_days(
    column: pd.Series, name: str, options: PeriodOptions, where: str, first_row: int
) -> NDArray[np.datetime64]:
    """Return when each row became known; an error names the column, since several of a source may tell a date."""
    try:
        days = read_sessions(column, None, options.source, where, first_row, timed_hint=_TIMED_REPORTS)
        return days.astype("datetime64[D]")
    except DataError as error:
        raise DataError(
            f"{error.message} (column {name!r}, when it became known)",
            hint=error.hint or "another column: --date-column",
        ) from error


def _read_fields(
    frame: pd.DataFrame, column: str | None, only: str | None, options: PeriodOptions, where: str, first_row: int
) -> NDArray[np.object_]:
    """Return the field of each row, with its interval: `only`, or what `column` says."""
    if column is None:
        return np.repeat(np.array([_name_field(only or "", options)], dtype=object), len(frame))
    places, unique = pd.factorize(frame[column])
    missing = np.flatnonzero(places < 0)
    if len(missing):
        raise DataError(f"{where}, row {missing[0] + first_row}: there is no field")
    named = []
    for place, text in enumerate(unique):
        try:
            named.append(_name_field(text, options))
        except RollwrightError as error:
            row = int(np.flatnonzero(places == place)[0]) + first_row
            raise DataError(f"{where}, row {row}: {error.message}", hint=error.hint) from error
    return np.array(named, dtype=object)[places] if named else np.empty(0, object)


def _name_field(text: object, options: PeriodOptions) -> str:
    name = text.strip().removeprefix("$$").replace(" ", "_") if isinstance(text, str) else text
    field = check_field(name)
    own, due = interval_of(field), INTERVALS.get(options.interval or "")
    if due is None:
        return check_period_field(field)[0]
    if own is not None and own != due:
        raise DataError(
            f"`{field}` ends as a field of a {PERIOD_NAMES[own]}, and the interval of the source is {options.interval}",
            hint=f"leave --interval out, or write the field's name out: `{field}_{due}`",
        )
    return field if own is not None else f"{field}_{due}"


def _read_values(
    column: pd.Series, fields: NDArray[np.object_], table: SourceTable
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the values, and the fields that are in percent."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan)), ()
    if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object):
        raise DataError(f"{table.where}: the value column holds {column.dtype}, not numbers")
    values, wrong, percent = read_numbers(column, decimal=table.decimal, with_units=True)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(f"{table.where}, row {at + table.first_row}: the value is {column.iloc[at]!r}, not a number")
    percentages = tuple(sorted({str(name) for name in fields[percent]}))
    bare = np.isin(fields, percentages) & ~percent & ~np.isnan(values) & (values != 0)
    if bare.any():
        at = int(np.argmax(bare))
        raise DataError(
            f"{table.where}, row {at + table.first_row}: the value of {fields[at]} is {column.iloc[at]!r}, and others "
            "of it have a percent sign",
            hint="write all values of a field with the sign, or none; 1% is stored as 0.01",
        )
    return values, percentages


def _read_kinds(
    frame: pd.DataFrame, columns: _Columns, fields: NDArray[np.object_], where: str, first_row: int
) -> dict[str, FieldKind]:
    if columns.kind is None:
        return {}
    kinds: dict[str, FieldKind] = {}
    pairs = pd.DataFrame({"field": fields, "kind": frame[columns.kind].to_numpy(dtype=object)}).drop_duplicates()
    for row, field, word in pairs.itertuples():
        if pd.isna(word):
            continue
        try:
            kind = parse_kind(str(word))
        except RollwrightError as error:
            raise DataError(f"{where}, row {row + first_row}: {error.message}", hint=error.hint) from error
        other = kinds.setdefault(field, kind)
        if other != kind:
            raise DataError(
                f"{where}, row {row + first_row}: `{field}` is {name_kind(kind)}, and {name_kind(other)} further up"
            )
    return kinds


def _refuse_future(part: _Part, where: str, first_row: int, now: datetime) -> None:
    late = np.flatnonzero(part.day > last_day_of(now))
    if len(late):
        at = int(late[0])
        raise LookAheadError(
            f"{where}, row {at + first_row}: {part.fields[at]} of {part.codes[at]} is to become known on "
            f"{part.day[at]}, and that day has not come{_more(late)}",
            hint="the date is the day on which the value was announced",
        )


def _refuse_early(part: _Part, intervals: NDArray[np.str_], where: str, first_row: int) -> None:
    """Refuse values that are said to have been known before their period ended; what holds from a day on may be."""
    early = np.zeros(len(part.day), np.bool_)
    known: tuple[Interval, ...] = ("q", "a", "m")
    for interval in known:
        rows = np.flatnonzero(intervals == interval)
        early[rows] = part.day[rows] < to_period_ends(part.period[rows], interval)
    places = np.flatnonzero(early)
    if len(places):
        at = int(places[0])
        raise LookAheadError(
            f"{where}, row {at + first_row}: {part.fields[at]} of {part.codes[at]} for {part.period[at]} is said to "
            f"have become known on {part.day[at]}, before that period ended{_more(places)}",
            hint="the date is the day of the announcement, not one of the period; forecasts are taken with "
            "--allow-early",
        )


def _more(rows: NDArray[np.int64]) -> str:
    return f"; and so with {len(rows) - 1} more rows" if len(rows) > 1 else ""


def _join(parts: list[_Part], options: PeriodOptions) -> PeriodRows:
    code, codes = pd.factorize(np.concatenate([part.codes for part in parts]), sort=True)
    field, fields = pd.factorize(np.concatenate([part.fields for part in parts]), sort=True)
    rewritten = {old: new for part in parts for old, new in part.rewritten.items()}
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    return PeriodRows(
        codes=tuple(str(name) for name in codes),
        fields=tuple(str(name) for name in fields),
        code=code.astype(np.int64),
        field=field.astype(np.int64),
        day=np.concatenate([part.day for part in parts]),
        period=np.concatenate([part.period for part in parts]),
        value=np.concatenate([part.value for part in parts]),
        kinds=_join_kinds(parts, options, [str(name) for name in fields]),
        skipped=tuple(sorted({name for part in parts for name in part.skipped})),
        notes=(*notes, *([describe_rewritten(rewritten)] if rewritten else [])),
    )


def _join_kinds(parts: list[_Part], options: PeriodOptions, fields: Iterable[str]) -> dict[str, FieldKind]:
    kinds: dict[str, FieldKind] = {}
    for part in parts:
        for field, kind in part.kinds.items():
            other = kinds.setdefault(field, kind)
            if other != kind:
                raise DataError(f"`{field}` is {name_kind(kind)} in one file, and {name_kind(other)} in another")
    for field in fields:
        said = options.kinds.get(field, options.kinds.get("*"))
        if said is not None and kinds.setdefault(field, said) != said:
            raise DataError(f"`{field}` is to be {name_kind(said)}, and the source says {name_kind(kinds[field])}")
    idle = [name for name in options.kinds if name != "*" and name not in kinds]
    if idle:
        raise DataError(f"the source has no field `{idle[0]}`, whose kind was given")
    return kinds
