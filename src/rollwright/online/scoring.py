"""The scores of one session: those of each strategy, and the signal that its champions make together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd

from rollwright.calendar.trading import Session, to_session
from rollwright.collect.ensemble import AverageEnsemble
from rollwright.errors import DataError, OnlineError
from rollwright.online.update import PredUpdater
from rollwright.tracking.recorder import Recorder

__all__ = [
    "PredScorer",
    "PrepareFunction",
    "Scorer",
    "add_day",
    "combine_scores",
    "drop_day",
    "prepare_day",
    "score_of_day",
]

PrepareFunction: TypeAlias = Callable[[Mapping[Any, pd.Series]], pd.Series]
"""Makes one signal of the scores of several models, each indexed by (datetime, instrument)."""


class Scorer(Protocol):
    """Scores a session with a model."""

    def score(self, recorder: Recorder, session: Session) -> pd.Series:
        """Return the scores of one session, indexed by (datetime, instrument).

        Raises
        ------
        RollwrightError
            When the model cannot score it.
        """
        ...


class PredScorer:
    """Predicts the session with the recorder's model, and keeps the rows in the recorder's ``pred.pkl``."""

    def score(self, recorder: Recorder, session: Session) -> pd.Series:
        """Return the scores of one session; errors as `PredUpdater.update`."""
        updated = PredUpdater(recorder, to_date=session, from_date=session).update(ret_new=True)
        if updated is None or not len(updated):
            raise OnlineError(f"recorder {recorder.id} has no row to score on {session}")
        return updated.iloc[:, 0]


def combine_scores(scores: Mapping[Any, pd.Series]) -> pd.Series:
    """Return the scores of one model as they are, and of several the mean of their z-scores (`AverageEnsemble`).

    Raises
    ------
    CoverageError
        When one of several models lacks a row that another has.
    """
    if len(scores) == 1:
        return next(iter(scores.values()))
    return AverageEnsemble()(scores)


def score_of_day(recorders: Sequence[Recorder], session: str, *, scorer: Scorer, prepare: PrepareFunction) -> pd.Series:
    """Return the scores of a strategy: those of its model, or what `prepare` makes of those of several.

    Raises
    ------
    RollwrightError
        When a model cannot score the session.
    DataError
        When a model or `prepare` does not return scores of that session.
    """
    day = to_session(session)
    by_model = {recorder.id: _take_day(scorer.score(recorder, day), day) for recorder in recorders}
    if len(by_model) == 1:
        return next(iter(by_model.values()))
    return prepare_day(by_model, session, prepare=prepare)


def prepare_day(scores: Mapping[str, pd.Series], session: str, *, prepare: PrepareFunction) -> pd.Series:
    """Return what `prepare` makes of scores of one session, each indexed by (datetime, instrument).

    Raises
    ------
    DataError
        When it does not return scores of that session.
    """
    return _take_day(prepare(scores), to_session(session))


def drop_day(scores: pd.Series) -> pd.Series:
    """Return the scores of one session by instrument alone."""
    return scores.droplevel("datetime")


def add_day(scores: pd.Series, session: Session) -> pd.Series:
    """Return the scores of one session, indexed by (datetime, instrument)."""
    levels: list[Any] = [pd.DatetimeIndex([session]), scores.index]
    codes: list[Any] = [np.zeros(len(scores), np.int8), np.arange(len(scores))]
    index = pd.MultiIndex(levels, codes, names=["datetime", "instrument"])
    return pd.Series(scores.to_numpy(), index=index, name="score")


def _take_day(scores: Any, day: Session) -> pd.Series:
    """Return what a model or a function gave, when it is scores of `day` alone."""
    if isinstance(scores, pd.DataFrame) and scores.shape[1] == 1:
        scores = scores.iloc[:, 0]
    if not isinstance(scores, pd.Series) or list(scores.index.names) != ["datetime", "instrument"]:
        raise DataError(
            f"scores of {day:%Y-%m-%d} are a Series indexed by (datetime, instrument), not {type(scores).__name__}",
            hint="return the Series from `prepare_func`",
        )
    days = scores.index.get_level_values("datetime").unique()
    if any(other != day for other in days):
        raise DataError(f"scores of {day:%Y-%m-%d} have rows of {len(days)} sessions, {days.min()} to {days.max()}")
    return scores
