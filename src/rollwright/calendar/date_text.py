"""Dates written as text: the day, the time of day and the zone that a text shows.

What a text does not show is not added: a time without a zone is the clock it names and no instant, ``04/01/2010`` is
no date before somebody says which number is the month, and a number is not a date unless it has the digits of one.
Every place that reads a date from text reads it here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["DATE_FORMS", "DateColumn", "explain_no_date", "normalize_date_text", "parse_date", "parse_dates"]

DATE_FORMS: Final = ("ymd", "dmy", "mdy", "epoch-s", "epoch-ms", "epoch-us", "epoch-ns")
"""What may be declared of dates: the order of their numbers, or that they count from 1970-01-01 00:00 UTC."""

_YEARS: Final = (1600, 9999)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = "(?P<month>[A-Za-z]{3,9})"
_TWO_NUMBERS: Final = r"(?P<first>9{1,2})(?P<mark>[-/.])(?P<second>9{1,2})(?P=mark)(?P<year>9999)"
# Shapes are texts whose digits are all 9; these are the heads that show a day.
_DAYS: Final = (
    re.compile(r"(?P<year>9999)(?P<mark>[-/.])(?P<m>9{1,2})(?P=mark)(?P<d>9{1,2})"),
    re.compile(r"(?P<year>9999)年(?P<m>9{1,2})月(?P<d>9{1,2})日"),
    re.compile(rf"(?P<d>9{{1,2}})[- ]{_MONTH}[- ,]+(?P<year>9999)"),
    re.compile(rf"{_MONTH} (?P<d>9{{1,2}}),? (?P<year>9999)"),
)
_DECLARED: Final = re.compile(_TWO_NUMBERS)
_COMPACT: Final = re.compile(r"(?P<year>9999)(?P<m>99)(?P<d>99)")
_ZONE: Final = r"(?: ?(?P<zone>Z|z|UTC|GMT|(?P<sign>[+-])(?P<zh>99)(?::?(?P<zm>99))?))?"
_TIME: Final = re.compile(
    rf"(?:[Tt]|[ ]+)(?P<H>9{{1,2}}):(?P<M>99)(?::(?P<S>99)(?:[.,](?P<f>9{{1,9}}))?)?(?: ?(?P<half>[AaPp][Mm]))?{_ZONE}"
)
_COMPACT_TIME: Final = re.compile(rf"[Tt ]?(?P<H>99)(?P<M>99)(?:(?P<S>99)(?:\.?(?P<f>999(?:999)?))?)?{_ZONE}")
_EPOCH_UNITS: Final = {"epoch-s": "s", "epoch-ms": "ms", "epoch-us": "us", "epoch-ns": "ns"}
_MICROSECONDS: Final = 86_400_000_000
_NO_DATES: Final = (
    (re.compile(r"\d{4}([-/.]\d{1,2})?"), "names no day"),
    (
        re.compile(r"\d{10}|\d{13}|\d{16}|\d{19}"),
        "is not a date (it may be a count of seconds, or of parts of them, since 1970)",
    ),
    (
        re.compile(r"\d{4}.*\d ?([A-Z]{2,5}|\[.+\]|[A-Z][a-z]+/\w+)"),
        "is not a date (a zone is read as Z or +08:00, not by a name)",
    ),
    (
        re.compile(r"[34]\d{4}(\.\d+)?"),
        "is not a date (it may be a spreadsheet's number of a day: save the column as text)",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateColumn:
    """What a column of texts shows.

    Attributes
    ----------
    clock : ndarray of datetime64[us]
        The date and the time shown; NaT for what is not a date. Of a text that shows a zone, the instant in UTC.
    zoned : ndarray of bool
        Whether the text shows a zone.
    timed : ndarray of bool
        Whether the text shows a time of day.
    """

    clock: NDArray[np.datetime64]
    zoned: NDArray[np.bool_]
    timed: NDArray[np.bool_]


def parse_dates(texts: Sequence[str] | NDArray[np.object_], *, form: str = "ymd") -> DateColumn:
    """Return what each of `texts` shows; texts of several forms may stand beside one another.

    Parameters
    ----------
    texts : sequence of str
    form : str
        One of `DATE_FORMS`; ``ymd`` when nothing was declared.
    """
    given = np.asarray(texts, dtype=object)
    count = len(given)
    clock = np.full(count, np.datetime64("NaT", "us"), "datetime64[us]")
    zoned, timed = np.zeros(count, bool), np.zeros(count, bool)
    if not count:
        return DateColumn(clock=clock, zoned=zoned, timed=timed)
    stripped = np.array([text.strip() for text in given], dtype=np.str_)
    if form in _EPOCH_UNITS:
        return _count_from_epoch(stripped, _EPOCH_UNITS[form])
    width = max(stripped.dtype.itemsize // 4, 1)
    letters = np.ascontiguousarray(stripped).view(np.uint32).reshape(count, width).astype(np.int64)
    is_digit = (letters >= ord("0")) & (letters <= ord("9"))
    shapes = np.where(is_digit, ord("9"), letters).astype(np.uint32).view(f"U{width}").ravel()
    groups, names = pd.factorize(shapes.astype(object))
    for number, shape in enumerate(names):
        spans = _find_parts(str(shape), form)
        if spans is None:
            continue
        rows = np.flatnonzero(groups == number)
        clock[rows] = _compose(letters[rows] - ord("0"), spans)
        zoned[rows] = "zone" in spans
        timed[rows] = "H" in spans
    return DateColumn(clock=clock, zoned=zoned & ~np.isnat(clock), timed=timed)


def parse_date(text: str, *, form: str = "ymd") -> tuple[pd.Timestamp | None, bool]:
    """Return the timestamp that `text` shows, or None, and whether it shows a zone."""
    column = parse_dates([text], form=form)
    if np.isnat(column.clock[0]):
        return None, False
    return pd.Timestamp(column.clock[0]), bool(column.zoned[0])


def normalize_date_text(text: str) -> str | None:
    """Return `text` as ``YYYY-MM-DD``, with the time of day where it shows one; None for what is no plain date."""
    column = parse_dates([text])
    if np.isnat(column.clock[0]) or column.zoned[0]:
        return None
    shown = str(pd.Timestamp(column.clock[0]))
    return shown if column.timed[0] else shown[:10]


def explain_no_date(text: str) -> str:
    """Return why `text` is not a date, to stand after the text itself."""
    plain = text.strip()
    numbers = re.match(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(?!\d)", plain)
    if numbers:
        return _explain_order(int(numbers[1]), int(numbers[2]), numbers[3])
    if _find_parts(re.sub(r"\d", "9", plain), "ymd") is not None:
        return "is not a date: there is no such day or time"
    return next((why for form, why in _NO_DATES if form.fullmatch(plain)), "is not a date")


def _explain_order(first: int, second: int, year: str) -> str:
    if len(year) == 2:
        return "does not show which of its numbers is the year"
    if 1 <= first <= 12 and 1 <= second <= 12 and first != second:
        days = f"{second} {_name(first)} or {first} {_name(second)}"
        return f"does not show which number is the month: it could be {days}"
    return "does not begin with the year"


def _name(month: int) -> str:
    return _MONTHS[month - 1].capitalize()


def _count_from_epoch(texts: NDArray[np.str_], unit: str) -> DateColumn:
    numbers = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=np.float64)
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**62)
    counts = np.array([int(float(t)) if "." in t else int(t) if ok else 0 for t, ok in zip(texts, whole, strict=True)])
    clock = counts.astype(f"datetime64[{unit}]").astype("datetime64[us]")
    clock[~whole] = np.datetime64("NaT")
    return DateColumn(clock=clock, zoned=whole, timed=whole)


def _find_parts(shape: str, form: str) -> dict[str, tuple[int, int] | str] | None:
    """Return where the parts of a date stand in texts of this shape; None when they show no day."""
    heads = [(pattern, _TIME) for pattern in _DAYS]
    heads.append((_COMPACT, _COMPACT_TIME if re.match(r"9{8}[Tt ]?99(?!:)", shape) else _TIME))
    if form in ("dmy", "mdy"):
        heads.append((_DECLARED, _TIME))
    for pattern, time in heads:
        head = pattern.match(shape)
        if head is None:
            continue
        rest = shape[head.end() :]
        tail = time.fullmatch(rest) if rest else None
        if rest and tail is None:
            continue
        spans: dict[str, tuple[int, int] | str] = {key: head.span(key) for key in head.groupdict()}
        if "first" in spans:
            spans["d"], spans["m"] = (spans["first"], spans["second"]) if form == "dmy" else (
                spans["second"], spans["first"])  # fmt: skip
        if "month" in spans:
            month = head["month"].lower()
            if not _is_month(month):
                continue
            spans["month"] = month
        for key, value in (tail.groupdict() if tail is not None else {}).items():
            if value is not None and tail is not None:
                low, high = tail.span(key)
                spans[key] = value if key in ("half", "sign", "zone") else (low + head.end(), high + head.end())
        return spans
    return None


def _is_month(name: str) -> bool:
    return name[:3] in _MONTHS and any(
        whole.lower().startswith(name) and (len(name) == 3 or len(name) == len(whole) or name == "sept")
        for whole in ("January", "February", "March", "April", "May", "June", "July", "August", "September",
                      "October", "November", "December")
    )  # fmt: skip


def _compose(digits: NDArray[np.int64], spans: dict[str, tuple[int, int] | str]) -> NDArray[np.datetime64]:
    """Return the moments of texts of one shape; NaT where a part is out of its range."""

    def number(key: str) -> NDArray[np.int64]:
        span = spans.get(key)
        total = np.zeros(len(digits), np.int64)
        if isinstance(span, tuple):
            for place in range(*span):
                total = total * 10 + digits[:, place]
        return total

    name = spans.get("month")
    year, day = number("year"), number("d")
    month = np.full(len(digits), _MONTHS.index(name[:3]) + 1) if isinstance(name, str) else number("m")
    hour, minute, second = number("H"), number("M"), number("S")
    good = (year >= _YEARS[0]) & (year <= _YEARS[1]) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    good &= (hour < 24) & (minute < 60) & (second < 60)
    if "half" in spans:
        good &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + (12 if str(spans["half"]).lower() == "pm" else 0)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    good &= days.astype("datetime64[M]") == months
    fraction = number("f")
    span = spans.get("f")
    if isinstance(span, tuple):
        size = span[1] - span[0]
        good &= fraction % 10 ** max(size - 6, 0) == 0  # what is finer than a microsecond has no session
        fraction = fraction * 10 ** (6 - size) if size <= 6 else fraction // 10 ** (size - 6)
    microseconds = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
    if "sign" in spans:
        offset = (number("zh") * 60 + number("zm")) * 60_000_000
        good &= (offset < _MICROSECONDS) & (number("zm") < 60)
        microseconds = microseconds - (offset if spans["sign"] == "+" else -offset)
    clock: NDArray[np.datetime64] = days.astype("datetime64[us]") + microseconds
    clock[~good] = np.datetime64("NaT")
    return clock
