"""Checks of which instruments have a score: names that had none before, and members that have none now."""

from __future__ import annotations

from dataclasses import dataclass

from rollwright.online.checks.check import CheckContext, CheckResult, judge_share, list_names

__all__ = ["MissingNamesCheck", "UnseenNamesCheck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenNamesCheck:
    """How many names have a score that no recent published signal had.

    Attributes
    ----------
    bound : float
        Largest share of the names that have a score.
    """

    bound: float
    name: str = "unseen_names"

    def check(self, context: CheckContext) -> CheckResult:
        """Count the names that are in no recent published signal."""
        if not context.history:
            return judge_share(self.name, None, self.bound, "no signal was published before")
        known: set[str] = set().union(*(signal.dropna().index for signal in context.history))
        names = {*context.scores.index}
        new = sorted(names - known)
        text = f"{len(new):,} of {len(names):,} names have no score in the last {len(context.history)} signals"
        share = len(new) / max(1, len(names))
        return judge_share(self.name, share, self.bound, f"{text} ({list_names(new)})" if new else text)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingNamesCheck:
    """How many members of the universe have no score.

    Attributes
    ----------
    bound : float
        Largest share of the members.
    """

    bound: float
    name: str = "missing_names"

    def check(self, context: CheckContext) -> CheckResult:
        """Count the members without a score."""
        members = {*context.members}
        if not members:
            return judge_share(self.name, None, self.bound, "the universe has no members on that session")
        missing = sorted(members - {*context.scores.index})
        text = f"{len(missing):,} of {len(members):,} members have no score"
        share = len(missing) / len(members)
        return judge_share(self.name, share, self.bound, f"{text} ({list_names(missing)})" if missing else text)
