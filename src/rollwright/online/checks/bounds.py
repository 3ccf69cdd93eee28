"""The bounds of all checks, with their defaults, and the checks that they make."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

from rollwright.errors import ConfigError
from rollwright.online.checks.check import SignalCheck
from rollwright.online.checks.distribution import LevelShiftCheck, NotFiniteCheck, SpreadRatioCheck
from rollwright.online.checks.names import MissingNamesCheck, UnseenNamesCheck
from rollwright.online.checks.ranking import EqualScoresCheck, ScoreMassCheck, TurnoverCheck
from rollwright.online.checks.staleness import RepeatedScoresCheck, StaleDataCheck

__all__ = ["CheckBounds", "build_checks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckBounds:
    """The largest value that each figure of a signal may have; None leaves the check out.

    The defaults are far above what a sound signal of the demo market shows over 480 sessions with six retrainings
    (`docs/online.md` has the figures); whoever knows the turnover of a strategy sets that bound lower.

    Attributes
    ----------
    turnover : float or None, default 0.9
        Share of the top names that were not at the top of the last published signal.
    topk : int, default 50
        Names of the top, at most a fifth of all that have a score; where that leaves fewer than 20, turnover is not
        judged.
    equal_scores : float or None, default 0.3
        Share of the names that have the commonest score.
    score_mass : float or None, default 0.3
        Share of one name of all distance from the median score.
    unseen_names : float or None, default 0.15
        Share of the names that no recent signal had.
    missing_names : float or None, default 0.2
        Share of the members of the universe without a score.
    stale_data : float or None, default 0
        Days that the data end before the session.
    repeated_scores : float or None, default 0.5
        Share of the names with exactly the score of the last published signal.
    not_finite : float or None, default 0
        Share of the scores that are NaN or infinite.
    level_shift : float or None, default 3
        Distance of the median score from that of recent signals, in the spread between the quartiles.
    spread_ratio : float or None, default 20
        How many times wider or narrower than in recent signals the scores are spread.
    """

    turnover: float | None = 0.9
    topk: int = 50
    equal_scores: float | None = 0.3
    score_mass: float | None = 0.3
    unseen_names: float | None = 0.15
    missing_names: float | None = 0.2
    stale_data: float | None = 0.0
    repeated_scores: float | None = 0.5
    not_finite: float | None = 0.0
    level_shift: float | None = 3.0
    spread_ratio: float | None = 20.0

    def __post_init__(self) -> None:
        for one in fields(self):
            bound = getattr(self, one.name)
            if bound is not None and not (math.isfinite(bound) and bound >= 0):
                raise ConfigError(f"the bound `{one.name}` of the checks is {bound}: a number from 0 on is needed")
        if self.topk < 1:
            raise ConfigError("the top of `topk` 0 names has no turnover: 1 or more is needed")


def build_checks(bounds: CheckBounds) -> tuple[SignalCheck, ...]:
    """Return the checks that `bounds` asks for, in the order in which they are told of."""
    turnover = partial(TurnoverCheck, topk=bounds.topk)
    kinds: tuple[tuple[Callable[..., SignalCheck], float | None], ...] = (
        (StaleDataCheck, bounds.stale_data),
        (NotFiniteCheck, bounds.not_finite),
        (MissingNamesCheck, bounds.missing_names),
        (UnseenNamesCheck, bounds.unseen_names),
        (EqualScoresCheck, bounds.equal_scores),
        (ScoreMassCheck, bounds.score_mass),
        (RepeatedScoresCheck, bounds.repeated_scores),
        (LevelShiftCheck, bounds.level_shift),
        (SpreadRatioCheck, bounds.spread_ratio),
        (turnover, bounds.turnover),
    )
    return tuple(kind(bound=bound) for kind, bound in kinds if bound is not None)
