"""The bytes of a field by period: a file of records and an index of them, both little-endian.

``<field>.data`` holds 20 bytes a record, in the order in which the values became known::

    date u4     YYYYMMDD, the day it became known
    period u4   what it is about: YYYYQQ, YYYY, YYYYMM or YYYYMMDD
    value f8
    next u4     place of the next record of the same period, in bytes; 0xFFFFFFFF where there is none

``<field>.index`` holds the first year, then for each period from its first on the place of its first record, and
0xFFFFFFFF where there is none. A dated field, which Qlib does not know, has no index.

All but dates, periods and values follows from the order of the records, so it is never followed when they are read: it
is computed, and held against what stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.periods import (
    PERIODS_PER_YEAR,
    Interval,
    are_periods,
    to_day_numbers,
    to_days,
    to_ordinals,
)
from rollwright.errors import CorruptFileError

__all__ = ["RECORD", "PeriodRecords", "check_index", "decode_records", "encode_records", "has_index"]

RECORD: Final = np.dtype([("date", "<u4"), ("period", "<u4"), ("value", "<f8"), ("next", "<u4")])
_WORD: Final = np.dtype("<u4")
_NONE: Final = 0xFFFFFFFF
_MOST: Final = _NONE // RECORD.itemsize
"""Records whose places four bytes can name."""


class PeriodRecords(NamedTuple):
    """Records of one field of some instruments, those of instrument ``i`` at ``offsets[i]`` up to ``offsets[i + 1]``.

    Attributes
    ----------
    offsets : int64 ``[instruments + 1]``
    day : datetime64[D] ``[records]``
        When each became known; ascending within an instrument. Of two of one day and period the later one counts.
    period : int64 ``[records]``
    value : float64 ``[records]``
        NaN says that the value was withdrawn.
    """

    offsets: NDArray[np.int64]
    day: NDArray[np.datetime64]
    period: NDArray[np.int64]
    value: NDArray[np.float64]


def has_index(interval: Interval) -> bool:
    """Say whether the records of such a field have an index: not those of days, which would be mostly empty."""
    return interval != "d"


def encode_records(
    day: NDArray[np.datetime64], period: NDArray[np.int64], value: NDArray[np.float64], interval: Interval
) -> tuple[bytes, bytes | None]:
    """Return the bytes of the records of one instrument, sorted by day and period, and of their index if any.

    Raises
    ------
    CalendarError
        For a period that is none of `interval`.
    ValueError
        For no records, or more than places can be named for.
    """
    if not 0 < len(day) <= _MOST:
        raise ValueError(f"{len(day)} records of a field")
    table = np.empty(len(day), RECORD)
    table["date"] = to_day_numbers(day)
    table["period"] = period
    table["value"] = value
    table["next"] = _links(np.zeros(len(day), np.int64), period, np.zeros(1, np.int64))
    return table.tobytes(), _encode_index(to_ordinals(period, interval), interval) if has_index(interval) else None


def _encode_index(ordinals: NDArray[np.int64], interval: Interval, years: tuple[int, int] | None = None) -> bytes:
    """Return the index of records in order, over `years`; over those of the records if not given."""
    per_year = PERIODS_PER_YEAR[interval]
    first, last = years or (int(ordinals.min()) // per_year, int(ordinals.max()) // per_year)
    words = np.full(1 + (last - first + 1) * per_year, _NONE, _WORD)
    words[0] = first
    found, places = np.unique(ordinals, return_index=True)
    words[1 + found - first * per_year] = places * RECORD.itemsize
    return words.tobytes()


def _links(owner: NDArray[np.int64], period: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each record the place of the next one of its instrument and period, in bytes of its file."""
    order = np.lexsort((period, owner))
    links = np.full(len(period), _NONE, np.int64)
    follows = (np.diff(owner[order]) == 0) & (np.diff(period[order]) == 0)
    links[order[:-1][follows]] = (order[1:][follows] - starts[owner[order[1:][follows]]]) * RECORD.itemsize
    return links


def decode_records(parts: Sequence[bytes], paths: Sequence[str], interval: Interval) -> PeriodRecords:
    """Return the records that files hold, in their order.

    Parameters
    ----------
    parts : sequence of bytes
        Of each file all bytes; an empty one where there is no file.
    paths : sequence of str
        Where each was read, for messages.
    interval : Interval

    Raises
    ------
    CorruptFileError
        For a length that is no number of records, a date or a period that is none, dates that do not ascend, and a
        link that does not lead to the next record of its period.
    """
    sizes = np.array([len(part) for part in parts], np.int64)
    torn = np.flatnonzero(sizes % RECORD.itemsize)
    if len(torn):
        at = int(torn[0])
        raise CorruptFileError(
            paths[at], f"its {sizes[at]:,} bytes are no whole number of records of {RECORD.itemsize}"
        )
    counts = sizes // RECORD.itemsize
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    owner = np.repeat(np.arange(len(parts)), counts)
    table = np.frombuffer(b"".join(parts), RECORD)
    checks = _Checks(table, owner, offsets, paths)
    day = checks.days()
    period = checks.periods(interval)
    checks.links(period)
    return PeriodRecords(offsets=offsets, day=day, period=period, value=table["value"].astype(np.float64))


class _Checks:
    """Records of several files, each column held against what it may be."""

    def __init__(
        self, table: NDArray[np.void], owner: NDArray[np.int64], offsets: NDArray[np.int64], paths: Sequence[str]
    ) -> None:
        self._table = table
        self._owner = owner
        self._offsets = offsets
        self._paths = paths

    def _refuse(self, wrong: NDArray[np.bool_], why: str) -> None:
        """Raise about the first record where `wrong`; ``{name}`` in `why` stands for a column of it."""
        if not wrong.any():
            return
        at = int(np.argmax(wrong))
        row = at - int(self._offsets[self._owner[at]])
        values = {name: int(self._table[name][at]) for name in ("date", "period", "next")}
        raise CorruptFileError(
            self._paths[self._owner[at]], f"record {row} (byte {row * RECORD.itemsize}): {why.format(**values)}"
        )

    def days(self) -> NDArray[np.datetime64]:
        dates = self._table["date"].astype(np.int64)
        self._refuse(~are_periods(dates, "d"), "its date {date} is none")
        earlier = np.zeros(len(dates), np.bool_)
        earlier[1:] = (np.diff(dates) < 0) & (np.diff(self._owner) == 0)
        self._refuse(earlier, "its date {date} is before that of the record in front of it")
        return to_days(dates)

    def periods(self, interval: Interval) -> NDArray[np.int64]:
        periods = self._table["period"].astype(np.int64)
        self._refuse(~are_periods(periods, interval), "its period {period} is none of the field's")
        return periods

    def links(self, period: NDArray[np.int64]) -> None:
        due = _links(self._owner, period, self._offsets[:-1])
        found = self._table["next"].astype(np.int64)
        wrong = found != due
        if not wrong.any():
            return
        at = int(np.argmax(wrong))
        start, stop = self._offsets[self._owner[at]], self._offsets[self._owner[at] + 1]
        here = (at - start) * RECORD.itemsize
        if found[at] == _NONE:
            why = f"it is said to be the last of period {period[at]}, and a later one is at byte {due[at]}"
        elif found[at] % RECORD.itemsize or found[at] >= (stop - start) * RECORD.itemsize:
            why = "its link to byte {next} leads to no record of the file"
        elif found[at] <= here:
            why = "its link to byte {next} does not lead on, so that who followed it would not end"
        else:
            why = "its link to byte {next} does not lead to the next record of its period"
        self._refuse(wrong, why)


def check_index(data: bytes, records: NDArray[np.int64], path: str, interval: Interval) -> None:
    """Refuse an index that does not say where the first record of each period is.

    Parameters
    ----------
    data : bytes
        Of the index.
    records : int64 ``[records]``
        The periods of the records, in their order.
    path : str
        Of the index, for messages.
    interval : Interval

    Raises
    ------
    CorruptFileError
    """
    per_year = PERIODS_PER_YEAR[interval]
    count = len(data) // _WORD.itemsize - 1
    if len(data) % _WORD.itemsize or count < per_year or count % per_year:
        raise CorruptFileError(path, f"its {len(data):,} bytes are no first year and {per_year} places a year")
    ordinals = to_ordinals(records, interval)
    first = int(np.frombuffer(data, _WORD, 1)[0])
    last = first + count // per_year - 1
    if first > int(ordinals.min()) // per_year or last < int(ordinals.max()) // per_year:
        raise CorruptFileError(
            path,
            f"it covers the years {first} to {last}, and the records those from {int(ordinals.min()) // per_year} to "
            f"{int(ordinals.max()) // per_year}",
        )
    due = np.frombuffer(_encode_index(ordinals, interval, (first, last)), _WORD)
    found = np.frombuffer(data, _WORD)
    wrong = np.flatnonzero(found != due)
    if len(wrong):
        at = int(wrong[0])
        raise CorruptFileError(
            path, f"place {at - 1} is byte {_say(found[at])}, and the first record of that period is at {_say(due[at])}"
        )


def _say(place: np.uint32) -> str:
    return "nowhere" if int(place) == _NONE else str(int(place))
