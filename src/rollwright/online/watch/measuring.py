"""Measuring what is watched of published sessions: rank IC once labels are known, and how far features are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.records import SignalRecord
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.dataset.dataset import Dataset
from rollwright.errors import ArtifactNotFoundError, DataError, RollwrightError
from rollwright.expression.label_reach import LabelReach
from rollwright.market.source import DataSource
from rollwright.models.learning import Learning
from rollwright.online.signal_store import Signals
from rollwright.online.state import OnlineModel
from rollwright.online.update import RMDLoader
from rollwright.online.watch.feature_drift import FeatureReference
from rollwright.online.watch.realised_ic import measure_rank_ic
from rollwright.online.watch.record import WatchedDay, WatchRecord
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.kept_fit import LEARNING_ARTIFACT

__all__ = [
    "LoadDataset",
    "LoadImportance",
    "Measured",
    "load_dataset",
    "load_importance",
    "measure_features",
    "measure_ics",
]

LoadDataset = Callable[[OnlineModel], Dataset]
"""Returns the dataset that a model was trained on."""
LoadImportance = Callable[[OnlineModel], Mapping[str, float]]
"""Returns the shares of importance of a model's features; none where the model tells none."""

_CHUNK: Final = 25
_MOST_ROWS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What measuring found.

    Attributes
    ----------
    record : WatchRecord
        With what could be measured.
    problem : str
        Why something could not be, the first of several reasons; "" where all could.
    """

    record: WatchRecord
    problem: str = ""


def load_dataset(model: OnlineModel) -> Dataset:
    """Return the dataset of a model's recorder.

    Raises
    ------
    RecordError, NotTrainedError
    """
    return RMDLoader(_find_recorder(model)).load_dataset()


def load_importance(model: OnlineModel) -> Mapping[str, float]:
    """Return what a model's recorder tells of the importance of its features; nothing where it does not.

    Raises
    ------
    RecordError
        When the recorder is gone.
    """
    try:
        return Learning.from_json(_find_recorder(model).load_object(LEARNING_ARTIFACT)).importance
    except (ArtifactNotFoundError, DataError):  # a model that tells nothing, or an artifact of the user's own
        return {}


def _find_recorder(model: OnlineModel) -> Recorder:
    return R.get_recorder(recorder_id=model.recorder, experiment_name=model.experiment)


def measure_ics(record: WatchRecord, *, market: DataSource, signals: Signals, load: LoadDataset) -> Measured:
    """Return the record with the coefficients of sessions whose labels have become known.

    A label is known when the last session that it reads is one of the data, never before. What was measured stays,
    whatever becomes of the data.

    Parameters
    ----------
    record : WatchRecord
    market : DataSource
    signals : Signals
    load : callable
    """
    calendar = market.calendar().known_part()
    done: dict[str, WatchedDay] = {}
    sessions = record.label_sessions
    problems = []
    for model, days in _by_model(day for day in record.days if day.ic is None):
        try:
            dataset = load(model)
            reach = _find_reach(dataset)
            sessions = reach.horizon if reach.horizon is not None else max(reach.span, 1)
            known = [day for day in days if calendar.index(day.session) + reach.span < len(calendar)]
            if known:
                done |= _measure_group(known, dataset, signals)
        except RollwrightError as error:  # of one model: what the others tell is still to be known
            problems.append(error.message)
    return Measured(record=replace(record.with_days(done), label_sessions=sessions), problem=next(iter(problems), ""))


def _find_reach(dataset: Dataset) -> LabelReach:
    if dataset.label_reach is None:
        raise DataError(
            "the dataset does not tell how far its label reaches, so nobody knows when it is known",
            hint="let its class have `label_lookahead`",
        )
    return dataset.label_reach


def _measure_group(days: Sequence[WatchedDay], dataset: Dataset, signals: Signals) -> dict[str, WatchedDay]:
    first, last = days[0].session, days[-1].session
    dataset.move_to(first, last, segments={"test": (first, last)})
    table = SignalRecord.generate_label(dataset)
    labels = table.iloc[:, 0]
    dates = labels.index.get_level_values("datetime")
    found = {}
    for day in days:
        rows = labels[dates == pd.Timestamp(day.session)].droplevel("datetime")
        found[day.session] = replace(day, ic=measure_rank_ic(signals.load(day.signal), rows))
    return found


def measure_features(
    record: WatchRecord,
    *,
    market: DataSource,
    load: LoadDataset,
    sessions: int,
    weigh: LoadImportance = load_importance,
) -> Measured:
    """Return the record with the shares of features that are far, of sessions that lack one.

    Parameters
    ----------
    record : WatchRecord
    market : DataSource
    load : callable
    sessions : int
        How many before the first one of a model are its reference.
    weigh : callable
        Tells which of the features that are far are named first.
    """
    calendar = market.calendar().known_part()
    problems = []
    for model, days in _by_model(day for day in record.days if day.far is None):
        try:
            record = _measure_model(
                record, model, days, calendar=calendar, dataset=load(model), sessions=sessions, weigh=weigh
            )
        except RollwrightError as error:
            problems.append(error.message)
    return Measured(record=record, problem=next(iter(problems), ""))


def _measure_model(
    record: WatchRecord,
    model: OnlineModel,
    days: Sequence[WatchedDay],
    *,
    calendar: TradingCalendar,
    dataset: Dataset,
    sessions: int,
    weigh: LoadImportance,
) -> WatchRecord:
    begin = calendar.at_or_after(model.serves_from)
    chunks = [
        (f"reference {start}", (calendar[start], calendar[min(start + _CHUNK, begin) - 1]))
        for start in range(max(0, begin - sessions), begin, _CHUNK)
    ]
    has_reference = record.reference is not None and record.reference_of == model.recorder
    segments: dict[str, tuple[Session, Session]] = dict(() if has_reference else chunks)
    for day in days:
        segments[day.session] = (pd.Timestamp(day.session), pd.Timestamp(day.session))
    ends = list(segments.values())
    dataset.move_to(ends[0][0], ends[-1][1], segments=segments)
    reference = record.reference
    if not has_reference or reference is None:
        reference = _build_reference(dataset, [name for name, _ in chunks], model.serves_from)
    done, importance = {}, weigh(model)
    for day in days:
        found = reference.measure(_read_features(dataset, day.session)[0])
        if found is None:
            done[day.session] = replace(day, far=math.nan)
        else:
            done[day.session] = replace(day, far=found.share, named=found.list_far(importance))
    return replace(record.with_days(done), reference=reference, reference_of=model.recorder)


def _build_reference(dataset: Dataset, segments: Sequence[str], serves_from: str) -> FeatureReference:
    if not segments:
        raise DataError(f"the data begin with {serves_from}, so there is nothing to compare features with")
    parts = [_read_features(dataset, segment) for segment in segments]
    names = parts[0][2]
    return FeatureReference.build(
        np.concatenate([rows for rows, _, _ in parts]), np.concatenate([dates for _, dates, _ in parts]), names
    )


def _read_features(dataset: Dataset, segment: str) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[str, ...]]:
    """Return the raw features of a segment, of at most 500 instruments a session, the session of each row, and names.

    Which instruments are left out where there are more is told by their order: every second one, or third …
    """
    fold = dataset.fold(segment, data_key="raw")
    dates = fold.index.get_level_values("datetime").to_numpy().astype(np.int64)
    starts = np.flatnonzero(np.r_[True, dates[1:] != dates[:-1]])
    counts = np.diff(np.r_[starts, len(dates)])
    every = np.repeat(np.ceil(counts / _MOST_ROWS).astype(np.int64), counts)
    place = np.arange(len(dates)) - np.repeat(starts, counts)
    keep = place % every == 0
    return fold.features[keep], dates[keep], fold.names


def _by_model(days: Iterable[WatchedDay]) -> list[tuple[OnlineModel, list[WatchedDay]]]:
    return [(model, list(group)) for model, group in groupby(days, key=lambda day: day.model)]
