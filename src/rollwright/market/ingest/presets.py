"""Layouts of files that well-known sources give, and what is assumed of each.

A preset says only what the file itself does not: the meaning of its headings, the units they hide, the form of its
symbols, and whether its prices are raw. What a preset assumes is told when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["PRESETS", "Preset", "guess_preset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What is assumed of one source's files.

    Attributes
    ----------
    columns : mapping
        Fields by lower-case headings, beside the ones that are known anyway.
    scales : mapping
        By lower-case heading, what a value is multiplied with; a unit in the heading itself goes before it.
    drop : tuple of str
        Lower-case headings of columns that would mislead: prices that no factor adjusts.
    daily_scales : bool
        Whether `scales` hold for daily bars alone.
    qlib_symbols : bool
        Whether symbols become Qlib's (``SH600000``).
    boards : bool
        Whether a symbol of six digits alone is a Chinese share, whose exchange its first digits tell.
    adjust : bool
        Whether prices are raw, and a factor or ``Adj Close`` beside them adjusts them.
    own_days : bool
        Whether a midnight with an offset names the day of its exchange.
    marks : frozenset of str
        Lower-case headings that together are this source's alone.
    says : str
        What is assumed, in one sentence.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    daily_scales: bool = False
    qlib_symbols: bool = False
    boards: bool = False
    adjust: bool = False
    own_days: bool = False
    marks: frozenset[str] = frozenset()
    says: str = ""


_LOT: Final = 100.0
_PERCENT: Final = 0.01

PRESETS: Final[Mapping[str, Preset]] = {
    "yahoo": Preset(
        drop=("capital gains",),
        qlib_symbols=True,
        adjust=True,
        own_days=True,
        says="prices are adjusted for splits only, and are adjusted here by Adj Close; volumes are shares",
    ),
    "tushare": Preset(
        columns={"pct_chg": "change", "涨跌幅": "change"},
        scales={"vol": _LOT, "成交量": _LOT, "amount": 1000.0, "成交额": 1000.0, "pct_chg": _PERCENT,
                "涨跌幅": _PERCENT},
        drop=("change", "pre_close", "涨跌额", "昨收价", "昨收"),
        daily_scales=True,
        qlib_symbols=True,
        boards=True,
        adjust=True,
        marks=frozenset(("ts_code", "trade_date", "vol")),
        says="daily vol is lots of 100 shares and amount thousands of yuan; pct_chg is percent and becomes change; "
        "prices are raw, and are adjusted here where adj_factor is joined",
    ),
    "akshare": Preset(
        columns={"涨跌幅": "change"},
        scales={"成交量": _LOT, "涨跌幅": _PERCENT},
        drop=("涨跌额",),
        qlib_symbols=True,
        boards=True,
        marks=frozenset(("日期", "开盘", "收盘", "涨跌额")),
        says="成交量 is lots of 100 shares; 涨跌幅 is percent and becomes change; a code of six digits is a share; "
        "prices are as they were asked for (adjust=\"\", qfq or hfq), which the file does not tell",
    ),
    "baostock": Preset(
        columns={"pctchg": "change", "turn": "turnover"},
        scales={"pctchg": _PERCENT},
        drop=("preclose", "adjustflag"),
        qlib_symbols=True,
        marks=frozenset(("preclose", "pctchg")),
        says="volume is shares and amount yuan; pctChg is percent and becomes change; prices are as adjustflag says",
    ),
    "wind": Preset(
        columns={"amt": "amount", "pct_chg": "change", "涨跌幅": "change", "turn": "turnover"},
        scales={"pct_chg": _PERCENT, "涨跌幅": _PERCENT},
        drop=("chg", "涨跌", "涨跌额", "pre_close", "前收盘价"),
        qlib_symbols=True,
        adjust=True,
        says="units are those of the headings, else shares and yuan; pct_chg is percent and becomes change; prices are "
        "raw, and are adjusted here where adjfactor is given",
    ),
    "joinquant": Preset(
        columns={"money": "amount", "avg": "vwap"},
        drop=("pre_close",),
        qlib_symbols=True,
        says="volume is shares and money yuan; prices and volumes are adjusted as get_price does by default (fq='pre')",
    ),
}  # fmt: skip


def guess_preset(columns: Iterable[str]) -> str | None:
    """Return the preset whose headings a table has; None when they are nobody's in particular."""
    lowered = {column.strip().lower() for column in columns}
    return next((name for name, preset in PRESETS.items() if preset.marks and preset.marks <= lowered), None)
