"""Checks of who is at the top: turnover against the last signal, equal scores, and the weight of single names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from rollwright.online.checks.check import CheckContext, CheckResult, judge_share, list_names

__all__ = ["EqualScoresCheck", "ScoreMassCheck", "TurnoverCheck"]

_LARGEST_PART: Final = 5
"""The top is at most one of so many parts of the names: of a small universe, more would be most of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnoverCheck:
    """How many of the top names are not those of the last published signal.

    Attributes
    ----------
    bound : float
        Largest share.
    topk : int
        Names of the top; at most a fifth of the names that have a score.
    """

    bound: float
    topk: int = 50
    name: str = "turnover"

    def check(self, context: CheckContext) -> CheckResult:
        """Compare the top names with those of the last published signal."""
        if context.previous is None:
            return judge_share(self.name, None, self.bound, "no signal was published before")
        count = min(self.topk, max(1, len(context.scores) // _LARGEST_PART))
        top, before = _take_top(context.scores, count), _take_top(context.previous, count)
        new = sorted(top - before)
        share = len(new) / max(1, len(top))
        text = f"{len(new)} of the top {len(top)} names are not in that of the last published signal"
        return judge_share(self.name, share, self.bound, f"{text} ({list_names(new)})" if new else text)


def _take_top(scores: pd.Series, count: int) -> set[str]:
    """Return the names with the highest scores; of equal ones those that come first by name."""
    ordered = scores.dropna().sort_index().sort_values(ascending=False, kind="stable")
    return {*ordered.index[:count]}


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualScoresCheck:
    """How many names share one score: a model that learnt nothing gives all of them the same.

    Attributes
    ----------
    bound : float
        Largest share of the names that have the commonest score.
    """

    bound: float
    name: str = "equal_scores"

    def check(self, context: CheckContext) -> CheckResult:
        """Count the names with the commonest score."""
        scores = context.scores
        if scores.empty:
            return judge_share(self.name, 1.0, self.bound, "no name has a score")
        counts = scores.value_counts(sort=False)
        most = int(counts.max())
        if len(scores) == 1:
            return judge_share(self.name, None, self.bound, "one name only has a score")
        share = 0.0 if most == 1 else most / len(scores)
        return judge_share(self.name, share, self.bound, f"{most:,} of {len(scores):,} names have the commonest score")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreMassCheck:
    """How much of all distance from the median score is one name's: one extreme score outweighs all others.

    Attributes
    ----------
    bound : float
        Largest share.
    """

    bound: float
    name: str = "score_mass"

    def check(self, context: CheckContext) -> CheckResult:
        """Find the name that is farthest from the median score."""
        scores = context.scores
        if len(scores) < _LARGEST_PART:
            return judge_share(self.name, None, self.bound, f"{len(scores)} names only have a score")
        distance = (scores - scores.median()).abs()
        largest = distance.max()
        if largest == 0:
            return judge_share(self.name, None, self.bound, "all scores are equal")
        share = 1 / float((distance / largest).sum())
        farthest = list_names([str(distance.idxmax())])
        return judge_share(self.name, share, self.bound, f"{farthest} has that share of all distance from the median")
