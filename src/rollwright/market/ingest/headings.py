"""What the headings of a table mean: the column of symbols, of dates and of times, and the field of any other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from rollwright.errors import DataError, UnknownFieldError, nearest
from rollwright.market.folder.layout import BASE_FIELDS, check_field
from rollwright.market.ingest.options import ReadOptions

__all__ = [
    "DATE_NAMES", "SYMBOL_NAMES", "TIME_NAMES", "FieldColumn", "Headings", "find_column", "is_known_field",
    "is_unnamed", "lacks_column", "read_headings", "role_names",
]  # fmt: skip

SYMBOL_NAMES: Final = (
    "symbol", "instrument", "code", "ticker", "stock_code", "ts_code", "sec_code", "order_book_id", "security",
    "股票代码", "证券代码", "基金代码", "指数代码", "合约代码", "代码", "name",
)  # fmt: skip
DATE_NAMES: Final = (
    "date", "datetime", "timestamp", "trade_date", "trading_date", "交易日期", "日期", "time", "trade_time", "day",
    "交易时间", "时间", "交易日",
)  # fmt: skip
TIME_NAMES: Final = ("time", "trade_time", "bar_time", "minute", "时间", "交易时间", "datetime", "timestamp")
# Spellings of fields that are known; a column of any other name becomes a field of that name.
FIELD_NAMES: Final[Mapping[str, str]] = {
    "adj_close": "adjclose", "adj close": "adjclose", "adjusted_close": "adjclose", "adjusted close": "adjclose",
    "adj. close": "adjclose", "adj.close": "adjclose", "adjclose": "adjclose", "vol": "volume",
    "turnover_value": "amount", "adj_factor": "factor", "adjfactor": "factor", "复权因子": "factor",
    "开盘": "open", "开盘价": "open", "今开": "open", "收盘": "close", "收盘价": "close", "最高": "high",
    "最高价": "high", "最低": "low", "最低价": "low", "均价": "vwap", "成交均价": "vwap", "成交量": "volume",
    "成交额": "amount", "成交金额": "amount", "换手率": "turnover", "turnover": "turnover", "振幅": "amplitude",
    "涨跌幅": "pct_chg", "涨跌": "chg", "涨跌额": "chg", "昨收": "pre_close", "昨收价": "pre_close",
    "前收盘": "pre_close", "前收盘价": "pre_close", "close/last": "close", "vol.": "volume", "total_turnover": "amount",
}  # fmt: skip
# What a unit in a heading multiplies with to give shares, yuan or whatever the currency is; a percentage stays one.
_UNITS: Final[Mapping[str, float]] = {
    "股": 1, "手": 100, "万股": 1e4, "百万股": 1e6, "亿股": 1e8, "万手": 1e6, "元": 1, "千元": 1e3, "万元": 1e4,
    "万": 1e4, "百万元": 1e6, "百万": 1e6, "亿元": 1e8, "亿": 1e8, "%": 1, "点": 1, "港元": 1, "美元": 1,
    "人民币": 1, "shares": 1, "cny": 1, "rmb": 1, "usd": 1, "hkd": 1, "$": 1, "¥": 1, "x": 1,
}  # fmt: skip
_WITH_UNIT: Final = re.compile(r"(.+?)[\s_]*[(（\[【]\s*([^()（）\[\]【】]*?)\s*[)）\]】]")
_UNNAMED: Final = re.compile(r"|unnamed: ?\d+(_level_\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldColumn:
    """A column that becomes a field: its name in the source, the field, and what its values are multiplied with."""

    column: str
    field: str
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Headings:
    """What each column is.

    Attributes
    ----------
    symbol, date, time : str or None
        Columns; None where there is none.
    fields : tuple of FieldColumn
    left_out : tuple of str
        Columns that cannot be fields, or are further dates and symbols.
    """

    symbol: str | None
    date: str | None
    time: str | None
    fields: tuple[FieldColumn, ...]
    left_out: tuple[str, ...]


def is_unnamed(column: str) -> bool:
    """Say whether the name is what an index without one is written as."""
    return _UNNAMED.fullmatch(column.strip()) is not None


def role_names(options: ReadOptions) -> frozenset[str]:
    """Return the lower-case names of columns that may be symbol, date or time, and so have to be read as text."""
    declared = (options.column_of(role) for role in ("symbol", "date", "time"))
    return frozenset({*SYMBOL_NAMES, *DATE_NAMES, *TIME_NAMES, *(name.lower() for name in declared if name)})


def find_column(columns: Iterable[str], wanted: str | None, aliases: Sequence[str]) -> str | None:
    """Return the column meant by `wanted`, or the first alias there is, in any case."""
    lowered = {column.strip().lower(): column for column in reversed(list(columns))}
    for name in (wanted,) if wanted else aliases:
        if name.strip().lower() in lowered:
            return lowered[name.strip().lower()]
    return None


def is_known_field(column: str) -> bool:
    """Say whether a column's name is one of the fields that tables of prices usually have."""
    plain, _ = _split_unit(column)
    return plain in FIELD_NAMES or plain in BASE_FIELDS


def read_headings(columns: Sequence[str], options: ReadOptions, where: str) -> Headings:
    """Return what the columns of a table are.

    Raises
    ------
    DataError
        When a column that was named is not there, or two columns are one field.
    """
    for name in (*options.columns, *options.drop):
        if find_column(columns, name, ()) is None:
            raise lacks_column(where, "", name, columns)
    dropped = {find_column(columns, name, ()) for name in options.drop}
    kept = [column for column in columns if column not in dropped]
    symbol = None if options.symbol else find_column(kept, options.column_of("symbol"), SYMBOL_NAMES)
    date = find_column([c for c in kept if c != symbol], options.column_of("date"), DATE_NAMES)
    rest = [column for column in kept if column not in (symbol, date)]
    time = find_column(rest, options.column_of("time"), TIME_NAMES) if options.intraday else None
    for role, found in (("symbol", symbol), ("date", date), ("time", time)):
        wanted = options.column_of(role)
        if wanted and found is None and not (role == "time" and not options.intraday):
            raise lacks_column(where, role, wanted, columns)
    fields, left_out = _read_fields([c for c in rest if c != time], options, where)
    return Headings(symbol=symbol, date=date, time=time, fields=fields, left_out=left_out)


def _read_fields(
    columns: Sequence[str], options: ReadOptions, where: str
) -> tuple[tuple[FieldColumn, ...], tuple[str, ...]]:
    fields: list[FieldColumn] = []
    left_out: list[str] = []
    mapped = {name.strip().lower(): target for name, target in options.columns.items()}
    idle = role_names(options)
    taken: dict[str, str] = {}
    plain_names = {column.strip().lower().removeprefix("$") for column in columns}
    spelled = {name for name in plain_names - {*options.layout.drop} if options.layout.columns.get(name, name) == name}
    for column in columns:
        lowered = column.strip().lower()
        plain, _ = _split_unit(column)
        target = mapped.get(lowered)
        skip = plain in options.layout.drop or lowered in idle or is_unnamed(column)
        skip = target.strip().lower() in ("symbol", "date", "time") if target is not None else skip
        found = None if skip else _read_field(column, target, options, spelled)
        if found is None:
            left_out.append(column)
            continue
        if found.field in taken:
            raise DataError(
                f"{where} has two columns for the field `{found.field}`: `{taken[found.field]}` and `{column}`",
                hint=f"leave one out: --drop '{column}'",
            )
        taken[found.field] = column
        fields.append(found)
    return tuple(fields), tuple(left_out)


def _read_field(column: str, target: str | None, options: ReadOptions, spelled: AbstractSet[str]) -> FieldColumn | None:
    """Return the field that a column becomes; None when its name cannot be one.

    A heading that means a field which another column bears by its own name (`spelled`) stands for itself: `收盘` beside
    `close` is a field `收盘`.
    """
    plain, unit = _split_unit(column)
    layout = options.layout
    hidden = layout.scales.get(plain, 1.0) if not (layout.daily_scales and options.intraday) else 1.0
    scale = _UNITS.get(unit, 1.0) if unit and unit != "%" else hidden
    if target is not None:
        return FieldColumn(column=column, field=check_field(target.strip().removeprefix("$")), scale=1.0)
    known = layout.columns.get(plain, FIELD_NAMES.get(plain, plain if plain in BASE_FIELDS else None))
    if known is not None and known != plain and known in spelled and not unit:
        known = None
    if known is not None and (not unit or unit in _UNITS):
        return FieldColumn(column=column, field=known, scale=scale)
    name = column.strip().lower().removeprefix("$").replace(" ", "_").replace("-", "_").replace(".", "_")
    try:
        return FieldColumn(column=column, field=check_field(name), scale=1.0)
    except UnknownFieldError:
        return None


def _split_unit(column: str) -> tuple[str, str]:
    """Return a heading in lower case without its unit, and the unit."""
    plain = column.strip().lower().removeprefix("$")
    match = _WITH_UNIT.fullmatch(plain)
    return (match[1].strip(), match[2]) if match and match[2] in _UNITS else (plain, "")


def lacks_column(where: str, role: str, wanted: str, columns: Iterable[str]) -> DataError:
    """Return the error for a table without a column that it needs."""
    close = nearest(wanted, list(columns))
    also = f"; did you mean `{close}`?" if close else ""
    what, option = (f"{role} column", f"--{role}-column") if role else ("column", "--map NAME=FIELD or --drop NAME")
    return DataError(
        f"{where} has no {what} `{wanted}` (it has: {', '.join(columns)})", hint=f"name it with {option}{also}"
    )
