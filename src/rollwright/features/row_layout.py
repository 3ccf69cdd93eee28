"""Which rows a matrix has, and how they are numbered: sessions first, instruments by code within a session."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.market.source import Lifetimes

__all__ = ["RowLayout", "Spans", "join_spans", "spans_of_bounds", "spans_of_lifetimes"]

Spans: TypeAlias = NDArray[np.int64]


def spans_of_bounds(bounds: NDArray[np.int64], *, sessions: int) -> Spans:
    """Return the spans (instrument, first, one past last) of series `bounds`, cut to the first `sessions`."""
    first, last = bounds[:, 0], np.minimum(bounds[:, 1], sessions)
    used = np.flatnonzero(first < last)
    return np.stack([used, first[used], last[used]], axis=1).astype(np.int64)


def spans_of_lifetimes(
    lifetimes: Lifetimes, instruments: Sequence[str], bounds: NDArray[np.int64], calendar: TradingCalendar
) -> Spans:
    """Return the spans in which instruments belong to a universe and have a series.

    1. Convert the first and last session of all lifetimes to calendar positions, all at once.
    2. Cut each to the bounds of the series of its instrument; members without a series are left out.
    3. Merge lifetimes of one instrument that overlap or touch, and sort by instrument and session.
    """
    place = {code: number for number, code in enumerate(instruments)}
    labels = calendar.values[: calendar.known]
    known = [(place[code], ranges) for code, ranges in lifetimes.items() if code in place]
    starts = np.array([_label(start) for _, ranges in known for start, _ in ranges], dtype="datetime64[s]")
    ends = np.array([_label(end) for _, ranges in known for _, end in ranges], dtype="datetime64[s]")
    cuts = zip(
        np.searchsorted(labels, starts, side="left").tolist(),
        np.searchsorted(labels, ends, side="right").tolist(),
        strict=True,
    )
    low, high = bounds[:, 0].tolist(), np.minimum(bounds[:, 1], calendar.known).tolist()
    rows: list[tuple[int, int, int]] = []
    for number, ranges in known:
        own = sorted((max(low[number], first), min(high[number], last)) for first, last in islice(cuts, len(ranges)))
        rows.extend((number, first, last) for first, last in _merge_ranges(own))
    rows.sort()
    return np.array(rows, dtype=np.int64).reshape(len(rows), 3)


def join_spans(parts: Sequence[Spans]) -> Spans:
    """Return the spans that cover what any of `parts` covers, merged where they overlap or touch."""
    ranges: dict[int, list[tuple[int, int]]] = {}
    for part in parts:
        for number, first, last in part.tolist():
            ranges.setdefault(number, []).append((first, last))
    rows = [(number, *span) for number in sorted(ranges) for span in _merge_ranges(sorted(ranges[number]))]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 3)


def _label(session: Session) -> np.datetime64:
    return session.to_datetime64()


def _merge_ranges(cuts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in cuts:
        if first >= last:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """The rows of a matrix and their numbers: by session, and within a session by instrument code.

    Attributes
    ----------
    instruments : tuple of str
        Sorted by code.
    spans : int64 ``[m, 3]``
        Instrument, first session and one past the last, sorted and disjoint. Only rows inside them exist.
    sessions : int
        Number of sessions that are covered, from the first of the calendar.
    present : bool ``[n]`` or None
        Which of the rows inside the spans exist, in order; all if None.
    offsets : int64 ``[sessions + 1]``
        Row number at which each session begins.
    """

    instruments: tuple[str, ...]
    spans: Spans
    sessions: int
    present: NDArray[np.bool_] | None = None
    offsets: NDArray[np.int64] = field(init=False)
    _inside: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        steps = np.zeros(self.sessions + 1, dtype=np.int64)
        np.add.at(steps, self.spans[:, 1], 1)
        np.add.at(steps, self.spans[:, 2], -1)
        offsets = np.zeros(self.sessions + 1, dtype=np.int64)
        np.cumsum(np.cumsum(steps)[:-1], out=offsets[1:])
        object.__setattr__(self, "_inside", offsets)
        if self.present is not None:
            counts = np.concatenate([[0], np.cumsum(self.present, dtype=np.int64)])
            offsets = counts[offsets]
        object.__setattr__(self, "offsets", offsets)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.offsets[-1])

    def has_row(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return ``[last - first, instruments]``: whether there is a row."""
        mask = np.zeros((last - first, len(self.instruments)), dtype=np.bool_)
        for number, start, stop in self.spans.tolist():
            mask[max(start - first, 0) : max(stop - first, 0), number] = True
        if self.present is not None:
            mask[mask] = self.present_in(first, last)
        return mask

    def present_in(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return which of the rows inside the spans exist in the sessions ``[first, last)``."""
        low, high = int(self._inside[first]), int(self._inside[last])
        return np.ones(high - low, dtype=np.bool_) if self.present is None else self.present[low:high]

    def locate(self, first: int, last: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return for each row of the sessions ``[first, last)`` its session, counted from `first`, and instrument."""
        sessions, instruments = np.nonzero(self.has_row(first, last))
        return sessions, instruments

    def row_numbers(self, first: int, last: int) -> NDArray[np.int64]:
        """Return ``[last - first, instruments]``: the row number, or -1 where there is no row."""
        mask = self.has_row(first, last)
        numbers = np.cumsum(mask, axis=1, dtype=np.int64)
        numbers += self.offsets[first:last, None] - 1
        numbers[~mask] = -1
        return numbers

    def first_difference(self, other: RowLayout) -> int:
        """Return the first session whose rows differ between the layouts; earlier rows have the same numbers in both.

        1. Find the first session at which the spans differ (`_first_other_span`).
        2. If rows inside the spans are left out, compare which ones, up to that session.
        """
        earliest = self._first_other_span(other)
        if self.present is None and other.present is None:
            return earliest
        rows = int(self._inside[earliest])
        differs = self.present_in(0, earliest) != other.present_in(0, earliest)
        at = int(np.argmax(differs)) if differs.any() else rows
        return earliest if at == rows else int(np.searchsorted(self._inside, at, side="right")) - 1

    def _first_other_span(self, other: RowLayout) -> int:
        earliest = min(self.sessions, other.sessions)
        if self.instruments == other.instruments and np.array_equal(self.spans[:, :2], other.spans[:, :2]):
            ends = np.stack([self.spans[:, 2], other.spans[:, 2]])
            return int(ends.min(axis=0).min(initial=earliest, where=ends[0] != ends[1]))
        mine, theirs = self._by_code(), other._by_code()
        for code in mine.keys() | theirs.keys():
            for one, two in zip_longest(mine.get(code, ()), theirs.get(code, ())):
                if one == two:
                    continue
                if one is None or two is None or one[0] != two[0]:
                    earliest = min(earliest, *(span[0] for span in (one, two) if span is not None))
                else:
                    earliest = min(earliest, one[1], two[1])
                break
        return earliest

    def _by_code(self) -> dict[str, list[tuple[int, int]]]:
        spans: dict[str, list[tuple[int, int]]] = {}
        for number, first, last in self.spans.tolist():
            spans.setdefault(self.instruments[number], []).append((first, last))
        return spans

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form that `from_json` reads."""
        form = {"instruments": list(self.instruments), "spans": self.spans.tolist(), "sessions": self.sessions}
        if self.present is not None:
            bits = zlib.compress(np.packbits(self.present).tobytes())
            form |= {"kept": base64.b64encode(bits).decode("ascii"), "inside": len(self.present)}
        return form

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RowLayout:
        """Return the layout that `to_json` wrote."""
        spans = np.array(value["spans"], dtype=np.int64).reshape(len(value["spans"]), 3)
        present = None
        if "kept" in value:
            bits = np.frombuffer(zlib.decompress(base64.b64decode(value["kept"])), dtype=np.uint8)
            present = np.unpackbits(bits, count=int(value["inside"])).astype(np.bool_)
        return cls(
            instruments=tuple(value["instruments"]), spans=spans, sessions=int(value["sessions"]), present=present
        )
