"""Trials: what one is, and which of those that were registered are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from rollwright.core.canonical import JSON, dump_canonical, sha256_hex
from rollwright.errors import DataError
from rollwright.trials.return_series import ReturnSeries

__all__ = ["Trial", "TrialSource", "merge_trials"]

TrialSource: TypeAlias = Literal["member", "combination", "single", "recorder", "signal", "compared", "search", "cell"]
"""What was looked at: a member of a campaign or its only variant, the signal made of several, a task that was trained
once, a portfolio record in a recorder, scores from a file, a compared model, a trial of a search, a cell of the
sensitivity surface that was chosen."""

_SOURCES: Final = frozenset(get_args(TrialSource))
_FIELDS: Final = frozenset(("data", "holdout", "name", "series", "settings", "source", "synthetic"))
_LONGEST: Final = 200
_COMPARED: Final = 32
"""Returns that are compared of all trials at once, before those that agree are compared whole."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One strategy's returns that somebody looked at.

    Attributes
    ----------
    data : str
        Identity of the data set it was tried on: the same wherever its folder lies and however often it grew.
    synthetic : bool
        Whether those data were made up, as the demo's are: such trials are never counted among others.
    holdout : bool
        Whether it looks at sessions of a holdout that was unsealed.
    source : TrialSource
    name : str
        Of the campaign, the recorder or the file, and the variant.
    settings : mapping
        What the back-test was told, as JSON.
    series : ReturnSeries
    """

    data: str
    synthetic: bool = False
    holdout: bool = False
    source: TrialSource
    name: str
    settings: Mapping[str, JSON]
    series: ReturnSeries

    def __post_init__(self) -> None:
        if self.source not in _SOURCES:
            raise DataError(f"{self.source!r} is no source of a trial", hint=f"known: {', '.join(sorted(_SOURCES))}")
        for value in (self.data, self.name):
            if not 0 < len(value) <= _LONGEST:
                raise DataError(f"a trial's name or data of {len(value)} characters: 1 to {_LONGEST} are kept")

    @property
    def identity(self) -> str:
        """What makes a second look at it the same trial: data set, holdout, and returns."""
        return sha256_hex(dump_canonical([self.data, self.synthetic, self.holdout, self.series.digest]).encode())

    def is_same(self, other: Trial) -> bool:
        """Tell whether one of the two is the other, gone on with: a further day is no new trial."""
        if (self.data, self.synthetic, self.holdout) != (other.data, other.synthetic, other.holdout):
            return False
        return self.series.extends(other.series) or other.series.extends(self.series)

    def to_json(self) -> dict[str, JSON]:
        """Return it as the body of a record."""
        return {
            "data": self.data,
            "synthetic": self.synthetic,
            "holdout": self.holdout,
            "source": self.source,
            "name": self.name,
            "settings": dict(self.settings),
            "series": self.series.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Trial:
        """Return the trial of what `to_json` made.

        Raises
        ------
        ValueError
            When it is of another form.
        """
        if value.keys() != _FIELDS:
            raise ValueError(f"a trial with the fields {', '.join(sorted(value))[:_LONGEST]}")
        data, name, settings = value["data"], value["name"], value["settings"]
        synthetic, holdout, source = value["synthetic"], value["holdout"], value["source"]
        if not isinstance(data, str) or not isinstance(name, str) or not isinstance(settings, dict):
            raise ValueError("a trial of another form")
        if not isinstance(synthetic, bool) or not isinstance(holdout, bool):
            raise ValueError("a trial of another form")
        found = next((one for one in get_args(TrialSource) if one == source), None)
        if found is None:
            raise ValueError("a trial of a source that this version does not know")
        try:
            return cls(
                data=data,
                synthetic=synthetic,
                holdout=holdout,
                source=found,
                name=name,
                settings=settings,
                series=ReturnSeries.from_json(value["series"]),
            )
        except DataError as error:
            raise ValueError(error.message) from error


def merge_trials(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Return the distinct ones, each at its longest, in the order in which each was first looked at.

    Guarantees: the number of them does not depend on the order of `trials`, but where three series differ by one unit
    from one another in a row.
    """
    ordered = list(trials)
    longest = sorted(range(len(ordered)), key=lambda place: (-len(ordered[place].series.units), place))
    groups: dict[tuple[str, bool, bool, np.datetime64], _Group] = {}
    for place in longest:
        trial = ordered[place]
        key = (trial.data, trial.synthetic, trial.holdout, trial.series.sessions[0])
        groups.setdefault(key, _Group()).add(trial, place)
    return tuple(
        trial for _, trial in sorted((pair for group in groups.values() for pair in group.distinct), key=_place)
    )


def _place(pair: tuple[int, Trial]) -> int:
    return pair[0]


class _Group:
    """The distinct trials of one data set that begin on one session; longer ones are added first."""

    def __init__(self) -> None:
        self.distinct: list[tuple[int, Trial]] = []
        self._starts: NDArray[np.int64] = np.empty((0, _COMPARED), dtype=np.int64)

    def add(self, trial: Trial, place: int) -> None:
        """Add a trial that stood at `place`, unless one of them is the same."""
        start = trial.series.units[:_COMPARED]
        known = self._starts[: len(self.distinct)]
        alike = (np.abs(known[:, : len(start)] - start) <= 1).all(axis=1)
        for at in np.flatnonzero(alike).tolist():
            first, kept = self.distinct[at]
            if kept.series.extends(trial.series):
                self.distinct[at] = (min(first, place), kept)
                return
        if len(self.distinct) == len(self._starts):
            grown = np.zeros((max(16, 2 * len(self._starts)), _COMPARED), dtype=np.int64)
            grown[: len(self._starts)] = self._starts
            self._starts = grown
        self._starts[len(self.distinct), : len(start)] = start
        self.distinct.append((place, trial))
