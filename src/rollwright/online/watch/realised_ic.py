"""Realised against expected IC: rank coefficients of sessions that lie so wide that their labels share no return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.signal import daily_ic
from rollwright.errors import OnlineError
from rollwright.online.watch.sequence import SESSIONS_A_YEAR, FallTest, SequenceState

__all__ = ["CLIP", "ExpectedIC", "ICWatch", "RealisedIC", "measure_rank_ic"]

CLIP: Final = 0.5
"""Daily coefficients beyond are taken as this: a bet that must survive a coefficient of 1 would have to be smaller."""
_LEAST_INSTRUMENTS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedIC:
    """What the mean rank IC should be at least.

    Attributes
    ----------
    mean : float
        What was expected.
    bound : float
        What it must not fall below: the mean where it was stated, the lower end of its interval where it was measured.
    source : str
        Where it is from, in words.
    """

    mean: float
    bound: float
    source: str

    @classmethod
    def stated(cls, mean: float) -> ExpectedIC:
        """Return what somebody stated.

        Raises
        ------
        OnlineError
            When it is no mean of coefficients.
        """
        if not -CLIP < mean < CLIP:
            raise OnlineError(f"an expected mean rank IC of {mean:g} is not between {-CLIP:g} and {CLIP:g}")
        return cls(mean=mean, bound=mean, source="stated in the configuration")

    @classmethod
    def measured(cls, values: Sequence[float], *, span: int, source: str, level: float = 0.95) -> ExpectedIC | None:
        """Return what daily coefficients of another time tell; None when they are too few to say how much they vary.

        The bound is the lower end of the interval of their mean (see `estimate_mean`), so that an expectation which was
        lucky by its error does not make the realised mean an alarm.

        Parameters
        ----------
        values : sequence of float
            In order of their sessions, NaN where there was none.
        span : int
            Sessions over which the label's return runs.
        source : str
            Where they are from, in words.
        level : float, default 0.95
        """
        interval = estimate_mean(
            np.clip(np.asarray(values, dtype=np.float64), -CLIP, CLIP), label_span=span, level=level
        )
        if interval is None or not -CLIP < interval.lower < CLIP:
            return None
        return cls(mean=interval.mean, bound=interval.lower, source=f"{source}, {interval.days} sessions")


@dataclass(frozen=True, slots=True, kw_only=True)
class RealisedIC:
    """What came of the expectation.

    Attributes
    ----------
    value, limit : float
        The sequence, and what it has to reach to be an alarm.
    alarms : tuple of str
        Sessions whose coefficient was an alarm.
    last : str or None
        The last session whose label is known.
    known, missing, used : int
        Sessions that have a coefficient, sessions whose label is known and that have none, and those that the sequence
        took.
    mean, recent : float
        Means of all coefficients and of the last 60; NaN where there are none.
    """

    value: float
    limit: float
    alarms: tuple[str, ...]
    last: str | None
    known: int
    missing: int
    used: int
    mean: float
    recent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ICWatch:
    """How realised coefficients are held against the expected mean.

    Coefficients whose labels share sessions of return depend on one another. The sequence takes one in `spacing`
    sessions: with labels over `h` sessions and ``spacing = h`` no two labels that are taken overlap, and scores that
    change slowly lose nothing by it, since each session's return is in one label that is taken. A session without a
    coefficient is left out, and the next one that has one is taken in its stead.

    Attributes
    ----------
    bound : float
        What the mean should be at least.
    spacing : int
        Sessions from one coefficient that is taken to the next.
    false_alarms_a_year : float
    """

    bound: float
    spacing: int
    false_alarms_a_year: float

    def __post_init__(self) -> None:
        if self.spacing < 1:
            raise OnlineError(f"coefficients with a spacing of {self.spacing} sessions: 1 or more is needed")

    @property
    def test(self) -> FallTest:
        """The sequence."""
        return FallTest(
            bound=self.bound,
            lowest=-CLIP,
            highest=CLIP,
            units_a_year=SESSIONS_A_YEAR / self.spacing,
            false_alarms_a_year=self.false_alarms_a_year,
        )

    def measure(self, values: Mapping[str, float]) -> RealisedIC:
        """Return what the coefficients tell.

        Parameters
        ----------
        values : mapping of str to float
            The coefficient of each served session whose label is known, in order; NaN where there is none.
        """
        sessions, numbers = list(values), np.fromiter(values.values(), dtype=np.float64, count=len(values))
        test, state, taken, alarms = self.test, SequenceState(), None, []
        for position, (session, number) in enumerate(zip(sessions, numbers, strict=True)):
            if math.isnan(number) or (taken is not None and position - taken < self.spacing):
                continue
            taken = position
            state, alarm = test.take(state, float(number))
            if alarm:
                alarms.append(session)
        there = numbers[~np.isnan(numbers)]
        return RealisedIC(
            value=state.value,
            limit=test.limit,
            alarms=tuple(alarms),
            last=sessions[-1] if sessions else None,
            known=len(there),
            missing=len(numbers) - len(there),
            used=state.units,
            mean=float(there.mean()) if len(there) else math.nan,
            recent=float(there[-60:].mean()) if len(there) else math.nan,
        )


def measure_rank_ic(scores: pd.Series, label: pd.Series) -> float:
    """Return the rank IC of one session; NaN where it cannot be told.

    That is with fewer than 10 instruments that have both a score and a label, and where all scores, or all labels, are
    equal.

    Parameters
    ----------
    scores, label : Series
        By instrument.
    """
    both = pd.concat([scores.rename("score"), label.rename("label")], axis=1, join="inner").dropna()
    if len(both) < _LEAST_INSTRUMENTS:
        return math.nan
    index = pd.MultiIndex.from_product([[pd.Timestamp(0)], both.index], names=["datetime", "instrument"])
    day = both.set_axis(index)
    return float(daily_ic(day["score"], day["label"], method="spearman").iloc[0])
