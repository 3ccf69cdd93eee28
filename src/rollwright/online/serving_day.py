"""Serving in order: which session is next, what becomes of those that were missed, and how long data are waited for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rollwright.calendar.trading import SessionLike, TradingCalendar, to_session
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock
from rollwright.errors import DataNotArrivedError, OnlineError, SignalRefusedError
from rollwright.market.current import current_market
from rollwright.online.closing_entry import find_closing
from rollwright.online.day_result import DayResult
from rollwright.online.day_steps import DaySteps
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.market_news import count_sessions, write_session
from rollwright.online.state import ServingState
from rollwright.online.terms import CatchUp

__all__ = ["DayServer", "find_result"]

_logger: Final = logging.getLogger("rollwright.online")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayServer:
    """Serves sessions in the order of the calendar, each once.

    Attributes
    ----------
    steps : DaySteps
    clock : Clock
        Says whether data are late.
    on_closed : callable
        Told of each session when it is closed, of the last one again before the next is served, and of any when
        somebody asks for it again: whatever was killed between the entry and what follows from it is made up for then.
        It must do nothing the second time.
    """

    steps: DaySteps
    clock: Clock
    on_closed: Callable[[DayResult], None]

    def serve(self, session: SessionLike | None = None) -> DayResult:
        """Serve `session`, and those before it that were missed as the terms have it.

        Parameters
        ----------
        session : date, optional
            A day without a session is the session before it. The last session that has data if not given.

        Returns
        -------
        DayResult
            Of a session that was closed before: what became of it then; nothing is done.

        Raises
        ------
        DataNotArrivedError
            When its data are not there after the deadline.
        SignalRefusedError
            When its signal violates a bound, now or when it was closed; the next session can be served.
        OnlineError
            When it lies before the first session of the serving, or came only when later ones had been served.
        """
        state = self.steps.read_state()
        calendar = current_market(self.steps.freq).calendar()
        target = self._find_target(session, state, calendar)
        if target > write_session(calendar.last_known):
            return self._wait(target, state, calendar)
        if state.day is None and state.last is not None and target <= state.last.session:
            return self._repeat(target)
        self._tell_last(state)
        state, _ = self._finish_open_days(state)
        if state.last is None or state.last.session < target:
            missed = [one for one in _list_after(state, calendar) if one < target]
            self._make_up(missed, calendar, self.steps.terms.catch_up, self.steps.terms.catch_up_window)
            return _refuse_unpublished(self._close(target))
        return self._repeat(target)

    def catch_up(self, policy: CatchUp | None = None, window: int | None = None) -> list[DayResult]:
        """Serve or skip the sessions that have data and were not reached yet; return what became of each, in order.

        Sessions that are skipped are one result, that of the last of them. A signal that is refused does not stop the
        sessions after it; its result says so.

        Parameters
        ----------
        policy : {"all", "latest", "none"}, optional
            As `ServingTerms.catch_up`, whose value is taken if not given.
        window : int, optional
            As `ServingTerms.catch_up_window`.
        """
        terms = self.steps.terms
        state = self.steps.read_state()
        self._tell_last(state)
        state, made = self._finish_open_days(state)
        calendar = current_market(self.steps.freq).calendar()
        missed = _list_after(state, calendar)
        return made + self._make_up(
            missed,
            calendar,
            terms.catch_up if policy is None else policy,
            terms.catch_up_window if window is None else window,
            latest_is_missed=True,
        )

    def _find_target(self, session: SessionLike | None, state: ServingState, calendar: TradingCalendar) -> str:
        if session is None:
            return max(write_session(calendar.last_known), state.begin)
        moment = to_session(session)
        if moment < calendar.last:
            moment = calendar[calendar.at_or_before(moment)]
        target = write_session(moment)
        if target < state.begin:
            raise OnlineError(
                f"session {target} is before {state.begin}, the first that serving {self.steps.ledger.serving} has",
                hint="simulate shows what would have been served earlier",
            )
        return target

    def _wait(self, target: str, state: ServingState, calendar: TradingCalendar) -> DayResult:
        if self.steps.terms.catch_up == "all":
            state, _ = self._finish_open_days(state)
            self._make_up(_list_after(state, calendar), calendar, "all", self.steps.terms.catch_up_window)
        last = write_session(calendar.last_known)
        if self.steps.terms.is_late(target, self.clock.now()):
            raise DataNotArrivedError(
                f"the data of {target} were due at {self.steps.terms.deadline} ({self.steps.terms.timezone}), and the "
                f"last session is {last}",
                session=target,
                hint="look at what imports them; then give the command again",
            )
        _logger.info("serving.waiting session=%s last_session=%s", target, last)
        return DayResult(session=target, outcome="waiting", notes=(f"the last session that has data is {last}",))

    def _tell_last(self, state: ServingState) -> None:
        """Tell again of the session that was closed last: a process that was killed after its entry had not told it."""
        if state.last is not None and state.day is None:
            self.on_closed(DayResult.of_entry(self.steps.ledger.read(state.last.entry)))

    def _finish_open_days(self, state: ServingState) -> tuple[ServingState, list[DayResult]]:
        """Close the session that is open, and whatever another process opens meanwhile; return how it stands then."""
        made: list[DayResult] = []
        while state.day is not None:
            made.append(self._close_next(state.day.session))
            state = self.steps.read_state()
        return state, made

    def _make_up(
        self,
        missed: Sequence[str],
        calendar: TradingCalendar,
        policy: CatchUp,
        window: int | None,
        *,
        latest_is_missed: bool = False,
    ) -> list[DayResult]:
        """Serve or skip sessions that were missed; the latest is among them, or one that is served after them."""
        count = {"all": len(missed) if window is None else window, "latest": int(latest_is_missed), "none": 0}[policy]
        first = max(0, len(missed) - count)
        made = self._skip(missed[:first], calendar, policy)
        return made + [self._close(session) for session in missed[first:]]

    def _skip(self, sessions: Sequence[str], calendar: TradingCalendar, policy: CatchUp) -> list[DayResult]:
        if not sessions:
            return []
        body: dict[str, JSON] = {"first": sessions[0], "count": len(sessions), "policy": policy}
        body["place"] = count_sessions(calendar, sessions[-1])

        def decide(now: ServingState | None) -> Draft | None:
            reached = None if now is None else now.reached
            if now is None or now.day is not None or (reached is not None and reached >= sessions[0]):
                return None
            return Draft(kind="skip", session=sessions[-1], body=body)

        entry = self.steps.ledger.append(decide)
        if entry is None:  # another process goes on
            return []
        _logger.info("serving.skipped first=%s last=%s count=%d", sessions[0], sessions[-1], len(sessions))
        return [DayResult.of_entry(entry)]

    def _close(self, session: str) -> DayResult:
        """Close a session, after one before it that another process has opened meanwhile."""
        while (day := self.steps.read_state().day) is not None and day.session < session:
            self._close_next(day.session)
        return self._close_next(session)

    def _close_next(self, session: str) -> DayResult:
        result = DayResult.of_entry(self.steps.serve(session), session=session)
        self.on_closed(result)
        return result

    def _repeat(self, session: str) -> DayResult:
        """Return what became of a session that was reached, as it was told then."""
        result = find_result(self.steps.ledger, session)
        self.on_closed(result)
        return _refuse_unpublished(result)


def _refuse_unpublished(result: DayResult) -> DayResult:
    """Return the result of a session, or raise when its signal was refused."""
    if result.outcome == "refused":
        raise SignalRefusedError(
            f"the signal of {result.session} was made and not published",
            session=result.session,
            violations=result.violations,
            hint="look at it; publish it with `rollwright online publish --override --reason …`, or serve the next "
            "session",
        )
    return result


def find_result(ledger: ServingLedger, session: str) -> DayResult:
    """Return what became of a session that was reached; errors as `find_closing`."""
    return DayResult.of_entry(find_closing(ledger, session), session=session)


def _list_after(state: ServingState, calendar: TradingCalendar) -> list[str]:
    """Return the sessions that have data and come after those that were reached."""
    known = calendar.known_part()
    reached = state.reached
    first = state.begin if reached is None else reached
    if to_session(first) > known.last:
        return []
    found = [write_session(known[place]) for place in known.positions(first, None)]
    return [session for session in found if reached is None or session > reached]
