"""What a serving says of itself to those who ask while it runs: signals, models, roles, history, freshness."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import SignalNotFoundError
from rollwright.online.entry import LedgerEntry, is_session
from rollwright.online.state import ClosedDay, DayOutcome, Role, ServingState, SignalReference

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DataSessions",
    "Freshness",
    "ReadableLedger",
    "Scores",
    "ScoresLoader",
    "ServedSession",
    "ServingReader",
]

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

_DAYS_KEPT: Final = 4_096
_SCORES_KEPT: Final = 64


class ReadableLedger(Protocol):
    """What a reader needs of a ledger; `rollwright.online.ledger.ServingLedger` is one."""

    @property
    def serving(self) -> str:
        """The serving's name."""
        ...

    def read_head(self) -> LedgerEntry | None:
        """Return the last entry."""
        ...

    def read(self, number: int) -> LedgerEntry:
        """Return one entry."""
        ...

    def list_entries(self, start: int = 1, stop: int | None = None) -> Iterator[LedgerEntry]:
        """Yield entries in order."""
        ...

    def find_last(self, is_before: Callable[[LedgerEntry], bool]) -> LedgerEntry | None:
        """Return the last entry of a first part of the ledger."""
        ...


class ScoresLoader(Protocol):
    """Loads what a reference names."""

    def load(self, reference: SignalReference) -> pd.Series[float]:
        """Return the scores by instrument, checked by their digest."""
        ...


class DataSessions(Protocol):
    """The sessions that the market's data hold now."""

    def last_session(self) -> str | None:
        """Return the last one; None where there is none."""
        ...

    def count_after(self, session: str | None) -> int:
        """Return how many come after `session`; all of them after None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSession:
    """One session that was served, refused or skipped.

    Attributes
    ----------
    session : str
    outcome : {"published", "refused", "skipped"}
    entry : int
        Number of the entry that closed it.
    generation : str
        Identity of the data it was served from.
    signal : SignalReference or None
        What was published, or refused.
    scores : mapping of str to SignalReference
        What each strategy said, those that are not published included.
    roles : mapping of str to str
        The role that each of them had.
    """

    session: str
    outcome: DayOutcome
    entry: int
    generation: str
    signal: SignalReference | None
    scores: Mapping[str, SignalReference] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of one session by instrument.

    Attributes
    ----------
    serving, session : str
    strategy : str or None
        Whose they are; None for the signal of all champions, which is what is published.
    entry : int
        Number of the entry that closed the session.
    reference : SignalReference
        Where they lie, and the digest of their rows.
    values : pandas.Series
        By instrument, sorted.
    """

    serving: str
    session: str
    strategy: str | None
    entry: int
    reference: SignalReference
    values: pd.Series[float]

    @property
    def identity(self) -> str:
        """Names these scores and no others of the same address: the entry and the digest."""
        return f"{self.entry}-{self.reference.sha256}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How far what is published is behind the data.

    Attributes
    ----------
    data : str or None
        The last session of the data.
    published : str or None
        The last session that was published.
    reached : str or None
        The last session that was opened, closed or skipped.
    behind : int
        Sessions of the data after the published one.
    due : datetime or None
        Until when the last session of the data is to be published, in UTC; None where no deadline is set.
    late : bool
        Whether that has passed and it is not published.
    """

    data: str | None
    published: str | None
    reached: str | None
    behind: int
    due: datetime | None
    late: bool


class ServingReader:
    """Answers questions about one serving; it changes nothing.

    Parameters
    ----------
    ledger : ReadableLedger
    scores : ScoresLoader
    sessions : DataSessions, optional
        Where it is not given, nothing is known of freshness.
    deadline : time, optional
        The time of day until which a session is to be published, on the day of the session.
    timezone : tzinfo, optional
        Whose day; UTC if not given.
    clock : Clock, optional

    Guarantees: many threads may ask at once. What is answered is what the ledger said at one moment not before the
    question, whoever writes meanwhile. A session costs the logarithm of the ledger the first time, and nothing again.
    """

    def __init__(
        self,
        ledger: ReadableLedger,
        scores: ScoresLoader,
        *,
        sessions: DataSessions | None = None,
        deadline: time | None = None,
        timezone: tzinfo | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.serving = ledger.serving
        self._ledger = ledger
        self._scores = scores
        self._sessions = sessions
        self._deadline = deadline
        self._timezone = timezone
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._ledger_lock = threading.Lock()
        self._scores_lock = threading.Lock()
        self._days: _Recent[str, ServedSession] = _Recent(_DAYS_KEPT)
        self._loaded: _Recent[SignalReference, pd.Series[float]] = _Recent(_SCORES_KEPT)

    def __repr__(self) -> str:
        return f"ServingReader({self.serving!r})"

    def read_head(self) -> LedgerEntry | None:
        """Return the last entry; None before the first."""
        with self._ledger_lock:
            return self._ledger.read_head()

    def read_state(self) -> ServingState | None:
        """Return how the serving stands; None before its first entry."""
        head = self.read_head()
        return None if head is None else ServingState.from_json(head.state)

    def read_entry(self, number: int) -> LedgerEntry | None:
        """Return one entry; None where there is none of that number."""
        with self._ledger_lock:
            return next(iter(self._ledger.list_entries(number, number + 1)), None)

    def list_history(self, *, before: int | None = None, limit: int = 100) -> list[LedgerEntry]:
        """Return entries, the newest first, those below number `before` where it is given."""
        with self._ledger_lock:
            head = self._ledger.read_head()
            if head is None:
                return []
            stop = head.number + 1 if before is None else min(before, head.number + 1)
            return [*self._ledger.list_entries(max(1, stop - limit), stop)][::-1]

    def find_day(self, session: str) -> ServedSession | None:
        """Return what became of a session; None where it was not reached, is open, or was skipped with others."""
        known = self._days.get(session)
        if known is not None:
            return known
        with self._ledger_lock:
            closing = self._ledger.find_last(lambda entry: _closed_session(entry) <= session)
            closed = None if closing is None else ServingState.from_json(closing.state).last
            if closed is None or closed.session != session:
                return None
            made = self._ledger.find_last(lambda entry: _closed_session(entry) < session)
            head = self._ledger.read_head()
        day = _describe_day(closed, made)
        if day.outcome != "refused" or (head is not None and _closed_session(head) > session):
            self._days.put(session, day)  # a session that was refused last may be published yet
        return day

    def list_days(self, *, start: str | None = None, end: str | None = None, limit: int = 60) -> list[ServedSession]:
        """Return closed sessions of a closed range, the newest first, `limit` at most."""
        found: list[ServedSession] = []
        session = self._find_closed(lambda closed: end is None or closed <= end)
        while session is not None and len(found) < limit and (start is None or session >= start):
            day = self.find_day(session)
            if day is not None:
                found.append(day)
            session = self._find_closed(lambda closed, below=session: closed < below)  # type: ignore[misc]
        return found

    def _find_closed(self, wanted: Callable[[str], bool]) -> str | None:
        with self._ledger_lock:
            entry = self._ledger.find_last(lambda entry: wanted(_closed_session(entry)))
        return None if entry is None else _closed_session(entry) or None

    def load_latest(self) -> Scores | None:
        """Return the signal of the last session that was published; None before the first."""
        state = self.read_state()
        return None if state is None or state.published is None else self.load_published(state.published)

    def load_published(self, session: str) -> Scores:
        """Return the signal that was published of a session.

        Raises
        ------
        SignalNotFoundError
            When none was, with what became of the session.
        """
        day = self._take_day(session)
        if day.outcome != "published" or day.signal is None:
            raise SignalNotFoundError(
                f"session {session} of serving {self.serving} was {day.outcome}: no signal of it is published",
                hint=f"entry {day.entry} of the history says why",
            )
        return self._load(day, day.signal, None)

    def load_strategy(self, strategy: str, session: str | None = None) -> Scores:
        """Return what a strategy said of a session, of the last that was closed and scored if none is given.

        Raises
        ------
        SignalNotFoundError
        """
        day = self._take_scored(session)
        if strategy not in day.scores:
            raise SignalNotFoundError(
                f"strategy {strategy!r} has no scores of session {day.session}",
                hint=f"those that have: {', '.join(sorted(day.scores)) or 'none'}",
            )
        return self._load(day, day.scores[strategy], strategy)

    def load_role(self, role: Role, session: str | None = None) -> list[Scores]:
        """Return what each strategy of a role said of a session, of the last that was scored if none is given.

        Raises
        ------
        SignalNotFoundError
        """
        day = self._take_scored(session)
        names = [name for name, had in sorted(day.roles.items()) if had == role and name in day.scores]
        return [self._load(day, day.scores[name], name) for name in names]

    def load_range(self, *, start: str, end: str, limit: int) -> list[Scores]:
        """Return the published signals of a range of sessions, in order; the newest `limit` of them."""
        days = self.list_days(start=start, end=end, limit=limit)
        return [
            self._load(day, day.signal, None)
            for day in reversed(days)
            if day.outcome == "published" and day.signal is not None
        ]

    def _take_day(self, session: str) -> ServedSession:
        day = self.find_day(session) if is_session(session) else None
        if day is None:
            raise SignalNotFoundError(f"serving {self.serving} has not closed a session {session}")
        return day

    def _take_scored(self, session: str | None) -> ServedSession:
        if session is not None:
            return self._take_day(session)
        below: str | None = None
        while True:
            last = self._find_closed(lambda closed, below=below: below is None or closed < below)  # type: ignore[misc]
            if last is None:
                raise SignalNotFoundError(f"serving {self.serving} has scored no session yet")
            day = self.find_day(last)
            if day is not None and day.scores:
                return day
            below = last

    def _load(self, day: ServedSession, reference: SignalReference, strategy: str | None) -> Scores:
        values = self._loaded.get(reference)
        if values is None:
            with self._scores_lock:
                values = self._scores.load(reference)
            self._loaded.put(reference, values)
        return Scores(
            serving=self.serving,
            session=day.session,
            strategy=strategy,
            entry=day.entry,
            reference=reference,
            values=values,
        )

    def read_freshness(self) -> Freshness | None:
        """Return how far it is behind the data; None where the data are not known to this reader."""
        if self._sessions is None:
            return None
        state = self.read_state()
        published = None if state is None else state.published
        with self._scores_lock:
            last, behind = self._sessions.last_session(), self._sessions.count_after(published)
        due = None if last is None else self._find_due(last)
        return Freshness(
            data=last,
            published=published,
            reached=None if state is None else state.reached,
            behind=behind,
            due=due,
            late=due is not None and behind > 0 and self._clock.now() > due,
        )

    def _find_due(self, session: str) -> datetime | None:
        if self._deadline is None:
            return None
        day = date.fromisoformat(session[:10])
        zone = self._timezone if self._timezone is not None else self._clock.now().tzinfo
        return datetime.combine(day, self._deadline, tzinfo=zone).astimezone(self._clock.now().tzinfo)


class _Recent(Generic[_Key, _Value]):
    """The values that were asked for last, shared by threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[_Key, _Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Value | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: _Key, value: _Value) -> None:
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)


def _closed_session(entry: LedgerEntry) -> str:
    """Return the session that was closed last when an entry stood; "" before the first."""
    last = entry.state.get("last")
    session = last.get("session") if isinstance(last, Mapping) else None
    return session if isinstance(session, str) else ""


def _describe_day(closed: ClosedDay, made: LedgerEntry | None) -> ServedSession:
    """Join what closed a session with the scores in the entry before that."""
    state = None if made is None else ServingState.from_json(made.state)
    day = None if state is None else state.day
    is_same = day is not None and day.session == closed.session
    scores = dict(day.scores) if day is not None and is_same and day.scores is not None else {}
    return ServedSession(
        session=closed.session,
        outcome=closed.outcome,
        entry=closed.entry,
        generation=closed.generation,
        signal=closed.signal,
        scores=scores,
        roles={}
        if state is None
        else {name: state.strategies[name].role for name in scores if name in state.strategies},
    )
