"""The trials beside which a strategy is judged: the distinct ones of its data set, itself left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rollwright.trials.registry import RegistryState
from rollwright.trials.return_series import ReturnSeries
from rollwright.trials.trial import Trial

__all__ = ["CommonCalendar", "TrialSet"]

_COVERED = 0.75
"""Share of the judged strategy's sessions that a trial has to have, to be compared session by session."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommonCalendar:
    """The returns of several trials on the sessions that all of them have.

    Attributes
    ----------
    sessions : ndarray of datetime64[D], shape (T,)
    returns : ndarray of float64, shape (T, N)
        The judged strategy first.
    uncompared : int
        Trials that are not among them: they have too few of its sessions, or did not trade on them.
    """

    sessions: NDArray[np.datetime64]
    returns: NDArray[np.float64]
    uncompared: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialSet:
    """What else was tried on the same data.

    Attributes
    ----------
    others : tuple of ReturnSeries
        Of each distinct trial but the judged one.
    lost : int
        Records that were registered and cannot be read any more; each may have been a trial.
    damage : tuple of str
        What does not fit in the registry; empty when it is sound.
    holdout : int
        Distinct trials, the judged one included, that looked at a holdout that was unsealed.
    """

    others: tuple[ReturnSeries, ...] = ()
    lost: int = 0
    damage: tuple[str, ...] = ()
    holdout: int = 0

    @classmethod
    def of(cls, state: RegistryState, own: Trial, *, distinct: tuple[Trial, ...] | None = None) -> Self:
        """Return what a registry knows beside the trial `own`, whether that is registered or not.

        Parameters
        ----------
        state : RegistryState
        own : Trial
        distinct : tuple of Trial, optional
            Those of its data set, where the caller has merged them for several.
        """
        known = state.distinct(own.data, synthetic=own.synthetic) if distinct is None else distinct
        others = [one for one in known if not one.is_same(own)]
        return cls(
            others=tuple(one.series for one in others),
            lost=state.lost,
            damage=tuple(str(one) for one in state.damage),
            holdout=sum(one.holdout for one in others) + own.holdout,
        )

    @property
    def count(self) -> int:
        """The raw number of trials, the judged one and the lost ones included."""
        return 1 + len(self.others) + self.lost

    def align(self, own: ReturnSeries) -> CommonCalendar:
        """Return the judged strategy and the trials that have three quarters of its sessions, on what all have."""
        beside = [one for one in self.others if _share(own, one) >= _COVERED]
        sessions = own.sessions
        for one in beside:
            if not np.array_equal(sessions, one.sessions):
                sessions = sessions[np.isin(sessions, one.sessions)]
        columns = [_take(one, sessions) for one in (own, *beside)]
        varied = [columns[0], *(column for column in columns[1:] if np.ptp(column) > 0)]
        uncompared = len(self.others) + 1 - len(varied)
        return CommonCalendar(sessions=sessions, returns=np.column_stack(varied), uncompared=uncompared)


def _take(one: ReturnSeries, sessions: NDArray[np.datetime64]) -> NDArray[np.float64]:
    return one.returns if np.array_equal(one.sessions, sessions) else one.returns[np.isin(one.sessions, sessions)]


def _share(own: ReturnSeries, other: ReturnSeries) -> float:
    if np.array_equal(own.sessions, other.sessions):
        return 1.0
    return float(np.isin(own.sessions, other.sessions).mean())
