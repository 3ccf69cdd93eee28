"""Begin a serving, serve its sessions, and catch up with those that were missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pandas as pd

from rollwright.app.campaign import plan_campaign
from rollwright.app.campaign_record import portable_uri, relative_file
from rollwright.app.online.aliases import mirror_aliases
from rollwright.app.online.delivery import DeliveredSignal, deliver_published
from rollwright.app.online.managing import make_manager, make_members
from rollwright.app.online.notify import tell_afterwards
from rollwright.app.online.record import ServingRecord, find_serving, list_servings, write_serving
from rollwright.app.online.serving import OpenServing, open_record, open_serving
from rollwright.app.open_campaign import OpenCampaign, open_campaign
from rollwright.calendar.trading import TradingCalendar, to_session
from rollwright.campaign.online_section import CatchUp
from rollwright.config.settings import Settings, load_settings
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock
from rollwright.core.text import NAME_RULE, escape_text, is_name
from rollwright.errors import ConfigError, RollwrightError
from rollwright.online.day_result import DayResult
from rollwright.online.market_news import write_session
from rollwright.online.state import Role
from rollwright.tracking.liveness import fail_abandoned
from rollwright.tracking.r import R

__all__ = ["BegunServing", "RoutineReport", "begin_serving", "catch_up", "find_awaited", "run_routine"]

_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunServing:
    """A serving that has begun.

    Attributes
    ----------
    name : str
    begin : str
        The first session to be served.
    roles : mapping of str to Role
        By strategy.
    models : mapping of str to str
        The recorder of the model that is online, by strategy.
    left_out : tuple of str
        Members of the campaign that have no role.
    is_new : bool
        Whether it has begun just now.
    """

    name: str
    begin: str
    roles: dict[str, Role]
    models: dict[str, str]
    left_out: tuple[str, ...]
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineReport:
    """What a routine came to.

    Attributes
    ----------
    name : str
        Of the serving.
    results : tuple of DayResult
        Of the sessions that it closed, in order; then of the one it waits for. Where nothing was to be done, the last
        session that was closed before.
    is_idle : bool
        Whether nothing was to be done.
    delivered : tuple of DeliveredSignal
        Files that were written.
    """

    name: str
    results: tuple[DayResult, ...]
    is_idle: bool = False
    delivered: tuple[DeliveredSignal, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "serving": self.name,
            "idle": self.is_idle,
            "sessions": [describe_result(one) for one in self.results],
            "delivered": [str(one.table) for one in self.delivered],
        }


def describe_result(result: DayResult) -> dict[str, JSON]:
    """Return what became of a session as JSON."""
    entry = result.entry
    return {
        "session": result.session,
        "outcome": result.outcome,
        "entry": None if entry is None else entry.number,
        "digest": None if entry is None else entry.digest,
        "signal": None if result.signal is None else result.signal.to_json(),
        "violations": list(result.violations),
        "notes": list(result.notes),
    }


def begin_serving(
    path: Path,
    *,
    name: str | None = None,
    begin: str | None = None,
    overrides: Sequence[str] = (),
    provider_uri: str | None = None,
    project: Path | None = None,
    clock: Clock | None = None,
    tell: Callable[[str], None] | None = None,
) -> BegunServing:
    """Begin to serve a campaign: train what the first session needs, and note it as the first entry of the ledger.

    Killed at any point and given again, it goes on; a serving that has begun stays as it is.

    Parameters
    ----------
    path : Path
        The campaign's file.
    name : str, optional
        Of the serving; the campaign's if not given.
    begin : str, optional
        The first session to be served, over what the file says; the last one of the data if neither says it.
    overrides : sequence of str
        ``dotted.key=value`` each, over what the file says, now and later.
    provider_uri : str, optional
        Market data, over what the file says.
    project : Path, optional
    clock : Clock, optional
    tell : callable, optional
        Told what is done, in words.

    Raises
    ------
    ConfigError
        With every problem of the file; for a name that is none or another campaign's; for a first session that the
        data do not have, or that lies before the first test session.
    LookAheadError
        When the campaign leaks and does not declare it.
    OnlineError
        When a model could not be trained.
    """
    own = load_settings(start=project)
    campaign = open_campaign(path, overrides=overrides, provider_uri=provider_uri, project=own.root)
    record = _make_record(campaign, own, name=name, overrides=overrides, provider_uri=provider_uri)
    say = tell if tell is not None else lambda _text: None
    with open_record(record, own, clock=clock, create=True) as serving:
        plan_campaign(serving.campaign, serving.market)
        members = make_members(serving)
        is_new = serving.ledger.read_state() is None
        first = _find_begin(serving, begin) if is_new else None
        if first is not None:
            say(f"training what {first} needs: {', '.join(members.roles)}")
        fail_abandoned(serving.settings)
        R.exp_manager.location.begin()
        make_manager(serving, members=members, begin=first).first_train()
        write_serving(own, record)
        _, state = serving.read_head()
        served = {name: one for name, one in state.strategies.items() if one.status != "removed"}
        return BegunServing(
            name=serving.name,
            begin=state.begin,
            roles={name: one.role for name, one in served.items()},
            models={name: one.online[0].recorder for name, one in served.items() if one.online},
            left_out=tuple(name for name in members.strategies if name not in state.strategies),
            is_new=is_new,
        )


def _make_record(
    campaign: OpenCampaign,
    own: Settings,
    *,
    name: str | None,
    overrides: Sequence[str],
    provider_uri: str | None,
) -> ServingRecord:
    wanted = campaign.name if name is None else name
    if not is_name(wanted):
        raise ConfigError(f"`{escape_text(wanted, longest=80)}` names no serving: it needs {NAME_RULE}")
    record = ServingRecord(
        name=wanted,
        file=relative_file(campaign.document.path, own.root),
        overrides=tuple(overrides),
        provider_uri=portable_uri(provider_uri, own.root),
    )
    if wanted in list_servings(own):
        known, _ = find_serving(wanted, project=own.root)
        if known.file != record.file:
            raise ConfigError(
                f"`{wanted}` serves {known.file} already",
                hint=f"give the other one a name of its own: rollwright online init {record.file} --name OTHER",
            )
    return record


def _find_begin(serving: OpenServing, given: str | None) -> str:
    """Return the first session to be served: a day without a session is the one after it."""
    wanted = given if given is not None else serving.options.begin
    calendar = serving.market.calendar().known_part()
    if wanted is None:
        return write_session(calendar.last)
    moment = to_session(wanted)
    if not calendar.first <= moment <= calendar.last:
        raise ConfigError(
            f"serving cannot begin on {write_session(moment)}: the data have sessions from "
            f"{write_session(calendar.first)} to {write_session(calendar.last)}",
            hint="begin with one of them; later ones are served as their data arrive",
        )
    return write_session(calendar[calendar.at_or_after(moment)])


@dataclass(slots=True, kw_only=True)
class _ClosedDays:
    """Collects what became of the sessions that a manager closed, each once."""

    results: dict[str, DayResult] = field(default_factory=dict)

    def __call__(self, result: DayResult) -> None:
        self.results[result.session] = result


def run_routine(
    name: str | None = None,
    *,
    session: str | None = None,
    project: Path | None = None,
    clock: Clock | None = None,
) -> RoutineReport:
    """Serve the session that is due, after those that were missed; deliver what was published.

    With a deadline, and where the data end before the session that the clock says is due, that one is waited for.

    Parameters
    ----------
    name : str, optional
        The serving; may be left out where there is only one.
    session : str, optional
        The session to serve, as ``2024-05-17``; the last one that has data if not given.
    project : Path, optional
    clock : Clock, optional

    Raises
    ------
    ConfigError, CorruptFileError, LedgerError
        As `open_serving`, and `make_manager`.
    DataNotArrivedError
        When the data of the session are not there after the deadline.
    SignalRefusedError
        When a signal violates a bound; the next session can be served.
    OnlineError
        When what is due could not be trained, and as `OnlineManager.serve`.
    """
    if session is not None:
        session = write_session(to_session(session))
    with open_serving(name, project=project, clock=clock) as serving, _tell(serving, clock):
        before, _ = serving.read_head()
        closed = _ClosedDays()
        manager = make_manager(serving, on_closed=closed)
        results: list[DayResult] = []
        try:
            results.append(manager.serve(session))
            awaited = find_awaited(serving) if session is None else None
            if awaited is not None:
                results.append(manager.serve(awaited))
        except RollwrightError:  # of what was published before it
            _follow(serving)
            raise
        delivered = _follow(serving)
        after, _ = serving.read_head()
        fresh = [one for one in closed.results.values() if one.entry is not None and one.entry.number > before.number]
        waiting = [one for one in results if one.outcome == "waiting"]
        return RoutineReport(
            name=serving.name,
            results=tuple([*fresh, *waiting] or results),
            is_idle=after.number == before.number and not waiting,
            delivered=tuple(delivered),
        )


def find_awaited(serving: OpenServing) -> str | None:
    """Return the session that the clock says is due and that the data do not have yet; None without a deadline.

    Which days are sessions is known from the calendar where it goes on past the data, else Monday to Friday are taken
    for it.
    """
    options = serving.options
    if options.deadline is None:
        return None
    today = pd.Timestamp(serving.ledger.clock.now().astimezone(ZoneInfo(options.timezone)).date())
    following = _find_following(serving.market.calendar(), today)
    return None if following is None or following > today else write_session(following)


def _find_following(calendar: TradingCalendar, today: pd.Timestamp) -> pd.Timestamp | None:
    """Return the first day after the data on which there is, or seems to be, a session."""
    last = calendar.last_known.normalize()
    if today <= last:
        return None
    later = [day for day in calendar.to_index()[calendar.known :].normalize() if day > last]
    if later:
        return later[0]
    following = last + pd.Timedelta(days=1)
    while following.weekday() >= _SATURDAY:
        following += pd.Timedelta(days=1)
    return following


def catch_up(
    name: str | None = None,
    *,
    policy: CatchUp | None = None,
    window: int | None = None,
    project: Path | None = None,
    clock: Clock | None = None,
) -> RoutineReport:
    """Serve or skip the sessions that have data and were not reached yet, in order; deliver what was published.

    Parameters
    ----------
    name : str, optional
    policy : {"all", "latest", "none"}, optional
        What the file says if not given.
    window : int, optional
        How many sessions are served at most; what the file says if not given.
    project : Path, optional
    clock : Clock, optional

    Raises
    ------
    As `run_routine`, but for what is refused, which the results say.
    """
    with open_serving(name, project=project, clock=clock) as serving, _tell(serving, clock):
        manager = make_manager(serving)
        try:
            results = manager.catch_up(policy, window)
        except RollwrightError:
            _follow(serving)
            raise
        delivered = _follow(serving)
        return RoutineReport(name=serving.name, results=tuple(results), is_idle=not results, delivered=tuple(delivered))


def _follow(serving: OpenServing) -> list[DeliveredSignal]:
    """Bring in line what follows from the ledger, delivered files and aliases; return the files that were written."""
    delivered = deliver_published(serving)
    mirror_aliases(serving)
    return delivered


def _tell(serving: OpenServing, clock: Clock | None) -> AbstractContextManager[None]:
    """Tell those whom the file names what happened, after the block."""
    return tell_afterwards(serving.ledger, serving.options.notify, clock=clock)
