"""Ensembles: many predictions into one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.panel import DayPanel, Frame, average_by_day, find_varied_days, rank_by_day
from rollwright.analysis.signal import correlate_by_day
from rollwright.collect.score_table import Missing, ScoreTable
from rollwright.errors import ConfigError, CoverageError

__all__ = [
    "AverageEnsemble",
    "Ensemble",
    "ICWeightedEnsemble",
    "RankEnsemble",
    "RollingEnsemble",
    "SingleKeyEnsemble",
    "flatten_keys",
]


class Ensemble(ABC):
    """Reduces ``{key: object}`` to one object; subclasses say how."""

    @abstractmethod
    def __call__(self, ensemble_dict: Mapping[Any, Any]) -> Any:
        """Return the ensemble of `ensemble_dict`."""


class SingleKeyEnsemble(Ensemble):
    """Takes the only value out of a dictionary of one key; others stay as they are.

    With ``recursion=True`` nested dictionaries are unwrapped too.
    """

    def __call__(self, ensemble_dict: Any, recursion: bool = True) -> Any:  # noqa: FBT001, FBT002 - Qlib's signature
        """Return the unwrapped object."""
        if not isinstance(ensemble_dict, Mapping):
            return ensemble_dict
        if recursion:
            inner = {key: self(value, recursion) for key, value in ensemble_dict.items()}
        else:
            inner = dict(ensemble_dict)
        return next(iter(inner.values())) if len(inner) == 1 else inner


class RollingEnsemble(Ensemble):
    """Joins the predictions of consecutive windows into one, in order of time.

    Windows are taken in the order of their first day, ties in the order of their keys. Where two windows score the
    same row the later one wins, but never with NaN over a number (defect C2).

    Parameters
    ----------
    overlap : {"last", "error"}
        With ``"error"`` a row scored twice fails instead.
    """

    def __init__(self, *, overlap: str = "last") -> None:
        self.overlap = overlap

    def __call__(self, ensemble_dict: Mapping[Any, Frame]) -> Frame:
        """Return the joined prediction, sorted by (datetime, instrument).

        Raises
        ------
        CoverageError
            When nothing was given, a window is empty, or rows overlap and `overlap` is ``"error"``.
        """
        if not ensemble_dict:
            raise CoverageError("there is no window to join")
        empty = [str(key) for key, frame in ensemble_dict.items() if len(frame) == 0]
        if empty:
            raise CoverageError(f"{len(empty)} window(s) have no prediction", problems=empty)
        ordered = sorted(ensemble_dict.items(), key=lambda item: (_find_first_day(item[1]), str(item[0])))
        joined = pd.concat([frame for _, frame in ordered])
        doubled = joined.index.duplicated(keep=False)
        if doubled.any():
            if self.overlap == "error":
                rows = [str(row) for row in joined.index[doubled].unique()[:5]]
                raise CoverageError(f"{int(doubled.sum())} rows are scored by more than one window", problems=rows)
            joined = joined.groupby(level=list(range(joined.index.nlevels)), sort=False).last()  # skips NaN
        return joined.sort_index()


class AverageEnsemble(Ensemble):
    """Averages the z-scored predictions of several models, day by day.

    Each model's scores are standardised within each day (mean 0, deviation 1 with ``ddof=1``), then averaged per row.
    A day on which a model scores one instrument only, or all alike, gives that model's score 0 there rather than NaN
    (defect C3).

    Parameters
    ----------
    missing : {"error", "skip"}
        What to do when a model lacks a row that another has: fail, or average over the models that have it.
    """

    def __init__(self, *, missing: Missing = "error") -> None:
        self.missing = missing

    def __call__(self, ensemble_dict: Mapping[Any, Any]) -> pd.Series:
        """Return the averaged score, sorted by (datetime, instrument).

        Raises
        ------
        CoverageError
            When nothing was given, or rows are missing and `missing` is ``"error"``.
        """
        table = ScoreTable.of(flatten_keys(ensemble_dict), missing=self.missing)
        return _average(table, (_standardise(table.day, line) for line in table.scores))


class RankEnsemble(Ensemble):
    """Averages the ranks that several models give within each day: the rank mean.

    A rank is the instrument's place from the lowest score up, over the number of scores of that model and day, so in
    (0, 1] as ``rank(pct=True)`` of pandas; equal scores share the mean of their ranks. No outlier of one model weighs
    more than its place.

    Parameters
    ----------
    missing : {"error", "skip"}
        As in `AverageEnsemble`.
    """

    def __init__(self, *, missing: Missing = "error") -> None:
        self.missing = missing

    def __call__(self, ensemble_dict: Mapping[Any, Any]) -> pd.Series:
        """Return the mean rank, sorted by (datetime, instrument).

        Raises
        ------
        CoverageError
            When nothing was given, or rows are missing and `missing` is ``"error"``.
        """
        table = ScoreTable.of(flatten_keys(ensemble_dict), missing=self.missing)
        return _average(table, (_rank(table.day, line) for line in table.scores))


class ICWeightedEnsemble(Ensemble):
    """Averages z-scored predictions, each model weighted by what its IC has been until then.

    The weight of a model on a day is the mean of its last `window` daily ICs that were known before that day, 0 where
    that is negative or rests on fewer than `min_days` ICs, over the sum of all models' weights. Where all are 0, as on
    the first days, all models weigh the same.

    .. warning:: **Look-ahead.** An IC of session `t` is known when the label of `t` is: after session
       ``t + label_span``. The weights of a day rest on ICs of sessions at least ``label_span + 1`` predicted days
       earlier, so no later label changes them. With a `label_span` below what the label really reads
       (``dataset.label_reach.span``) they know the future.

    Parameters
    ----------
    label : DataFrame or Series
        The label of each (datetime, instrument), its first column; rows without one do not count in an IC.
    label_span : int
        How many sessions after its own the label reads.
    window : int, optional
        How many daily ICs a weight rests on at most; None for all there are.
    min_days : int
        How many it rests on at least.
    method : {"pearson", "spearman"}
        Whether scores and labels are compared, or their ranks.
    missing : {"error", "skip"}
        As in `AverageEnsemble`; the weights of a row are those of the models that have it.
    """

    def __init__(
        self,
        label: Frame,
        *,
        label_span: int,
        window: int | None = 60,
        min_days: int = 20,
        method: Literal["pearson", "spearman"] = "pearson",
        missing: Missing = "error",
    ) -> None:
        if label_span < 0:
            raise ConfigError(f"label_span = {label_span}: a label reads 0 sessions ahead or more")
        if min_days < 1 or (window is not None and window < min_days):
            raise ConfigError(f"window = {window}, min_days = {min_days}: 1 ≤ min_days ≤ window is needed")
        self.label = label
        self.label_span = label_span
        self.window = window
        self.min_days = min_days
        self.method: Literal["pearson", "spearman"] = method
        self.missing = missing

    def __call__(self, ensemble_dict: Mapping[Any, Any]) -> pd.Series:
        """Return the weighted score, sorted by (datetime, instrument).

        Raises
        ------
        CoverageError
            When nothing was given, or rows are missing and `missing` is ``"error"``.
        """
        table = ScoreTable.of(flatten_keys(ensemble_dict), missing=self.missing)
        return _average(table, (_standardise(table.day, line) for line in table.scores), self._weigh(table))

    def weights(self, ensemble_dict: Mapping[Any, Any]) -> pd.DataFrame:
        """Return the weight of each model on each day: float64 [days, models], each line sums to 1."""
        table = ScoreTable.of(flatten_keys(ensemble_dict), missing=self.missing)
        names = [key[0] if isinstance(key, tuple) and len(key) == 1 else key for key in table.members]
        columns = pd.Index(names, tupleize_cols=False, name="member")
        return pd.DataFrame(self._weigh(table).T, index=table.days, columns=columns)

    def _weigh(self, table: ScoreTable) -> NDArray[np.float64]:
        """Return the weights: float64 [members, days]."""
        label = table.align(self.label, what="label")
        panels = (DayPanel(days=table.days, day=table.day, score=line, label=label) for line in table.scores)
        coefficients = np.stack([correlate_by_day(panel, self.method) for panel in panels])
        # Sums up to a day, then those of a window that ended label_span + 1 days before.
        known = ~np.isnan(coefficients)
        lag, size = self.label_span + 1, len(table.days)
        ended = np.maximum(np.arange(size) - lag + 1, 0)  # how many days count
        begun = np.zeros_like(ended) if self.window is None else np.maximum(ended - self.window, 0)
        sums, counts = (
            np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
            for values in (np.where(known, coefficients, 0.0), known.astype(np.float64))
        )
        number = counts[:, ended] - counts[:, begun]
        means = np.divide(sums[:, ended] - sums[:, begun], number, out=np.zeros_like(number), where=number > 0)
        weights = np.where(number >= self.min_days, np.maximum(means, 0.0), 0.0)
        weights[:, weights.sum(axis=0) <= 0] = 1.0
        shares: NDArray[np.float64] = weights / weights.sum(axis=0)
        return shares


def _standardise(day: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the z-score of each value within its day, 0 on a day without two different values; NaN stays."""
    known = ~np.isnan(values)
    days, scores = day[known], values[known]
    size = int(day[-1]) + 1
    varied = find_varied_days(days, scores, size)
    centred = scores - average_by_day(days, scores, size)[days]
    squares = np.bincount(days, weights=centred * centred, minlength=size)
    spare = np.maximum(np.bincount(days, minlength=size) - 1, 1)
    deviation = np.sqrt(squares / spare)
    scale = np.divide(1.0, deviation, out=np.zeros(size), where=varied & (deviation > 0))
    standard = np.full(len(values), np.nan)
    standard[known] = centred * scale[days]
    return standard


def _rank(day: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    days = day[known]
    ranks = np.full(len(values), np.nan)
    ranks[known] = rank_by_day(days, values[known]) / np.bincount(days)[days]
    return ranks


def _average(
    table: ScoreTable, lines: Iterable[NDArray[np.float64]], weights: NDArray[np.float64] | None = None
) -> pd.Series:
    """Return the mean of the members' lines, row by row, over those that have the row, weighted by member and day."""
    size = len(table.index)
    total, weight = np.zeros(size), np.zeros(size)
    plain, count = np.zeros(size), np.zeros(size)
    for place, line in enumerate(lines):
        known = ~np.isnan(line)
        values = np.where(known, line, 0.0)
        plain += values
        count += known
        if weights is not None:
            share = weights[place][table.day]
            total += values * share
            weight += known * share
    mean = np.divide(plain, count, out=np.full(size, np.nan), where=count > 0)
    np.divide(total, weight, out=mean, where=weight > 0)  # elsewhere nobody who has the row has a weight
    return pd.Series(mean, index=table.index, name="score")


def flatten_keys(nested: Mapping[Any, Any], prefix: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Return nested dictionaries as one, under the tuples of the keys that lead to each value (defect C4)."""
    flat: dict[tuple[Any, ...], Any] = {}
    for key, value in nested.items():
        path = (*prefix, *key) if isinstance(key, tuple) else (*prefix, key)
        if isinstance(value, Mapping):
            flat.update(flatten_keys(value, path))
        else:
            flat[path] = value
    return flat


def _find_first_day(frame: Frame) -> Any:
    return frame.index.get_level_values("datetime").min()
