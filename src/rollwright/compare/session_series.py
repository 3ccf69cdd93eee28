"""The runs of each model, and their daily values averaged over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.compare.evaluation import RunEvaluation, RunTerms
from rollwright.errors import CompareError, DataError

__all__ = ["ModelRuns", "SeriesName", "SessionSeries", "gather_models", "read_series", "take_sessions"]

SeriesName: TypeAlias = Literal["ic", "rank_ic", "excess", "returns"]


class SessionSeries(NamedTuple):
    """Finite values by session.

    Attributes
    ----------
    sessions : ndarray of datetime64[ns], shape (T,)
        Rising.
    values : ndarray of float64, shape (T,)
    """

    sessions: NDArray[np.datetime64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelRuns:
    """The runs of a model on a dataset, by their seeds.

    Attributes
    ----------
    model, dataset : str
    done, failed : tuple of RunEvaluation
        Those with a result, and the others.
    terms : RunTerms or None
        What those were judged by; None where none is done.
    """

    model: str
    dataset: str
    done: tuple[RunEvaluation, ...]
    failed: tuple[RunEvaluation, ...]
    terms: RunTerms | None

    @property
    def name(self) -> str:
        """Model and dataset."""
        return f"{self.model}/{self.dataset}"

    def require_terms(self) -> RunTerms:
        """Return what the runs were judged by.

        Raises
        ------
        CompareError
            Where no run is done.
        """
        if self.terms is None:
            raise CompareError(f"no run of {self.name} is done")
        return self.terms

    def average(self, name: SeriesName) -> SessionSeries:
        """Return the mean of each session over all seeds; a seed without a value on a session is left out of it."""
        series = [read_series(run, name) for run in self.done]
        first = series[0].sessions
        if all(np.array_equal(one.sessions, first) for one in series):
            return SessionSeries(first, np.vstack([one.values for one in series]).mean(axis=0))
        sessions = np.unique(np.concatenate([one.sessions for one in series]))
        total, count = np.zeros(len(sessions)), np.zeros(len(sessions))
        for one in series:
            places = np.searchsorted(sessions, one.sessions)
            total[places] += one.values
            count[places] += 1
        return SessionSeries(sessions, total / count)


def gather_models(evaluations: Sequence[RunEvaluation]) -> list[ModelRuns]:
    """Return the runs by model and dataset, in the order of these.

    Raises
    ------
    CompareError
        For a key that stands there twice, a run that is done without terms, or runs of one model of several terms.
    """
    ordered = sorted(evaluations, key=lambda one: one.key)
    found = []
    for (model, dataset), runs in groupby(ordered, key=lambda one: one.key[:2]):
        members = tuple(runs)
        if len({one.key for one in members}) < len(members):
            raise CompareError(f"a run of {model}/{dataset} is evaluated twice with one seed")
        done = tuple(one for one in members if one.status == "done")
        terms = {one.terms for one in done}
        if None in terms:
            raise CompareError(f"a run of {model}/{dataset} is done, and does not say what it was judged by")
        if len(terms) > 1:
            raise CompareError(
                f"runs of {model}/{dataset} were judged by different labels, universes or benchmarks",
                hint="give the command of the comparison again: it evaluates them anew",
            )
        failed = tuple(one for one in members if one.status != "done")
        found.append(ModelRuns(model=model, dataset=dataset, done=done, failed=failed, terms=next(iter(terms), None)))
    return found


def read_series(run: RunEvaluation, name: SeriesName) -> SessionSeries:
    """Return the finite values of a daily series of a run.

    Raises
    ------
    DataError
        When its sessions do not rise.
    """
    series: pd.Series = getattr(run, name)
    sessions = pd.DatetimeIndex(series.index).to_numpy().astype("datetime64[ns]")
    if not (sessions[1:] > sessions[:-1]).all():
        raise DataError(f"the sessions of `{name}` of {run.key} do not rise")
    values = series.to_numpy(dtype=np.float64)
    known = np.isfinite(values)
    return SessionSeries(sessions[known], values[known])


def take_sessions(series: SessionSeries, sessions: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Return the values of some sessions, NaN where there is none."""
    if np.array_equal(series.sessions, sessions):
        return series.values
    found = np.full(len(sessions), np.nan)
    if len(series.sessions):
        places = np.minimum(np.searchsorted(series.sessions, sessions), len(series.sessions) - 1)
        known = series.sessions[places] == sessions
        found[known] = series.values[places[known]]
    return found
