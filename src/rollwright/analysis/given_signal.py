"""A signal that was not made here: scores and labels from a file, and labels computed from an expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from rollwright.analysis.panel import Frame, take_column
from rollwright.codecs.external_parquet import read_table
from rollwright.core.bounded_read import open_regular
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError, UnknownInstrumentError, nearest
from rollwright.expression.engine import evaluate
from rollwright.expression.label_reach import LabelReach
from rollwright.expression.planner import compile_plan
from rollwright.market.ingest.symbols import spell_as_qlib, unique_forms
from rollwright.market.seal import find_holdout
from rollwright.market.source import DataSource
from rollwright.market.view import view

__all__ = [
    "DEFAULT_LABEL",
    "KnownLabel",
    "arrange_signal",
    "compute_label",
    "find_label",
    "fit_to_market",
    "is_signal_file",
    "read_signal",
]

DEFAULT_LABEL: Final = "Ref($close, -2)/Ref($close, -1) - 1"
"""The return from the close of the session after a score to the next close: `Alpha158`'s label."""

Kind: TypeAlias = Literal["score", "label"]
_SUFFIXES: Final = (".csv", ".parquet", ".pq")
_DATES: Final = ("datetime", "date", "trade_date", "tradedate", "day")
_CODES: Final = ("instrument", "code", "symbol", "ticker", "ts_code", "asset", "stock", "stock_code", "order_book_id")
_VALUES: Final[dict[Kind, tuple[str, ...]]] = {
    "score": ("score", "pred", "prediction", "signal", "factor", "alpha", "value"),
    "label": ("label", "label0", "return", "ret", "y", "value"),
}
_COMPACT: Final = "%Y%m%d"
_UNSURE: Final = r"\s*\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}.*"  # 04/01/2010: day or month first?
_OFFSET: Final = r"(?<=\d\d:\d\d)([:.\d]*)\s*(?:Z|UTC|[+-]\d{2}:?\d{2})$"
_NAMELESS: Final = "Unnamed: 0"  # what pandas calls the first column of a file whose header begins with a comma
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownLabel:
    """A label, and how far it reads.

    Attributes
    ----------
    values : Series
        By (datetime, instrument).
    text : str
        Its expression, or the name of its file.
    span, horizon : int or None
        As `LabelReach` has them; None when that is not known.
    """

    values: pd.Series
    text: str
    span: int | None
    horizon: int | None


def is_signal_file(path: Path) -> bool:
    """Tell whether `read_signal` would read the file: by its name, ``.csv`` or ``.parquet``."""
    return path.suffix.lower() in _SUFFIXES


def read_signal(path: Path, *, kind: Kind = "score") -> pd.Series:
    """Return the scores, or labels, in a table of other programs.

    Its rows have a date, an instrument and a value, as columns or in the index, under the names that are usual
    (``date``, ``datetime``; ``instrument``, ``code``, ``symbol``; ``score``, ``pred``, ``signal``); where no name of a
    value is known, the one column of numbers that is left. A table in wide form has a column of dates and one for each
    instrument. Rows without a value are left out. A midnight of any time zone is the date that it shows.

    Parameters
    ----------
    path : Path
        ``.csv`` (UTF-8; codes are read as text, so that ``000001`` stays what it is) or ``.parquet``.
    kind : {"score", "label"}

    Returns
    -------
    Series
        float64, named `kind`, index (datetime, instrument), sorted.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    CorruptFileError
        When it cannot be read.
    DataError
        When a column is missing, a date is none, has a time of day or may begin with day or month, a value is no
        number, a row is there twice, or there is none.
    """
    if not is_signal_file(path):
        raise DataError(f"{path} is no table of {kind}s that is read", hint="give a .csv or a .parquet file")
    if not path.exists():
        raise DataNotFoundError(path, f"there is no such file of {kind}s", hint="look at its path")
    return arrange_signal(_read(path), kind=kind, where=str(path))


def _read(path: Path) -> pd.DataFrame:
    if path.suffix.lower() != ".csv":
        return read_table(path)
    try:
        with open_regular(path) as file:
            return pd.read_csv(file, dtype=str, encoding="utf-8-sig", keep_default_na=False, skipinitialspace=True)
    except pd.errors.EmptyDataError as error:
        raise DataError(
            f"{path} is empty", hint="write a line of names, as date,instrument,score, and a row for each"
        ) from error
    except (OSError, ValueError) as error:  # of pandas, too
        raise CorruptFileError(path, f"it cannot be read as CSV: {str(error).splitlines()[0][:200]}") from error


def arrange_signal(table: Frame, *, kind: Kind = "score", where: str) -> pd.Series:
    """Return the scores, or labels, of a table as `read_signal` does.

    Parameters
    ----------
    table : DataFrame or Series
        With date and instrument as columns or as levels of the index.
    kind : {"score", "label"}
    where : str
        What messages call it.

    Raises
    ------
    DataError
    """
    frame = table.to_frame(str(table.name or kind)) if isinstance(table, pd.Series) else table
    frame = _melt(_without_index(frame), kind)
    date = _find_column(frame, _DATES, "date", where)
    code = _find_column(frame, _CODES, "instrument", where)
    value = _find_value(frame, kind, (date, code), where)
    values = _to_numbers(frame[value], value, where)
    known = values.notna().to_numpy()
    codes = frame[code].astype("str").str.strip()
    if frame[code].isna().any() or (codes == "").any():
        raise DataError(f"{where} has rows without an instrument in its column `{code}`", hint="leave them out")
    index = pd.MultiIndex.from_arrays(
        [_to_days(frame[date], date, where)[known], pd.Index(codes)[known]], names=["datetime", "instrument"]
    )
    if not len(index):
        raise DataError(f"{where} has no row with a {kind}", hint="look at what wrote it: all values are missing")
    twice = index.duplicated()
    if twice.any():
        day, name = index[twice][0]
        more = f", and {twice.sum() - 1:,} rows more like it" if twice.sum() > 1 else ""
        raise DataError(
            f"{where} has the row of {name} on {day:%Y-%m-%d} more than once{more}",
            hint=f"keep the one {kind} of each date and instrument that is meant",
        )
    return pd.Series(values.to_numpy()[known], index=index, name=kind).sort_index()


def _without_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with the levels of its index as columns; nameless ones are known by their type."""
    index = frame.index
    if any(name is not None for name in index.names):
        return frame.reset_index()
    if isinstance(index, pd.DatetimeIndex):
        return frame.rename_axis("datetime").reset_index()
    if index.nlevels == 2:
        dated = [isinstance(level, pd.DatetimeIndex) for level in index.levels]  # type: ignore[attr-defined]  # a MultiIndex
        if sum(dated) == 1:
            return frame.rename_axis(["datetime" if day else "instrument" for day in dated]).reset_index()
    return frame


def _melt(frame: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    """Return a table in wide form, a column of dates and one for each instrument, in long form; another as it is."""
    names = {str(column).strip().lower(): column for column in frame.columns}
    date = next((names[name] for name in (*_DATES, _NAMELESS.lower()) if name in names), None)
    if date is None or len(frame.columns) < 3 or not names.keys().isdisjoint((*_CODES, *_VALUES[kind])):
        return frame
    return frame.rename(columns={date: "datetime"}).melt("datetime", var_name="instrument", value_name=kind)


def _find_column(frame: pd.DataFrame, known: Sequence[str], what: str, where: str) -> Any:
    names = {str(column).strip().lower(): column for column in reversed(frame.columns)}
    for name in known:
        if name in names:
            return names[name]
    other = next((sign for sign in (";", "\t", "|") if len(frame.columns) == 1 and sign in str(frame.columns[0])), None)
    raise DataError(
        f"{where} has no column that is its {what}: it has {_list([*frame.columns])}",
        hint=f"separate columns by commas, not by {other!r}"
        if other
        else f"call it `{known[0]}`; also known: {', '.join(known[1:])}",
    )


def _list(names: Sequence[Any]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(map(str, names[:_SHOWN]))}{more}" if len(names) else "none"


def _find_value(frame: pd.DataFrame, kind: Kind, taken: tuple[Any, Any], where: str) -> Any:
    left = [column for column in frame.columns if column not in taken]
    names = {str(column).strip().lower(): column for column in reversed(left)}
    for name in _VALUES[kind]:
        if name in names:
            return names[name]
    if len(left) == 1:
        return left[0]
    raise DataError(
        f"{where} has {len(left)} columns beside date and instrument, and none is called `{kind}`: {_list(left)}",
        hint=f"call the one that is meant `{kind}`",
    )


def _to_numbers(column: pd.Series, name: Any, where: str) -> pd.Series:
    texts = column.replace("", np.nan) if column.dtype.kind not in "fiub" else column
    numbers = pd.to_numeric(texts, errors="coerce").astype(np.float64)
    wrong = numbers.isna() & texts.notna() & (texts.astype("str").str.lower() != "nan")
    if wrong.any():
        raise DataError(
            f"{where} has {texts[wrong].iloc[0]!r} in its column `{name}`, which is no number",
            hint="leave a missing value empty, and write 0.5 with a point",
        )
    if np.isinf(numbers).any():
        raise DataError(f"{where} has infinite numbers in its column `{name}`", hint="leave them empty")
    return numbers


def _to_days(column: pd.Series, name: Any, where: str) -> pd.DatetimeIndex:
    texts = column.astype("str")
    compact = column.dtype.kind in "iu" or texts.str.fullmatch(r"\d{8}").all()
    if isinstance(column.dtype, pd.StringDtype) or column.dtype == object:
        unsure = texts[texts.str.fullmatch(_UNSURE)]
        if len(unsure):
            raise DataError(
                f"{where} has dates such as {unsure.iloc[0].strip()} in its column `{name}`, which may begin with the "
                "day or with the month",
                hint="write dates as 2020-01-31",
            )
        column = texts.str.replace(_OFFSET, r"\1", regex=True).where(column.notna())  # the date that is shown
    try:
        found = pd.to_datetime(texts, format=_COMPACT) if compact else pd.to_datetime(column)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{where} has something in its column `{name}` that is no date: {str(error).splitlines()[0][:120]}",
            hint="write dates as 2020-01-31",
        ) from error
    days = pd.DatetimeIndex(found)
    if days.tz is not None:
        days = days.tz_localize(None)
    if days.isna().any():
        raise DataError(f"{where} has rows without a date in its column `{name}`")
    if (days != days.normalize()).any():
        raise DataError(
            f"{where} has times of day in its column `{name}`, as {days[days != days.normalize()][0]}",
            hint="a signal is daily: give the session's date; midnights that were turned into UTC are turned back with "
            "`.dt.tz_convert('America/New_York')`, or whatever the market's zone is",
        )
    return days.as_unit("s")  # that of a calendar


def fit_to_market(signal: pd.Series, source: DataSource, *, what: str = "prediction") -> pd.Series:
    """Return `signal` with instruments spelled as `source` spells them; find out whether all rows are of its sessions.

    Raises
    ------
    UnknownInstrumentError
        For instruments that the market does not have. Case does not count, nor whether the exchange is written as in
        ``SH600000``, ``600000.SH``, ``sh.600000`` or ``600000.XSHG``.
    DataError
        For days that are no sessions.
    HoldoutSealedError
        For days in the sealed holdout.
    """
    source = view(source)
    codes = signal.index.get_level_values("instrument")
    names = codes.unique()
    known = set(source.instruments())
    forms = unique_forms(known)
    spelled = {name: name if name in known else forms.get(spell_as_qlib(str(name)).lower()) for name in names}
    unknown = [str(name) for name, code in spelled.items() if code is None]
    if unknown:
        near = nearest(unknown[0], known)
        raise UnknownInstrumentError(
            f"{len(unknown)} of the {len(names)} instruments of the {what} are not in the market data: "
            f"{', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}",
            hint=f"did you mean `{near}`?"
            if near
            else f"the market spells them as {', '.join(sorted(known)[:3])}; leave the rows of others out, or import "
            "their prices",
        )
    days = pd.DatetimeIndex(signal.index.get_level_values("datetime").unique())
    source.calendar().refuse_sealed(end=days.max())
    sessions = source.calendar().to_index()[: source.calendar().known]
    strange = days[~days.isin(sessions)]
    if len(strange):
        raise DataError(
            f"{len(strange)} of the {len(days)} days of the {what} are no sessions of the market data, as "
            f"{strange.min():%Y-%m-%d}",
            hint=f"its sessions go from {sessions[0]:%Y-%m-%d} to {sessions[-1]:%Y-%m-%d}",
        )
    if any(name != code for name, code in spelled.items()):
        renamed = signal.rename(index=spelled, level="instrument")
        if not renamed.index.is_unique:
            raise DataError(f"the {what} spells an instrument in two ways")
        return renamed.sort_index()
    return signal


def compute_label(expression: str, index: pd.MultiIndex, source: DataSource) -> KnownLabel:
    """Return the label that `expression` gives for the rows of `index`, which `fit_to_market` accepted.

    Returns
    -------
    KnownLabel
        Values float32; NaN where the future that it reads is not known.

    .. warning:: **Look-ahead.** A label reads later sessions. It judges a signal, and is never an input of one.

    Raises
    ------
    ExpressionError, UnknownFieldError
    """
    source = view(source)
    reach = LabelReach.of_expressions([expression])
    plan = compile_plan((expression,), allow_lookahead=True)
    days = pd.DatetimeIndex(index.get_level_values("datetime"))
    names = index.get_level_values("instrument")
    codes = sorted(names.unique())
    calendar = source.calendar()
    sessions = calendar.to_index()
    low, high = calendar.at_or_after(days.min()), calendar.at_or_before(days.max())
    values = np.full((high + 1 - low, len(codes)), np.nan, dtype=np.float32)
    for tile in evaluate(plan, source, instruments=codes, start=low, stop=high + 1):
        values[tile.rows.start - low : tile.rows.stop - low, tile.columns] = tile.values[0]
    cells = values[sessions.get_indexer(days) - low, pd.Index(codes).get_indexer(names)]
    return KnownLabel(
        values=pd.Series(cells, index=index, name="label"),
        text=expression,
        span=reach.span,
        horizon=reach.horizon,
    )


def find_label(
    label: str | Frame | None,
    signal: pd.Series,
    source: DataSource | None,
    *,
    span: int | None = None,
    horizon: int | None = None,
) -> KnownLabel:
    """Return the label that a signal is judged by.

    Parameters
    ----------
    label : str, DataFrame, Series or None
        An expression; the path of a file, ending with ``.csv`` or ``.parquet``; the labels themselves; `DEFAULT_LABEL`
        if not given.
    signal : Series
        As `fit_to_market` returns it.
    source : DataSource or None
        What an expression is computed on.
    span, horizon : int, optional
        Of labels that are no expression, as `KnownLabel` has them.

    Raises
    ------
    DataError
        When an expression is given without a market, and as `read_signal` and `compute_label`.
    HoldoutSealedError
        When the signal has days in the sealed holdout: judging it there is a look, wherever the labels come from.
    """
    holdout = find_holdout()
    if holdout is not None and len(signal):
        holdout.refuse(signal.index.get_level_values("datetime").max())
    if label is None or (isinstance(label, str) and not is_signal_file(Path(label))):
        if source is None:
            raise DataError("a label that is computed needs market data", hint="give the market, or labels in a file")
        return compute_label(DEFAULT_LABEL if label is None else label, _two_levels(signal), source)
    if isinstance(label, str):
        values, text = read_signal(Path(label), kind="label"), Path(label).name
    else:
        values, text = arrange_signal(take_column(label, what="label"), kind="label", where="the label"), "given"
    if source is not None:
        values = fit_to_market(values, source, what="label")
    return KnownLabel(values=values.reindex(signal.index), text=text, span=span, horizon=horizon)


def _two_levels(signal: pd.Series) -> pd.MultiIndex:
    if not isinstance(signal.index, pd.MultiIndex):
        raise DataError("the prediction is not indexed by (datetime, instrument)")
    return signal.index
