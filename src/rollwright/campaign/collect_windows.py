"""One prediction out of many windows, with proof that nothing is missing (decision D17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from rollwright.campaign.plan import CampaignPlan
from rollwright.collect.collector import RecorderCollector
from rollwright.collect.coverage import UniverseCoverage, check_tiling, check_window, universe_coverage
from rollwright.collect.ensemble import RollingEnsemble
from rollwright.collect.group import RollingGroup
from rollwright.errors import CoverageError
from rollwright.market.source import DataSource
from rollwright.tracking.recorder import Recorder

__all__ = ["Gathered", "gather"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What all windows together predicted.

    Attributes
    ----------
    pred : DataFrame
        Column ``score`` in the dtype the model gave (LightGBM: float64), index (datetime, instrument), sorted; no row
        twice, no score that is no number.
    label : DataFrame
        The raw label of the same rows; NaN where the future is not known yet.
    rows : mapping of str to int
        Predicted rows by window.
    coverage : UniverseCoverage or None
        None when the universe has no name.
    """

    pred: pd.DataFrame
    label: pd.DataFrame
    rows: Mapping[str, int]
    coverage: UniverseCoverage | None


def gather(
    plan: CampaignPlan,
    recorders: Mapping[str, Recorder],
    *,
    source: DataSource,
    universe: str | None,
    max_missing_share: float,
) -> Gathered:
    """Collect every window's prediction in the order of the plan and prove the coverage.

    Raises
    ------
    CoverageError
        When an artifact is missing or damaged, a window did not predict exactly what it promised, windows leave
        sessions out or overlap, or a day lacks more of the universe than `max_missing_share`. It names windows and
        dates.
    """
    names = {recorder.id: name for name, recorder in recorders.items()}
    collector = RecorderCollector(
        lambda: list(recorders.values()),
        rec_key_func=lambda recorder: (plan.name, names[recorder.id]),
        artifacts_path={"pred": "pred.pkl", "label": "label.pkl", "expected": "expected_index.pkl"},
    )
    collected = collector.collect()
    _check(plan, collected, source)
    group = RollingGroup(RollingEnsemble(overlap="error"))
    pred: pd.DataFrame = group(collected["pred"])[plan.name]
    label: pd.DataFrame = group(collected["label"])[plan.name]
    first, last = plan.test_range
    coverage = None
    if universe is not None:
        coverage = universe_coverage(
            pred.index, source, universe, start=first, end=last, max_missing_share=max_missing_share
        )
    rows = {window: len(frame) for (_, window), frame in collected["pred"].items()}
    return Gathered(pred=pred, label=label.reindex(pred.index), rows=rows, coverage=coverage)


def _check(plan: CampaignPlan, collected: Mapping[str, Mapping[object, pd.DataFrame]], source: DataSource) -> None:
    problems = check_tiling([window.test for window in plan.windows], source.calendar())
    for window in plan.windows:
        key = (plan.name, window.name)
        if key not in collected["pred"]:
            problems.append(f"{window.name}: there is no finished recorder")
            continue
        pred = collected["pred"][key]
        problems += check_window(window.name, pred.index, collected["expected"][key].index, pred.iloc[:, 0].to_numpy())
    if problems:
        raise CoverageError(
            f"campaign `{plan.name}` does not cover what it promised",
            problems=problems,
            hint="give the command again: windows whose artifacts are missing or damaged are trained anew",
        )
