"""When a candidate is stopped before its walk is over."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

import pandas as pd

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.campaign.search_section import PruneSection
from rollwright.search.trial import ToldTrial

__all__ = ["DEFAULT_RATE", "find_median_reason", "find_paired_reason"]

DEFAULT_RATE: Final = 0.1
_LEAST_EARLIER: Final = 4
"""Earlier trials that a median is taken of."""


def find_paired_reason(
    candidate: pd.Series, best: pd.Series, *, looks: int, section: PruneSection, label_span: int, name: str
) -> str:
    """Return why a candidate is stopped that is compared day by day with the best of earlier trials; "" to go on.

    The mean of the daily differences has an interval that allows for the dependence of days (`estimate_mean`). The
    candidate is stopped where all of it lies below zero. `rate` is shared out evenly among the `looks` of its walk, so
    that one that is in truth as good is stopped at any of them with a probability of at most about `rate`.

    Parameters
    ----------
    candidate, best : Series
        Daily coefficients by session; only sessions that both have are compared.
    looks : int
        How often the candidate is looked at on its whole walk.
    section : PruneSection
    label_span : int
        Sessions of future that the label reads.
    name : str
        What the best trial is called.
    """
    both = pd.concat([candidate, best], axis=1, join="inner").dropna()
    rate = section.rate if section.rate is not None else DEFAULT_RATE
    found = estimate_mean(
        (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy("float64"),
        label_span=label_span,
        level=1 - 2 * rate / max(looks, 1),
    )
    if found is None or found.upper >= 0:
        return ""
    return f"{found.mean:+.4f} a day against {name}, {found.upper:+.4f} at the most, on {found.days} sessions"


def find_median_reason(value: float, windows: int, earlier: Sequence[ToldTrial]) -> str:
    """Return why a candidate is stopped that is below the median of earlier trials after as many windows; "" to go on.

    Parameters
    ----------
    value : float
        The metric of the candidate so far.
    windows : int
        How many windows it has.
    earlier : sequence of ToldTrial
        Of earlier generations; fewer than four of so many windows stop nobody.
    """
    points = [point for one in earlier for point in one.curve if point.windows == windows]
    values = [point.value for point in points if not math.isnan(point.value)]
    if len(values) < _LEAST_EARLIER or math.isnan(value):
        return ""
    median = statistics.median(values)
    if value >= median:
        return ""
    return f"{value:.4f} after {windows} windows, below the median {median:.4f} of {len(values)} trials"
