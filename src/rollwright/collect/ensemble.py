"""Ensembles: many predictions into one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from rollwright.errors import CoverageError

__all__ = ["AverageEnsemble", "Ensemble", "RollingEnsemble", "SingleKeyEnsemble", "flatten_keys"]

Frame: TypeAlias = "pd.DataFrame | pd.Series"


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

    def __init__(self, *, missing: str = "skip") -> None:
        self.missing = missing

    def __call__(self, ensemble_dict: Mapping[Any, Any]) -> pd.Series:
        """Return the averaged score, sorted by (datetime, instrument).

        Raises
        ------
        CoverageError
            When nothing was given, or rows are missing and `missing` is ``"error"``.
        """
        flat = flatten_keys(ensemble_dict)
        if not flat:
            raise CoverageError("there is no prediction to average")
        table = pd.concat([_take_only_column(frame) for frame in flat.values()], axis=1, keys=range(len(flat)))
        absent = int(table.isna().to_numpy().sum())
        if absent and self.missing == "error":
            raise CoverageError(f"{absent} scores are missing between {len(flat)} models")
        days = table.groupby(level="datetime")
        deviation = days.transform("std").to_numpy()
        centred = table.to_numpy() - days.transform("mean").to_numpy()
        flat_day = ~(deviation > 0)
        scores = np.where(flat_day, 0.0, centred / np.where(flat_day, 1.0, deviation))
        scores[table.isna().to_numpy()] = np.nan
        averaged = pd.DataFrame(scores, index=table.index).mean(axis=1)
        return averaged.rename("score").sort_index()


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


def _take_only_column(frame: Frame) -> pd.Series:
    return frame.iloc[:, 0] if isinstance(frame, pd.DataFrame) else frame
