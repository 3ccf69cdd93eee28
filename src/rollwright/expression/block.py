"""One block of sessions and instruments in evaluation: the values of its terms, and the work that operators share.

The rows of a block are sessions of the calendar. Each term is computed on the rows of the block and on a `Margin`, the
rows before and after it that its readers need. Rows outside the series of a term (`term_rows`) hold NaN (truth values
hold anything) and never count as rows of a window.

Values and shared work are kept for as long as something reads them:

1. The engine computes the nodes of the plan in order and stores their values (`put`).
2. Operators over windows take what they have in common from `share`: the input without NaN, counts, sums, moments,
   sorted windows. The first operator that asks for it computes it.
3. When the last reader of a node is done, its values and the work on them are dropped (`drop`).
4. Some shared work is needed by few of many readers and is large. The plan knows its last reader, and the engine drops
   it there (`drop_shared`). What an operator reads beyond what it declares is computed again, with the same result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.periods import Interval
from rollwright.expression.extrema import Extrema
from rollwright.expression.moments import Counts, CrossMoments, Mask, Moments, Side, Sums
from rollwright.expression.term import UNBOUNDED, Constant, Term
from rollwright.expression.term_rows import TermRows
from rollwright.market.source import FieldKind

__all__ = ["Block", "Cells", "Family", "Margin", "PeriodColumns", "Values"]

Values: TypeAlias = NDArray[Any]
"""``[rows, columns]`` of float32, float64 or bool."""
Cells: TypeAlias = tuple[tuple[slice, int], ...]
"""Runs of rows, each in one column."""
Family: TypeAlias = tuple[str, tuple[Term, ...]]
T = TypeVar("T")
COUNTS_KEPT: Final = 2


class Margin(NamedTuple):
    """How many rows before and after those of the block a term is computed on."""

    before: int
    after: int


class PeriodColumns(NamedTuple):
    """What the columns of a block are whose rows are periods: one vintage each.

    Attributes
    ----------
    interval : Interval
        How long a period is.
    last : int64 ``[columns]``
        The ordinal of the period in the last row.
    kinds : mapping of str to FieldKind
        What the fields measure.
    """

    interval: Interval
    last: NDArray[np.int64]
    kinds: Mapping[str, FieldKind]


class Clean(NamedTuple):
    """The input of a window: float64 with zero where there is no value, and the mask of rows that have one."""

    values: NDArray[np.float64]
    mask: Mask


class Block:
    """Values of terms on the rows ``[start, stop)`` of the calendar and some instruments.

    Parameters
    ----------
    start, stop : int
        Calendar positions.
    rows : TermRows
        Where the series of each term begins and ends.
    margins : mapping of Term to Margin
    calls : mapping
        For each family of operators that share work the literals of every call, in order.
    calendar : datetime64 array
        The labels of all sessions.
    instruments : tuple of str
        The codes of the columns.
    freq : str
    allows_lookahead : bool
        Whether values may read later sessions.
    periods : PeriodColumns, optional
        Set where the rows are periods and not sessions.
    """

    def __init__(
        self,
        *,
        start: int,
        stop: int,
        rows: TermRows,
        margins: Mapping[Term, Margin],
        calls: Mapping[Family, tuple[tuple[Constant, ...], ...]],
        calendar: NDArray[np.datetime64],
        instruments: tuple[str, ...],
        freq: str,
        allows_lookahead: bool,
        periods: PeriodColumns | None = None,
    ) -> None:
        self.start = start
        self.stop = stop
        self.rows = rows
        self.instruments = instruments
        self.freq = freq
        self.allows_lookahead = allows_lookahead
        self.periods = periods
        self._margins = margins
        self._calls = calls
        self._calendar = calendar
        self._values: dict[Term, Values] = {}
        self._shared: dict[Term, dict[object, Any]] = {}
        self._counts: WeakValueDictionary[object, Counts] = WeakValueDictionary()
        self._inside: dict[tuple[int, Margin], NDArray[np.bool_]] = {}
        self._outside: dict[int, Cells] = {}
        self._latest_counts: deque[Counts] = deque(maxlen=COUNTS_KEPT)

    def drop_shared(self, pieces: Iterable[tuple[Term, object]]) -> None:
        """Drop pieces of shared work; the key None stands for all work on a source."""
        for source, key in pieces:
            if key is None:
                self._shared.pop(source, None)
            else:
                self._shared.get(source, {}).pop(key, None)

    @property
    def columns(self) -> int:
        """Number of instruments."""
        return self.rows.columns

    def margin(self, term: Term) -> Margin:
        """Return how many rows before and after the block `term` is computed on."""
        return self._margins[term]

    def length(self, term: Term) -> int:
        """Return how many rows `term` is computed on."""
        before, after = self._margins[term]
        return before + self.stop - self.start + after

    def after(self, term: Term) -> int:
        """Return how many rows after the last row of the block `term` is computed on."""
        return self._margins[term].after

    def calls(self, family: Family) -> tuple[tuple[Constant, ...], ...]:
        """Return the literals of every call of `family` in the plan, in order."""
        return self._calls[family]

    def in_series(self, term: Term) -> NDArray[np.bool_]:
        """Return which rows of `term` lie within its series: ``[rows, columns]``."""
        return self._in_series(term, self._margins[term])

    def in_series_on(self, source: Term, consumer: Term) -> NDArray[np.bool_]:
        """Return which rows of `consumer` lie within the series of `source`; a constant has the instrument's."""
        return self._in_series(source, self._margins[consumer])

    def _in_series(self, term: Term, margin: Margin) -> NDArray[np.bool_]:
        number = self.rows.number_of(term)
        inside = self._inside.get((number, margin))
        if inside is None:
            rows = np.arange(self.start - margin.before, self.stop + margin.after)[:, None]
            bounds = self.rows.bounds[number]
            inside = (rows >= bounds[None, :, 0]) & (rows < bounds[None, :, 1])
            self._inside[number, margin] = inside
        return inside

    def outside(self, term: Term) -> Cells:
        """Return which of the block's own rows lie outside the series of `term`."""
        number = self.rows.number_of(term)
        found = self._outside.get(number)
        if found is None:
            rows = self.stop - self.start
            bounds = np.clip(self.rows.bounds[number] - self.start, 0, rows).tolist()
            runs = (
                (run, column)
                for column, (first, last) in enumerate(bounds)
                for run in ((slice(0, first), slice(last, rows)) if first < last else (slice(0, rows),))
            )
            found = self._outside[number] = tuple((run, column) for run, column in runs if run.start < run.stop)
        return found

    def first_rows(self, term: Term) -> NDArray[np.int64]:
        """Return the row of `term` at which each series starts; negative when before the first row."""
        rows: NDArray[np.int64] = self.rows.of(term)[:, 0] - (self.start - self._margins[term].before)
        return rows

    def sessions(self, term: Term) -> NDArray[np.datetime64]:
        """Return the labels of the rows of `term`; rows outside the calendar get the label of its first or last one."""
        before, after = self._margins[term]
        rows = np.arange(self.start - before, self.stop + after)
        return self._calendar[np.clip(rows, 0, len(self._calendar) - 1)]

    # values

    def put(self, term: Term, values: Values) -> None:
        """Store the values of `term`, on its rows."""
        self._values[term] = values

    def drop(self, term: Term) -> None:
        """Drop the values of `term` and the work on them."""
        self._values.pop(term, None)
        self._shared.pop(term, None)

    def values(self, term: Term) -> Values:
        """Return the values of `term` on its own rows."""
        return self._values[term]

    def read(self, source: Term, consumer: Term, *, shift: int = 0) -> Any:
        """Return the values of `source` on the rows of `consumer`, `shift` rows earlier; a constant as a number."""
        if source.kind == "number":
            return source.value
        margin = self._margins[source]
        if not shift and margin == self._margins[consumer]:  # the usual case, quickly
            return self._values[source]
        return self.cut(self._values[source], margin.after, consumer, shift=shift)

    def cut(self, values: Values, after: int, consumer: Term, *, shift: int = 0) -> Values:
        """Return the rows of `consumer` from an array that ends `after` rows after the block, `shift` rows earlier."""
        stop = len(values) - (after - self._margins[consumer].after) - shift
        return values[stop - self.length(consumer) : stop]

    def unread(self, source: Term, consumer: Term, window: int) -> int:
        """Return how many of the first windows of `source` the `consumer` does not read.

        Of a short range that is most of them: five new sessions read five windows, whose ladder has sixty rows.
        """
        windows = self.length(source) - window + 1
        return windows - self.length(consumer) - (self._margins[source].after - self._margins[consumer].after)

    def numbers(self, source: Term, consumer: Term) -> Any:
        """Return `source` on the rows of `consumer`, with truth values as 1 and 0 and NaN outside its series.

        Truth values are float32 beside a series, and float64 beside a constant, as NumPy has it.
        """
        values = self.read(source, consumer)
        if isinstance(values, np.ndarray) and values.dtype == np.bool_:
            beside_constant = any(part.kind == "number" for part in consumer.inputs)
            missing = np.float64(np.nan) if beside_constant else np.float32(np.nan)
            return np.where(self.in_series_on(source, consumer), values, missing)
        return values

    def has_whole_windows(self, term: Term) -> NDArray[np.bool_]:
        """Return on the rows of a windowed call where its window has all values: ``[rows, columns]``.

        A window of all rows so far starts with the first row of the series, any other may not reach before it.
        """
        found = np.ones((self.length(term), self.columns), np.bool_)
        for source in term.inputs:
            if source.kind != "number":
                gaps = self.share(source, ("gaps", term.back), partial(self._gaps, source, term.back))
                found &= ~self.cut(gaps, self.after(source), term)
        return found

    def _gaps(self, source: Term, back: int) -> NDArray[np.bool_]:
        missing = ~np.isfinite(self.series(source))
        if back >= UNBOUNDED:
            return np.logical_or.accumulate(missing & self.in_series(source), axis=0)
        counts = np.cumsum(missing, axis=0, dtype=np.int32)
        counts[back + 1 :] -= counts[: -back - 1].copy()
        return counts > 0

    # shared work

    def share(self, source: Term, key: object, make: Callable[[], T]) -> T:
        """Return the work stored under `key` for `source`; `make` computes it when there is none."""
        store = self._shared.setdefault(source, {})
        if key not in store:
            store[key] = make()
        found: T = store[key]
        return found

    def clean(self, source: Term) -> Clean:
        """Return the values of `source` as the input of windows, in which infinities and NaN are no values."""
        return self.share(source, "clean", lambda: self._clean(source))

    def _clean(self, source: Term) -> Clean:
        values = self.series(source)
        mask = np.isfinite(values)
        if mask.all():
            return Clean(values.astype(np.float64), None)
        clean = np.zeros(values.shape)
        np.copyto(clean, values, where=mask)
        return Clean(clean, mask)

    def series(self, source: Term) -> Values:
        """Return the values of `source` as floats, NaN outside the series."""
        return self.share(source, "series", lambda: self._series(source))

    def _series(self, source: Term) -> Values:
        if source.kind == "number":
            return np.where(self.in_series(source), np.float64(source.value), np.nan)
        values = self._values[source]
        if values.dtype == np.bool_:
            return np.where(self.in_series(source), values, np.float32(np.nan)).astype(np.float32)
        return values

    def selectable(self, source: Term) -> Values:
        """Return the values of `source` as floats with NaN for "no value", for comparisons within windows."""
        return self.share(source, "selectable", lambda: self._selectable(source))

    def _selectable(self, source: Term) -> Values:
        values = self.series(source)
        finite = np.isfinite(values)
        return values if finite.all() else np.where(finite, values, values.dtype.type(np.nan))

    def is_single(self, source: Term) -> bool:
        """Whether the values of `source` are float32, whose sums are exact in float64 for any usual window."""
        return self.series(source).dtype == np.float32

    def counts_of(self, source: Term) -> Counts:
        """Return the counts of the valid rows of `source`."""
        return self.share(source, "counts", lambda: self.counts(self.clean(source).mask))

    def counts(self, mask: Mask) -> Counts:
        """Return the counts under `mask`: one object for all inputs with equal masks, for as long as one uses it.

        The latest stay a little longer, since the inputs that come one after another often have equal masks.
        """
        key = None if mask is None else (mask.shape, mask.tobytes())
        counts = self._counts.get(key)
        if counts is None:
            counts = Counts(mask)
            self._counts[key] = counts
        if counts not in self._latest_counts:
            self._latest_counts.append(counts)
        return counts

    def sums(self, source: Term) -> Sums:
        """Return the window sums of `source`."""
        return self.share(source, "sums", lambda: self._sums(source))

    def _sums(self, source: Term) -> Sums:
        clean = self.clean(source)
        return Sums(clean.values, self.counts_of(source))

    def moments(self, source: Term) -> Moments:
        """Return the window moments of `source`."""
        return self.share(source, "moments", lambda: self._moments(source))

    def _moments(self, source: Term) -> Moments:
        clean = self.clean(source)
        return Moments(clean.values, self.counts_of(source))

    def extrema(self, source: Term, *, largest: bool) -> Extrema:
        """Return the window maxima of `source`, or its minima."""
        return self.share(source, "maxima" if largest else "minima", lambda: self._extrema(source, largest=largest))

    def _extrema(self, source: Term, *, largest: bool) -> Extrema:
        values = self.selectable(source)
        missing = np.isnan(values)
        return Extrema(values, missing, gaps=missing & self.in_series(source), largest=largest)

    def cross_moments(self, left: Term, right: Term) -> CrossMoments:
        """Return the window products of two inputs over the rows where both have a value."""
        return self.share(left, ("cross", right), lambda: self._cross_moments(left, right))

    def pair(self, left: Term, right: Term) -> tuple[tuple[Values, Values], Mask, int]:
        """Return two inputs on their common rows (zero where either has no value), their mask, and the rows after."""
        common, masks = self._common(left, right)
        joint = _both(*masks)
        values = [self._within(self.clean(source).values, source, common) for source in (left, right)]
        weight: Any = 1.0 if joint is None else joint
        return (values[0] * weight, values[1] * weight), joint, common.after

    def _common(self, left: Term, right: Term) -> tuple[Margin, list[Mask]]:
        common = Margin(*map(min, self._margins[left], self._margins[right]))
        return common, [self._within(self.clean(source).mask, source, common) for source in (left, right)]

    def _cross_moments(self, left: Term, right: Term) -> CrossMoments:
        common, masks = self._common(left, right)
        joint = _both(*masks)
        counts = self.counts(joint)
        first, second = (
            self._side(source, common, joint, counts, is_own=_is_same(mask, joint))
            for source, mask in zip((left, right), masks, strict=True)
        )
        return CrossMoments(first, second, counts, after=common.after)

    def _side(self, source: Term, common: Margin, joint: Mask, counts: Counts, *, is_own: bool) -> Side:
        margin = self._margins[source]
        if is_own:
            return Side(self.moments(source), margin.before - common.before, margin.after - common.after)
        values = self._within(self.clean(source).values, source, common)
        return Side(Moments(values if joint is None else values * joint, counts), 0, 0)

    def _within(self, values: Any, source: Term, common: Margin) -> Any:
        """Return the part of `values` with the narrower margin `common`."""
        margin = self._margins[source]
        if values is None:
            return None
        return values[margin.before - common.before : len(values) - (margin.after - common.after)]


def _both(left: Mask, right: Mask) -> Mask:
    if left is None or right is None:
        return right if left is None else left
    return left & right


def _is_same(left: Mask, right: Mask) -> bool:
    if left is None or right is None:
        return left is right
    return np.array_equal(left, right)
