"""Calls of ``P`` and ``PRef``: computed once for each vintage, and carried forward over the sessions.

Of some instruments and a range of sessions (`ColumnVintages`):

1. The vintages of every field are read, and placed on the sessions on which they can first be seen. Calls that read the
   same fields, and anchor at the same period, form a *group*.
2. An *event* is a session on which anything of a group's fields became known about an instrument. Its anchor is the
   latest period with a value of any of the fields by then; an older period that is restated never sets it back. Events
   that are in force on no session of the range are left out (`_find_events`).
3. For every event and as many periods before the anchor as the group looks back, the value is found that was the latest
   known one (`_look_up`): an array ``[periods, events]``.
4. On it the expressions are computed by the kernels that compute them on sessions (`TileJob`), in float64, for many
   events of many instruments at a time: rows are periods, columns are events. Work that expressions share is done once.
5. A session takes the result, rounded to float32, of the event in force (`values`).

So an expression is evaluated as often as something became known, however many sessions there are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.periods import Interval, to_days, to_ordinals
from rollwright.errors import ExpressionError, UnknownFieldError, nearest
from rollwright.expression.block import Cells, PeriodColumns, Values
from rollwright.expression.footprint import PLACES_KEPT, estimate
from rollwright.expression.operators.vintage import check_kind
from rollwright.expression.planner import Plan, plan_terms
from rollwright.expression.term import UNBOUNDED, Term, interval_of_field, walk
from rollwright.expression.term_rows import TermRows
from rollwright.expression.tile_job import TileJob, write
from rollwright.market.source import DataSource, FieldKind, Vintages
from rollwright.market.viewpoint import by_period

__all__ = ["ColumnVintages", "check_vintages"]

EVENT_CELLS: Final = 1 << 15
"""The most cells of one node that are computed at a time, as in a tile of sessions."""
FEWEST_EVENTS: Final = 64

_Integers: TypeAlias = NDArray[np.int64]


def check_vintages(terms: Iterable[Term], source: DataSource) -> dict[str, FieldKind]:
    """Refuse what `source` cannot answer of `terms`, before anything is computed; return the kinds of their fields.

    Raises
    ------
    NotPointInTimeError
        When it has no fields by period.
    UnknownFieldError
        For a field that no instrument has; carries the nearest name.
    ExpressionError
        For a call that makes no sense for the kind of its field, as ``TTM`` of a stock.
    """
    kinds: dict[str, FieldKind] = {}
    for root in terms:
        if root.periods:
            kinds |= _find_kinds(root, source)
            for term in walk(root, within=True):
                _check_term(root, term, kinds)
    return kinds


def _find_kinds(root: Term, source: DataSource) -> dict[str, FieldKind]:
    reports = by_period(source, root.periods[0])
    known = reports.period_fields()
    for name in root.periods:
        if name.lower() not in known:
            guess = nearest(name.lower(), known)
            raise UnknownFieldError(
                f"no instrument has the field `$${name}`",
                hint=f"did you mean `$${guess}`?" if guess else f"known: {', '.join(known) or 'none'}",
            )
    return {name: reports.field_kind(name) for name in root.periods}


def _check_term(root: Term, term: Term, kinds: Mapping[str, FieldKind]) -> None:
    try:
        check_kind(term, kinds)
    except ValueError as error:
        raise ExpressionError(
            root.text, max(root.text.find(term.text), 0), f"{term.name}: {error}",
            hint="say what the field measures: `rollwright pit kind FIELD flow-cumulative`, flow-discrete or stock",
        ) from error  # fmt: skip


class _Group(NamedTuple):
    """What calls have in common that can be computed together: the fields they read, and the period they anchor at."""

    fields: tuple[str, ...]
    period: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Records:
    """The vintages of one field as far as the range sees them, in the order in which they became known.

    Attributes
    ----------
    column : int64 ``[records]``
        The instrument.
    ordinal : int64 ``[records]``
        The period.
    session : int64 ``[records]``
        The calendar position from which on it is seen.
    value : float64 ``[records]``
    """

    column: _Integers
    ordinal: _Integers
    session: _Integers
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Events:
    """The events of a group, sorted by instrument and session.

    Attributes
    ----------
    column : int64 ``[events]``
        The instrument.
    session : int64 ``[events]``
        The calendar position from which on it is in force.
    stop : int64 ``[events]``
        One past its last session.
    first, anchor : int64 ``[events]``
        Ordinals of the first and the last period with a value of any field.
    """

    column: _Integers
    session: _Integers
    stop: _Integers
    first: _Integers
    anchor: _Integers

    def __len__(self) -> int:
        return len(self.column)

    def take(self, keep: NDArray[Any] | slice) -> _Events:
        """Return some of the events."""
        return _Events(
            column=self.column[keep], session=self.session[keep], stop=self.stop[keep], first=self.first[keep],
            anchor=self.anchor[keep],
        )  # fmt: skip


class _Result(NamedTuple):
    """The values of a group's calls: ``[calls, events + 1]``, NaN in the last place, where nothing is known."""

    events: _Events
    values: NDArray[np.float32]


class ColumnVintages:
    """The calls of ``P`` and ``PRef`` of a plan, for some instruments and sessions.

    Everything is read when it is made, and computed when it is first asked for; several threads may ask.

    Parameters
    ----------
    plan : Plan
    source : DataSource
        Implements `VintageSource`.
    kinds : mapping of str to FieldKind
        Of every field by period of the plan.
    instruments : sequence of str
        The columns.
    start, stop : int
        The calendar positions of which values are asked, half open; those outside the calendar have none.
    memory : int
        Bytes of working memory.
    """

    def __init__(
        self,
        plan: Plan,
        source: DataSource,
        kinds: Mapping[str, FieldKind],
        *,
        instruments: Sequence[str],
        start: int,
        stop: int,
        memory: int,
    ) -> None:
        self._instruments = tuple(instruments)
        self._calendar = source.calendar().values
        self._start, self._stop = max(start, 0), min(stop, len(self._calendar))
        self._kinds = kinds
        self._memory = memory
        self._freq = source.freq
        self._groups: dict[_Group, tuple[Term, ...]] = _group_calls(plan.collapsed)
        self._records = self._read(source, {name for group in self._groups for name in group.fields})
        self._results: dict[_Group, _Result] = {}
        self._places: OrderedDict[tuple[_Group, int, int], NDArray[np.intp]] = OrderedDict()
        self._lock = threading.Lock()

    def values(self, call: Term, first: int, last: int) -> NDArray[np.float32]:
        """Return the values of a call on the calendar positions ``[first, last)``: ``[sessions, instruments]``."""
        group = _group_of(call)
        with self._lock:
            found = self._results.get(group)
            if found is None:
                found = self._results[group] = self._compute(group)
            places = self._find_places(group, found.events, first, last)
        values: NDArray[np.float32] = found.values[self._groups[group].index(call)].take(places)
        return values

    def _read(self, source: DataSource, fields: Iterable[str]) -> dict[str, _Records]:
        return {
            name: self._place(name, by_period(source, name).vintages(name, self._instruments))
            for name in sorted(fields)
        }

    def _place(self, name: str, found: Vintages) -> _Records:
        """Return the vintages that can be seen in the range; what holds from a day on is not seen before it."""
        interval = interval_of_field(name)
        since = found.known_at
        if interval == "d":
            since = np.maximum(since, to_days(found.period.astype(np.int64)).astype(since.dtype))
        session = np.searchsorted(self._calendar, since.astype(self._calendar.dtype), side="left")
        column = np.repeat(np.arange(len(self._instruments)), np.diff(found.offsets))
        seen = session < self._stop
        return _Records(
            column=column[seen],
            ordinal=to_ordinals(found.period[seen], interval),
            session=session[seen].astype(np.int64),
            value=found.value[seen],
        )

    def _compute(self, group: _Group) -> _Result:
        """Compute all calls of a group on all its events, some events at a time."""
        calls = self._groups[group]
        records = [self._records[name] for name in group.fields]
        events = _find_events(records, start=self._start, stop=self._stop)
        values = np.full((len(calls), len(events) + 1), np.nan, np.float32)
        plan = _plan_calls(calls)
        interval = interval_of_field(group.fields[0])
        longest = int((events.anchor - events.first).max(initial=0)) + 1
        rows = longest if plan.lookback >= UNBOUNDED else plan.lookback + 1
        step = max(FEWEST_EVENTS, min(EVENT_CELLS, self._memory // estimate(plan).per_cell) // rows)
        index = {name: _Index(self._records[name]) for name in group.fields}
        for low in range(0, len(events), step):
            part = slice(low, min(low + step, len(events)))
            target = events.anchor[part]
            if group.period is not None:
                target = np.full_like(target, int(to_ordinals([group.period], interval)[0]))
            self._evaluate(plan, interval, index, events.take(part), target, rows, values[:, part])
        return _Result(events, values)

    def _evaluate(
        self,
        plan: Plan,
        interval: Interval,
        index: Mapping[str, _Index],
        events: _Events,
        target: _Integers,
        rows: int,
        room: NDArray[np.float32],
    ) -> None:
        """Compute the expressions of `plan` at the period `target` of each event, whose block has so many rows."""
        margins = plan.margins(rows - 1)
        last = rows - 1
        inputs = {
            term: index[term.name].look_up(events, target, margins[term].before)
            for term in plan.nodes
            if term.kind == "period"
        }
        bounds = np.stack([last - (target - events.first), rows + (events.anchor - target)], axis=1)
        job = TileJob(
            plan=plan,
            rows=slice(last, rows),
            columns=slice(0, len(events)),
            series=TermRows(bounds=(bounds,), number={}),
            margins=margins,
            inputs=inputs,
            calendar=self._calendar[:0],
            instruments=tuple(self._instruments[column] for column in events.column.tolist()),
            freq=self._freq,
            by_series=False,
            periods=PeriodColumns(interval, target, self._kinds),
        )

        def take(place: int, values: Values, outside: Cells) -> None:
            write(room[place][None], values, outside)

        with np.errstate(all="ignore"):  # what is too large for float32 is infinite there
            job.compute(take)

    def _find_places(self, group: _Group, events: _Events, first: int, last: int) -> NDArray[np.intp]:
        """Return the event in force on each session: ``[sessions, instruments]``, the number of events for none."""
        key = (group, first, last)
        found = self._places.pop(key, None)
        if found is None:
            found = _spread(events, len(self._instruments), first, last)
        self._places[key] = found
        while len(self._places) > PLACES_KEPT:
            self._places.popitem(last=False)
        return found


def _group_calls(calls: Iterable[Term]) -> dict[_Group, tuple[Term, ...]]:
    groups: dict[_Group, list[Term]] = defaultdict(list)
    for call in calls:
        groups[_group_of(call)].append(call)
    return {group: tuple(members) for group, members in groups.items()}


@lru_cache(maxsize=64)
def _plan_calls(calls: tuple[Term, ...]) -> Plan:
    """Return the plan over periods of what is within some calls: the same for all instruments."""
    return plan_terms(tuple(_inner_of(call) for call in calls))


def _group_of(call: Term) -> _Group:
    return _Group(call.periods, int(call.literals[0]) if call.literals else None)


def _inner_of(call: Term) -> Term:
    assert call.inner is not None  # noqa: S101 - only such calls are collapsed
    return call.inner


def _find_events(records: Sequence[_Records], *, start: int, stop: int) -> _Events:
    """Return the events that are in force on a session of ``[start, stop)``.

    1. Sort the records of all fields by instrument and session; each pair of these is an event.
    2. The anchor of an event is the latest period of its records and all before it of the instrument, and the first
       period likewise. One running maximum does for all instruments, since each counts from above the one before it.
    3. An event is in force until the next of its instrument.
    """
    column, session, ordinal = (
        np.concatenate([getattr(one, name) for one in records]) for name in ("column", "session", "ordinal")
    )
    order = np.lexsort((session, column))
    column, session, ordinal = column[order], session[order], ordinal[order]
    is_new = np.ones(len(column), np.bool_)
    is_new[1:] = (column[1:] != column[:-1]) | (session[1:] != session[:-1])
    begin = np.flatnonzero(is_new)
    if not len(begin):
        nothing = np.empty(0, np.int64)
        return _Events(column=nothing, session=nothing, stop=nothing, first=nothing, anchor=nothing)
    low, high = int(ordinal.min()), int(ordinal.max())
    lift = column * (high - low + 1)
    anchor = np.maximum.accumulate(np.maximum.reduceat(lift + (ordinal - low), begin))
    first = np.maximum.accumulate(np.maximum.reduceat(lift + (high - ordinal), begin))
    column, session, lift = column[begin], session[begin], lift[begin]
    after = np.full(len(begin), stop)
    goes_on = column[1:] == column[:-1]
    after[:-1][goes_on] = session[1:][goes_on]
    events = _Events(
        column=column,
        session=np.maximum(session, start),
        stop=np.minimum(after, stop),
        first=high - (first - lift),
        anchor=anchor - lift + low,
    )
    return events.take(events.session < events.stop)


class _Index:
    """The records of a field, sorted so that the one in force is found by bisection."""

    def __init__(self, records: _Records) -> None:
        self._low = int(records.ordinal.min(initial=0))
        self._high = int(records.ordinal.max(initial=-1)) if len(records.ordinal) else self._low - 1
        self._sessions = int(records.session.max(initial=0)) + 2
        keys = self._key(records.column, records.ordinal, records.session)
        order = np.argsort(keys, kind="stable")  # of two on one session the one that became known later is last
        self._keys = keys[order]
        self._value = records.value[order]

    def _key(self, column: _Integers, ordinal: _Integers, session: _Integers) -> _Integers:
        span = max(self._high - self._low + 1, 1)
        return (column * span + (ordinal - self._low)) * self._sessions + session

    def look_up(self, events: _Events, target: _Integers, back: int) -> NDArray[np.float64]:
        """Return the values known at each event of the periods from `back` before `target` on: ``[periods, events]``.

        NaN for a period of which nothing was known.
        """
        found = np.full((back + 1, len(target)), np.nan)
        if not len(self._keys):
            return found
        session = np.minimum(events.session, self._sessions - 1)
        for row in range(back + 1):
            ordinal = target - (back - row)
            inside = (ordinal >= self._low) & (ordinal <= self._high)
            wanted = self._key(events.column, np.clip(ordinal, self._low, self._high), session)
            place = np.searchsorted(self._keys, wanted, side="right") - 1
            inside &= (place >= 0) & (self._keys[place] // self._sessions == wanted // self._sessions)
            found[row, inside] = self._value[place[inside]]
        return found


def _spread(events: _Events, columns: int, first: int, last: int) -> NDArray[np.intp]:
    """Return the number of the event in force on each session, ``len(events)`` for none: ``[sessions, columns]``.

    Each instrument begins with no event, at `first`; each event reaches to the begin of the next.
    """
    nobody = np.arange(columns)
    column = np.concatenate([nobody, events.column])
    start = np.concatenate([np.full(columns, first), np.clip(events.session, first, last)])
    number = np.concatenate([np.full(columns, len(events)), np.arange(len(events))])
    order = np.argsort(column, kind="stable")
    column, start, number = column[order], start[order], number[order]
    stop = np.full(len(start), last)
    goes_on = column[1:] == column[:-1]
    stop[:-1][goes_on] = start[1:][goes_on]
    return np.ascontiguousarray(np.repeat(number, stop - start).reshape(columns, last - first).T)
