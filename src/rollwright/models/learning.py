"""How a model learnt: its evaluation round by round, and how much of it each feature makes up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from rollwright.errors import DataError

__all__ = ["Curve", "Learning"]

_VERSION: Final = 1
_MOST_ROUNDS: Final = 60
"""Rounds that are kept of a curve: more than a small chart can show."""
_MOST_FEATURES: Final = 200
_MOST_CURVES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The values of one metric on one segment.

    Attributes
    ----------
    segment, metric : str
    rounds : tuple of int
        Counted from 1, rising.
    values : tuple of float
        One for each round, finite.
    """

    segment: str
    metric: str
    rounds: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What a fitted model tells of how it learnt.

    Attributes
    ----------
    curves : tuple of Curve
        At most 60 rounds of each: the first, the last, the best, and others spread evenly.
    basis : str
        What the importance is of, as ``gain`` or ``coefficient``; "" where there is none.
    importance : mapping of str to float
        The share that each feature has of all, largest first; those without one and all beyond 200 are left out.
    """

    curves: tuple[Curve, ...] = ()
    basis: str = ""
    importance: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        history: Mapping[str, Mapping[str, Sequence[float]]],
        *,
        best: int = 0,
        basis: str = "",
        weights: Iterable[tuple[str, float]] = (),
    ) -> Self:
        """Return what there is to tell of a fit.

        Parameters
        ----------
        history : mapping
            ``{segment: {metric: [value per round]}}``; values that are not finite are left out.
        best : int, default 0
            The round that was kept, counted from 1; 0 where there is none.
        basis : str
        weights : iterable of (str, float)
            How much each feature weighs, whatever the unit; the sign is not looked at.
        """
        curves = [
            _thin(segment, metric, values, best)
            for segment, metrics in history.items()
            for metric, values in metrics.items()
        ]
        sizes = {name: abs(float(value)) for name, value in weights if math.isfinite(value) and value}
        total = math.fsum(sizes.values())
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:_MOST_FEATURES]
        return cls(
            curves=tuple(curve for curve in curves if curve.rounds)[:_MOST_CURVES],
            basis=basis if largest else "",
            importance={name: size / total for name, size in largest},
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; shares and values have six digits."""
        return {
            "version": _VERSION,
            "curves": [
                {
                    "segment": curve.segment,
                    "metric": curve.metric,
                    "rounds": list(curve.rounds),
                    "values": [_round(value) for value in curve.values],
                }
                for curve in self.curves
            ],
            "basis": self.basis,
            "importance": {name: _round(share) for name, share in self.importance.items()},
        }

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        DataError
            When it is something else, such as an artifact of that name that somebody else wrote.
        """
        try:
            return cls._parse(content)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"this does not tell how a model learnt: {error!r}") from error

    @classmethod
    def _parse(cls, content: Any) -> Self:
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}")
        curves = tuple(
            Curve(
                segment=str(one["segment"]),
                metric=str(one["metric"]),
                rounds=tuple(map(int, one["rounds"])),
                values=tuple(map(float, one["values"])),
            )
            for one in content["curves"]
        )
        importance = {str(name): float(share) for name, share in content["importance"].items()}
        numbers = [*importance.values(), *(value for curve in curves for value in curve.values)]
        if not all(map(math.isfinite, numbers)) or any(len(one.rounds) != len(one.values) for one in curves):
            raise ValueError("numbers that are not finite, or curves whose rounds and values differ in length")
        return cls(curves=curves, basis=str(content["basis"]), importance=importance)


def _thin(segment: str, metric: str, values: Sequence[float], best: int) -> Curve:
    """Return the curve at the first, the last and the best round, and at rounds spread evenly between."""
    size = len(values)
    kept = set(range(1, size + 1))
    if size > _MOST_ROUNDS:
        kept = {int(place) for place in np.linspace(1, size, _MOST_ROUNDS - 1).round()}
        kept |= {best} & set(range(1, size + 1))
    rounds = [number for number in sorted(kept) if math.isfinite(values[number - 1])]
    told = tuple(float(values[number - 1]) for number in rounds)
    return Curve(segment=segment, metric=metric, rounds=tuple(rounds), values=told)


def _round(value: float) -> float:
    return float(f"{value:.6g}")
