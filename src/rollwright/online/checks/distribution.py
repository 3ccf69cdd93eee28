"""Checks of how the scores are spread: scores that are no numbers, a level or a spread unlike that of recent signals.

Medians and quartiles only, so that one extreme score neither raises an alarm here nor hides one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from rollwright.online.checks.check import CheckContext, CheckResult, judge_share

__all__ = ["LevelShiftCheck", "NotFiniteCheck", "SpreadRatioCheck"]

_LEAST_SIGNALS: Final = 5
_TOO_FEW: Final = f"it needs scores, and {_LEAST_SIGNALS} signals before"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFiniteCheck:
    """How many scores are NaN or infinite.

    Attributes
    ----------
    bound : float
        Largest share of the rows.
    """

    bound: float = 0.0
    name: str = "not_finite"

    def check(self, context: CheckContext) -> CheckResult:
        """Count the scores that are no finite number."""
        rows = len(context.signal)
        if not rows:
            return judge_share(self.name, 1.0, self.bound, "the signal has no rows")
        bad = rows - len(context.scores)
        return judge_share(self.name, bad / rows, self.bound, f"{bad:,} of {rows:,} scores are NaN or infinite")


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelShiftCheck:
    """How far the median score is from those of recent signals, in the spread between the quartiles.

    The spread is that of recent signals or of this one, whichever is wider.

    Attributes
    ----------
    bound : float
        Largest distance.
    """

    bound: float
    name: str = "level_shift"

    def check(self, context: CheckContext) -> CheckResult:
        """Compare the median score with the median of the recent ones."""
        quartiles = _find_quartiles(context.history)
        if quartiles is None or context.scores.empty:
            return judge_share(
                self.name, None, self.bound, f"fewer than {_LEAST_SIGNALS} signals were published before"
            )
        typical = float(np.median(quartiles[:, 1]))
        low, median, high = np.quantile(context.scores.to_numpy(dtype=np.float64), (0.25, 0.5, 0.75)).tolist()
        # A model that was trained anew may spread its scores otherwise: the wider spread is the measure.
        spread = max(float(np.median(quartiles[:, 2] - quartiles[:, 0])), high - low)
        if spread == 0:
            return judge_share(self.name, None, self.bound, "half of the scores are equal")
        text = f"the median score is {median:.4g}, that of recent signals {typical:.4g} with a spread of {spread:.4g}"
        return judge_share(self.name, abs(median - typical) / spread, self.bound, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadRatioCheck:
    """How many times wider or narrower the scores are spread than in recent signals, between the quartiles.

    Attributes
    ----------
    bound : float
        Largest ratio, of the wider to the narrower.
    """

    bound: float
    name: str = "spread_ratio"

    def check(self, context: CheckContext) -> CheckResult:
        """Compare the spread of the scores with that of recent ones."""
        quartiles = _find_quartiles(context.history)
        now = _find_quartiles([context.signal], least=1)
        if quartiles is None or now is None:
            return judge_share(
                self.name, None, self.bound, f"fewer than {_LEAST_SIGNALS} signals were published before"
            )
        typical = float(np.median(quartiles[:, 2] - quartiles[:, 0]))
        spread = float(now[0, 2] - now[0, 0])
        if typical == 0:
            return judge_share(self.name, None, self.bound, "half of the scores of recent signals are equal")
        narrow, wide = sorted((spread, typical))
        text = f"the scores are spread by {spread:.4g}, those of recent signals by {typical:.4g}"
        return judge_share(self.name, wide / narrow if narrow > 0 else np.inf, self.bound, text)


def _find_quartiles(signals: Sequence[pd.Series], *, least: int = _LEAST_SIGNALS) -> np.ndarray | None:
    """Return the quartiles of each signal that has scores; None where those are fewer than `least`."""
    scores = [signal.to_numpy(dtype=np.float64) for signal in signals]
    finite = [values[np.isfinite(values)] for values in scores]
    found = [np.quantile(values, (0.25, 0.5, 0.75)) for values in finite if len(values)]
    return np.array(found) if len(found) >= least else None
