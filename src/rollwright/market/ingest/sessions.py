"""The sessions of a source's rows: its dates, its times of day where they stand in a column of their own, its zones."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.date_text import DateColumn, explain_no_date, parse_dates
from rollwright.errors import ConfigError, DataError
from rollwright.market.ingest.options import ReadOptions

__all__ = ["holds_dates", "read_sessions"]

_DAY: Final = np.timedelta64(86_400_000_000, "us")
_OFFSET: Final = re.compile(r" ?(Z|z|UTC|GMT|[+-]\d\d:?(\d\d)?)$")
_ANY_DAY: Final = "2000-01-01"
# How many digits a time of day has by its largest number: HHMM, HHMMSS, HHMMSS and milliseconds.
_TIME_DIGITS: Final = ((2359, 4), (235_959, 6), (235_959_999, 9))


def holds_dates(column: pd.Series) -> bool:
    """Say whether every value of a column is a date."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return True
    if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object) or not len(column):
        return False
    unique = column.drop_duplicates()
    return all(isinstance(value, str) for value in unique) and not bool(
        np.isnat(parse_dates(unique.to_numpy(dtype=object)).clock).any()
    )


_TIMED_BARS: Final = (
    "import intraday data with --freq, as --freq 5min; of daily bars that bear the time of their close, leave the time "
    "out of the column"
)


def read_sessions(
    dates: pd.Series,
    times: pd.Series | None,
    options: ReadOptions,
    where: str,
    first_row: int,
    *,
    timed_hint: str = _TIMED_BARS,
) -> NDArray[np.datetime64]:
    """Return the session of each row, to the second, in the market's time.

    Of a time of day that does not fit the frequency, `timed_hint` says what to do.

    Raises
    ------
    DataError
        For what is no date, for dates of which some show a zone or a time of day and others do not, and for
        sessions that do not fit the frequency.
    """
    column, texts = _read_column(dates, options.date_form, where)
    wrong = np.flatnonzero(np.isnat(column.clock))
    if len(wrong):
        raise _no_date(texts[wrong[0]], f"{where}, row {wrong[0] + first_row}")
    clock = _own_days(column, texts, dates, options)
    if clock is None:
        clock = _to_market(column, texts, dates, options, where, first_row)
    if options.intraday:
        clock = _with_times(clock, column, texts, times, where, first_row)
    seconds = clock.astype("datetime64[s]")
    if bool((seconds != clock).any()):
        raise DataError(f"{where}: there are dates with fractions of a second")
    timed = np.flatnonzero(seconds.astype("datetime64[D]") != seconds)
    if not options.intraday and len(timed):
        raise DataError(
            f"{where}, row {timed[0] + first_row}: {seconds[timed[0]]} has a time of day in daily data",
            hint=timed_hint,
        )
    return seconds


def _no_date(text: object, place: str) -> DataError:
    why = explain_no_date(str(text))
    hint = None
    if "number is the month" in why or "begin with the year" in why:
        hint = "say in which order its numbers stand: --date-form dmy, or --date-form mdy"
    elif "a count of" in why:
        hint = "say what is counted: --date-form epoch-s, epoch-ms, epoch-us or epoch-ns"
    return DataError(f"{place}: {str(text)!r} {why}", hint=hint)


def _read_column(column: pd.Series, form: str, where: str) -> tuple[DateColumn, NDArray[np.object_]]:
    """Return what each row shows, and its text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        stamps = pd.DatetimeIndex(column)
        zoned = stamps.tz is not None
        clock = (stamps.tz_convert("UTC").tz_localize(None) if zoned else stamps).to_numpy()
        exact = clock.astype("datetime64[us]")
        timed = bool((exact.astype("datetime64[D]") != exact)[~np.isnat(exact)].any())
        whole = np.ones(len(exact), bool)
        read = DateColumn(clock=exact, zoned=whole & zoned, timed=whole & timed)
        return read, column.astype("str").to_numpy(dtype=object)
    texts = _to_texts(column, where)
    places, unique = pd.factorize(texts)
    read = parse_dates(unique, form=form)
    return DateColumn(clock=read.clock[places], zoned=read.zoned[places], timed=read.timed[places]), texts


def _to_texts(column: pd.Series, where: str) -> NDArray[np.object_]:
    if pd.api.types.is_bool_dtype(column.dtype):
        raise DataError(f"{where}: the date column holds {column.dtype}, not dates")
    if pd.api.types.is_float_dtype(column.dtype):
        known = column.dropna()
        if bool((known != np.floor(known)).any()) or bool((known.abs() >= 2.0**53).any()):
            raise DataError(f"{where}: the date column holds {column.dtype}, not dates")
        column = column.map(lambda value: "" if pd.isna(value) else str(int(value)))
    return np.array(["" if value is None else str(value) for value in column.to_numpy(dtype=object)], dtype=object)


def _own_days(
    column: DateColumn, texts: NDArray[np.object_], dates: pd.Series, options: ReadOptions
) -> NDArray[np.datetime64] | None:
    """Return the days that midnights name in the zones they show, of a source that writes days so; else None."""
    if not (options.layout.own_days and options.timezone is None and not options.intraday and column.zoned.all()):
        return None
    if getattr(dates.dtype, "tz", None) is not None:
        local = pd.DatetimeIndex(dates).tz_localize(None).to_numpy().astype("datetime64[us]")
    else:
        local = parse_dates([_OFFSET.sub("", text) for text in texts]).clock
    at_midnight = bool((local.astype("datetime64[D]") == local).all()) and len(local) > 0
    return local if at_midnight else None


def _to_market(
    column: DateColumn, texts: NDArray[np.object_], dates: pd.Series, options: ReadOptions, where: str, first_row: int
) -> NDArray[np.datetime64]:
    """Return the clock of the market: what was shown, and instants in `options.timezone`."""
    if not column.zoned.any():
        return column.clock
    if not column.zoned.all():
        odd = np.flatnonzero(column.zoned != column.zoned[0])[0]
        one, other = (0, odd) if column.zoned[0] else (odd, 0)
        raise DataError(
            f"{where}, row {one + first_row}: {texts[one]!r} has a time zone, and row {other + first_row} has none"
        )
    if options.timezone is None:
        zone = getattr(dates.dtype, "tz", None)
        shown = f"the time zone {zone}" if zone is not None else f"a time zone, as {texts[0]!r}"
        if options.date_form.startswith("epoch"):
            shown = "been counted from 1970 in UTC"
        raise DataError(
            f"{where}: the dates have {shown}, and sessions are labels without one",
            hint="say with --timezone which zone the market's days are in, as Asia/Shanghai",
        )
    try:
        local = pd.DatetimeIndex(column.clock).tz_localize("UTC").tz_convert(options.timezone).tz_localize(None)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"{options.timezone!r} is not a time zone", hint="as Asia/Shanghai or America/New_York"
        ) from error
    moved: NDArray[np.datetime64] = local.to_numpy().astype("datetime64[us]")
    return moved


def _with_times(
    clock: NDArray[np.datetime64],
    column: DateColumn,
    texts: NDArray[np.object_],
    times: pd.Series | None,
    where: str,
    first_row: int,
) -> NDArray[np.datetime64]:
    """Return the clock with the time of day, which is in the date or in a column of its own."""
    if column.timed.all() and bool((clock.astype("datetime64[D]") != clock).any()):
        return clock
    if times is not None and not column.timed.any():
        return _join(clock, times, where, first_row)
    plain = np.flatnonzero(~column.timed)
    if len(plain) and column.timed.any():
        raise DataError(
            f"{where}, row {plain[0] + first_row}: {str(texts[plain[0]])!r} shows no time of day, and other rows do"
        )
    if times is not None:
        return _join(clock, times, where, first_row)
    raise DataError(
        f"{where}: every date is at midnight (row {first_row}: {str(texts[0])!r}), and the bars are intraday",
        hint="name the column that does: --time-column NAME, or --date-column NAME where date and time stand together",
    )


def _join(clock: NDArray[np.datetime64], times: pd.Series, where: str, first_row: int) -> NDArray[np.datetime64]:
    """Lay the times of a column of their own over the dates."""
    days = clock.astype("datetime64[D]").astype("datetime64[us]")
    if pd.api.types.is_timedelta64_dtype(times.dtype):
        spans = times.to_numpy().astype("timedelta64[us]")
        good = ~np.isnat(spans) & (spans >= np.timedelta64(0, "us")) & (spans < _DAY)
        _refuse_times(good, times.astype("str").to_numpy(dtype=object), times.name, where, first_row)
        at_time: NDArray[np.datetime64] = days + spans
        return at_time
    if pd.api.types.is_datetime64_any_dtype(times.dtype) and getattr(times.dtype, "tz", None) is None:
        moments = pd.DatetimeIndex(times).to_numpy().astype("datetime64[us]")
        texts = times.astype("str").to_numpy(dtype=object)
        full = np.ones(len(moments), bool)
    else:
        texts = _to_texts(times, where)
        places, unique = pd.factorize(texts)
        shown, dated = _read_times(unique)
        moments, full = shown[places], dated[places]
    _refuse_times(~np.isnat(moments), texts, times.name, where, first_row)
    own = moments.astype("datetime64[D]").astype("datetime64[us]")
    wrong = np.flatnonzero(full & (own != days))
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"{where}, row {at + first_row}: the column `{times.name}` is {texts[at]!r}, and the date is another: "
            f"{str(days[at])[:10]}"
        )
    joined: NDArray[np.datetime64] = days + (moments - own)
    return joined


def _read_times(texts: NDArray[np.object_]) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Return the moments that texts show, on any day where they show none, and which of them show a day too."""
    plain = [text.strip() for text in texts]
    numbers = [text for text in plain if text.isascii() and text.isdigit()]
    size = next((size for most, size in _TIME_DIGITS if max(map(int, numbers), default=0) <= most), 0)
    lengths = {len(text) for text in numbers}
    if len(lengths) == 1 and lengths <= {4, 6, 9} and any(text.startswith("0") for text in numbers):
        size = lengths.pop()
    full = parse_dates(plain)
    dated = ~np.isnat(full.clock) & full.timed & ~full.zoned
    alone = [
        f"{_ANY_DAY.replace('-', '')}{text.zfill(size)}" if size and text.isdigit() else f"{_ANY_DAY} {text}"
        for text in plain
    ]
    read = parse_dates(alone)
    clock = np.where(dated, full.clock, read.clock)
    clock[~dated & (read.zoned | ~read.timed)] = np.datetime64("NaT")
    return clock, dated


def _refuse_times(
    good: NDArray[np.bool_], texts: NDArray[np.object_], name: object, where: str, first_row: int
) -> None:
    wrong = np.flatnonzero(~good)
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"{where}, row {at + first_row}: the column `{name}` is {str(texts[at])!r}, which is not a time of day",
            hint="it stands beside the dates; name the right one with --time-column, or --drop it",
        )
