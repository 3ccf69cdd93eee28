"""Symbols of a source as codes of instruments: their form, what they lost, and what no folder can be named after."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import DataError, RollwrightError, UnknownInstrumentError, nearest
from rollwright.market.folder.layout import check_code
from rollwright.market.ingest.options import ReadOptions

__all__ = ["describe_rewritten", "find_code", "read_codes", "spell_as_qlib", "unique_forms"]

_EXCHANGES: Final = {"SH": "SH", "SS": "SH", "XSHG": "SH", "SZ": "SZ", "XSHE": "SZ", "BJ": "BJ", "XBSE": "BJ"}
_AFTER: Final = re.compile(r"(\d{6})[._](SH|SS|XSHG|SZ|XSHE|BJ|XBSE)", re.IGNORECASE)
_BEFORE: Final = re.compile(r"(sh|sz|bj)[._]?(\d{6})", re.IGNORECASE)
_DECIMAL: Final = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)
# Signs that traders use in symbols and file systems do not take.
_ODD: Final = re.compile(r"[!#$%*'()\[\]<>|\\~,;:?\"]")
_SHOWN: Final = 5
_LEAST_DIGITS: Final = 4  # of codes that exchanges make of digits alone


def read_codes(
    column: pd.Series, name: str, options: ReadOptions, where: str, first_row: int
) -> tuple[NDArray[np.object_], dict[str, str]]:
    """Return the code of each row, each distinct one checked, and the symbols that were rewritten.

    Raises
    ------
    DataError
        When a symbol is missing, was read as a number, or two of them would be one code.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_integer_dtype(column.dtype) and options.symbol_digits:
        column = column.astype("str")
    if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object):
        raise DataError(
            f"{where}: the symbol column holds {column.dtype}, and codes of instruments are text",
            hint="a code read as a number has lost its leading zeros (000001 became 1): read it as text, or say how "
            "many digits it has: --symbol-digits 6",
        )
    given = column.to_numpy(dtype=object)
    missing = np.flatnonzero(pd.isna(given))
    empty = missing if len(missing) else np.flatnonzero(given == "")
    if len(empty):
        raise DataError(f"{where}, row {empty[0] + first_row}: there is no symbol")
    places, distinct = pd.factorize(given)
    unique = list(distinct)
    _refuse_numbers(unique, name, options, where)
    codes: list[str] = []
    for at, symbol in enumerate(unique):
        try:
            codes.append(_to_code(symbol, options))
        except RollwrightError as error:
            row = int(np.flatnonzero(places == at)[0]) + first_row
            raise DataError(f"{where}, row {row}: {error.message}", hint=error.hint) from error
    _refuse_joined(unique, codes, where)
    changed = {str(old): new for old, new in zip(unique, codes, strict=True) if old != new}
    return np.array(codes, dtype=object)[places], changed


def _to_code(symbol: object, options: ReadOptions) -> str:
    if not isinstance(symbol, str):
        return check_code(symbol)
    code = symbol.strip()
    if options.symbol_digits and code.isascii() and code.isdigit():
        code = code.zfill(options.symbol_digits)
    if options.in_qlib_form:
        code = _to_qlib_form(code, boards=options.layout.boards)
    if ".." not in code and not code.startswith("/"):
        odd = _ODD.sub("_", code.replace("/", "-"))
        code = f"_{odd[1:]}" if odd.startswith(".") else odd
    return check_code(code)


def spell_as_qlib(code: str) -> str:
    """Return a Chinese code that names its exchange as Qlib does; any other as it is.

    ``600000.SH``, ``sh.600000`` and ``600000.XSHG`` become ``SH600000``; ``600000`` and ``AAPL`` stay.
    """
    return _to_qlib_form(code, boards=False)


def unique_forms(codes: Iterable[str]) -> dict[str, str]:
    """Return the codes by their form that other spellings share; forms that two codes share are left out."""
    forms: dict[str, str | None] = {}
    for code in codes:
        form = spell_as_qlib(code).lower()
        forms[form] = code if form not in forms else None
    return {form: code for form, code in forms.items() if code is not None}


def find_code(text: str, codes: Collection[str]) -> str:
    """Return the one of `codes` that a person means by `text`.

    Case does not count, nor how a Chinese exchange is written; six digits alone are the one code that has them.

    Raises
    ------
    UnknownInstrumentError
        When there is none, or digits fit several.
    """
    if text in codes:
        return text
    forms = unique_forms(codes)
    form = spell_as_qlib(text.strip()).lower()
    if form in forms:
        return forms[form]
    fits = [code for code in codes if form.isdigit() and re.sub(r"\D", "", code) == form]
    if len(fits) == 1:
        return fits[0]
    close = nearest(text, codes)
    hint = f"did you mean `{close}`?" if close else None
    what = f"one of {', '.join(sorted(fits))}" if fits else "no instrument of the market data"
    raise UnknownInstrumentError(f"`{text}` is {what}", hint=hint)


def _to_qlib_form(code: str, *, boards: bool) -> str:
    after, before = _AFTER.fullmatch(code), _BEFORE.fullmatch(code)
    if after:
        return f"{_EXCHANGES[after[2].upper()]}{after[1]}"
    if before:
        return f"{before[1].upper()}{before[2]}"
    if boards and re.fullmatch(r"\d{6}", code):
        return f"{_exchange_of(code)}{code}"
    return code


def _exchange_of(digits: str) -> str:
    """Return the exchange of a Chinese share, fund or bond by its first digits."""
    if digits.startswith(("4", "8", "92")):
        return "BJ"
    return "SH" if digits[0] in "569" else "SZ"


def _refuse_numbers(unique: Sequence[object], name: str, options: ReadOptions, where: str) -> None:
    """Refuse prices for symbols, and codes of which a spreadsheet took the zeros."""
    texts = [text.strip() for text in unique if isinstance(text, str)]
    prices = [text for text in texts if _DECIMAL.fullmatch(text)]
    if prices and 2 * len(prices) > len(texts):
        raise DataError(
            f"{where}: the symbol column `{name}` holds numbers such as {prices[0]}, not symbols",
            hint="a table with a column for each instrument is read with --wide FIELD, as --wide close",
        )
    digits = [text for text in texts if text.isascii() and text.isdigit()]
    if options.symbol_digits or not digits or len(digits) != len(texts):
        return
    if any(text.startswith("0") for text in digits):
        return
    short, longest = min(digits, key=len), max(digits, key=len)
    if len(short) < _LEAST_DIGITS or (len(short) < len(longest) and len(longest) in (5, 6)):
        example = f"`{short}`, and `{longest}`" if len(short) < len(longest) else f"`{short}`"
        raise DataError(
            f"{where}: the symbols are numbers of different lengths or of few digits ({example}): leading zeros were "
            "lost, as in a spreadsheet",
            hint=f"say how many digits they have: --symbol-digits {max(len(longest), 6)}; or, if they are right, "
            f"--symbol-digits {len(short)}",
        )


def _refuse_joined(unique: Sequence[object], codes: Sequence[str], where: str) -> None:
    seen: dict[str, object] = {}
    for old, new in zip(unique, codes, strict=True):
        twin = seen.setdefault(new, old)
        if twin != old:
            raise DataError(f"{where}: the symbols {twin!r} and {old!r} would both be `{new}`", hint="rename one")


def describe_rewritten(changed: Mapping[str, str]) -> str:
    """Return one sentence on the symbols that became other codes."""
    shown = ", ".join(f"{old} is {new}" for old, new in list(changed.items())[:_SHOWN])
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return f"symbols were rewritten: {shown}{more}"
