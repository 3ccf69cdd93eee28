"""Why an instrument had its score on a day: from the signal back to members, model, window, data and code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.app.campaign_record import results_folder
from rollwright.app.open_campaign import OpenCampaign, open_campaign
from rollwright.app.status import OpenWindows, open_windows
from rollwright.calendar.trading import Session, to_session
from rollwright.campaign.combined_signal import explain_signal
from rollwright.campaign.judging import find_own_files
from rollwright.campaign.plan import make_plan
from rollwright.campaign.results_folder import LABEL_FILE, PRED_FILE, member_folder
from rollwright.campaign.submitted import SubmittedWindow
from rollwright.codecs.registry import codecs
from rollwright.config.context import using
from rollwright.core.canonical import parse_json
from rollwright.dataset.contract import check_dataset
from rollwright.errors import ConfigError, ModelError, RollwrightError, nearest
from rollwright.market.current import current_market
from rollwright.models.base import ExplainsScores
from rollwright.pool.document import read_result
from rollwright.pool.states import Status
from rollwright.pool.types import TaskRecord
from rollwright.tracking.recorder import Recorder
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.execute import DATASET_ARTIFACT
from rollwright.training.kept_fit import FIT_FROM_TAG, MODEL_ARTIFACT
from rollwright.training.provenance import PROVENANCE_ARTIFACT
from rollwright.training.validity import judge

__all__ = ["FeatureShare", "MemberScore", "Place", "ScoreExplanation", "SignalShare", "explain_score", "find_place"]

WHY_FORMAT: Final = 1
_TEST: Final = "test"
_TABLE: Final = 2
"""Dimensions of the features of a model that reads one row for each score."""
_CLOSE: Final = 1e-6
"""Scores that differ by less, beside their size, are the same: contributions are sums of other roundings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A score and where it stands among those of its day.

    Attributes
    ----------
    score : float
    rank : int
        1 for the highest; equal scores share the best place.
    of : int
        How many were scored on that day.
    """

    score: float
    rank: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureShare:
    """A feature as the model saw it.

    Attributes
    ----------
    name : str
    value : float or None
        After the handler's processors; None where it is missing.
    moved : float or None
        What it added to the score; None where the model cannot tell.
    """

    name: str
    value: float | None
    moved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalShare:
    """What a member added to the signal.

    Attributes
    ----------
    weight : float
        Of the member, on that day and among those that score the instrument; all weights add up to 1.
    scaled : float
        Its score as it was averaged: standardised within the day, or its rank.
    part : float
        Their product; all parts add up to the signal.
    """

    weight: float
    scaled: float
    part: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberScore:
    """The score that one member of the campaign gave.

    Attributes
    ----------
    variant, window : str
    place : Place
    segments : mapping of str to (str, str)
    recorder : str
        The run that holds model and prediction.
    fit_from : str or None
        The run whose model was taken, where it was not trained in this one.
    model : mapping
        Class, parameters, seed, and the SHA-256 of the stored model.
    data, code, versions : mapping
        As the model's provenance has them.
    features : tuple of FeatureShare
        Those that moved the score most stand first.
    base : float or None
        What the score would be without any feature; None where the model cannot tell.
    unexplained : str or None
        Why contributions or values are not told.
    changed : str or None
        What has changed since, so that the values may not be those the model saw; None when nothing has.
    share : SignalShare or None
        What it added to the signal; None where it takes no part, and where that is not known.
    """

    variant: str
    window: str
    place: Place
    segments: Mapping[str, tuple[str, str]]
    recorder: str
    fit_from: str | None
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    code: Mapping[str, Any]
    versions: Mapping[str, Any]
    features: tuple[FeatureShare, ...]
    base: float | None
    unexplained: str | None
    changed: str | None
    share: SignalShare | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "variant": self.variant,
            "window": self.window,
            "score": self.place.score,
            "rank": self.place.rank,
            "of": self.place.of,
            "segments": {role: [*ends] for role, ends in self.segments.items()},
            "recorder": self.recorder,
            "fit_from": self.fit_from,
            "model": dict(self.model),
            "data": dict(self.data),
            "code": dict(self.code),
            "versions": dict(self.versions),
            "features": [{"name": one.name, "value": one.value, "moved": one.moved} for one in self.features],
            "base": self.base,
            "unexplained": self.unexplained,
            "changed": self.changed,
            "share": None if self.share is None else asdict(self.share),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreExplanation:
    """Why an instrument had its score on a day.

    Attributes
    ----------
    name : str
        Of the campaign.
    date, instrument : str
    signal : Place or None
        What the campaign's collected prediction says; None when no results were made.
    label : float or None
        What came of it, where that is known by now.
    members : tuple of MemberScore
    uncombined : str or None
        Why it is not told what the members added to the signal; None where it is, and where none is made of them.
    """

    name: str
    date: str
    instrument: str
    signal: Place | None
    label: float | None
    members: tuple[MemberScore, ...]
    uncombined: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        signal = self.signal
        return {
            "format": WHY_FORMAT,
            "name": self.name,
            "date": self.date,
            "instrument": self.instrument,
            "signal": None if signal is None else {"score": signal.score, "rank": signal.rank, "of": signal.of},
            "label": self.label,
            "members": [member.to_json() for member in self.members],
            "uncombined": self.uncombined,
        }


def explain_score(
    date: str, instrument: str, *, name: str | None = None, project: Path | None = None
) -> ScoreExplanation:
    """Return why `instrument` had its score on `date`; nothing is changed.

    The values of the features are computed anew, from the market as it is and with what the handler's processors had
    learnt. Where data or code have changed since, it says so.

    Raises
    ------
    ConfigError
        When the campaign predicted nothing on that day, or not for that instrument.
    """
    with open_windows(name, project=project) as opened:
        record = opened.record
        campaign = open_campaign(
            opened.settings.root / record.file,
            overrides=record.overrides,
            provider_uri=record.provider_uri,
            project=opened.settings.root,
        )
        with using(campaign.context):
            day = to_session(date)
            tasks = opened.read_tasks()
            windows = _find_windows(opened, day)
            members = tuple(
                _explain(window, _check_done(window, tasks.get(window.task_id)), day, instrument) for window in windows
            )
            label = next((value for _, value in members if value is not None), None)
            folder = results_folder(campaign.settings, record.name)
            signal = _read_signal(folder / PRED_FILE, day, instrument)
            scores = tuple(member for member, _ in members)
            uncombined = None
            if signal is not None and len(scores) > 1:
                scores, uncombined = _find_shares(campaign, folder, signal, scores, day, instrument)
            return ScoreExplanation(
                name=record.name,
                date=f"{day:%Y-%m-%d}",
                instrument=instrument,
                signal=signal,
                label=label,
                members=scores,
                uncombined=uncombined,
            )


def _find_shares(
    campaign: OpenCampaign,
    folder: Path,
    signal: Place,
    members: tuple[MemberScore, ...],
    day: Session,
    instrument: str,
) -> tuple[tuple[MemberScore, ...], str | None]:
    """Return the members with what each added to the signal, and why that is not told where it is not."""
    plan = make_plan(campaign.config, name=campaign.name, calendar=current_market().calendar(), keep_leaks=True)
    combination = plan.combination
    if combination is None:
        return members, None
    codec = codecs.for_kind("parquet")
    try:
        days = codec.read(folder / PRED_FILE).index.get_level_values("datetime").unique()
        preds = {
            name: codec.read(member_folder(folder, name) / PRED_FILE).loc[lambda pred: _on_days(pred, days)]
            for name in combination.members
        }
        shares = explain_signal(plan, combination, preds, codec.read(folder / LABEL_FILE), (day, instrument))
    except (OSError, RollwrightError) as error:
        return members, f"what the members predicted is not whole: {error}; rollwright collect {campaign.name}"
    if abs(shares["part"].sum() - signal.score) > _CLOSE * max(1.0, abs(signal.score)):
        return members, f"the members do not add up to the signal any more; rollwright collect {campaign.name}"
    told = {
        str(name): SignalShare(weight=float(one["weight"]), scaled=float(one["scaled"]), part=float(one["part"]))
        for name, one in shares.iterrows()
        if np.isfinite(one["scaled"])  # it lacks the row else
    }
    return tuple(replace(member, share=told.get(member.variant)) for member in members), None


def _on_days(pred: pd.DataFrame, days: pd.Index) -> pd.Series:
    return pd.Series(pred.index.get_level_values("datetime").isin(days), index=pred.index)


def _find_windows(opened: OpenWindows, day: Session) -> list[SubmittedWindow]:
    """Return the window of each member whose test holds the day."""
    shown = f"{day:%Y-%m-%d}"
    found = [one for one in opened.windows if one.segments["test"][0] <= shown <= one.segments["test"][1]]
    if not found:
        ends = [end for one in opened.windows for end in one.segments["test"]]
        ranged = f"it predicts {min(ends)} to {max(ends)}" if ends else "nothing was submitted yet"
        raise ConfigError(
            f"campaign {opened.record.name} predicts nothing on {shown}",
            hint=f"{ranged}; another campaign: --campaign NAME",
        )
    return found


def _check_done(window: SubmittedWindow, task: TaskRecord | None) -> TaskRecord:
    if task is None or task.status is not Status.DONE:
        state = "is not in the pool any more" if task is None else f"is {task.status.value}"
        raise ConfigError(f"window {window.name} {state}, so it has no prediction", hint="train it: rollwright resume")
    return task


def _explain(
    window: SubmittedWindow, task: TaskRecord, day: Session, instrument: str
) -> tuple[MemberScore, float | None]:
    recorder: Recorder = read_result(task)
    place = find_place(recorder.load_object("pred.pkl"), day, instrument, window.name)
    origin = recorder.load_object(PROVENANCE_ARTIFACT)
    changed = judge(
        task.definition,
        None if task.validity is None else parse_json(task.validity),
        check=ScopeCheck(),
        made_with=lambda: find_own_files(task),
    )
    features, base, unexplained = _read_features(recorder, day, instrument, place.score)
    member = MemberScore(
        variant=window.variant,
        window=window.name,
        place=place,
        segments=window.segments,
        recorder=recorder.id,
        fit_from=recorder.list_tags().get(FIT_FROM_TAG),
        model={**origin["model"], "sha256": recorder.list_digests().get(MODEL_ARTIFACT)},
        data=origin["data"],
        code=origin["code"],
        versions=origin["versions"],
        features=features,
        base=base,
        unexplained=unexplained,
        changed=changed.reason,
    )
    return member, _read_value(recorder.load_object("label.pkl"), day, instrument)


def find_place(pred: pd.DataFrame, day: Session, instrument: str, window: str) -> Place:
    """Return the score of an instrument among those of its day.

    Raises
    ------
    ConfigError
        When there is none.
    """
    days = pred.index.get_level_values("datetime")
    scores = pred.iloc[:, 0][days == day].droplevel("datetime")
    if not len(scores):
        raise ConfigError(
            f"window {window} has no prediction on {day:%Y-%m-%d}", hint="take a session: rollwright data info"
        )
    if instrument not in scores.index:
        near = nearest(instrument, [str(code) for code in scores.index])
        known = "it is in the market's data" if instrument in current_market().instruments() else "nobody knows it"
        hint = f"did you mean `{near}`?" if near else "an instrument is scored where it is in the universe and has rows"
        raise ConfigError(
            f"`{instrument}` is none of the {len(scores)} instruments that were scored on {day:%Y-%m-%d}; {known}",
            hint=hint,
        )
    score = float(scores[instrument])
    return Place(score=score, rank=int((scores > score).sum()) + 1, of=len(scores))


def _read_value(frame: pd.DataFrame, day: Session, instrument: str) -> float | None:
    row = _find_row(frame.index, day, instrument)
    return None if row is None else _finite(frame.iloc[row, 0])


def _find_row(index: pd.MultiIndex | pd.Index, day: Session, instrument: str) -> int | None:
    """Return the position of a row; None when there is no such row."""
    row = int(index.get_indexer(pd.MultiIndex.from_tuples([(day, instrument)], names=index.names))[0])
    return row if row >= 0 else None


def _read_signal(path: Path, day: Session, instrument: str) -> Place | None:
    if not path.is_file():
        return None
    try:
        return find_place(codecs.for_kind("parquet").read(path), day, instrument, "of the results")
    except ConfigError:
        return None


def _read_features(
    recorder: Recorder, day: Session, instrument: str, score: float
) -> tuple[tuple[FeatureShare, ...], float | None, str | None]:
    """Return the features that the model saw, what its score is without them, and what cannot be told and why."""
    try:
        dataset = check_dataset(recorder.load_object(DATASET_ARTIFACT))
        fold = dataset.fold(_TEST, data_key="infer")
        row = _find_row(fold.index, day, instrument)
    except (RollwrightError, KeyError, TypeError) as error:
        return (), None, f"the values that the model saw cannot be computed any more: {error}"
    if row is None:
        return (), None, "the market's data have no such row any more"
    values = np.ascontiguousarray(np.asarray(fold.features)[row : row + 1])
    if values.ndim != _TABLE:
        return (), None, "the model reads a series of sessions, whose values are not told one by one"
    model = recorder.load_object(MODEL_ARTIFACT)
    moved, base, unexplained = _find_contributions(model, values, score)
    shares = [
        FeatureShare(name=str(name), value=_finite(value), moved=None if moved is None else float(moved[place]))
        for place, (name, value) in enumerate(zip(fold.names, values[0], strict=True))
    ]
    if moved is not None:
        shares.sort(key=lambda share: -abs(share.moved or 0.0))
    return tuple(shares), base, unexplained


def _find_contributions(model: object, values: Any, score: float) -> tuple[Any, float | None, str | None]:
    if not isinstance(model, ExplainsScores):
        return None, None, f"{type(model).__name__} does not tell how much a feature moved its score"
    try:
        told = model.contributions(values)[0]
    except ModelError as error:
        return None, None, str(error)
    whole = float(told.sum())
    unexplained = None
    if abs(whole - score) > _CLOSE * max(1.0, abs(score)):
        unexplained = (
            f"what the features add up to today is {whole:.6g}, and the score was {score:.6g}: "
            "the values are not those that the model saw"
        )
    return told[:-1], float(told[-1]), unexplained


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
