"""The table of honest numbers: a Sharpe ratio beside what is left of it after its length, tails and rivals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from rollwright.analysis.health import HealthFinding
from rollwright.analysis.honesty.comparison import Comparison, Comparisons
from rollwright.analysis.honesty.discoveries import adjust_benjamini_hochberg
from rollwright.analysis.honesty.sharpe import (
    ReturnMoments,
    Standard,
    deflated_sharpe_ratio,
    expected_maximum_sharpe_ratio,
    measure_returns,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
)
from rollwright.analysis.honesty.trial_set import TrialSet
from rollwright.analysis.metrics import Metric, Unit
from rollwright.errors import DataError
from rollwright.trials.return_series import ReturnSeries

__all__ = ["COUNTS", "HONESTY_COLUMNS", "STANDARDS", "HonestNumbers", "honest_numbers"]

Count: TypeAlias = Literal["raw", "average", "eigenvalues", "participation"]

STANDARDS: Final[dict[Standard, str]] = {"2012": "2012/14", "2025": "2025/26"}
"""The two published standards, as they are printed; verdicts follow the first."""
COUNTS: Final[tuple[Count, ...]] = ("raw", "average", "eigenvalues", "participation")
"""How the trials are counted: as they are, and by three ways to tell how many independent ones they amount to."""
HONESTY_COLUMNS: Final = ("number", "standard", "count", "trials", "value", "unit", "reason")

_Counts: TypeAlias = "dict[Count, tuple[float, str]]"
"""The number of trials by each way of counting, NaN with the reason where there is none."""

_METRICS: Final[dict[str, Unit]] = {
    "sharpe": "ratio",
    "psr": "probability",
    "deflated_sharpe": "probability",
    "trials": "count",
    "pbo": "probability",
    "min_track_record": "years",
}
_DOUBTED: Final = ("sharpe", "psr", "annualized_return", "excess_return", "information_ratio")
_CONFIDENCE: Final = 0.95
_HIGH_PBO: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HonestNumbers:
    """What a Sharpe ratio is worth.

    Attributes
    ----------
    table : DataFrame
        A row for each number, in the order of reading: ``number`` (a key of `rollwright.analysis.honesty.reading`),
        ``standard`` ("2012/14", "2025/26", or "" where there is one only), ``count`` (by which of `COUNTS` the trials
        are counted, or ""), ``trials`` (how many those are, float64, NaN where they play no part), ``value`` (float64),
        ``unit``, ``reason`` (why there is no value, or what it stands on: a key of
        `rollwright.analysis.honesty.reading.list_reasons`, or "").
    metrics : tuple of Metric
        ``sharpe`` (annual), ``psr``, ``deflated_sharpe``, ``trials`` (raw), ``pbo``, ``min_track_record``: by the
        standard of 2012/14 and the raw number of trials, the strictest of each; NaN where there is none, as for a
        record that is never long enough.
    findings : tuple of HealthFinding
    """

    table: pd.DataFrame
    metrics: tuple[Metric, ...]
    findings: tuple[HealthFinding, ...]


def honest_numbers(
    returns: pd.Series,
    trials: TrialSet,
    *,
    periods: float,
    risk_free: float = 0.0,
    comparisons: Comparisons | None = None,
) -> HonestNumbers:
    """Return the honest numbers of a strategy, judged beside everything else that was tried on its data.

    Trials that have three quarters of its sessions are compared with it session by session: their correlations give
    the effective numbers of trials, and PBO is taken over them, in 16 blocks, or in as many as ten sessions a block and
    two million splits times trials allow; of more than 2,000 trials neither is told. Any other trial counts as an
    independent one, and so does a lost one. The deviation between the trials' Sharpe ratios is that of all of them,
    each over its own sessions; of fewer than two that can be read it is ``1 / √(T − 1)``, that of worthless strategies.

    Parameters
    ----------
    returns : Series
        Daily returns after costs (index ``datetime``), as fractions.
    trials : TrialSet
    periods : float
        Sessions of a year.
    risk_free : float, default 0.0
        What cash earns in a year, as a fraction; the part of a session is taken off each return, of every trial.
    comparisons : Comparisons, optional
        What is shared by strategies that are judged beside one another.

    .. warning:: **Look-ahead.** The numbers know the whole record. Choosing a strategy by them is one more choice, and
       nothing counts it.

    Raises
    ------
    DataError
        For returns of which there is no Sharpe ratio: fewer than three, all the same, or one that is not finite.
    """
    own = ReturnSeries.of(returns.index.to_numpy(), returns.to_numpy())
    moments = measure_returns(returns.to_numpy(), risk_free=risk_free / periods)
    known = [moments, *_measure(trials, risk_free / periods)]
    deviation = _tell_deviation(known)
    common = trials.align(own)
    compared = (Comparisons() if comparisons is None else comparisons).compare(common)
    counts = _count(compared, common.uncompared + trials.lost, trials)
    rows = _Rows()
    year = math.sqrt(periods)
    rows.add("sharpe", moments.sharpe * year, "ratio")
    rows.add("sharpe_session", moments.sharpe, "ratio")
    rows.add("risk_free", risk_free, "fraction_per_year")
    for standard in STANDARDS:
        rows.try_to_add("psr", partial(probabilistic_sharpe_ratio, moments, standard=standard), standard=standard)
    for count, (number, reason) in counts.items():
        rows.add("trials", number, "count", count=count, reason=reason)
    rows.add("deviation", deviation * year, "ratio", reason="" if len(known) > 1 else "worthless_strategies")
    _add_deflated(rows, moments, counts, deviation=deviation, year=year)
    for standard in STANDARDS:
        rows.try_to_add(
            "min_track_record", partial(_tell_years, moments, standard, periods), unit="years", standard=standard
        )
    rows.add("pbo", compared.overfitting, "probability", trials=compared.trials, reason=compared.overfitting_reason)
    _add_discoveries(rows, known)
    rows.add("uncompared", common.uncompared, "count")
    rows.add("lost", trials.lost, "count")
    rows.add("holdout", trials.holdout, "count")
    values = {key: rows.value(key) for key in _METRICS}
    metrics = tuple(  # no record is long enough of what has no edge: JSON has no infinity, and a metric is read again
        Metric(key=key, value=value if math.isfinite(value) else math.nan, unit=_METRICS[key])
        for key, value in values.items()
    )
    return HonestNumbers(table=rows.table(), metrics=metrics, findings=tuple(_examine(rows, trials)))


def _add_deflated(rows: _Rows, moments: ReturnMoments, counts: _Counts, *, deviation: float, year: float) -> None:
    """Add the best ratio that luck explains and the ratio deflated by it, for each number of trials."""
    for count, (number, reason) in counts.items():
        value = math.nan if reason else expected_maximum_sharpe_ratio(number, deviation=deviation) * year
        rows.add("expected_maximum", value, "ratio", count=count, trials=number, reason=reason)
    for standard in STANDARDS:
        for count, (number, reason) in counts.items():
            compute = partial(deflated_sharpe_ratio, moments, trials=number, deviation=deviation, standard=standard)
            rows.try_to_add("deflated_sharpe", compute, standard=standard, count=count, trials=number, reason=reason)


def _tell_years(moments: ReturnMoments, standard: Standard, periods: float) -> float:
    """Return the minimum track record length in years."""
    return minimum_track_record_length(moments, standard=standard) / periods


def _measure(trials: TrialSet, risk_free: float) -> Iterator[ReturnMoments]:
    for one in trials.others:
        yield measure_returns(one.returns, risk_free=risk_free)


def _tell_deviation(known: list[ReturnMoments]) -> float:
    """Return the deviation between the trials' Sharpe ratios, per session."""
    if len(known) > 1:
        return float(np.std([one.sharpe for one in known], ddof=1))
    return 1 / math.sqrt(known[0].count - 1)


def _count(compared: Comparison, uncompared: int, trials: TrialSet) -> _Counts:
    """Return the number of trials by each way of counting."""
    found = compared.count
    if found is None:
        return {name: (trials.count, "") if name == "raw" else (math.nan, compared.count_reason) for name in COUNTS}
    return {
        "raw": (trials.count, ""),
        "average": (found.by_average + uncompared, ""),
        "eigenvalues": (found.by_eigenvalues + uncompared, ""),
        "participation": (found.by_participation + uncompared, ""),
    }


def _add_discoveries(rows: _Rows, known: list[ReturnMoments]) -> None:
    """Add the p-value of no edge, as it is and adjusted for all trials, and how many trials pass it."""
    try:
        values = [1 - probabilistic_sharpe_ratio(one) for one in known]
    except DataError:
        values, reason = [math.nan], "no_variance"
        adjusted = np.array([math.nan])
    else:
        adjusted, reason = adjust_benjamini_hochberg(values), ""
    passed = math.nan if reason else float((adjusted <= 1 - _CONFIDENCE).sum())
    rows.add("p_value", values[0], "probability", standard="2012", reason=reason)
    rows.add("p_adjusted", float(adjusted[0]), "probability", standard="2012", trials=len(known), reason=reason)
    rows.add("discoveries", passed, "count", standard="2012", trials=len(known), reason=reason)


def _examine(rows: _Rows, trials: TrialSet) -> Iterator[HealthFinding]:
    """Yield what the numbers say against the ratio they are about."""
    if trials.damage:
        yield HealthFinding(
            kind="registry_damaged",
            severity="serious",
            values={"problems": len(trials.damage), "first": trials.damage[0], "lost": trials.lost},
            metrics=("deflated_sharpe", "trials", "pbo"),
        )
    sharpe, deflated, psr = (rows.value(key) for key in ("sharpe", "deflated_sharpe", "psr"))
    if sharpe > 0 and deflated < _CONFIDENCE:
        yield HealthFinding(
            kind="ratio_of_luck" if psr >= _CONFIDENCE else "ratio_near_zero",
            severity="warning",
            values={
                "sharpe": round(sharpe, 6),
                "psr": round(psr, 6),
                "deflated": round(deflated, 6),
                "expected": round(rows.value("expected_maximum"), 6),
                "trials": trials.count,
                "years": round(rows.value("min_track_record"), 3),
            },
            metrics=_DOUBTED,
        )
    pbo = rows.value("pbo")
    if pbo >= _HIGH_PBO:
        values = {"pbo": round(pbo, 6), "trials": int(rows.trials("pbo"))}
        yield HealthFinding(kind="likely_overfit", severity="warning", values=values, metrics=_DOUBTED)


@dataclass(slots=True, kw_only=True)
class _Rows:
    """The rows of the table as they are made."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        number: str,
        value: float,
        unit: str,
        *,
        standard: Standard | None = None,
        count: str = "",
        trials: float = math.nan,
        reason: str = "",
    ) -> None:
        """Add a number."""
        self.rows.append({
            "number": number,
            "standard": "" if standard is None else STANDARDS[standard],
            "count": count,
            "trials": float(trials),
            "value": float(value),
            "unit": unit,
            "reason": reason,
        })  # fmt: skip

    def try_to_add(
        self, number: str, compute: Callable[[], float], *, unit: str = "probability", reason: str = "", **more: Any
    ) -> None:
        """Add what `compute` returns, or NaN with the reason: that of the caller, or that it is not defined."""
        value = math.nan
        if not reason:
            try:
                value = compute()
            except DataError:
                reason = "no_variance"
        self.add(number, value, unit, reason=reason, **more)

    def value(self, number: str) -> float:
        """Return the first row of a number: of several, by the earlier standard and the raw number of trials."""
        return float(next(row["value"] for row in self.rows if row["number"] == number))

    def trials(self, number: str) -> float:
        """Return how many trials the first row of a number was taken over."""
        return float(next(row["trials"] for row in self.rows if row["number"] == number))

    def table(self) -> pd.DataFrame:
        """Return them as a frame."""
        text = {name: pd.array([str(row[name]) for row in self.rows], dtype="str") for name in HONESTY_COLUMNS}
        numbers = {name: np.array([row[name] for row in self.rows], dtype=np.float64) for name in ("trials", "value")}
        return pd.DataFrame({**text, **numbers})
