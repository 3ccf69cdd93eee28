"""Simulate a serving over sessions that have been: what it would have published, and how good that was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from rollwright.analysis.records import SignalRecord
from rollwright.analysis.signal import daily_ic
from rollwright.app.campaign import plan_campaign
from rollwright.app.campaign_record import relative_file
from rollwright.app.online.managing import make_manager, make_members
from rollwright.app.online.record import ServingRecord
from rollwright.app.online.serving import OpenServing
from rollwright.app.online.strategies import ServedMembers
from rollwright.app.open_campaign import open_campaign
from rollwright.calendar.trading import Session, SessionLike, to_session
from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.core.canonical import JSON
from rollwright.dataset.contract import check_dataset
from rollwright.errors import ConfigError
from rollwright.online.ledger import ServingLedger
from rollwright.online.market_news import write_session
from rollwright.online.signal_store import MemorySignals
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tasks.definition import set_segments
from rollwright.tracking.r import R

__all__ = ["SimulatedDay", "SimulatedServing", "simulate_serving"]

_RECORD: Final[dict[str, Any]] = {"class": "SignalRecord", "module_path": "rollwright.analysis.records", "kwargs": {}}
_METHODS: Final[tuple[Literal["pearson", "spearman"], ...]] = ("pearson", "spearman")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDay:
    """What would have been published for a session.

    Attributes
    ----------
    session : str
    names : int
        Instruments that have a score.
    ic, rank_ic : float or None
        None where the label is not known yet, or nothing can be correlated.
    """

    session: str
    names: int
    ic: float | None
    rank_ic: float | None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"session": self.session, "names": self.names, "ic": self.ic, "rank_ic": self.rank_ic}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedServing:
    """What a serving would have published.

    Attributes
    ----------
    name : str
        Of the campaign.
    signals : DataFrame
        ``session``, ``instrument``, ``score``.
    days : tuple of SimulatedDay
    refused : tuple of str
        Sessions whose signal would have been refused.
    """

    name: str
    signals: pd.DataFrame
    days: tuple[SimulatedDay, ...]
    refused: tuple[str, ...]

    @property
    def rank_ics(self) -> tuple[float, ...]:
        """The rank ICs that are known, in order of the sessions."""
        return tuple(day.rank_ic for day in self.days if day.rank_ic is not None)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, without the signals."""
        return {
            "campaign": self.name,
            "days": [day.to_json() for day in self.days],
            "refused": list(self.refused),
        }


def simulate_serving(
    path: Path,
    *,
    first: SessionLike,
    last: SessionLike | None = None,
    overrides: Sequence[str] = (),
    provider_uri: str | None = None,
    project: Path | None = None,
) -> SimulatedServing:
    """Return what serving a campaign would have published, trained as it would have been; no ledger is written.

    Its recorders go into experiments of their own, ``NAME-simulation-MEMBER``; what was trained for an earlier
    simulation is not trained again.

    Parameters
    ----------
    path : Path
        The campaign's file.
    first : date
        The first session; a day without a session is the one after it.
    last : date, optional
        The last session; the last one of the data if not given. Nothing goes past it.
    overrides : sequence of str
        ``dotted.key=value`` each, over what the file says.
    provider_uri : str, optional
    project : Path, optional

    Raises
    ------
    ConfigError
        With every problem of the file, and when there is no session in the range.
    LookAheadError
        When the campaign leaks and does not declare it.
    OnlineError
        When a model could not be trained.
    """
    own = load_settings(start=project)
    campaign = open_campaign(path, overrides=overrides, provider_uri=provider_uri, project=own.root)
    name = f"{campaign.name}-simulation"
    record = ServingRecord(name=name, file=relative_file(campaign.document.path, own.root))
    with using(campaign.context):
        serving = OpenServing(
            record=record,
            campaign=campaign,
            ledger=ServingLedger(name, MemoryStore()),
            signals=MemorySignals(),
        )
        plan_campaign(campaign, serving.market)
        members = make_members(serving, records=(_RECORD,))
        calendar = serving.market.calendar().known_part()
        begin = to_session(first)
        if begin > calendar.last:
            raise ConfigError(
                f"a simulation cannot begin on {write_session(begin)}: the data end on {write_session(calendar.last)}"
            )
        begin = calendar[calendar.at_or_after(begin)]
        R.exp_manager.location.begin()
        manager = make_manager(serving, members=members, begin=write_session(begin))
        signals = manager.simulate(end_time=last, frequency=serving.settings.data.freq)
        end = calendar.last if last is None else min(to_session(last), calendar.last)
        sessions = [write_session(calendar[place]) for place in calendar.positions(begin, end)]
        return _judge(campaign.name, signals, sessions, _read_label(members, begin, end))


def _read_label(members: ServedMembers, begin: Session, end: Session) -> pd.DataFrame:
    """Return the label of the first champion on the sessions, NaN where it is not known yet."""
    champion = next(name for name, role in members.roles.items() if role == "champion")
    (task,) = members.strategies[champion].first_tasks(cur_time=end, until=end)
    asked = {**task}
    set_segments(asked, {"test": (begin, end)})  # those of the window may reach into it
    dataset = check_dataset(init_instance_by_config(asked["dataset"], slot="dataset"))
    return SignalRecord.generate_label(dataset)


def _judge(name: str, signals: pd.Series | None, sessions: Sequence[str], label: pd.DataFrame) -> SimulatedServing:
    if signals is None:
        empty = pd.DataFrame({"session": [], "instrument": [], "score": []})
        return SimulatedServing(name=name, signals=empty, days=(), refused=tuple(sessions))
    pred = signals.to_frame("score")
    counts = signals.groupby(level="datetime").size()
    ic, rank_ic = (daily_ic(pred, label, method=method).reindex(counts.index) for method in _METHODS)
    columns = (counts.index, counts.tolist(), ic.tolist(), rank_ic.tolist())
    days = tuple(
        SimulatedDay(session=write_session(day), names=count, ic=_known(one), rank_ic=_known(rank))
        for day, count, one, rank in zip(*columns, strict=True)
    )
    table = pd.DataFrame(
        {
            "session": [write_session(day) for day in signals.index.get_level_values("datetime")],
            "instrument": signals.index.get_level_values("instrument"),
            "score": signals.to_numpy(),
        }
    )
    made = {day.session for day in days}
    return SimulatedServing(
        name=name,
        signals=table,
        days=days,
        refused=tuple(session for session in sessions if session not in made),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
