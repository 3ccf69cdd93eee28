"""The registry of trials of a project: where commands register what they show, and what it holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rollwright.analysis.health import HealthFinding
from rollwright.analysis.honesty.sharpe import measure_returns
from rollwright.analysis.records import keep_finite
from rollwright.analysis.stages.honesty import Look, TrialBook, judge_returns
from rollwright.backtest.risk import periods_per_year
from rollwright.config.context import Context
from rollwright.config.settings import Settings, load_settings
from rollwright.core.canonical import dump_canonical, sha256_hex
from rollwright.core.clock import Clock
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError
from rollwright.market.demo_facts import read_demo
from rollwright.market.folder.manifest import read_manifest
from rollwright.market.folder.provider import folder_from_settings
from rollwright.market.seal import asked_holdout, find_opened
from rollwright.market.seal_record import find_record_file, find_recorded, read_records
from rollwright.market.source import DataSource
from rollwright.tracking.recorder import Recorder
from rollwright.trials.chain import Damage
from rollwright.trials.registry import RegistryState, TrialRegistry
from rollwright.trials.trial import Trial

__all__ = ["DataSetTrials", "RegistryReport", "identify_data", "judge_run", "open_book", "read_trials"]

_logger: Final = logging.getLogger("rollwright.app")

REPORT_ARTIFACT: Final = "portfolio_analysis/report_normal_1day.pkl"
_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSetTrials:
    """The trials of one data set.

    Attributes
    ----------
    data : str
    synthetic : bool
    trials : tuple of Trial
        The distinct ones, in the order in which each was first looked at.
    looks : int
        Trials that were written, the shorter forms of these included.
    """

    data: str
    synthetic: bool
    trials: tuple[Trial, ...]
    looks: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, without the returns."""
        return {
            "data": self.data,
            "synthetic": self.synthetic,
            "trials": len(self.trials),
            "registered": self.looks,
            "distinct": [
                {
                    "name": one.name,
                    "source": one.source,
                    "holdout": one.holdout,
                    "first": str(one.series.sessions[0]),
                    "last": str(one.series.sessions[-1]),
                    "sessions": len(one.series.units),
                    "sharpe_session": sharpe_of(one),
                    "settings": dict(one.settings),
                }
                for one in self.trials
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegistryReport:
    """What the registry of a project holds.

    Attributes
    ----------
    folder : str
    data_sets : tuple of DataSetTrials
    chains : dict of str to int
        Records by writer.
    damage : tuple of Damage
    lost, torn : int
        Records that are missing or cannot be read; bytes of a record whose writer died.
    """

    folder: str
    data_sets: tuple[DataSetTrials, ...]
    chains: dict[str, int]
    damage: tuple[Damage, ...]
    lost: int
    torn: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing was changed or taken out."""
        return not self.damage

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "folder": self.folder,
            "sound": self.is_sound,
            "data_sets": [one.to_json() for one in self.data_sets],
            "chains": self.chains,
            "damage": [one._asdict() for one in self.damage],
            "lost": self.lost,
            "torn": self.torn,
        }


def sharpe_of(trial: Trial) -> float | None:
    """Return the Sharpe ratio of a trial, per session and without a risk-free rate; None where it is not defined."""
    try:
        return measure_returns(trial.series.returns).sharpe
    except DataError:
        return None


def open_book(context: Context, source: DataSource, *, clock: Clock | None = None) -> TrialBook:
    """Return where trials on the market `source` of `context` are registered: in the project, under its data set.

    A holdout counts as opened when its own record says so or the registry does: who removes one is told by the other.
    """
    settings = context.settings
    data, synthetic = identify_data(context, source)
    registry = TrialRegistry(settings.state_dir, clock=clock)
    holdouts = {*find_opened(settings)}
    with suppress(OSError):  # registering says what is wrong with it
        holdouts |= find_recorded(registry.read().records, "opened").keys()
    opened = tuple(sorted(np.datetime64(one.start.date(), "D") for one in holdouts))
    return TrialBook(registry=registry, data=data, synthetic=synthetic, opened=opened)


def identify_data(context: Context, source: DataSource) -> tuple[str, bool]:
    """Return the identity of the data set, and whether it is made up.

    That of a folder is the one its first import wrote, wherever it lies and however often it grew. A market without
    one is known by its frequency, its first session and the instruments that have prices then.
    """
    if context.market is None:
        try:
            folder = folder_from_settings(context.settings)
        except DataNotFoundError:
            folder = None
        found = None if folder is None else read_manifest(folder)
        if folder is not None and found is not None:
            return f"import-{found[0].dataset}", bool(read_demo(folder))
    calendar = source.calendar()
    names = source.instruments()
    bounds = source.bounds(names)
    first = int(bounds[:, 0].min()) if len(names) else 0
    listed = [name for name, start in zip(names, bounds[:, 0].tolist(), strict=True) if start == first]
    text = dump_canonical([source.freq, str(calendar[first]), *listed])
    return f"content-{sha256_hex(text.encode())[:_DIGITS]}", False


def judge_run(recorder: Recorder, context: Context, source: DataSource, *, name: str) -> tuple[HealthFinding, ...]:
    """Register the portfolio that a task trained once was traded as, log its honest numbers, and return the findings.

    Nothing is done of a recorder without a portfolio's report, nor of a portfolio that never traded.
    """
    if REPORT_ARTIFACT not in recorder.list_digests():
        return ()
    report = recorder.load_object(REPORT_ARTIFACT)
    try:
        made = judge_returns(
            report["return"] - report["cost"],
            Look("single", name),
            open_book(context, source),
            settings={},
            periods=periods_per_year(source.freq),
        )
    except DataError as error:
        _logger.info("trials.not_judged name=%s reason=%s", name, error.message)
        return ()
    recorder.log_metrics(step=None, **keep_finite({one.key: one.value for one in made.metrics}))
    recorder.flush()
    return made.findings


def read_trials(settings: Settings | None = None) -> RegistryReport:
    """Return what the registry of the project holds, every digest compared.

    Raises
    ------
    OSError
        When its folder cannot be read.
    """
    known = load_settings() if settings is None else settings
    registry = TrialRegistry(known.state_dir)
    state = registry.read()
    return RegistryReport(
        folder=str(registry.folder),
        data_sets=tuple(_by_data_set(state)),
        chains={chain.writer: len(chain.records) for chain in state.chains},
        damage=(*state.damage, *_find_lost_seals(state, known)),
        lost=state.lost,
        torn=state.torn,
    )


def _find_lost_seals(state: RegistryState, settings: Settings) -> Iterator[Damage]:
    """Yield each holdout whose sealing the chains tell of, and neither its own record nor the setting does any more."""
    path = find_record_file(settings.state_dir)
    try:
        recorded = {one.holdout for one in read_records(path)}
    except CorruptFileError as error:
        yield Damage(path.name, 0, error.reason)
        return
    asked = asked_holdout(settings)
    for holdout, record in find_recorded(state.records, "sealed").items():
        if holdout not in recorded and (asked is None or not asked.covers(holdout)):
            days = f"[{holdout.start_text}, {holdout.end_text}]"
            yield Damage(
                path.name, 0, f"it lacks the sealing of {days}, which {record.writer} wrote on {record.time[:10]}"
            )


def _by_data_set(state: RegistryState) -> Sequence[DataSetTrials]:
    keys = dict.fromkeys((one.data, one.synthetic) for one in state.trials)
    return [
        DataSetTrials(
            data=data,
            synthetic=synthetic,
            trials=state.distinct(data, synthetic=synthetic),
            looks=sum((one.data, one.synthetic) == (data, synthetic) for one in state.trials),
        )
        for data, synthetic in keys
    ]
