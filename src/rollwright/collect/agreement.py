"""How much members agree: the correlations of their scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rollwright.analysis.panel import Frame, average_by_day, find_varied_days, rank_by_day
from rollwright.collect.score_table import ScoreTable

__all__ = ["correlate_members"]


def correlate_members(predictions: Mapping[str, Frame]) -> pd.DataFrame:
    """Return the mean daily rank correlation of each pair of members: float64 [members, members].

    Instruments count that all members score on that day; a day on which one of a pair does not tell the instruments
    apart does not count for that pair, and a pair without a day that does is NaN.

    Parameters
    ----------
    predictions : mapping of str to DataFrame or Series
        Scores by (datetime, instrument), the first column of each.

    Raises
    ------
    CoverageError
        As `ScoreTable.of`.
    """
    table = ScoreTable.of(predictions, missing="skip")
    common = ~np.isnan(table.scores).any(axis=0)
    day, size = table.day[common], len(table.days)
    ranks = np.zeros((len(table.members), len(day)))
    varied = np.zeros((len(table.members), size))
    for place, line in enumerate(table.scores):
        if not len(day):
            break
        values = rank_by_day(day, line[common])
        centred = values - average_by_day(day, values, size)[day]
        known = find_varied_days(day, values, size)
        lengths = np.sqrt(np.bincount(day, weights=centred * centred, minlength=size))
        ranks[place] = centred * np.divide(1.0, lengths, out=np.zeros(size), where=known & (lengths > 0))[day]
        varied[place] = known
    days = varied @ varied.T
    means = np.divide(ranks @ ranks.T, days, out=np.full(days.shape, np.nan), where=days > 0)
    return pd.DataFrame(np.clip(means, -1.0, 1.0), index=list(predictions), columns=list(predictions))
