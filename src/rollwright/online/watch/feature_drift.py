"""Drift of features: how far a session's cross-section is from those that the model was given before it served.

Everything is by rank, so that no unit, scale or outlier of a feature matters:

1. The values of the reference sessions are pooled, and each feature is cut at its deciles.
2. The distance of a session is the largest difference, over the cuts, between its share of values up to the cut and the
   share in the reference; or between the shares without a value, where that is larger.
3. Whole markets move together, so that almost every session differs from the pool by any test of independent values.
   What a distance means is therefore read off the distances of the reference sessions themselves: a feature is far
   when its distance is above 95 % of them.
4. The share of features that are far, averaged over ten sessions, is one value of the sequence. Its mean should not be
   above the share that is tolerated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from rollwright.core.canonical import JSON
from rollwright.errors import DataError, OnlineError
from rollwright.online.watch.sequence import SESSIONS_A_YEAR, FallTest, SequenceState

__all__ = ["BLOCK", "DriftWatch", "FeatureDistances", "FeatureReference", "RealisedDrift"]

BLOCK: Final = 10
"""Sessions whose shares are averaged: what drives a whole market for some days is one value, not many."""
_LEAST_SESSIONS: Final = 40
_LEAST_ROWS: Final = 10
_CUTS: Final = 9
_FAR: Final = 0.95
_EQUAL: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureDistances:
    """How far the features of one session are from the reference.

    Attributes
    ----------
    names : tuple of str
    distances, limits : float64 ``[features]``
        A feature is far when its distance is above its limit.
    """

    names: tuple[str, ...]
    distances: NDArray[np.float64]
    limits: NDArray[np.float64]

    @property
    def share(self) -> float:
        """The share of features that are far."""
        return float((self.distances > self.limits + _EQUAL).mean())

    def list_far(self, importance: Mapping[str, float] | None = None, *, most: int = 5) -> tuple[str, ...]:
        """Return the features that are far: the most important first where that is known, then the farthest."""
        weights = importance or {}
        beyond = self.distances - self.limits
        order = sorted(
            np.flatnonzero(beyond > _EQUAL), key=lambda place: (-weights.get(self.names[place], 0.0), -beyond[place])
        )
        return tuple(self.names[place] for place in order[:most])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureReference:
    """What the cross-sections of the features were in the sessions that are compared with.

    Attributes
    ----------
    names : tuple of str
    cuts : float64 ``[features, 9]``
        Deciles of the pooled values; NaN throughout for a feature that had no value.
    shares : float64 ``[features, 9]``
        Shares of the pooled values up to each cut.
    missing : float64 ``[features]``
        Shares of rows without a value.
    limits : float64 ``[features]``
        Distance that one reference session in twenty exceeds.
    sessions : int
    """

    names: tuple[str, ...]
    cuts: NDArray[np.float64]
    shares: NDArray[np.float64]
    missing: NDArray[np.float64]
    limits: NDArray[np.float64]
    sessions: int

    @classmethod
    def build(cls, values: NDArray[np.floating], days: NDArray[np.intp], names: Sequence[str]) -> Self:
        """Return the reference of these rows.

        Parameters
        ----------
        values : float ``[rows, features]``
        days : int ``[rows]``
            The session of each row, rising.
        names : sequence of str
            Of the features.

        Raises
        ------
        DataError
            For fewer than 40 sessions, which do not tell what is usual.
        """
        starts = np.flatnonzero(np.r_[True, days[1:] != days[:-1]]) if len(days) else np.empty(0, dtype=np.intp)
        if len(starts) < _LEAST_SESSIONS:
            raise DataError(f"{len(starts)} sessions of features to compare with: {_LEAST_SESSIONS} are needed")
        features = values.shape[1]
        cuts, shares = np.full((features, _CUTS), np.nan), np.full((features, _CUTS), np.nan)
        missing = np.empty(features)
        for place in range(features):
            column = values[:, place].astype(np.float64)
            column = np.sort(np.where(np.isfinite(column), column, np.nan))
            known = column[: len(column) - int(np.isnan(column).sum())]
            missing[place] = 1 - len(known) / len(column)
            if len(known):
                cuts[place] = np.quantile(known, np.arange(1, _CUTS + 1) / (_CUTS + 1), method="inverted_cdf")
                shares[place] = np.searchsorted(known, cuts[place], side="right") / len(known)
        made = cls(
            names=tuple(names),
            cuts=cuts,
            shares=shares,
            missing=missing,
            limits=np.zeros(features),
            sessions=len(starts),
        )
        stops = np.r_[starts[1:], len(days)]
        found = [made.measure(values[start:stop]) for start, stop in zip(starts, stops, strict=True)]
        distances = np.stack([one.distances for one in found if one is not None])
        limits = np.quantile(distances, _FAR, axis=0, method="inverted_cdf")
        return cls(names=made.names, cuts=cuts, shares=shares, missing=missing, limits=limits, sessions=len(distances))

    def measure(self, values: NDArray[np.floating]) -> FeatureDistances | None:
        """Return how far the features of one session are; None for fewer than 10 rows.

        Parameters
        ----------
        values : float ``[rows, features]``
        """
        if len(values) < _LEAST_ROWS:
            return None
        known = np.isfinite(values)
        counts = known.sum(axis=0)
        below = np.stack([((values <= cut) & known).sum(axis=0) for cut in self.cuts.T], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            gaps = np.abs(below / counts[:, None] - self.shares).max(axis=1)
        distances = np.where(np.isnan(gaps), 0.0, gaps)
        lacking = np.abs(1 - counts / len(values) - self.missing)
        return FeatureDistances(names=self.names, distances=np.maximum(distances, lacking), limits=self.limits)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "names": list(self.names),
            "cuts": [_write(row) for row in self.cuts],
            "shares": [_write(row) for row in self.shares],
            "missing": _write(self.missing),
            "limits": _write(self.limits),
            "sessions": self.sessions,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        OnlineError
            When it is none.
        """
        try:
            names = tuple(str(name) for name in value["names"])
            made = cls(
                names=names,
                cuts=_read(value["cuts"], (len(names), _CUTS)),
                shares=_read(value["shares"], (len(names), _CUTS)),
                missing=_read(value["missing"], (len(names),)),
                limits=_read(value["limits"], (len(names),)),
                sessions=int(value["sessions"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise OnlineError(f"this is no reference of features: {error}") from error
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class RealisedDrift:
    """What came of the features.

    Attributes
    ----------
    value, limit : float
        The sequence, and what it has to reach to be an alarm.
    alarms : tuple of str
        Sessions that ended a block which was an alarm.
    last : str or None
    known, missing : int
        Sessions with a share, and without one.
    recent : float
        Mean share of the last ten sessions; NaN where there are none.
    """

    value: float
    limit: float
    alarms: tuple[str, ...]
    last: str | None
    known: int
    missing: int
    recent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWatch:
    """How the shares of features that are far are held against the share that is tolerated.

    Attributes
    ----------
    tolerated : float
        What the mean share should not be above; 0.05 is usual by the making of the limits.
    false_alarms_a_year : float
    """

    tolerated: float
    false_alarms_a_year: float

    @property
    def test(self) -> FallTest:
        """The sequence, of shares with their sign turned: a rise of the share is a fall of it."""
        return FallTest(
            bound=-self.tolerated,
            lowest=-1.0,
            highest=0.0,
            units_a_year=SESSIONS_A_YEAR / BLOCK,
            false_alarms_a_year=self.false_alarms_a_year,
        )

    def measure(self, shares: Mapping[str, float]) -> RealisedDrift:
        """Return what the shares of the served sessions, in order, tell; NaN where a session has none."""
        known = [(session, share) for session, share in shares.items() if not math.isnan(share)]
        test, state, alarms = self.test, SequenceState(), []
        for start in range(0, len(known) - BLOCK + 1, BLOCK):
            block = known[start : start + BLOCK]
            state, alarm = test.take(state, -math.fsum(share for _, share in block) / BLOCK)
            if alarm:
                alarms.append(block[-1][0])
        recent = [share for _, share in known[-BLOCK:]]
        return RealisedDrift(
            value=state.value,
            limit=test.limit,
            alarms=tuple(alarms),
            last=next(reversed(list(shares)), None),
            known=len(known),
            missing=len(shares) - len(known),
            recent=math.fsum(recent) / len(recent) if recent else math.nan,
        )


def _write(row: NDArray[np.float64]) -> list[JSON]:
    return [None if math.isnan(number) else number for number in row.tolist()]


def _read(value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    made = np.array(value, dtype=np.float64)
    if made.shape != shape:
        raise ValueError(f"numbers of shape {made.shape}, not {shape}")
    return made
