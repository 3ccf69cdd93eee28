"""Watch a serving: whether data arrive, whether features are what they were, and whether scores keep their promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from rollwright.app.online.notify import deliver_notifications
from rollwright.app.online.serving import OpenServing, open_serving
from rollwright.campaign.about import AboutResults, AboutVariant, read_about
from rollwright.campaign.online_section import WatchSection
from rollwright.campaign.results_folder import read_variant_stage
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import OnlineError, RollwrightError
from rollwright.market.source import DataSource
from rollwright.online.market_news import find_news, write_session
from rollwright.online.state import ServingState
from rollwright.online.watch.arrival import find_arrival, measure_prices
from rollwright.online.watch.events import acknowledge, append_event, find_acknowledged
from rollwright.online.watch.feature_drift import DriftWatch
from rollwright.online.watch.measuring import load_dataset, measure_features, measure_ics
from rollwright.online.watch.quantities import (
    FEATURES,
    RANK_IC,
    WatchedQuantity,
    judge_arrival,
    judge_backlog,
    judge_features,
    judge_history,
    judge_prices,
    judge_rank_ic,
)
from rollwright.online.watch.realised_ic import CLIP, ExpectedIC, ICWatch
from rollwright.online.watch.record import WatchRecord, read_record

__all__ = ["WatchReport", "acknowledge_alarm", "watch_serving"]

_FEWEST: Final = 30
_FEW: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """How a serving stands.

    Attributes
    ----------
    name : str
    at : datetime
        When it was looked at.
    quantities : tuple of WatchedQuantity
    entries : tuple of int
        Numbers of the entries that tell the new alarms.
    """

    name: str
    at: datetime
    quantities: tuple[WatchedQuantity, ...]
    entries: tuple[int, ...] = ()

    @property
    def has_alarm(self) -> bool:
        """Whether an alarm stands, or data are late."""
        return any(one.state == "alarm" for one in self.quantities)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "at": f"{self.at:%Y-%m-%dT%H:%M:%SZ}",
            "alarm": self.has_alarm,
            "quantities": [one.to_json() for one in self.quantities],
            "entries": list(self.entries),
        }


def watch_serving(
    name: str | None = None, *, project: Path | None = None, clock: Clock | None = None, tell: bool = True
) -> WatchReport:
    """Look at all that is watched of a serving; tell new alarms in its ledger, each once, and to whom `notify` names.

    Parameters
    ----------
    name : str, optional
        May be left out where there is only one.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    clock : Clock, optional
    tell : bool
        False appends nothing to the ledger, and notifies nobody.

    Raises
    ------
    ConfigError, CorruptFileError, LedgerError
        As `open_serving`.
    """
    now = clock if clock is not None else SystemClock()
    with open_serving(name, project=project, clock=now) as serving:
        _, state = serving.read_head()
        record, quantities = _measure(serving, state, now=now.now())
        entries = []
        if tell:
            known = {event.key for event in record.events}
            for event in (crossing for one in quantities for crossing in one.crossings):
                made = None if event.key in known else append_event(serving.ledger, event, seen=record.entry)
                if made is not None:
                    entries.append(made.number)
            deliver_notifications(serving.ledger, serving.options.notify, clock=clock)
        return WatchReport(name=serving.name, at=now.now(), quantities=quantities, entries=tuple(entries))


def acknowledge_alarm(
    name: str | None = None,
    *,
    quantity: str,
    reason: str,
    project: Path | None = None,
    clock: Clock | None = None,
) -> int:
    """Note in the ledger that somebody looked at the alarms of a quantity; return the number of the entry.

    The quantity is watched anew, from the next session on.

    Raises
    ------
    OnlineError
        When no alarm of it stands, or no reason is given.
    ConfigError, CorruptFileError, LedgerError
        As `open_serving`.
    """
    with open_serving(name, project=project, clock=clock) as serving:
        serving.read_head()
        record = _read(serving)
        seen = record.list_ics() if quantity == RANK_IC else record.list_shares()
        until = next(reversed(list(seen)), record.days[-1].session if record.days else "")
        made = acknowledge(serving.ledger, record.events, quantity, reason=reason, until=until, seen=record.entry)
        if made is None:
            raise OnlineError(f"the alarms of `{quantity}` were acknowledged by another process just now")
        return made.number


def _path(serving: OpenServing) -> Path:
    return serving.settings.state_dir / "online" / "watch" / f"{serving.name}.json"


def _read(serving: OpenServing) -> WatchRecord:
    combine = serving.campaign.config.combine
    judge = None if combine is None else combine.label
    return read_record(_path(serving), serving.ledger).read_on(serving.ledger, judge=judge)


def _measure(
    serving: OpenServing, state: ServingState, *, now: datetime
) -> tuple[WatchRecord, tuple[WatchedQuantity, ...]]:
    options, market = serving.options, serving.market
    watch = options.watch
    calendar = market.calendar()
    deadline = options.deadline_time
    arrival = (
        None if deadline is None else find_arrival(calendar, now=now, deadline=deadline, timezone=options.timezone)
    )
    former = read_record(_path(serving), serving.ledger)
    record = _read(serving)
    record, rank_ic = _measure_rank_ic(serving, record, state, market)
    record, features = _measure_features(record, watch, market)
    if record.to_json() != former.to_json():
        record.write(_path(serving))
    return record, (
        judge_arrival(arrival, last=f"{calendar.last_known:%Y-%m-%d}", now=now),
        judge_backlog(state, calendar),
        *judge_prices(measure_prices(market), least_closes=watch.least_closes, most_frozen=watch.most_frozen),
        judge_history(state, find_news(market, serving.ledger, state, write_session(calendar.last_known))),
        rank_ic,
        features,
    )


def _measure_rank_ic(
    serving: OpenServing, record: WatchRecord, state: ServingState, market: DataSource
) -> tuple[WatchRecord, WatchedQuantity]:
    watch = serving.options.watch
    made = measure_ics(record, market=market, signals=serving.signals, load=load_dataset)
    after = find_acknowledged(made.record.events, RANK_IC)
    values = made.record.list_ics(after=after)
    numbers = np.clip([value for value in made.record.list_ics().values() if not math.isnan(value)], -CLIP, CLIP)
    spacing = watch.spacing if watch.spacing is not None else max(made.record.label_sessions, 1)
    expected, why = _find_expected(serving, state, watch, span=spacing)
    held = None
    if expected is not None:
        held = ICWatch(bound=expected.bound, spacing=spacing, false_alarms_a_year=watch.false_alarms_a_year)
    return made.record, judge_rank_ic(
        None if held is None else held.measure(values),
        expected=expected,
        watch=held,
        deviation=float(numbers.std(ddof=1)) if len(numbers) >= _FEW else math.nan,
        events=made.record.events,
        problem=made.problem or why,
    )


def _measure_features(
    record: WatchRecord, watch: WatchSection, market: DataSource
) -> tuple[WatchRecord, WatchedQuantity]:
    held = DriftWatch(tolerated=watch.drift_tolerated, false_alarms_a_year=watch.false_alarms_a_year)
    problem = "features are not watched: `drift_sessions` is 0"
    if watch.drift_sessions:
        made = measure_features(record, market=market, load=load_dataset, sessions=watch.drift_sessions)
        record, problem = made.record, made.problem
    after = find_acknowledged(record.events, FEATURES)
    found = held.measure(record.list_shares(after=after)) if watch.drift_sessions else None
    named = record.days[-1].named if record.days else ()
    return record, judge_features(found, watch=held, named=named, events=record.events, problem=problem)


def _find_expected(
    serving: OpenServing, state: ServingState, watch: WatchSection, *, span: int
) -> tuple[ExpectedIC | None, str]:
    """Return the expectation, or why there is none."""
    if watch.expected_ic is not None:
        return ExpectedIC.stated(watch.expected_ic), ""
    ways = f"set `watch: {{expected_ic: …}}`, or roll the campaign: rollwright roll {serving.record.file}"
    try:
        about = read_about(serving.campaign.results, hint=ways)
        variant = _find_variant(about, state.with_role("champion"))
        if variant is None:
            return None, f"the campaign's results hold no signal of just these champions; {ways}"
        frame = read_variant_stage("analyze", about, variant, serving.campaign.results, tables=("ic",)).frame("ic")
    except RollwrightError as error:
        return None, f"nothing is expected: {error.message}; {ways}"
    if frame is None:
        return None, f"the campaign's results have no coefficients; {ways}"
    before = frame.loc[frame.index < state.begin, "rank_ic"].dropna()
    if len(before) < _FEWEST:
        return None, f"{len(before)} sessions of the campaign's results lie before {state.begin}: too few; {ways}"
    expected = ExpectedIC.measured(before.to_list(), span=span, source="the campaign's results")
    return (expected, "") if expected is not None else (None, f"too few sessions to tell an interval; {ways}")


def _find_variant(about: AboutResults, champions: Sequence[str]) -> AboutVariant | None:
    """Return the signal of the results that the champions make."""
    if about.combined is not None and {*about.combined.members} == {*champions}:
        return next((one for one in about.variants if one.is_signal), None)
    if len(champions) != 1:
        return None
    named = [one for one in about.variants if one.name == champions[0] and not one.is_signal]
    alone = [one for one in about.variants if about.combined is None and len(about.variants) == 1]
    return next(iter([*named, *alone]), None)
