"""What trials on one calendar say of one another: how many they amount to, and PBO of a choice among them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from rollwright.analysis.honesty.overfitting import probability_of_backtest_overfitting
from rollwright.analysis.honesty.trial_count import TrialCount, correlate_trials, count_trials
from rollwright.analysis.honesty.trial_set import CommonCalendar
from rollwright.errors import DataError

__all__ = ["Comparison", "Comparisons"]

_MOST_TRIALS: Final = 2_000
_MOST_BLOCKS: Final = 16
_LEAST_BLOCKS: Final = 4
_BLOCK: Final = 10
"""Sessions of the shortest block of PBO."""
_MOST_CELLS: Final = 2_000_000
"""Splits times trials: each is some numbers of eight bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a set of trials says.

    Attributes
    ----------
    count : TrialCount or None
    count_reason : str
        Why there is none, a key of `rollwright.analysis.honesty.reading.list_reasons`; "" where there is one.
    overfitting : float
        PBO, NaN where there is none.
    overfitting_reason : str
    trials : int
        How many were compared.
    """

    count: TrialCount | None
    count_reason: str
    overfitting: float
    overfitting_reason: str
    trials: int


class Comparisons:
    """Comparisons that were made, so that strategies that are judged beside one another share one.

    Guarantees: the answer does not depend on the order of the trials.
    """

    def __init__(self) -> None:
        self._made: dict[str, Comparison] = {}

    def compare(self, common: CommonCalendar) -> Comparison:
        """Return what the trials say of one another."""
        columns = np.ascontiguousarray(common.returns.T)
        digests = [hashlib.sha256(column.tobytes()).hexdigest() for column in columns]
        order = sorted(range(len(columns)), key=digests.__getitem__)
        whole = hashlib.sha256(common.sessions.tobytes())
        for place in order:
            whole.update(digests[place].encode())
        key = whole.hexdigest()
        if key not in self._made:
            self._made[key] = _compare(np.ascontiguousarray(columns[order].T))
        return self._made[key]


def _compare(returns: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Comparison:
    sessions, trials = returns.shape
    count, count_reason = None, "too_many_trials"
    if trials <= _MOST_TRIALS:
        try:
            count, count_reason = count_trials(correlate_trials(returns)), ""
        except DataError:
            count_reason = "not_defined"
    overfitting, reason = math.nan, _find_obstacle(sessions, trials)
    if not reason:
        try:
            overfitting = probability_of_backtest_overfitting(
                returns, blocks=_choose_blocks(sessions, trials)
            ).probability
        except DataError:
            reason = "not_defined"
    return Comparison(
        count=count, count_reason=count_reason, overfitting=overfitting, overfitting_reason=reason, trials=trials
    )


def _find_obstacle(sessions: int, trials: int) -> str:
    if trials < 2:
        return "no_other_trial"
    if trials > _MOST_TRIALS:
        return "too_many_trials"
    if sessions < _LEAST_BLOCKS * _BLOCK:
        return "too_few_sessions"
    return ""


def _choose_blocks(sessions: int, trials: int) -> int:
    """Return into how many blocks the sessions are cut: 16, or fewer where they are short or the splits too many."""
    blocks = min(_MOST_BLOCKS, sessions // _BLOCK // 2 * 2)
    while blocks > _LEAST_BLOCKS and math.comb(blocks, blocks // 2) * trials > _MOST_CELLS:
        blocks -= 2
    return blocks
