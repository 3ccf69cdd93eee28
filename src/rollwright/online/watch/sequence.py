"""A sequence that may be looked at every day: it notices that the mean of a bounded value fell below what it should be.

A test for a fixed number of days that is looked at daily gives a false alarm almost surely. This one is an e-detector
(Shin, Ramdas and Rinaldo, 2024): a bet on a fall is begun anew at each unit, and all bets together are watched.

1. A bet of size `b` multiplies its stake by ``1 + b (m - x)``, where `m` is the bound and `x` the value. While the mean
   of `x`, given what was seen before, is at least `m`, its expected gain is none (Waudby-Smith and Ramdas, 2024), so by
   Ville's inequality it hardly ever grows large.
2. At each unit a stake of 1 is added: ``M = (M + 1) (1 + b (m - x))``. So ``M`` less the number of units has an
   expectation of 0 at most, whenever one stops to look.
3. Several sizes are watched as one, by their mean: nobody knows beforehand how large a fall will be.
4. It is an alarm when the mean reaches the limit, and all begins again at 0. Hence in any number of units that is
   settled beforehand, the expected number of false alarms is at most that number divided by the limit. With
   ``limit = units of a year / false alarms per year`` it is the rate that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from rollwright.core.canonical import JSON
from rollwright.errors import LedgerError, OnlineError
from rollwright.online.stored_values import take_count, take_fields

__all__ = ["BET_SIZES", "SESSIONS_A_YEAR", "FallTest", "SequenceState"]

SESSIONS_A_YEAR: Final = 252
BET_SIZES: Final = (0.95, 0.475, 0.2375, 0.11875)
"""Sizes of the bets, as shares of the largest that cannot lose more than its stake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceState:
    """How far a sequence is.

    Attributes
    ----------
    stakes : tuple of float
        What the bets of each size are worth, all at 0 at the beginning and after an alarm.
    units : int
        Values that were taken since the beginning.
    alarms : int
        Alarms since the beginning.
    """

    stakes: tuple[float, ...] = (0.0,) * len(BET_SIZES)
    units: int = 0
    alarms: int = 0

    @property
    def value(self) -> float:
        """What is compared with the limit."""
        return math.fsum(self.stakes) / len(self.stakes)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"stakes": list(self.stakes), "units": self.units, "alarms": self.alarms}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, ("stakes", "units", "alarms"), "the state of a sequence")
        stakes = fields["stakes"]
        if not isinstance(stakes, list) or len(stakes) != len(BET_SIZES) or not all(map(_is_stake, stakes)):
            raise LedgerError("the stakes of a sequence are no numbers from 0 on")
        return cls(
            stakes=tuple(float(stake) for stake in stakes),
            units=take_count(fields["units"], "the units of a sequence"),
            alarms=take_count(fields["alarms"], "the alarms of a sequence"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FallTest:
    """Watches for a fall of the mean of a value.

    Attributes
    ----------
    bound : float
        The mean should be this at least.
    lowest, highest : float
        Values beyond are taken as these: the guarantee is about the mean of what is taken.
    units_a_year : float
        How many values a year has.
    false_alarms_a_year : float

    Guarantees: while the mean of each value, given those before it, is at least `bound`, the expected number of alarms
    in a year is at most `false_alarms_a_year`, however often one looks. Deterministic; the cost of a value does not
    grow.

    It does not guarantee this for values that depend on one another so that some stretches have a mean below `bound`
    while the mean of all years is above; `docs/watching.md` says what is measured then.

    Raises
    ------
    OnlineError
        For a bound that is not between `lowest` and `highest`, or a rate that is none.
    """

    bound: float
    lowest: float
    highest: float
    units_a_year: float
    false_alarms_a_year: float

    def __post_init__(self) -> None:
        if not self.lowest < self.bound < self.highest or not math.isfinite(self.highest - self.lowest):
            raise OnlineError(f"a mean of {self.bound:g} is not between {self.lowest:g} and {self.highest:g}")
        if not (0 < self.false_alarms_a_year < self.units_a_year and math.isfinite(self.units_a_year)):
            raise OnlineError(
                f"{self.false_alarms_a_year:g} false alarms a year of {self.units_a_year:g} values",
                hint="give a number above 0 and below the values of a year, such as 0.1",
            )

    @property
    def limit(self) -> float:
        """What the sequence has to reach."""
        return self.units_a_year / self.false_alarms_a_year

    def take(self, state: SequenceState, value: float) -> tuple[SequenceState, bool]:
        """Return the state after one more value, and whether it is an alarm; NaN is no value, and changes nothing.

        Parameters
        ----------
        state : SequenceState
        value : float
        """
        if math.isnan(value):
            return state, False
        below = self.bound - min(max(value, self.lowest), self.highest)
        largest = 1 / (self.highest - self.bound)
        stakes = tuple(
            (stake + 1) * (1 + size * largest * below) for stake, size in zip(state.stakes, BET_SIZES, strict=True)
        )
        after = replace(state, stakes=stakes, units=state.units + 1)
        if after.value < self.limit:
            return after, False
        return SequenceState(units=after.units, alarms=after.alarms + 1), True

    def run(self, values: Sequence[float], state: SequenceState | None = None) -> tuple[SequenceState, tuple[int, ...]]:
        """Return the state after all `values`, and the positions of those that were alarms."""
        now, alarms = state if state is not None else SequenceState(), []
        for position, value in enumerate(values):
            now, alarm = self.take(now, float(value))
            if alarm:
                alarms.append(position)
        return now, tuple(alarms)


def _is_stake(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
