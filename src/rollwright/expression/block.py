"""One block of rows and columns under evaluation, and the work its operators share.

Rows lie on the calendar. A term is computed on the rows its consumers want of it: some before the block, some after.
Rows outside an instrument's series hold NaN (False for truth values) and never count as rows of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.extrema import Extrema
from rollwright.expression.moments import Counts, CrossMoments, Mask, Moments, Side, Sums
from rollwright.expression.term import Constant, Term

__all__ = ["Block", "Family", "LastReads", "Span", "Values"]

Values: TypeAlias = NDArray[Any]
"""``[rows, columns]`` of float32, float64 or bool."""
Family: TypeAlias = tuple[str, tuple[Term, ...]]
T = TypeVar("T")


class Span(NamedTuple):
    """Rows wanted of a term around those of the block."""

    before: int
    after: int


class Clean(NamedTuple):
    """An input of windows: float64 with zero where there is no value, and which rows have one."""

    values: NDArray[np.float64]
    mask: Mask


class LastReads:
    """Which node of a plan is the last to read each piece of shared work, learnt from the blocks that were evaluated.

    Ladders over one input are large, and some serve two of a hundred nodes. Which work a node reads may depend on the
    data; what was dropped too early is done again, with the same result, and the next block knows better.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[Term, object], int] = {}
        self._by_node: dict[int, list[tuple[Term, object]]] = {}

    def of(self, node: int) -> list[tuple[Term, object]]:
        """Return what nobody reads after the node of this number, as far as is known."""
        return self._by_node.get(node, [])

    def learn(self, reads: Mapping[tuple[Term, object], int]) -> None:
        """Take over where the nodes of one block read each piece for the last time."""
        if all(self._last.get(piece, -1) >= node for piece, node in reads.items()):
            return
        self._last = {piece: max(node, self._last.get(piece, -1)) for piece, node in {**self._last, **reads}.items()}
        by_node: dict[int, list[tuple[Term, object]]] = {}
        for piece, node in self._last.items():
            by_node.setdefault(node, []).append(piece)
        self._by_node = by_node


class Block:
    """Values of terms on the rows ``[start, stop)`` of the calendar and some instruments.

    Parameters
    ----------
    start, stop : int
        Calendar positions.
    bounds : int64 [columns, 2]
        First row of each series and one past its last, as calendar positions.
    spans : mapping of Term to Span
    calls : mapping
        For each family of operators that share work the literals of every call, in order.
    calendar : datetime64 array
        The labels of all sessions.
    """

    def __init__(
        self,
        *,
        start: int,
        stop: int,
        bounds: NDArray[np.int64],
        spans: Mapping[Term, Span],
        calls: Mapping[Family, tuple[tuple[Constant, ...], ...]],
        calendar: NDArray[np.datetime64],
    ) -> None:
        self.start = start
        self.stop = stop
        self.bounds = bounds
        self._spans = spans
        self._calls = calls
        self._calendar = calendar
        self._values: dict[Term, Values] = {}
        self._shared: dict[Term, dict[object, Any]] = {}
        self._counts: WeakValueDictionary[object, Counts] = WeakValueDictionary()
        self._listed: dict[Span, NDArray[np.bool_]] = {}
        self._node = 0
        self.reads: dict[tuple[Term, object], int] = {}

    def begin(self, node: int) -> None:
        """Note that from here on the plan's node of this number reads."""
        self._node = node

    def forget(self, pieces: list[tuple[Term, object]]) -> None:
        """Let go of shared work."""
        for source, key in pieces:
            self._shared.get(source, {}).pop(key, None)

    @property
    def columns(self) -> int:
        """Number of instruments."""
        return len(self.bounds)

    def span(self, term: Term) -> Span:
        """Return which rows around the block are wanted of `term`."""
        return self._spans[term]

    def length(self, term: Term) -> int:
        """Return how many rows are wanted of `term`."""
        before, after = self._spans[term]
        return before + self.stop - self.start + after

    def after(self, term: Term) -> int:
        """Return how many rows after the block's last are wanted of `term`."""
        return self._spans[term].after

    def calls(self, family: Family) -> tuple[tuple[Constant, ...], ...]:
        """Return the literals of every call of `family` in the plan, in order."""
        return self._calls[family]

    def listed(self, term: Term) -> NDArray[np.bool_]:
        """Return, on the rows of `term`, which belong to their instrument's series."""
        span = self._spans[term]
        listed = self._listed.get(span)
        if listed is None:
            rows = np.arange(self.start - span.before, self.stop + span.after)[:, None]
            listed = (rows >= self.bounds[None, :, 0]) & (rows < self.bounds[None, :, 1])
            self._listed[span] = listed
        return listed

    def first_rows(self, term: Term) -> NDArray[np.int64]:
        """Return the row of `term` at which each series starts; negative when before the first row."""
        rows: NDArray[np.int64] = self.bounds[:, 0] - (self.start - self._spans[term].before)
        return rows

    def sessions(self, term: Term) -> NDArray[np.datetime64]:
        """Return the labels of the rows of `term`; rows outside the calendar carry that of its nearest end."""
        before, after = self._spans[term]
        rows = np.arange(self.start - before, self.stop + after)
        return self._calendar[np.clip(rows, 0, len(self._calendar) - 1)]

    # values

    def put(self, term: Term, values: Values) -> None:
        """Keep the values of `term`, on its rows."""
        self._values[term] = values

    def drop(self, term: Term) -> None:
        """Forget the values of `term` and the work on it."""
        self._values.pop(term, None)
        self._shared.pop(term, None)

    def values(self, term: Term) -> Values:
        """Return the values of `term` on its own rows."""
        return self._values[term]

    def read(self, source: Term, consumer: Term, *, shift: int = 0) -> Any:
        """Return `source` on the rows of `consumer`, `shift` rows earlier; a number as it is."""
        if source.kind == "number":
            return source.value
        return self.cut(self._values[source], self._spans[source].after, consumer, shift=shift)

    def cut(self, values: Values, after: int, consumer: Term, *, shift: int = 0) -> Values:
        """Return the rows of `consumer` from an array that ends `after` rows after the block, `shift` rows earlier."""
        stop = len(values) - (after - self._spans[consumer].after) - shift
        return values[stop - self.length(consumer) : stop]

    def numbers(self, source: Term, consumer: Term) -> Any:
        """Return `source` on the rows of `consumer` with truth values as 1 and 0, NaN outside the series."""
        values = self.read(source, consumer)
        if isinstance(values, np.ndarray) and values.dtype == np.bool_:
            return np.where(self.listed(consumer), values, np.nan)
        return values

    # shared work

    def shared(self, source: Term, key: object, make: Callable[[], T]) -> T:
        """Return what `make` gave for `key` while the values of `source` are kept."""
        self.reads[source, key] = self._node
        store = self._shared.setdefault(source, {})
        if key not in store:
            store[key] = make()
        found: T = store[key]
        return found

    def clean(self, source: Term) -> Clean:
        """Return the values of `source` as windows take them: infinities, like NaN, are no values."""
        return self.shared(source, "clean", lambda: self._clean(source))

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
        return self.shared(source, "series", lambda: self._series(source))

    def _series(self, source: Term) -> Values:
        if source.kind == "number":
            return np.where(self.listed(source), np.float64(source.value), np.nan)
        values = self._values[source]
        if values.dtype == np.bool_:
            return np.where(self.listed(source), values, np.float32(np.nan)).astype(np.float32)
        return values

    def selectable(self, source: Term) -> Values:
        """Return the values of `source` as floats with NaN for "no value", for comparing within windows."""
        return self.shared(source, "selectable", lambda: self._selectable(source))

    def _selectable(self, source: Term) -> Values:
        values = self.series(source)
        finite = np.isfinite(values)
        return values if finite.all() else np.where(finite, values, values.dtype.type(np.nan))

    def is_single(self, source: Term) -> bool:
        """Whether the values of `source` are float32, whose sums are exact in float64 for any usual window."""
        return self.series(source).dtype == np.float32

    def counts_of(self, source: Term) -> Counts:
        """Return the counts of the valid rows of `source`."""
        return self.shared(source, "counts", lambda: self.counts(self.clean(source).mask))

    def counts(self, mask: Mask) -> Counts:
        """Return the counts under `mask`: the same for every input with such a mask, while somebody holds them."""
        key = None if mask is None else (mask.shape, mask.tobytes())
        counts = self._counts.get(key)
        if counts is None:
            counts = Counts(mask)
            self._counts[key] = counts
        return counts

    def sums(self, source: Term) -> Sums:
        """Return the window sums of `source`."""
        return self.shared(source, "sums", lambda: self._sums(source))

    def _sums(self, source: Term) -> Sums:
        clean = self.clean(source)
        return Sums(clean.values, self.counts_of(source))

    def moments(self, source: Term) -> Moments:
        """Return the window moments of `source`."""
        return self.shared(source, "moments", lambda: self._moments(source))

    def _moments(self, source: Term) -> Moments:
        clean = self.clean(source)
        return Moments(clean.values, self.counts_of(source))

    def extrema(self, source: Term, *, largest: bool) -> Extrema:
        """Return the window maxima of `source`, or its minima."""
        return self.shared(source, ("extrema", largest), lambda: self._extrema(source, largest=largest))

    def _extrema(self, source: Term, *, largest: bool) -> Extrema:
        values = self.selectable(source)
        missing = np.isnan(values)
        return Extrema(values, missing, gaps=missing & self.listed(source), largest=largest)

    def cross_moments(self, left: Term, right: Term) -> CrossMoments:
        """Return the window products of two inputs over the rows where both have a value."""
        return self.shared(left, ("cross", right), lambda: self._cross_moments(left, right))

    def paired(self, left: Term, right: Term) -> tuple[tuple[Values, Values], Mask, int]:
        """Return two inputs of windows on their common rows, zero where either has no value, and the rows after."""
        common, masks = self._common(left, right)
        joint = _both(*masks)
        values = [self._within(self.clean(source).values, source, common) for source in (left, right)]
        weight: Any = 1.0 if joint is None else joint
        return (values[0] * weight, values[1] * weight), joint, common.after

    def _common(self, left: Term, right: Term) -> tuple[Span, list[Mask]]:
        common = Span(*map(min, self._spans[left], self._spans[right]))
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

    def _side(self, source: Term, common: Span, joint: Mask, counts: Counts, *, is_own: bool) -> Side:
        span = self._spans[source]
        if is_own:
            return Side(self.moments(source), span.before - common.before, span.after - common.after)
        values = self._within(self.clean(source).values, source, common)
        return Side(Moments(values if joint is None else values * joint, counts), 0, 0)

    def _within(self, values: Any, source: Term, common: Span) -> Any:
        """Return the rows of the narrower span `common`."""
        span = self._spans[source]
        if values is None:
            return None
        return values[span.before - common.before : len(values) - (span.after - common.after)]


def _both(left: Mask, right: Mask) -> Mask:
    if left is None or right is None:
        return right if left is None else left
    return left & right


def _is_same(left: Mask, right: Mask) -> bool:
    if left is None or right is None:
        return left is right
    return np.array_equal(left, right)
