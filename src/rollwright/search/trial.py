"""Trials of a search: what each tried, and what became of it. These records are what a search goes on from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from rollwright.core.canonical import JSON

__all__ = ["AskedTrial", "CurvePoint", "ToldTrial", "TrialState", "find_best", "name_trial"]

TrialState: TypeAlias = Literal["complete", "pruned", "failed"]
"""``complete``: all its windows were trained and judged; ``pruned``: stopped before; ``failed``: with its cause."""

_STATES: Final = frozenset(get_args(TrialState))


def name_trial(number: int) -> str:
    """Return what a trial is called, which is also the member that its windows are of: ``trial-0007``."""
    return f"trial-{number:04d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTrial:
    """A trial that was asked for.

    Attributes
    ----------
    number : int
        Counted from 0, as Optuna counts.
    params : mapping of str to JSON
        The value of each key of the space.
    """

    number: int
    params: Mapping[str, JSON]

    @property
    def name(self) -> str:
        """What it is called."""
        return name_trial(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The metric of a trial after so many windows; NaN where it is not defined."""

    windows: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldTrial:
    """What became of a trial.

    Attributes
    ----------
    number : int
    params : mapping of str to JSON
    state : {"complete", "pruned", "failed"}
    value : float
        The metric by which the search chooses, over the windows it has; NaN for one that failed.
    metrics : mapping of str to float
        All that were measured, those of the back-test included.
    curve : tuple of CurvePoint
        The metric as windows were added.
    windows, planned : int
        Windows that were trained, and all that its walk has.
    days : mapping of str to float
        By session, as ``2016-01-04``: the daily coefficient that candidates are compared by, NaN where there is none.
    cause : str
        Why it failed or was stopped.
    trial : mapping or None
        The trial as the registry of trials has it; None where there is no back-test of it.
    """

    number: int
    params: Mapping[str, JSON]
    state: TrialState
    value: float
    metrics: Mapping[str, float]
    curve: tuple[CurvePoint, ...]
    windows: int
    planned: int
    days: Mapping[str, float] = field(default_factory=dict)
    cause: str = ""
    trial: Mapping[str, JSON] | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return name_trial(self.number)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "number": self.number,
            "params": dict(self.params),
            "state": self.state,
            "value": write_number(self.value),
            "metrics": {key: write_number(value) for key, value in self.metrics.items()},
            "curve": [[point.windows, write_number(point.value)] for point in self.curve],
            "windows": self.windows,
            "planned": self.planned,
            "days": {day: write_number(value) for day, value in self.days.items()},
            "cause": self.cause,
            "trial": None if self.trial is None else dict(self.trial),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` made.

        Raises
        ------
        ValueError, KeyError, TypeError
            For anything else.
        """
        if value["state"] not in _STATES:
            raise ValueError(f"the state {value['state']!r}")
        return cls(
            number=int(value["number"]),
            params={str(key): one for key, one in value["params"].items()},
            state=value["state"],
            value=_read_number(value["value"]),
            metrics={str(key): _read_number(one) for key, one in value["metrics"].items()},
            curve=tuple(CurvePoint(windows=int(at), value=_read_number(one)) for at, one in value["curve"]),
            windows=int(value["windows"]),
            planned=int(value["planned"]),
            days={str(day): _read_number(one) for day, one in value["days"].items()},
            cause=str(value["cause"]),
            trial=None if value["trial"] is None else dict(value["trial"]),
        )


def find_best(trials: Sequence[ToldTrial]) -> ToldTrial | None:
    """Return the best of those that are complete, the earlier one of equals; None where none is."""
    complete = [one for one in trials if one.state == "complete" and not math.isnan(one.value)]
    return max(complete, key=lambda one: (one.value, -one.number), default=None)


def write_number(value: float) -> float | None:
    """Return a number as JSON has it: null for what is not defined."""
    return value if math.isfinite(value) else None


def _read_number(value: Any) -> float:
    return math.nan if value is None else float(value)
