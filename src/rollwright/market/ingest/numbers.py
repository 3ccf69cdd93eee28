"""Numbers written as text for people: with signs between thousands, a decimal comma, a currency, a percent sign.

A form is taken only where the text shows it. ``1,234.5`` and ``1,234,567`` have signs between thousands, ``1,5`` and
``1.234,50`` a decimal comma; ``1,234`` alone shows neither, and is decided by the other numbers of its table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["find_decimal_sign", "read_numbers"]

_CURRENCY: Final = r"(?:US\$|HK\$|[$€£¥￥])"
_SHAPE: Final = re.compile(rf"(?P<sign>[+-]?){_CURRENCY}? ?(?P<minus>-?)(?P<digits>[\d.,]+) ?(?P<unit>%|[KMBT]|万|亿)?")
_PLAIN: Final = re.compile(r"\d+(\.\d*)?|\.\d+")
_UNITS: Final = {"%": 1e-2, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "万": 1e4, "亿": 1e8}
# By the sign of the decimals: numbers in groups of three, and numbers that can be nothing else.
_GROUPED: Final = {
    ".": re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?"),
    ",": re.compile(r"\d{1,3}(\.\d{3})+(,\d*)?|\d+,\d+"),
}
_SURE: Final = {
    ".": re.compile(r"\d{1,3}(,\d{3}){2,}(\.\d*)?|\d{1,3}(,\d{3})+\.\d*"),
    ",": re.compile(r"\d{1,3}(\.\d{3}){2,}(,\d*)?|\d{1,3}(\.\d{3})+,\d*|\d{4,},\d+|0\d*,\d+|\d+,(\d{1,2}|\d{4,})"),
}


def find_decimal_sign(columns: Iterable[pd.Series], *, delimiter: str | None) -> str | None:
    """Return the sign before the decimals in columns of text: ``.`` or ``,``; None where they do not show it.

    Parameters
    ----------
    columns : iterable of Series
    delimiter : str or None
        Between the columns of the file, if it is one: who separates columns by commas does not write decimals so.
    """
    shown = {
        sign
        for column in columns
        for text in {value for value in column if isinstance(value, str)}
        if (match := _SHAPE.fullmatch(text.strip()))
        for sign, sure in _SURE.items()
        if sure.fullmatch(match["digits"])
    }
    if len(shown) == 1:
        return shown.pop()
    return "." if not shown and delimiter == "," else None


def read_numbers(
    column: pd.Series, *, decimal: str | None, with_units: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the numbers of a column of text; NaN where there is none.

    Parameters
    ----------
    column : Series
    decimal : str or None
        As `find_decimal_sign` says; None when numbers with commas are none.
    with_units : bool
        Whether ``1.2M`` and ``3.4亿`` are numbers.

    Returns
    -------
    values : ndarray of float64
        A percentage is the ratio: ``1.5%`` is 0.015.
    wrong : ndarray of bool
        Where there is something that is no number.
    percent : ndarray of bool
        Where there is a percent sign.
    """
    texts = column.map(lambda value: isinstance(value, str)) if decimal == "," else None
    plain = pd.to_numeric(column if texts is None else column.mask(texts.astype(bool)), errors="coerce")
    values = np.array(plain.to_numpy(dtype=np.float64, na_value=np.nan))
    wrong: NDArray[np.bool_] = np.isnan(values) & column.notna().to_numpy(dtype=bool)
    percent = np.zeros(len(values), bool)
    given = column.to_numpy(dtype=object)
    rows = np.flatnonzero(wrong)
    rows = rows[np.array([isinstance(value, str) for value in given[rows]], bool)]
    places, unique = pd.factorize(given[rows])
    read = [_read(text, decimal, with_units=with_units) for text in unique]
    values[rows] = np.array([value for value, _ in read], np.float64)[places]
    percent[rows] = np.array([is_percent for _, is_percent in read], bool)[places]
    wrong[rows] = np.isnan(values[rows])
    return values, wrong, percent


def _read(text: str, decimal: str | None, *, with_units: bool) -> tuple[float, bool]:
    """Return the number that a text is, or NaN, and whether it is a percentage."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None or (match["sign"] and match["minus"]):
        return np.nan, False
    digits, unit = match["digits"], match["unit"]
    if decimal is not None and _GROUPED[decimal].fullmatch(digits):
        digits = digits.replace("." if decimal == "," else ",", "").replace(",", ".")
    elif not _PLAIN.fullmatch(digits) or (decimal == "," and "." in digits):
        return np.nan, False
    if unit not in (None, "%") and not with_units:
        return np.nan, False
    value = float(digits) * _UNITS.get(unit or "", 1.0)
    return (-value if "-" in (match["sign"], match["minus"]) else value), unit == "%"
