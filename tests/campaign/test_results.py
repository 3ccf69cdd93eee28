"""What is made of the predictions: refused before training where it must fail, and the same numbers everywhere."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from campaign_plans import hand_made_plan
from rollwright.analysis.metrics import show_metrics
from rollwright.analysis.order_counts import count_orders
from rollwright.analysis.stages.files import read_stage
from rollwright.campaign.collect_windows import collect_windows
from rollwright.campaign.config import AnalysisConfig, BacktestConfig, CampaignConfig, ReportConfig
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, Window, WindowKey
from rollwright.campaign.results import make_results
from rollwright.campaign.results_origin import ResultsOrigin
from rollwright.campaign.summary import CampaignResult, read_summary
from rollwright.campaign.trade_terms import check_results
from rollwright.codecs.registry import codecs
from rollwright.errors import (
    ConfigError,
    CorruptFileError,
    CoverageError,
    DataError,
    DataNotFoundError,
    UnknownInstrumentError,
)
from rollwright.tasks.spec import TaskSpec
from rollwright.testing.market import random_source

SOURCE = cast("Any", SimpleNamespace(instruments=lambda: ("SH000300", "SH600000")))


def config(**backtest: Any) -> Any:
    return SimpleNamespace(backtest=BacktestConfig(**backtest))


def test_a_benchmark_nobody_has_is_refused_at_once_with_the_nearest():
    with pytest.raises(UnknownInstrumentError, match="SH00300") as caught:
        check_results(config(benchmark="SH00300"), SOURCE)
    assert "SH000300" in (caught.value.hint or "")


def test_more_drops_than_places_are_refused_at_once():
    with pytest.raises(ConfigError, match="n_drop"):
        check_results(config(topk=10, n_drop=20), SOURCE)


def test_what_can_be_done_passes():
    check_results(config(), SOURCE)
    check_results(config(benchmark="SH000300"), SOURCE)
    check_results(cast("Any", SimpleNamespace(backtest=None)), SOURCE)


MARKET = random_source(np.random.default_rng(0), sessions=60, instruments=12)
DAYS = pd.DatetimeIndex(MARKET.calendar().values)[20:50]
ASKED = CampaignConfig.model_validate(
    {
        "task": {"model": "LGBModel", "dataset": "DatasetH", "record": "SignalRecord"},
        "backtest": {"topk": 3, "n_drop": 1, "account": 1e8},
        "report": {"notes": ["Only a test."]},
    }
)


class FinishedRun:
    """A finished recorder with the three artifacts of a window."""

    status = "FINISHED"
    start_time = datetime(2026, 1, 1, tzinfo=UTC)
    end_time = start_time + timedelta(seconds=3)

    def __init__(self, key: WindowKey, days: pd.DatetimeIndex, seed: int) -> None:
        self.id = f"{key.variant}{days[0]:%Y%m%d}"
        names = list(MARKET.instruments())
        index = pd.MultiIndex.from_product([days, names], names=["datetime", "instrument"])
        random = np.random.default_rng(seed + len(days))
        label = pd.DataFrame({"LABEL0": random.normal(size=len(index))}, index=index)
        score = 0.1 * label["LABEL0"] + random.normal(size=len(index))
        self.objects = {
            "pred.pkl": score.to_frame("score"),
            "label.pkl": label,
            "expected_index.pkl": pd.DataFrame(index=index),
        }

    def load_object(self, name: str) -> pd.DataFrame:
        return self.objects[name]

    def list_metrics(self) -> dict[str, float]:
        return {"best_iteration": 7.0}

    def list_digests(self) -> dict[str, str]:
        return dict.fromkeys(self.objects, "")


def walk(*variants: str) -> tuple[CampaignPlan, dict[WindowKey, Any]]:
    windows, recorders = [], {}
    for number, variant in enumerate(variants):
        for days in (DAYS[:16], DAYS[16:]):
            key = WindowKey(variant, f"{days[0]:%Y-%m-%d}..{days[-1]:%Y-%m-%d}")
            spec = TaskSpec.from_definition({"model": {"class": "M", "module_path": "mine.py"}})
            segments = {
                "train": (pd.Timestamp(MARKET.calendar().values[0]), DAYS[0] - pd.Timedelta(days=7)),
                "test": (days[0], days[-1]),
            }
            windows.append(Window(key=key, spec=spec, segments=segments))
            recorders[key] = FinishedRun(key, days, 100 * number)
    return hand_made_plan(windows), recorders


def make(
    plan: CampaignPlan,
    recorders: dict[WindowKey, Any],
    folder: Any,
    *,
    text: str = "rolling: {}\n",
    columns: pd.DataFrame | None = None,
    **changes: Any,
) -> CampaignResult:
    return make_results(
        plan,
        recorders,
        config=ASKED.model_copy(update=changes),
        text=text,
        source=MARKET,
        region="us",
        folder=folder,
        findings=[],
        facts=[],
        created="2026-01-01",
        columns=columns,
    )


def test_the_section_analysis_has_the_signal_judged_by_columns_of_the_users(tmp_path):
    names = pd.Index(MARKET.instruments(), name="instrument")
    columns = pd.DataFrame({"sector": ["a", "b"] * (len(names) // 2), "size": range(len(names))}, index=names)
    section = AnalysisConfig(horizons=[1, 4], columns="mine.csv", groups_by=["sector"], neutralise=["sector", "size"])
    result = make(*walk("linear"), tmp_path, analysis=section, columns=columns)
    stage = read_stage(result.variants[0].files["predictions"].parent, "analyze")
    assert stage.frame("ic_by_group")["group"].tolist() == ["a", "b"]
    assert stage.frame("neutralised")["columns"].tolist() == ["sector", "size", "sector + size"]
    assert set(stage.frame("decay")["horizon"]) == set(stage.frame("autocorrelation")["lag"]) == {1, 4}
    assert stage.settings["neutralise"] == ["sector", "size"]
    missing = section.model_copy(update={"neutralise": ["beta"]})
    with pytest.raises(DataError, match="no column `beta`"):
        make(*walk("linear"), tmp_path, analysis=missing, columns=columns)


def test_a_section_analysis_that_means_nothing_is_refused_and_its_defaults_change_no_origin():
    for section in (
        {"horizons": []}, {"horizons": [1, 1]}, {"horizons": [0]}, {"groups_by": ["sector"]}, {"colums": "x.csv"},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            AnalysisConfig.model_validate(section)
    plain = ResultsOrigin.of(ASKED, file="a.yaml")
    same = ASKED.model_copy(update={"analysis": AnalysisConfig()})
    other = ASKED.model_copy(update={"analysis": AnalysisConfig(horizons=[1])})
    assert ResultsOrigin.of(same, file="a.yaml") == plain != ResultsOrigin.of(other, file="a.yaml")


def test_every_variant_is_joined_judged_and_written_by_itself(tmp_path):
    plan, recorders = walk("linear", "trees")
    result = make(plan, recorders, tmp_path)
    assert [variant.variant for variant in result.variants] == ["linear", "trees"]
    alone = make(*walk("linear"), tmp_path / "alone").variants[0]
    assert result.variants[0].metrics == alone.metrics
    assert result.variants[1].metrics != alone.metrics
    assert (tmp_path / "members" / "linear" / "pred.parquet").read_bytes() == alone.files["predictions"].read_bytes()
    pred = pd.read_parquet(result.variants[1].files["predictions"])
    assert len(pred) == result.variants[1].rows == 30 * 12
    page = result.files["report"].read_text(encoding="utf-8")
    for variant in result.variants:
        for metric in show_metrics(variant.metrics):
            assert metric.value in page
            assert metric.error in page


def test_a_variant_that_lacks_a_row_is_refused_by_its_name_and_nothing_is_written(tmp_path):
    plan, recorders = walk("linear", "trees")
    recorder = recorders[plan.windows[-1].key]
    recorder.objects["pred.pkl"] = recorder.objects["pred.pkl"].iloc[1:]
    with pytest.raises(CoverageError) as caught:
        make(plan, recorders, tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.startswith(plan.windows[-1].name)
    assert plan.windows[-1].name.startswith("trees/")
    assert not (tmp_path / "out").exists()


def test_the_universe_is_counted_on_each_variants_own_sessions():
    plan, recorders = walk("late", "whole")
    windows = plan.windows[1:]  # "late" tests the second half only
    kept = {window.key: recorders[window.key] for window in windows}
    late, whole = collect_windows(hand_made_plan(windows, universe="all"), kept, source=MARKET, max_missing_share=1.0)
    assert (late.variant, len(late.windows), len(late.rows)) == ("late", 1, 1)
    assert late.coverage is not None
    assert whole.coverage is not None
    assert late.coverage.expected == late.coverage.predicted < whole.coverage.expected


def test_a_variant_that_lacks_too_much_of_the_universe_is_named():
    plan, recorders = walk("linear", "trees")
    for window in plan.variants["trees"]:
        run = recorders[window.key]
        run.objects = {name: frame.drop(MARKET.instruments()[0], level=1) for name, frame in run.objects.items()}
    named = hand_made_plan(plan.windows, universe="all")
    with pytest.raises(CoverageError, match="variant trees: "):
        collect_windows(named, recorders, source=MARKET, max_missing_share=0.0)
    collect_windows(named, recorders, source=MARKET, max_missing_share=1.0)


def test_windows_that_are_not_there_are_named_or_declared():
    plan, recorders = walk("linear", "trees")
    named = hand_made_plan(plan.windows, universe="all")
    lost = [window for window in plan.windows if window.key.variant == "trees"]
    kept = {key: run for key, run in recorders.items() if key != lost[0].key}
    with pytest.raises(CoverageError, match=f"{lost[0].name}: there is no finished recorder"):
        collect_windows(named, kept, source=MARKET, max_missing_share=0.5)
    with pytest.raises(CoverageError, match=f"{lost[0].name}: there is a recorder, which was not expected"):
        collect_windows(hand_made_plan(plan.windows[:-2]), recorders, source=MARKET, max_missing_share=0.5)
    for place, left in ((0, lost[1:]), (-1, lost[:-1])):
        absent = {lost[place].key}
        linear, trees = collect_windows(named, recorders, source=MARKET, max_missing_share=0.5, missing=absent)
        assert (linear.windows, trees.windows) == (plan.variants["linear"], tuple(left))
        assert linear.coverage is not None
        assert trees.coverage is not None
        assert trees.coverage.expected == trees.coverage.predicted
        assert len(trees.pred) < len(linear.pred)
    every = {window.key for window in lost}
    (only,) = collect_windows(named, recorders, source=MARKET, max_missing_share=0.5, missing=every)
    assert only.variant == "linear"


def test_windows_of_one_variant_that_leave_sessions_out_are_refused_though_another_has_them(tmp_path):
    plan, recorders = walk("linear", "trees")
    first, second, *others = plan.windows
    late = replace(second, key=WindowKey("linear", "later"), segments={**second.segments, "test": (DAYS[20], DAYS[-1])})
    recorders = {window.key: recorders[window.key] for window in (first, *others)}
    recorders[late.key] = FinishedRun(late.key, DAYS[20:], 0)
    with pytest.raises(CoverageError) as caught:
        make(hand_made_plan([first, late, *others]), recorders, tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.startswith("linear: ")
    assert f"{DAYS[16]:%Y-%m-%d}" in problem


def test_labels_are_kept_for_the_predicted_rows_only(tmp_path):
    plan, recorders = walk(ONLY_VARIANT)
    label = recorders[plan.windows[0].key].objects["label.pkl"]
    more = pd.concat([label, pd.DataFrame({"LABEL0": [0.0]}, index=[(DAYS[0], "ZZ")])])
    more.index = pd.MultiIndex.from_tuples(more.index, names=label.index.names)
    recorders[plan.windows[0].key].objects["label.pkl"] = more
    files = make(plan, recorders, tmp_path / "out").variants[0].files
    assert pd.read_parquet(files["labels"]).index.equals(pd.read_parquet(files["predictions"]).index)


def test_the_only_variant_lies_at_the_top_of_the_folder(tmp_path):
    out = tmp_path / "out"
    result = make(*walk(ONLY_VARIANT), out)
    assert result.variants[0].files["predictions"] == out / "pred.parquet"
    assert {path.name for path in out.iterdir()} == {
        "pred.parquet",
        "label.parquet",
        "collect",
        "analysis",
        "backtest",
        "about.json",
        "summary.json",
        "report.html",
    }


def test_trades_and_what_was_not_traded_are_written_and_counted_in_the_report(tmp_path):
    backtest = ASKED.backtest.model_copy(update={"account": 60.0})
    result = make(*walk(ONLY_VARIANT), tmp_path, backtest=backtest)
    files = result.variants[0].files
    trades, unfilled = (codecs.for_kind("parquet").read(files[name]) for name in ("trades", "unfilled"))
    assert {"cash", "suspended", "no_room"} == set(unfilled["reason"])
    counts = count_orders(trades, unfilled)
    assert counts.wanted == len(unfilled) + counts.whole
    assert sum(one.orders for one in counts.reasons) == len(unfilled) > 0
    assert f"Of {counts.wanted:,} orders" in result.files["report"].read_text()
    again = make(*walk(ONLY_VARIANT), tmp_path / "again", backtest=backtest).variants[0].files
    assert again["unfilled"].read_bytes() == files["unfilled"].read_bytes()
    without = make(*walk(ONLY_VARIANT), tmp_path / "without", backtest=None)
    assert set(without.variants[0].files) == {"predictions", "labels", "collect", "analysis"}
    assert not (tmp_path / "without" / "backtest").exists()


def test_the_summary_has_a_format_machine_keys_and_comes_back_as_it_was(tmp_path):
    result = make(*walk(ONLY_VARIANT), tmp_path / "here")
    data = json.loads(result.files["summary"].read_text())
    assert data["format"] == 4
    assert (data["combined"], data["missing"]) == (None, [])
    metrics = data["variants"][ONLY_VARIANT]["metrics"]
    assert set(metrics) >= {"ic", "icir", "rank_ic", "rank_icir", "annualized_return", "max_drawdown", "turnover"}
    assert metrics["max_drawdown"]["unit"] == "fraction"
    assert data["files"]["report"] == "report.html"
    assert read_summary(result.files["summary"]) == result
    (tmp_path / "here").rename(tmp_path / "there")
    assert read_summary(tmp_path / "there" / "summary.json").files["report"] == tmp_path / "there" / "report.html"


def test_constant_scores_lead_summary_and_report_and_stand_beside_the_numbers(tmp_path):
    plan, recorders = walk(ONLY_VARIANT)
    for run in recorders.values():
        run.objects["pred.pkl"] = run.objects["pred.pkl"] * 0.0 + 0.5
    result = make(plan, recorders, tmp_path)
    data = json.loads(result.files["summary"].read_text())
    assert data["health"][0]["kind"] == "constant_scores"
    assert data["health"][0]["severity"] == "serious"
    assert "30 of 30 sessions" in data["health"][0]["message"]
    assert data["health"][0]["hint"]
    metrics = data["variants"][ONLY_VARIANT]["metrics"]
    assert all("constant_scores" in metrics[key]["findings"] for key in ("ic", "ic_error", "excess_return", "turnover"))
    assert metrics["ic"]["value"] is None
    page = result.files["report"].read_text()
    assert page.index("constant, equal for all instruments") < page.index("information ratio")
    assert '<a href="#finding-1">[1]</a>' in page
    assert read_summary(result.files["summary"]) == result


def test_leaks_stopped_models_and_missing_fields_are_findings(tmp_path):
    plan, recorders = walk(ONLY_VARIANT)
    windows = [
        replace(one, segments={**one.segments, "train": (DAYS[0], one.test[0] - pd.offsets.BDay(1))})
        for one in plan.windows
    ]
    for run in recorders.values():
        run.list_metrics = lambda: {"best_iteration": 1.0}
    found = {
        finding.kind: finding.values
        for finding in make(hand_made_plan(windows[1:]), dict([*recorders.items()][1:]), tmp_path).health
    }
    assert found["short_purge"] == {"windows": 1, "of": 1, "span": 2, "gap": 1, "wanted": 2}
    assert found["stopped_models"] == {"windows": 1, "of": 1}
    assert "unknown_label_horizon" in found


def test_the_conventions_stand_in_summary_and_report(tmp_path):
    result = make(*walk(ONLY_VARIANT), tmp_path)
    told = json.loads(result.files["summary"].read_text())["conventions"]
    assert (told["days_per_year"], told["label_horizon"], told["label_span"]) == (238, None, 2)
    assert (told["backtest"]["topk"], told["backtest"]["benchmark"], told["backtest"]["close_cost"]) == (
        3,
        "mean",
        0.0015,
    )
    page = result.files["report"].read_text()
    assert "A year is 238 sessions" in page
    assert "0.150% to sell" in page


def test_the_json_of_the_command_holds_the_same_values_as_the_summary(tmp_path):
    result = make(*walk(ONLY_VARIANT), tmp_path)
    written = json.loads(result.files["summary"].read_text())["variants"][ONLY_VARIANT]["metrics"]
    assert json.loads(json.dumps(result.to_json()))["variants"][ONLY_VARIANT]["metrics"] == written
    found = {metric.key: metric.value for metric in result.variants[0].metrics}
    assert {key: entry["value"] for key, entry in written.items()} == {
        key: value if math.isfinite(value) else None for key, value in found.items()
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": 1, "name": "p"}', "format 1, and this version of rollwright reads formats 2"),
        ('{"name": "p"}', "not a campaign's summary"),
        ("[]", "not a campaign's summary"),
        ("{", "not a campaign's summary"),
        (
            '{"format": 2, "name": "p", "variants": {"main": {}}, "files": {}, "notes": []}',
            "missing or of another form",
        ),
        ('{"format": 2, "name": "p", "variants": [], "files": {}, "notes": []}', "missing or of another form"),
    ],
)
def test_another_format_or_a_damaged_summary_is_refused(tmp_path, text, said):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(CorruptFileError, match=said) as caught:
        read_summary(tmp_path / "summary.json")
    assert caught.value.hint


def test_where_no_campaign_ended_there_is_no_summary(tmp_path):
    with pytest.raises(DataNotFoundError, match="no campaign ended here"):
        read_summary(tmp_path / "summary.json")


def test_no_password_is_left_in_what_is_written(tmp_path):
    text = "qlib_init: {mongo: {task_url: 'mongodb://me:hush@h/db'}}\nextra:\n  api_key: hush\n"
    plan, recorders = walk("main")
    report = ReportConfig(notes=["data of postgresql://me:hush@h/db"])
    result = make(plan, recorders, tmp_path, text=text, report=report)
    page = result.files["report"].read_text()
    assert "mongodb://me:***@h/db" in page
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"hush" in path.read_bytes()] == []
