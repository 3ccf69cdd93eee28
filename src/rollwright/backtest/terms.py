"""The terms of trade of a simulation: the same for all, or by session and instrument."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rollwright.backtest.costs import Costs
from rollwright.errors import ConfigError

__all__ = ["DatedTerms"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatedTerms:
    """Terms of trade by session and instrument.

    Attributes
    ----------
    kinds : tuple of Costs
        The different terms that occur. Those of `kinds[0]` hold for the whole account: whether cash waits, and what a
        holding is settled at.
    kind : ndarray of int [sessions, instruments] or None
        Which of them holds; None where there is one.
    upper, lower : ndarray of bool [sessions, instruments] or None
        Where a price stands at its limit; None judges by `Costs.limit_threshold` of the one kind.
    """

    kinds: tuple[Costs, ...]
    kind: NDArray[np.integer] | None = None
    upper: NDArray[np.bool_] | None = None
    lower: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not self.kinds or (self.kind is None and len(self.kinds) > 1):
            raise ConfigError(f"{len(self.kinds)} kinds of terms, and nothing says which holds where")
        if (self.upper is None) != (self.lower is None):
            raise ConfigError("the limits of prices are given on one side only")

    @classmethod
    def of(cls, costs: Costs | DatedTerms) -> DatedTerms:
        """Return terms as they are, or the ones that `costs` are for all."""
        return costs if isinstance(costs, DatedTerms) else cls(kinds=(costs,))

    def find(self, session: int, instrument: int) -> Costs:
        """Return the terms of a trade."""
        return self.kinds[0 if self.kind is None else int(self.kind[session, instrument])]

    def greatest_rate(self) -> float:
        """Return the greatest share of a traded value that a trade may cost, its least cost apart."""
        return max(max(one.open_cost + one.open_duty, one.close_cost + one.close_duty) for one in self.kinds)

    def without_lots(self) -> DatedTerms:
        """Return the same without lots and smallest orders: adjusted shares have none."""
        return replace(self, kinds=tuple(replace(one, trade_unit=None, min_unit=None) for one in self.kinds))

    def goes_by_change(self) -> bool:
        """Tell whether limits are judged by daily changes."""
        return self.upper is None and self.kinds[0].limit_threshold is not None

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Find out whether the arrays are of that shape.

        Raises
        ------
        ConfigError
            When one is not.
        """
        for name, array in (("kind", self.kind), ("upper", self.upper), ("lower", self.lower)):
            if array is not None and array.shape != shape:
                raise ConfigError(f"{name} of the terms has the shape {array.shape}, close {shape}")

    def find_limits(self, change: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where prices stand at their limits; by the daily `change` where nothing else is said."""
        if self.upper is not None and self.lower is not None:
            return self.upper, self.lower
        return self.kinds[0].find_limits(change)
