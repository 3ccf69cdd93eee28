"""Collect the windows of each variant into one prediction, and prove that no row is missing (decision D17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pandas as pd

from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, Window, WindowKey
from rollwright.collect.collector import RecorderCollector
from rollwright.collect.coverage import UniverseCoverage, check_tiling, check_window, universe_coverage
from rollwright.collect.ensemble import RollingEnsemble
from rollwright.collect.group import RollingGroup
from rollwright.errors import CoverageError
from rollwright.market.source import DataSource
from rollwright.tracking.recorder import Recorder

__all__ = ["VariantPrediction", "collect_windows", "cover_universe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPrediction:
    """The joined prediction of all windows of one variant.

    Attributes
    ----------
    variant : str
    windows : tuple of Window
        In order of time.
    pred : DataFrame
        Column ``score`` in the dtype the model gave (LightGBM: float64), index (datetime, instrument), sorted; no row
        twice, no score that is not a number.
    label : DataFrame
        The raw label of the same rows; NaN where the future is not known yet.
    rows : mapping of WindowKey to int
        Predicted rows by window.
    coverage : UniverseCoverage or None
        None when the universe has no name.
    """

    variant: str
    windows: tuple[Window, ...]
    pred: pd.DataFrame
    label: pd.DataFrame
    rows: Mapping[WindowKey, int]
    coverage: UniverseCoverage | None


def collect_windows(
    plan: CampaignPlan,
    recorders: Mapping[WindowKey, Recorder],
    *,
    source: DataSource,
    max_missing_share: float,
    missing: AbstractSet[WindowKey] = frozenset(),
) -> tuple[VariantPrediction, ...]:
    """Collect every window's prediction, join those of each variant, and prove the coverage of each.

    Windows that are declared as `missing` are left out, and so is a variant that has no other.

    Raises
    ------
    CoverageError
        When an artifact is missing or damaged, a window did not predict exactly the rows it announced, windows of a
        variant leave sessions out or overlap, or a day lacks more of the universe than `max_missing_share`. It names
        windows and dates.
    """
    keys = {recorder.id: key for key, recorder in recorders.items()}
    collector = RecorderCollector(
        lambda: list(recorders.values()),
        rec_key_func=lambda recorder: keys[recorder.id],
        artifacts_path={"pred": "pred.pkl", "label": "label.pkl", "expected": "expected_index.pkl"},
    )
    collected = {name: {} for name in collector.artifacts_path} | collector.collect()
    problems: list[str] = []
    for windows in plan.variants.values():
        problems += _check_coverage(windows, collected, source, missing)
    if problems:
        raise CoverageError(
            f"campaign `{plan.name}` does not cover what it promised",
            problems=problems,
            hint="give the command again: windows whose artifacts are missing or damaged are trained anew",
        )
    group = RollingGroup(RollingEnsemble(overlap="error"))  # splits the segment off each key and joins by variant
    preds, labels = group(collected["pred"]), group(collected["label"])
    predictions = []
    for variant, planned in plan.variants.items():
        windows = tuple(window for window in planned if window.key not in missing)
        if not windows:
            continue
        pred: pd.DataFrame = preds[(variant,)]
        predictions.append(
            VariantPrediction(
                variant=variant,
                windows=windows,
                pred=pred,
                label=labels[(variant,)].reindex(pred.index),
                rows={window.key: len(collected["pred"][window.key]) for window in windows},
                coverage=cover_universe(pred, windows, source, plan.find_member(variant).universe, max_missing_share),
            )
        )
    return tuple(predictions)


def cover_universe(
    pred: pd.DataFrame, windows: Sequence[Window], source: DataSource, universe: str | None, max_missing_share: float
) -> UniverseCoverage | None:
    """Compare the prediction of one variant with the universe on the sessions that its windows test.

    Raises
    ------
    CoverageError
        When a session lacks more of the universe than `max_missing_share`.
    """
    if universe is None:
        return None
    try:
        parts = [
            universe_coverage(pred.index, source, universe, start=start, end=end, max_missing_share=max_missing_share)
            for start, end in _join_ranges(windows, source.calendar())
        ]
        return _add_coverages(parts)
    except CoverageError as error:
        variant = windows[0].key.variant
        if variant == ONLY_VARIANT:
            raise
        raise CoverageError(f"variant {variant}: {error.message}", problems=error.problems, hint=error.hint) from error


def _join_ranges(windows: Sequence[Window], calendar: TradingCalendar) -> list[tuple[Session, Session]]:
    """Return the ranges of sessions that windows test, those that follow one another as one."""
    ranges: list[tuple[Session, Session]] = []
    for window in windows:
        start, end = window.test
        if ranges and calendar.distance(ranges[-1][1], start) == 1:
            start = ranges.pop()[0]
        ranges.append((start, end))
    return ranges


def _add_coverages(parts: Sequence[UniverseCoverage]) -> UniverseCoverage:
    worst = max(parts, key=lambda part: part.worst_share)
    return UniverseCoverage(
        expected=sum(part.expected for part in parts),
        predicted=sum(part.predicted for part in parts),
        by_cause={cause: sum(part.by_cause[cause] for part in parts) for cause in parts[0].by_cause},
        worst_day=worst.worst_day,
        worst_share=worst.worst_share,
    )


def _check_coverage(
    windows: Sequence[Window],
    collected: Mapping[str, Mapping[WindowKey, pd.DataFrame]],
    source: DataSource,
    missing: AbstractSet[WindowKey],
) -> list[str]:
    variant = windows[0].key.variant
    mark = "" if variant == ONLY_VARIANT else f"{variant}: "
    problems = [mark + problem for problem in check_tiling([window.test for window in windows], source.calendar())]
    for window in windows:
        if window.key in missing:
            continue
        if window.key not in collected["pred"]:
            problems.append(f"{window.name}: there is no finished recorder")
            continue
        pred, expected = collected["pred"][window.key], collected["expected"][window.key]
        problems += check_window(window.name, pred.index, expected.index, pred.iloc[:, 0].to_numpy())
    return problems
