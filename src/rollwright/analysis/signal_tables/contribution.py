"""What each member adds to an ensemble: the part of its scores that the other members do not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.honesty.intervals import bound_mean
from rollwright.analysis.panel import Frame, correlate_rows, find_first_rows, rank_by_day
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.analysis.stages.table import ColumnUnit
from rollwright.errors import DataError

__all__ = ["CONTRIBUTION_UNITS", "measure_contribution"]

_SINGULAR: Final = 1e-10  # of the largest eigenvalue
_NOTHING: Final = 1e-10  # of the variance of a member on a day
_DIGITS: Final = 12  # of a residual, where the length of the member on its day is 1
_KINDS: Final = ("ic", "rank_ic", "ic_own", "rank_ic_own")
_CORRELATIONS: Final = tuple(f"{kind}{end}" for kind in _KINDS for end in ("", "_low", "_high"))
CONTRIBUTION_UNITS: Final[dict[str, ColumnUnit]] = {
    "member": "text",
    **dict.fromkeys(_CORRELATIONS, "correlation"),
    "explained": "fraction",
    "sessions": "sessions",
    "own_sessions": "sessions",
    "singular_sessions": "sessions",
}
_Floats = NDArray[np.float64]


def measure_contribution(
    members: Mapping[str, Frame], label: Frame, *, label_span: int = 1, level: float = 0.95
) -> pd.DataFrame:
    """Return the IC of each member alone, and that of its part which is orthogonal to all the others.

    On each day the scores of a member are regressed on a constant and the scores of the others, over the instruments
    that all members score and whose label is known; the residuals are its *own part*. Its IC with the label says what
    the member knows and the others do not; it may be near 0 for a good member that others repeat.

    Parameters
    ----------
    members : mapping of str to DataFrame or Series
        Scores of each member, by (datetime, instrument); two or more.
    label : DataFrame or Series
    label_span : int, default 1
        Sessions of future that the label reads: intervals have blocks of at least twice that.
    level : float, default 0.95

    Returns
    -------
    DataFrame
        One row for each ``member``, in order: ``ic, ic_low, ic_high, rank_ic, rank_ic_low, rank_ic_high`` of the member
        alone, over all its rows; the same of its own part, as ``ic_own`` to ``rank_ic_own_high``; ``explained``, the
        mean over the days of the share of its variance that the others explain; ``sessions`` and ``own_sessions`` with
        an IC of either; ``singular_sessions``, on which the others explain it wholly (two equal members, or one that is
        a mean of others): its own part has no IC there. NaN where there is none.

    Raises
    ------
    DataError
        For fewer than two members, or an index that is not as said.
    """
    if len(members) < 2:
        raise DataError(f"{len(members)} members: what one adds to others needs at least two")
    panels = [build_signal_panel(scores, label) for scores in members.values()]
    base = panels[0]
    scores = np.empty((len(base.day), len(panels)))
    scores[:, 0] = base.score
    for place, values in enumerate(list(members.values())[1:], 1):
        scores[:, place] = base.take(values, what="prediction")
    common = ~np.isnan(scores).any(axis=1) & ~np.isnan(base.label)
    spoilt = np.bincount(base.day[np.isinf(scores).any(axis=1)], minlength=len(base.days)) > 0
    common &= ~spoilt[base.day]
    own = _OwnParts(base.day[common], scores[common], base.label[common], len(base.days))
    rows = []
    for place, (name, panel) in enumerate(zip(members, panels, strict=True)):
        known = panel.select(~(np.isnan(panel.score) | np.isnan(panel.label)))
        alone = _correlate_twice(
            known.day, known.score, known.label, rank_by_day(known.day, known.label), len(known.days)
        )
        part, explained, singular = own.measure(place)
        rows.append(
            {
                "member": name,
                **_describe("", alone, label_span, level),
                **_describe("_own", part, label_span, level),
                "explained": explained,
                "sessions": int((~np.isnan(alone[0])).sum()),
                "own_sessions": int((~np.isnan(part[0])).sum()),
                "singular_sessions": singular,
            }
        )
    return pd.DataFrame(rows)


class _OwnParts:
    """Scores of all members on their common rows, standardised by day, and their correlations on each day."""

    def __init__(self, day: NDArray[np.intp], scores: _Floats, label: _Floats, days: int) -> None:
        self._day, self._label, self._days = day, label, days
        self._label_ranks = rank_by_day(day, label)
        self._first = find_first_rows(day)
        self._sizes = np.diff(self._first, append=len(day))
        members = scores.shape[1]
        if not len(day):
            self._z, self._gram = scores, np.empty((0, members, members))
            return
        z = np.stack([self._standardise(column) for column in scores.T])
        gram = np.empty((len(self._first), members, members))
        for one in range(members):
            for two in range(one + 1):
                gram[:, one, two] = gram[:, two, one] = np.add.reduceat(z[one] * z[two], self._first)
        self._z, self._gram = z, gram

    def _standardise(self, column: _Floats) -> _Floats:
        """Return the column with mean 0 and length 1 on each day; 0 on a day on which it does not vary."""
        varied = np.maximum.reduceat(column, self._first) > np.minimum.reduceat(column, self._first)
        centred = column - np.repeat(np.add.reduceat(column, self._first) / self._sizes, self._sizes)
        length = np.sqrt(np.add.reduceat(centred * centred, self._first))
        scale = np.divide(1.0, length, out=np.zeros_like(length), where=varied & (length > 0))
        standardised: _Floats = centred * np.repeat(scale, self._sizes)
        return standardised

    def measure(self, place: int) -> tuple[tuple[_Floats, _Floats], float, int]:
        """Return a member's daily coefficients of its own part, what the others explain, and its singular days."""
        if not len(self._day):
            nothing = np.full(self._days, np.nan)
            return (nothing, nothing), np.nan, 0
        others = [one for one in range(len(self._z)) if one != place]
        # 1. Least squares by the eigenvalues of the others' correlations; those near 0 are combinations, and left out.
        values, vectors = np.linalg.eigh(self._gram[:, others][:, :, others])
        kept = values > _SINGULAR * np.maximum(values[:, -1:], np.finfo(np.float64).tiny)
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
        turned = np.einsum("dij,di->dj", vectors, self._gram[:, others, place])
        weights = np.einsum("dij,dj->di", vectors, turned * inverse)
        # 2. Residuals. A day of which nothing is left has no coefficient, but not one of rounding errors.
        left = self._z[place].copy()
        for column, one in enumerate(others):
            left -= self._z[one] * np.repeat(weights[:, column], self._sizes)
        share = np.add.reduceat(left * left, self._first)
        varied = self._gram[:, place, place] > 0
        singular = varied & (share <= _NOTHING)
        left[np.repeat(share <= _NOTHING, self._sizes)] = 0.0
        left = np.round(left, _DIGITS)  # no rounding error tells equal ones apart in a rank
        pair = _correlate_twice(self._day, left, self._label, self._label_ranks, self._days)
        explained = float((1 - share[varied]).mean()) if varied.any() else np.nan
        return pair, explained, int(singular.sum())


def _correlate_twice(
    day: NDArray[np.intp], x: _Floats, y: _Floats, ranks: _Floats, days: int
) -> tuple[_Floats, _Floats]:
    return correlate_rows(day, x, y, days), correlate_rows(day, rank_by_day(day, x), ranks, days)


def _describe(part: str, daily: tuple[_Floats, _Floats], label_span: int, level: float) -> dict[str, float]:
    row: dict[str, float] = {}
    for kind, values in zip(("ic", "rank_ic"), daily, strict=True):
        mean, low, high = bound_mean(values, label_span=label_span, level=level)
        row |= {f"{kind}{part}": mean, f"{kind}{part}_low": low, f"{kind}{part}_high": high}
    return row
