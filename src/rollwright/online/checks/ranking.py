"""Checks of who is at the top: turnover against the last signal, equal scores, and the weight of single names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from rollwright.online.checks.check import CheckContext, CheckResult, judge_share, list_names

__all__ = ["EqualScoresCheck", "ScoreMassCheck", "TurnoverCheck"]

_LEAST_NAMES: Final = 20
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
        Names of the top; at most a fifth of the names that have a score. Where that leaves fewer than 20, nothing is
        judged: the turnover of a few names is often all of them.
    """

    bound: float
    topk: int = 50
    name: str = "turnover"

    def check(self, context: CheckContext) -> CheckResult:
        """Compare the top names with those of the last published signal."""
        if context.previous is None:
            return judge_share(self.name, None, self.bound, "no signal was published before")
        count = min(self.topk, max(1, len(context.scores) // _LARGEST_PART))
        if count < min(self.topk, _LEAST_NAMES):
            few = f"a fifth of {len(context.scores)} names is too few for a top"
            return judge_share(self.name, None, self.bound, few)
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

    Of fewer than 20 names, only that all are equal is judged.

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
        if len(scores) == 1 or (len(scores) < _LEAST_NAMES and most < len(scores)):
            return judge_share(self.name, None, self.bound, f"{len(scores)} names only have a score")
        share = 0.0 if most == 1 else most / len(scores)
        return judge_share(self.name, share, self.bound, f"{most:,} of {len(scores):,} names have the commonest score")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreMassCheck:
    """How much of all distance from the median score is one name's: one extreme score outweighs all others.

    Fewer than 20 names are not judged.

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
        if len(scores) < _LEAST_NAMES:
            return judge_share(self.name, None, self.bound, f"{len(scores)} names only have a score")
        distance = (scores - scores.median()).abs()
        largest = distance.max()
        if largest == 0:
            return judge_share(self.name, None, self.bound, "all scores are equal")
        share = 1 / float((distance / largest).sum())
        farthest = list_names([str(distance.idxmax())])
        return judge_share(self.name, share, self.bound, f"{farthest} has that share of all distance from the median")
