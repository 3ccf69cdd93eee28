"""What is watched, as people read it: each quantity with its value, its bound, how it stands and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from rollwright.calendar.trading import TradingCalendar, to_session
from rollwright.core.canonical import JSON
from rollwright.online.market_news import MarketNews
from rollwright.online.state import ServingState
from rollwright.online.watch.arrival import Arrival, PriceArrival
from rollwright.online.watch.events import WatchEvent, list_standing
from rollwright.online.watch.feature_drift import BLOCK, DriftWatch, RealisedDrift
from rollwright.online.watch.power import find_median_delay
from rollwright.online.watch.realised_ic import ExpectedIC, ICWatch, RealisedIC

__all__ = [
    "FEATURES",
    "RANK_IC",
    "QuantityState",
    "WatchedQuantity",
    "judge_arrival",
    "judge_backlog",
    "judge_features",
    "judge_history",
    "judge_prices",
    "judge_rank_ic",
]

QuantityState = Literal["ok", "warning", "alarm", "unknown"]
RANK_IC: Final = "rank_ic"
FEATURES: Final = "features"
_USUAL_DEVIATION: Final = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedQuantity:
    """One quantity.

    Attributes
    ----------
    name : str
    value, bound : str
    state : {"ok", "warning", "alarm", "unknown"}
        ``unknown`` where nothing can be said, for the reason that `why` gives.
    why : str
    crossings : tuple of WatchEvent
        What the ledger should hold of it.
    """

    name: str
    value: str
    bound: str
    state: QuantityState
    why: str
    crossings: tuple[WatchEvent, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"name": self.name, "value": self.value, "bound": self.bound, "state": self.state, "why": self.why}


def judge_arrival(arrival: Arrival | None, *, last: str, now: datetime) -> WatchedQuantity:
    """Return whether a session is late; `arrival` is None where no deadline is set."""
    if arrival is None:
        return WatchedQuantity(
            name="data",
            value=last,
            bound="no deadline",
            state="unknown",
            why="nobody said when data are due: set `deadline` and `timezone`",
        )
    due = f"{arrival.due:%Y-%m-%d %H:%M} UTC"
    if not arrival.is_late:
        return WatchedQuantity(name="data", value=last, bound=f"the next due {due}", state="ok", why="nothing is late")
    guess = ", counting weekdays: the calendar tells no later session" if arrival.is_guess else ""
    many = f"{arrival.missing} sessions are" if arrival.missing > 1 else "1 session is"
    text = f"{many} late up to {arrival.expected}{guess}; the first was due {due}, and it is {now:%Y-%m-%d %H:%M} UTC"
    late = WatchEvent(
        event="late", quantity="data", since=str(arrival.first), value=last, bound=str(arrival.expected), text=text
    )
    return WatchedQuantity(
        name="data", value=last, bound=f"{arrival.expected}, due {due}", state="alarm", why=text, crossings=(late,)
    )


def judge_backlog(state: ServingState, calendar: TradingCalendar) -> WatchedQuantity:
    """Return whether sessions are there that were not served."""
    known = calendar.known_part()
    reached = state.last.session if state.last is not None else None
    start = known.at_or_after(state.begin) if to_session(state.begin) <= known.last_known else len(known)
    if reached is not None:
        start = max(start, known.at_or_before(reached) + 1)
    waiting = max(0, len(known) - start)
    value, bound = f"{waiting} waiting", "none"
    if not waiting:
        return WatchedQuantity(name="served", value=value, bound=bound, state="ok", why="all sessions are served")
    why = f"from {known[start]:%Y-%m-%d} on: the routine has not run, or waits"
    return WatchedQuantity(name="served", value=value, bound=bound, state="warning", why=why)


def judge_history(state: ServingState, news: MarketNews) -> WatchedQuantity:
    """Return whether what was served from is still what the data hold."""
    last = state.last
    value = news.generation[:12]
    if last is None or not last.generation:
        return WatchedQuantity(name="history", value=value, bound="", state="ok", why="no session was served yet")
    wrong = []
    if news.restated_from is not None:
        wrong.append(f"rewritten from {news.restated_from} on, since {last.session} was served")
    if news.is_incomparable:
        wrong.append(f"other than that of which {last.session} was served, and the source cannot tell where")
    if news.late:
        wrong.append(f"{len(news.late)} sessions came after a later one was served, the first {news.late[0]}")
    if wrong:
        why = "; ".join(wrong)
    elif last.generation == news.generation:
        why = f"the data are those of which {last.session} was served"
    else:
        why = f"it grew since {last.session} was served, and did not change"
    return WatchedQuantity(
        name="history",
        value=value,
        bound=last.generation[:12],
        state="warning" if wrong else "ok",
        why=why,
    )


def judge_prices(
    prices: PriceArrival | None, *, least_closes: float, most_frozen: float
) -> tuple[WatchedQuantity, WatchedQuantity]:
    """Return whether the last session has closes as the one before, and whether they moved."""
    if prices is None:
        why = "the data have no field `close`, or fewer than two sessions"
        return (
            WatchedQuantity(name="closes", value="", bound=f"{least_closes:.0%}", state="unknown", why=why),
            WatchedQuantity(name="frozen", value="", bound=f"{most_frozen:.0%}", state="unknown", why=why),
        )
    session = f"{prices.session:%Y-%m-%d}"
    closes = _judge_share(
        "closes",
        prices.share,
        f"{least_closes:.0%} of the session before",
        is_wrong=prices.share < least_closes,
        why=f"{prices.known} instruments have a close on {session}, and {prices.before} had on the session before",
        session=session,
    )
    frozen = _judge_share(
        "frozen",
        prices.frozen_share,
        f"{most_frozen:.0%} at most",
        is_wrong=prices.frozen_share > most_frozen,
        why=f"{prices.frozen} of {prices.known} closes on {session} are exactly those of the session before",
        session=session,
    )
    return closes, frozen


def _judge_share(name: str, share: float, bound: str, *, is_wrong: bool, why: str, session: str) -> WatchedQuantity:
    value = f"{share:.1%}"
    if not is_wrong:
        return WatchedQuantity(name=name, value=value, bound=bound, state="ok", why=why)
    alarm = WatchEvent(event="alarm", quantity=name, since=session, value=value, bound=bound, text=why)
    return WatchedQuantity(name=name, value=value, bound=bound, state="alarm", why=why, crossings=(alarm,))


def judge_rank_ic(
    found: RealisedIC | None,
    *,
    expected: ExpectedIC | None,
    watch: ICWatch | None,
    deviation: float,
    events: Sequence[WatchEvent],
    problem: str,
) -> WatchedQuantity:
    """Return how realised coefficients stand against the expected mean.

    Parameters
    ----------
    found : RealisedIC or None
    expected : ExpectedIC or None
    watch : ICWatch or None
        None where nothing is expected.
    deviation : float
        Of the coefficients; NaN where they are too few.
    events : sequence of WatchEvent
        Those that the ledger holds.
    problem : str
        Why nothing is known, or not all.
    """
    if found is None or watch is None or expected is None:
        return WatchedQuantity(name=RANK_IC, value="", bound="", state="unknown", why=problem)
    bound = f"{watch.bound:.4f} ({expected.source})"
    crossings = tuple(
        WatchEvent(
            event="alarm",
            quantity=RANK_IC,
            since=session,
            value=f"{found.recent:.4f}",
            bound=f"{watch.bound:.4f}",
            text=f"the mean rank IC is below {watch.bound:.4f}: the sequence reached its limit of {found.limit:.0f}",
        )
        for session in found.alarms
    )
    state, stands = _stand(RANK_IC, crossings, events)
    missing = f", {found.missing} without" if found.missing else ""
    said = f"{found.known} sessions have a coefficient{missing}, {found.used} taken; sequence {found.value:.3g} of "
    said += f"{found.limit:.0f}; {_tell_power(watch, deviation)}"
    value = f"{found.recent:.4f} over the last {min(found.known, 60)}" if found.known else "none yet"
    if not found.known and state == "ok":
        state, said = "unknown", problem or "no label of a published session is known yet"
    elif problem and state == "ok":
        state, said = "warning", f"{problem}; {said}"
    return WatchedQuantity(name=RANK_IC, value=value, bound=bound, state=state, why=stands + said, crossings=crossings)


def _tell_power(watch: ICWatch, deviation: float) -> str:
    usual = math.isnan(deviation)
    taken = find_median_delay(watch.test, mean=0.0, deviation=_USUAL_DEVIATION if usual else deviation)
    if watch.bound <= 0:
        return "the bound is not above 0, so that a loss of all edge is no alarm"
    delay = "more than 1008 values" if taken is None else f"{taken * watch.spacing} sessions"
    assumed = f" with the usual deviation of {_USUAL_DEVIATION:g}" if usual else ""
    return f"a loss of all edge takes {delay} to be found, half of the time{assumed}"


def judge_features(
    found: RealisedDrift | None,
    *,
    watch: DriftWatch,
    named: Sequence[str],
    events: Sequence[WatchEvent],
    problem: str,
) -> WatchedQuantity:
    """Return how far the features are; arguments as those of `judge_rank_ic`, and some features that are far."""
    bound = f"{watch.tolerated:.0%} far on average"
    if found is None or (not found.known and not found.alarms):
        return WatchedQuantity(name=FEATURES, value="", bound=bound, state="unknown", why=problem or "no session yet")
    crossings = tuple(
        WatchEvent(
            event="alarm",
            quantity=FEATURES,
            since=session,
            value=f"{found.recent:.1%}",
            bound=bound,
            text=f"more than {watch.tolerated:.0%} of the features are far: the sequence reached {found.limit:.0f}",
        )
        for session in found.alarms
    )
    state, stands = _stand(FEATURES, crossings, events)
    far = f"; far on the last session: {', '.join(named)}" if named else ""
    said = f"{found.known} sessions, sequence {found.value:.3g} of {found.limit:.0f}{far}"
    if problem and state == "ok":
        state, said = "warning", f"{problem}; {said}"
    return WatchedQuantity(
        name=FEATURES,
        value=f"{found.recent:.1%} far over the last {min(found.known, BLOCK)}",
        bound=bound,
        state=state,
        why=stands + said,
        crossings=crossings,
    )


def _stand(name: str, crossings: Sequence[WatchEvent], events: Sequence[WatchEvent]) -> tuple[QuantityState, str]:
    """Return whether an alarm of a quantity stands, of those that the ledger holds and those that it will."""
    known = {one.key for one in events}
    standing = list_standing([*events, *(one for one in crossings if one.key not in known)])
    own = [one for one in standing if one.quantity == name]
    if not own:
        return "ok", ""
    return "alarm", f"since {own[0].since}, until somebody acknowledges it: {own[0].text}; "
