"""Several members as one signal: combined by the public ensembles, judged by one label, and never over a hole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campaign_plans import hand_made_plan
from rollwright.analysis.signal import calc_ic
from rollwright.campaign.combination import Combination
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import CampaignPlan, Window, WindowKey
from rollwright.campaign.results import make_results
from rollwright.campaign.summary import CampaignResult, read_summary
from rollwright.collect.agreement import correlate_members
from rollwright.collect.ensemble import AverageEnsemble, ICWeightedEnsemble, RankEnsemble
from rollwright.errors import CoverageError
from rollwright.tasks.spec import TaskSpec
from rollwright.testing.market import random_source

MARKET = random_source(np.random.default_rng(0), sessions=60, instruments=12)
DAYS = pd.DatetimeIndex(MARKET.calendar().values)[10:52]
CUTS = (DAYS[:14], DAYS[14:28], DAYS[28:])
ASKED = CampaignConfig.model_validate(
    {"task": {"model": "LGBModel", "dataset": "DatasetH"}, "backtest": {"topk": 3, "n_drop": 1}}
)
LABEL = pd.DataFrame(
    {"LABEL0": np.random.default_rng(1).normal(size=len(DAYS) * 12)},
    index=pd.MultiIndex.from_product([DAYS, list(MARKET.instruments())], names=["datetime", "instrument"]),
)


class Run:
    """A finished recorder of one window."""

    status = "FINISHED"
    start_time = end_time = pd.Timestamp("2026-01-01", tz="UTC")

    def __init__(self, key: WindowKey, days: pd.DatetimeIndex, seed: int) -> None:
        self.id = str(key)
        label = LABEL.loc[days[0] : days[-1]]
        score = 0.2 * label["LABEL0"] + np.random.default_rng([seed, len(days), days[0].day]).normal(size=len(label))
        self.objects = {
            "pred.pkl": score.to_frame("score"),
            "label.pkl": label,
            "expected_index.pkl": pd.DataFrame(index=label.index),
        }

    def load_object(self, name: str) -> pd.DataFrame:
        return self.objects[name]

    def list_metrics(self) -> dict[str, float]:
        return {}

    def list_digests(self) -> dict[str, str]:
        return {}


def walk(*names: str, **combined: Any) -> tuple[CampaignPlan, dict[WindowKey, Any]]:
    windows, runs = [], {}
    spec = TaskSpec.from_definition({"model": {"class": "M", "module_path": "mine.py"}})
    for seed, name in enumerate(names):
        for days in CUTS:
            key = WindowKey(name, f"{days[0]:%Y-%m-%d}..{days[-1]:%Y-%m-%d}")
            train = (pd.Timestamp(MARKET.calendar().values[0]), pd.Timestamp(MARKET.calendar().values[5]))
            windows.append(Window(key=key, spec=spec, segments={"train": train, "test": (days[0], days[-1])}))
            runs[key] = Run(key, days, seed)
    terms: dict[str, Any] = {"method": "average", "members": names, "label": names[0], "same_label": names, **combined}
    return replace(hand_made_plan(windows), combination=Combination(**terms)), runs


def make(plan: CampaignPlan, runs: dict[WindowKey, Any], folder: Any, **more: Any) -> CampaignResult:
    return make_results(
        plan,
        runs,
        config=ASKED,
        text="",
        source=MARKET,
        region="us",
        folder=folder,
        findings=[],
        facts=[],
        created="now",
        **more,
    )


def read(path: Any) -> pd.DataFrame:
    frame = pd.read_parquet(path).set_index(["datetime", "instrument"])
    frame.index = frame.index.set_levels(frame.index.levels[0].astype(DAYS.dtype), level=0)
    return frame


def preds(runs: dict[WindowKey, Any], *names: str) -> dict[str, pd.DataFrame]:
    return {
        name: pd.concat([run.objects["pred.pkl"] for key, run in runs.items() if key.variant == name]) for name in names
    }


@pytest.mark.parametrize(
    ("method", "ensemble"),
    [
        ("average", AverageEnsemble()),
        ("rank_mean", RankEnsemble()),
        ("ic_weighted", ICWeightedEnsemble(LABEL, label_span=2)),
    ],
)
def test_the_signal_is_what_the_public_ensemble_makes_of_the_members(tmp_path, method, ensemble):
    plan, runs = walk("a", "b", method=method)
    result = make(plan, runs, tmp_path)
    signal = read(tmp_path / "pred.parquet")
    pd.testing.assert_series_equal(signal["score"], ensemble(preds(runs, "a", "b")))
    assert [variant.variant for variant in result.variants] == ["combined", "a", "b"]
    for name in ("a", "b"):
        alone = read(tmp_path / "members" / name / "pred.parquet")
        pd.testing.assert_frame_equal(alone, preds(runs, name)[name])
    assert read(tmp_path / "label.parquet").index.equals(signal.index)
    ic = {metric.key: metric.value for metric in result.variants[0].metrics}["ic"]
    assert ic == pytest.approx(calc_ic(signal, LABEL)[0].mean())


def test_only_the_members_that_are_named_take_part(tmp_path):
    plan, runs = walk("a", "b", "c", members=("a", "c"))
    result = make(plan, runs, tmp_path)
    expected = AverageEnsemble()(preds(runs, "a", "c"))
    pd.testing.assert_series_equal(read(tmp_path / "pred.parquet")["score"], expected)
    assert len(result.variants) == 4
    assert result.combined is not None
    assert set(result.combined.correlations) == {"a", "b", "c"}


def test_summary_and_report_show_each_member_the_signal_and_how_much_they_agree(tmp_path):
    plan, runs = walk("a", "b")
    result = make(plan, runs, tmp_path)
    data = json.loads((tmp_path / "summary.json").read_text())
    assert list(data["variants"]) == ["combined", "a", "b"]
    assert {"ic", "icir", "rank_ic"} <= set(data["variants"]["a"]["metrics"])
    assert data["combined"]["method"] == "average"
    found = data["combined"]["correlations"]
    assert found["a"]["a"] == 1.0
    assert found["a"]["b"] == found["b"]["a"]
    both = preds(runs, "a", "b")
    daily = [group.corr(method="spearman").iloc[0, 1] for _, group in pd.concat(both, axis=1).groupby(level=0)]
    assert found["a"]["b"] == pytest.approx(np.mean(daily), abs=1e-6)
    assert read_summary(tmp_path / "summary.json") == result
    page = (tmp_path / "report.html").read_text()
    assert 'id="agreement"' in page
    assert f"{found['a']['b']:+.3f}" in page


def test_a_row_that_one_member_lacks_is_an_error_that_names_it_and_nothing_is_written(tmp_path):
    plan, runs = walk("a", "b")
    run = runs[plan.members[1].windows[1].key]
    run.objects = {name: frame.iloc[1:] for name, frame in run.objects.items()}
    with pytest.raises(CoverageError) as caught:
        make(plan, runs, tmp_path / "out")
    assert "b" in str(caught.value)
    assert f"{CUTS[1][0]:%Y-%m-%d}" in str(caught.value)
    assert not (tmp_path / "out").exists()
    plan, _ = walk("a", "b", missing="skip")
    made = make(plan, runs, tmp_path / "out")
    assert made.variants[0].rows == len(LABEL)


def test_a_label_that_is_not_the_one_all_are_judged_by_is_an_error(tmp_path):
    plan, runs = walk("a", "b")
    run = runs[plan.members[1].windows[0].key]
    run.objects["label.pkl"] = run.objects["label.pkl"] + 1.0
    with pytest.raises(CoverageError, match="the labels of `a` and `b` differ on 168 rows"):
        make(plan, runs, tmp_path)
    plan, _ = walk("a", "b", label="b", same_label=("b",))
    make(plan, runs, tmp_path)
    judged = read(tmp_path / "label.parquet").loc[CUTS[0][0]].iloc[:, 0].to_numpy()
    np.testing.assert_array_equal(judged, LABEL.loc[CUTS[0][0]].iloc[:, 0].to_numpy() + 1.0)


def test_windows_that_a_budget_left_out_are_declared_and_in_no_number(tmp_path):
    plan, runs = walk("a", "b")
    missing = [plan.members[0].windows[2].key, plan.members[1].windows[1].key]
    kept = {key: run for key, run in runs.items() if key not in missing}
    result = make(plan, kept, tmp_path, missing=missing)
    assert result.missing == tuple(str(key) for key in missing)
    assert [(variant.variant, variant.windows, variant.days) for variant in result.variants] == [
        ("combined", 1, 14),
        ("a", 2, 28),
        ("b", 2, 28),
    ]
    found = next(finding for finding in result.health if finding.kind == "partial_result")
    assert found.severity == "serious"
    assert found.values["windows"] == 2
    data = json.loads((tmp_path / "summary.json").read_text())
    assert data["missing"] == [str(key) for key in missing]
    assert str(missing[0]) in data["health"][0]["message"]
    assert str(missing[1]) in (tmp_path / "report.html").read_text()
    days = read(tmp_path / "pred.parquet").index.get_level_values("datetime").unique()
    assert list(days) == list(CUTS[0])


def test_a_member_without_any_finished_window_leaves_no_signal(tmp_path):
    plan, runs = walk("a", "b")
    missing = [window.key for window in plan.members[1].windows]
    result = make(plan, runs, tmp_path, missing=missing)
    assert [variant.variant for variant in result.variants] == ["a"]
    assert result.combined is None
    with pytest.raises(CoverageError, match="no window of p is finished"):
        make(plan, runs, tmp_path, missing=[*runs])


def test_a_window_that_is_missing_and_not_declared_is_an_error(tmp_path):
    plan, runs = walk("a", "b")
    del runs[plan.windows[-1].key]
    with pytest.raises(CoverageError, match="there is no finished recorder"):
        make(plan, runs, tmp_path)


def test_a_summary_of_the_format_before_is_read(tmp_path):
    result = make(*walk("a", "b"), tmp_path)
    data = json.loads((tmp_path / "summary.json").read_text())
    former = {key: value for key, value in data.items() if key not in ("combined", "missing")}
    (tmp_path / "summary.json").write_text(json.dumps({**former, "format": 2}))
    assert read_summary(tmp_path / "summary.json") == replace(result, combined=None)


def test_members_that_do_not_tell_instruments_apart_have_no_correlation():
    score = LABEL.rename(columns={"LABEL0": "score"})
    table = correlate_members({"a": score, "b": score * 0.0, "c": -score})
    assert table.loc["a", "c"] == pytest.approx(-1.0)
    assert np.isnan(table.loc["a", "b"])


def drawn(page: str, role: str, place: int) -> int:
    """Return how many windows of a variant's timeline show a segment."""
    (figure,) = re.findall(rf'<script type="application/json" id="figure-timeline-{place}">(.*?)</script>', page)
    return sum(len(trace["y"]) for trace in json.loads(figure)["data"] if trace["name"] == role)


def test_the_report_shows_what_the_signals_windows_learnt_from_where_all_members_learnt_from_the_same(tmp_path):
    plan, runs = walk("a", "b")
    make(plan, runs, tmp_path / "same")
    page = (tmp_path / "same" / "report.html").read_text(encoding="utf-8")
    assert [drawn(page, role, 1) for role in ("train", "purge gap", "test")] == [3, 3, 3]
    *others, last = plan.windows
    days = MARKET.calendar().values
    longer = replace(last, segments={**last.segments, "train": (pd.Timestamp(days[0]), pd.Timestamp(days[7]))})
    make(replace(plan, members=hand_made_plan([*others, longer]).members), runs, tmp_path / "other")
    page = (tmp_path / "other" / "report.html").read_text(encoding="utf-8")
    assert [drawn(page, role, 1) for role in ("train", "purge gap", "test")] == [2, 2, 3]
    assert [drawn(page, role, 2) for role in ("train", "purge gap", "test")] == [3, 3, 3]
