"""The campaign's signal: the predictions of its members as one, by the ensembles that users know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.collect_windows import VariantPrediction, cover_universe
from rollwright.campaign.combination import Combination
from rollwright.campaign.member_names import COMBINED
from rollwright.campaign.plan import CampaignPlan, Window, WindowKey
from rollwright.collect.ensemble import AverageEnsemble, ICWeightedEnsemble, MeanEnsemble, RankEnsemble
from rollwright.errors import CoverageError
from rollwright.market.source import DataSource

__all__ = ["combine_predictions", "explain_signal"]


def combine_predictions(
    plan: CampaignPlan,
    predictions: Sequence[VariantPrediction],
    *,
    source: DataSource,
    max_missing_share: float,
) -> VariantPrediction | None:
    """Return the signal of all members that take part; None when the plan combines none.

    Where windows of members are missing, declared by a budget, the signal has the sessions that all of them predict;
    None when there is none.

    Raises
    ------
    CoverageError
        When a member lacks rows that another has and the plan does not skip them, when members that are to have one
        label have different ones, and as `collect_windows`.
    """
    combination = plan.combination
    if combination is None:
        return None
    found = {prediction.variant: prediction for prediction in predictions}
    if any(name not in found for name in combination.members):
        return None
    chosen = {name: found[name] for name in combination.members}
    windows, preds = _select_common(plan, chosen, combination, source.calendar())
    if not windows:
        return None
    label = _join_labels(found, combination)
    score = _make_ensemble(plan, combination, label)(preds)
    pred = score.astype(np.float64).to_frame("score")
    universes = {plan.find_member(name).universe for name in combination.members}
    universe = universes.pop() if len(universes) == 1 else None
    days = pred.index.get_level_values("datetime")
    return VariantPrediction(
        variant=COMBINED,
        windows=windows,
        pred=pred,
        label=label.reindex(pred.index),
        rows={window.key: int(((days >= window.test[0]) & (days <= window.test[1])).sum()) for window in windows},
        coverage=cover_universe(pred, windows, source, universe, max_missing_share),
    )


def explain_signal(
    plan: CampaignPlan,
    combination: Combination,
    preds: Mapping[str, pd.DataFrame],
    label: pd.DataFrame,
    row: tuple[Session, str],
) -> pd.DataFrame:
    """Return what each member added to a row of the signal; see `MeanEnsemble.explain`.

    Parameters
    ----------
    plan : CampaignPlan
    combination : Combination
    preds : mapping of str to DataFrame
        What the members predict that take part, on the sessions of the signal.
    label : DataFrame
        The label that the signal is judged by.
    row : (Session, str)
    """
    chosen = {name: preds[name] for name in combination.members}
    return _make_ensemble(plan, combination, label).explain(chosen, row)


def _select_common(
    plan: CampaignPlan, chosen: Mapping[str, VariantPrediction], combination: Combination, calendar: TradingCalendar
) -> tuple[tuple[Window, ...], dict[str, pd.DataFrame]]:
    """Return the windows of the signal, and what each member predicts in them.

    They are those of the member that gives the label. Where all windows are there, rows that a member lacks beside them
    are left to the ensemble, which tells them.
    """
    of = combination.label if combination.label in chosen else combination.members[0]
    planned = plan.variants
    whole = all(len(chosen[name].windows) == len(planned[name]) for name in chosen)
    if whole:
        return _rename(planned[of], [planned[name] for name in chosen]), {
            name: prediction.pred for name, prediction in chosen.items()
        }
    tested = [
        {place for window in prediction.windows for place in calendar.positions(*window.test)}
        for prediction in chosen.values()
    ]
    common = set.intersection(*tested)
    windows = tuple(window for window in planned[of] if common.issuperset(calendar.positions(*window.test)))
    kept = calendar.to_index()[sorted(place for window in windows for place in calendar.positions(*window.test))]
    return _rename(windows, [planned[name] for name in chosen]), {
        name: prediction.pred[prediction.pred.index.get_level_values("datetime").isin(kept)]
        for name, prediction in chosen.items()
    }


def _rename(windows: Sequence[Window], members: Sequence[Sequence[Window]]) -> tuple[Window, ...]:
    """Return the windows as those of the signal: with all segments where its members share them, else with test."""
    spans = [{window.key.segment: dict(window.segments) for window in each} for each in members]
    renamed = []
    for window in windows:
        name, segments = window.key.segment, dict(window.segments)
        if any(each.get(name) != segments for each in spans):
            segments = {"test": window.test}
        renamed.append(replace(window, key=WindowKey(COMBINED, name), segments=segments))
    return tuple(renamed)


def _join_labels(found: Mapping[str, VariantPrediction], combination: Combination) -> pd.DataFrame:
    """Return the label that the signal is judged by, on the rows of all members that have it."""
    names = [name for name in dict.fromkeys((combination.label, *combination.same_label)) if name in found]
    joined = found[names[0]].label
    for name in names[1:]:
        other = found[name].label
        both = joined.index.intersection(other.index)
        one, two = (frame.reindex(both).iloc[:, 0].to_numpy() for frame in (joined, other))
        if not np.array_equal(one, two, equal_nan=True):
            rows = both[~((one == two) | (np.isnan(one) & np.isnan(two)))]
            raise CoverageError(
                f"the labels of `{names[0]}` and `{name}` differ on {len(rows):,} rows, first on {rows[0][0]:%Y-%m-%d}",
                hint=f"say by which the signal is judged: `combine: {{label: {names[0]}}}`, or `combine: none`",
            )
        if len(both) < len(other):
            joined = pd.concat([joined, other.loc[other.index.difference(joined.index)]]).sort_index()
    return joined


def _make_ensemble(plan: CampaignPlan, combination: Combination, label: pd.DataFrame) -> MeanEnsemble:
    if combination.method == "average":
        return AverageEnsemble(missing=combination.missing)
    if combination.method == "rank_mean":
        return RankEnsemble(missing=combination.missing)
    span = plan.find_member(combination.label).label_span
    if span is None:
        raise CoverageError(f"the label of `{combination.label}` does not tell how far it looks ahead")
    return ICWeightedEnsemble(label, label_span=span, missing=combination.missing)
