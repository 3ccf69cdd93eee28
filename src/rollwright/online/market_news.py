"""What the market has become since the last session was served: only more, or other than it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rollwright.calendar.trading import Session, TradingCalendar, to_session
from rollwright.core.canonical import JSON
from rollwright.market.source import DataSource
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import ServingState

__all__ = ["MarketNews", "count_sessions", "find_news", "list_notes", "write_session"]

_SHOWN = 5


def write_session(session: Session) -> str:
    """Return a session as entries write it: ``2024-05-17``, with a time of day where it has one."""
    return session.strftime("%Y-%m-%d" if session == session.normalize() else "%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketNews:
    """The data as a session is opened, and what differs from those that the last one was served from.

    Attributes
    ----------
    generation : str
    known : int
        How many sessions the data have.
    latest : str
        The last of them.
    place : int
        How many sessions there are up to the one that is opened, itself included.
    restated_from : str or None
        The first session served from other values than are there now: a history that was rewritten.
    is_incomparable : bool
        Whether the source cannot say what changed.
    late : tuple of str
        Sessions that came after a later one had been served; they are not served any more.
    """

    generation: str
    known: int
    latest: str
    place: int
    restated_from: str | None = None
    is_incomparable: bool = False
    late: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as an entry that opens a session holds it."""
        return {
            "generation": self.generation,
            "known": self.known,
            "latest": self.latest,
            "place": self.place,
            "restated_from": self.restated_from,
            "is_incomparable": self.is_incomparable,
            "late": list(self.late),
        }


def list_notes(body: Mapping[str, object]) -> list[str]:
    """Return what the body of an entry that opened a session says to people, a line each."""
    notes = []
    if body.get("restated_from"):
        notes.append(f"the history was rewritten from {body['restated_from']} on: what was published before stays")
    late = body.get("late")
    if isinstance(late, list) and late:
        shown = ", ".join(str(session) for session in late[:_SHOWN])
        more = f" and {len(late) - _SHOWN} more" if len(late) > _SHOWN else ""
        notes.append(f"{shown}{more} came after a later session was served, and will not be served")
    return notes


def find_news(market: DataSource, ledger: ServingLedger, state: ServingState, session: str) -> MarketNews:
    """Return what `market` is now that `session` is opened, compared with what the last one was served from.

    Its cost grows with the ledger only where sessions were inserted before the last one that was served.
    """
    calendar = market.calendar()
    news = MarketNews(
        generation=market.generation,
        known=calendar.known,
        latest=write_session(calendar.last_known),
        place=count_sessions(calendar, session),
    )
    last = state.last
    if last is None or last.generation == news.generation:
        return news
    unchanged = market.unchanged_before(last.generation) if last.generation else last.known
    before = min(last.known, calendar.known)
    restated = write_session(calendar[unchanged]) if 0 < unchanged < before else None
    place = _find_place(ledger, state)
    has_late = place is not None and count_sessions(calendar, last.session) > place
    return replace(
        news,
        restated_from=restated,
        is_incomparable=unchanged == 0,
        late=_find_late(market, ledger, state) if has_late else (),
    )


def count_sessions(calendar: TradingCalendar, session: str) -> int:
    """Return how many sessions there are up to `session`, itself included."""
    return calendar.positions(None, to_session(session)).stop


def _find_place(ledger: ServingLedger, state: ServingState) -> int | None:
    """Return how many sessions there were up to the last one when it was closed; None where no entry says it.

    An entry that publishes a refused session after all says nothing; the one that refused it does.
    """
    last = state.last
    while last is not None:
        place = ledger.read(last.entry).body.get("place")
        if isinstance(place, int):
            return place
        before = ServingState.from_json(ledger.read(last.entry - 1).state).last
        last = before if before is not None and before.session == last.session else None
    return None


def _find_late(market: DataSource, ledger: ServingLedger, state: ServingState) -> tuple[str, ...]:
    """Return the sessions between the first and the last served one that were neither served nor skipped nor told."""
    reached = state.reached
    if reached is None:
        return ()
    calendar = market.calendar()
    places = calendar.positions(state.begin, reached)
    wanted = {write_session(calendar[place]) for place in places}
    for entry in ledger.list_entries():
        if entry.kind == "open":
            told = entry.body.get("late")
            wanted -= {str(entry.session), *(map(str, told) if isinstance(told, list) else ())}
        elif entry.kind == "skip":
            first = str(entry.body.get("first", entry.session))
            wanted = {session for session in wanted if not first <= session <= str(entry.session)}
    return tuple(sorted(wanted))
