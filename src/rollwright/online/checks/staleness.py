"""Checks that the data moved on: their last session, and scores that are those of the session before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from rollwright.online.checks.check import CheckContext, CheckResult, judge_share

__all__ = ["RepeatedScoresCheck", "StaleDataCheck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleDataCheck:
    """How many days the data end before the session.

    Attributes
    ----------
    bound : float
        Most days.
    """

    bound: float = 0.0
    name: str = "stale_data"

    def check(self, context: CheckContext) -> CheckResult:
        """Compare the session with the last one of the data."""
        late = datetime.fromisoformat(context.session) - datetime.fromisoformat(context.generation_session)
        days = max(0.0, late.total_seconds() / 86_400)
        text = f"the data end with {context.generation_session}, and the session is {context.session}"
        return judge_share(self.name, days, self.bound, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedScoresCheck:
    """How many names have exactly the score that they had in the last published signal.

    Attributes
    ----------
    bound : float
        Largest share of the names that both signals have.
    """

    bound: float
    name: str = "repeated_scores"

    def check(self, context: CheckContext) -> CheckResult:
        """Compare each score with the last published one."""
        if context.previous is None:
            return judge_share(self.name, None, self.bound, "no signal was published before")
        common = context.scores.index.intersection(context.previous.index)
        if common.empty:
            return judge_share(self.name, None, self.bound, "no name is in the last published signal")
        now, before = context.scores.loc[common].to_numpy(), context.previous.loc[common].to_numpy()
        same = int(np.count_nonzero(now == before))
        text = f"{same:,} of {len(common):,} names have exactly the score of the last published signal"
        return judge_share(self.name, same / len(common), self.bound, text)
