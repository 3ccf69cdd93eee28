"""Collect the windows of each variant into one prediction, and prove that no row is missing (decision D17)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pandas as pd

from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, Window, WindowKey
from rollwright.collect.collector import RecorderCollector
from rollwright.collect.coverage import UniverseCoverage, check_tiling, universe_coverage
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
    wanted = [window.key for window in plan.windows if window.key not in missing]
    kept = {key: recorder for key, recorder in recorders.items() if key not in missing}
    keys = {recorder.id: key for key, recorder in kept.items()}
    collector = RecorderCollector(
        lambda: list(kept.values()),
        rec_key_func=lambda recorder: keys[recorder.id],
        artifacts_path={"pred": "pred.pkl", "label": "label.pkl", "expected": "expected_index.pkl"},
        expect=wanted,
    )
    problems = [problem for windows in plan.variants.values() for problem in _check_tiling(windows, source)]
    collected: dict[str, dict[WindowKey, pd.DataFrame]] = {name: {} for name in collector.artifacts_path}
    try:
        collected |= collector.collect()
    except CoverageError as error:
        problems += error.problems
    if problems:
        raise CoverageError(
            f"campaign `{plan.name}` does not cover what it promised",
            problems=problems,
            hint="give the command again: windows whose artifacts are missing or damaged are trained anew",
        )
    group = RollingGroup(overlap="error", allow_gaps=True)  # splits the segment off each key and joins by variant
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
    calendar = source.calendar()
    tests = [window.test for window in windows]
    gaps = [
        (calendar.offset(end, 1), calendar.offset(start, -1))
        for (_, end), (start, _) in itertools.pairwise(tests)
        if calendar.distance(end, start) > 1
    ]
    try:
        return universe_coverage(
            pred.index,
            source,
            universe,
            start=tests[0][0],
            end=tests[-1][1],
            max_missing_share=max_missing_share,
            allow_gaps=gaps,
        )
    except CoverageError as error:
        variant = windows[0].key.variant
        if variant == ONLY_VARIANT:
            raise
        raise CoverageError(f"variant {variant}: {error.message}", problems=error.problems, hint=error.hint) from error


def _check_tiling(windows: Sequence[Window], source: DataSource) -> list[str]:
    variant = windows[0].key.variant
    mark = "" if variant == ONLY_VARIANT else f"{variant}: "
    return [mark + problem for problem in check_tiling([window.test for window in windows], source.calendar())]
