"""Summary and report are made of the stages on the disk alone: the same bytes again, and nothing that does not fit."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campaign_plans import hand_made_plan
from rollwright.analysis.metrics import show_metrics
from rollwright.analysis.stages.files import read_stage
from rollwright.campaign.about import read_about, write_about
from rollwright.campaign.combination import Combination
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import ONLY_VARIANT, Window, WindowKey
from rollwright.campaign.results import make_results
from rollwright.campaign.results_folder import read_results, summarise_results, write_report
from rollwright.campaign.summary import CampaignResult
from rollwright.codecs.registry import codecs
from rollwright.errors import CorruptFileError, DataNotFoundError, StaleResultsError
from rollwright.models.learning import Learning
from rollwright.tasks.spec import TaskSpec
from rollwright.testing.market import random_source

MARKET = random_source(np.random.default_rng(0), sessions=60, instruments=12)
DAYS = pd.DatetimeIndex(MARKET.calendar().values)[20:50]
INDEX = pd.MultiIndex.from_product([DAYS, list(MARKET.instruments())], names=["datetime", "instrument"])
LABEL = pd.DataFrame({"LABEL0": np.random.default_rng(0).normal(size=len(INDEX))}, index=INDEX)
HINT = "roll it"


class Run:
    """A finished recorder of one window."""

    status = "FINISHED"
    start_time = datetime(2026, 1, 1, tzinfo=UTC)
    end_time = start_time + timedelta(seconds=3)

    def __init__(self, key: WindowKey, days: pd.DatetimeIndex) -> None:
        self.id = f"{key.variant}-{days[0]:%Y%m%d}"
        label = LABEL.loc[(days, slice(None)), :]
        noise = np.random.default_rng(len(key.variant)).normal(size=len(label))
        self.objects = {
            "pred.pkl": (0.2 * label["LABEL0"] + noise).to_frame("score"),
            "label.pkl": label,
            "expected_index.pkl": pd.DataFrame(index=label.index),
            "learning": Learning.of({"valid": {"l2": [2.0, 1.0]}}, basis="gain", weights=[("x", 1.0)]).to_json(),
        }

    def load_object(self, name: str) -> Any:
        return self.objects[name]

    def list_metrics(self) -> dict[str, float]:
        return {"best_iteration": 7.0}

    def list_digests(self) -> dict[str, str]:
        return dict.fromkeys(self.objects, "")


def make(folder: Path, *names: str, backtest: bool = True, **changes: Any) -> CampaignResult:
    windows, runs = [], {}
    for name in names or (ONLY_VARIANT,):
        for days in (DAYS[:16], DAYS[16:]):
            key = WindowKey(name, f"{days[0]:%Y-%m-%d}..{days[-1]:%Y-%m-%d}")
            spec = TaskSpec.from_definition({"model": {"class": "M", "module_path": "mine.py"}})
            train = (pd.Timestamp(MARKET.calendar().values[0]), pd.Timestamp(MARKET.calendar().values[9]))
            segments = {"train": train, "test": (days[0], days[-1])}
            windows.append(Window(key=key, spec=spec, segments=segments))
            runs[key] = Run(key, days)
    plan = hand_made_plan(windows)
    if names:
        combination = Combination(method="average", members=names, label=names[0], same_label=names)
        plan = replace(plan, combination=combination)
    asked = {
        "task": {"model": "LGBModel", "dataset": "DatasetH", "record": "SignalRecord"},
        "report": {"notes": ["Only a test."], "title": "A title"},
        **({"backtest": {"topk": 3, "n_drop": 1, **changes}} if backtest else {}),
    }
    return make_results(
        plan,
        runs,  # type: ignore[arg-type] - what of a recorder is read
        config=CampaignConfig.model_validate(asked),
        text="rolling: {}\n",
        source=MARKET,
        region="us",
        folder=folder,
        findings=[],
        facts=[("reused", "0")],
        created="2026-01-01",
    )


@pytest.fixture(scope="module")
def whole_results(tmp_path_factory):
    """The results of one variant; who changes them puts them back."""
    folder = tmp_path_factory.mktemp("results")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def whole_signal(tmp_path_factory):
    """The results of a signal of two members, for those who copy them."""
    folder = tmp_path_factory.mktemp("signal")
    make(folder, "a", "bb")
    return folder


@pytest.fixture
def results(whole_results, tmp_path):
    """A copy of the results of one variant."""
    return Path(shutil.copytree(whole_results, tmp_path / "results"))


@pytest.fixture
def signal(whole_signal, tmp_path):
    """A copy of the results of a signal."""
    return Path(shutil.copytree(whole_signal, tmp_path / "signal"))


@pytest.mark.parametrize("names", [(), ("a", "bb")])
@pytest.mark.parametrize("backtest", [True, False])
def test_summary_and_report_are_made_again_from_the_tables_with_the_same_bytes(tmp_path, names, backtest):
    result = make(tmp_path, *names, backtest=backtest)
    summary, page = (result.files[name].read_bytes() for name in ("summary", "report"))
    for name in ("summary", "report"):
        result.files[name].unlink()
    assert summarise_results(tmp_path, hint=HINT) == result
    assert write_report(tmp_path, hint=HINT) == result.files["report"]
    assert result.files["summary"].read_bytes() == summary
    assert result.files["report"].read_bytes() == page


@pytest.mark.parametrize("names", [(), ("a", "bb")])
def test_summary_and_page_are_made_of_what_would_be_read(tmp_path, monkeypatch, names):
    given = {}

    def keep(results, *, hint, written=None):
        given[results] = written
        return write_report(results, hint=hint, written=written)

    monkeypatch.setattr("rollwright.campaign.results.write_report", keep)
    make(tmp_path, *names)
    written_about, written = given[tmp_path]
    about, stages = read_results(tmp_path, hint=HINT)
    assert written_about == about
    assert {name: list(each) for name, each in written.items()} == {name: list(each) for name, each in stages.items()}
    for name, of_variant in stages.items():
        for stage, found in of_variant.items():
            told = written[name][stage]
            for part in ("metrics", "findings", "left_out", "settings", "inputs"):
                assert repr(getattr(told, part)) == repr(getattr(found, part))  # NaN is itself
            assert list(told.tables) == list(found.tables)
            for table in found.tables.values():
                one = told.tables[table.name]
                pd.testing.assert_frame_equal(
                    one.frame, table.frame, check_exact=True, check_index_type="exact", check_column_type="exact"
                )
                assert type(one.frame.index) is type(table.frame.index)
                assert one.units == table.units


def test_the_page_shows_what_the_tables_hold(tmp_path):
    result = make(tmp_path)
    traded, analyzed = read_stage(tmp_path, "backtest"), read_stage(tmp_path, "analyze")
    assert result.variants[0].metrics == (*analyzed.metrics, *traded.metrics)
    page = result.files["report"].read_text(encoding="utf-8")
    for metric in show_metrics(result.variants[0].metrics):
        assert metric.value in page
        assert metric.error in page
    windows = read_stage(tmp_path, "collect").tables["windows"].frame
    assert all(f"{value:+.4f}" in page for value in windows["rank_ic"])
    assert windows["recorder"].tolist() == ["main-20200129", "main-20200220"]
    assert (windows["seconds"] == 3.0).all()
    learning, importance = (read_stage(tmp_path, "collect").tables[name].frame for name in ("learning", "importance"))
    assert learning["window"].unique().tolist() == importance["window"].tolist() == windows["window"].tolist()
    assert all(f'id="figure-{name}' in page for name in ("learning", "importance"))


def test_models_that_told_nothing_or_something_else_leave_the_rest_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "list_digests", lambda run: {} if "0129" in run.id else {"learning": ""})
    monkeypatch.setattr(Learning, "to_json", lambda _told: {"version": "of somebody else"})
    make(tmp_path)
    stage = read_stage(tmp_path, "collect")
    assert {"learning", "importance"} <= stage.left_out.keys()
    assert "no model told how it learnt" in stage.left_out["learning"]
    assert len(stage.tables["windows"].frame) == 2


def test_the_tables_of_a_signal_are_those_of_its_own_back_test(signal):
    for folder in (signal, signal / "members" / "a", signal / "members" / "bb"):
        pred = codecs.for_kind("parquet").read(folder / "pred.parquet")
        account = read_stage(folder, "backtest").tables["account"].frame
        assert account.index.equals(pd.DatetimeIndex(pred.index.unique("datetime")))


@pytest.mark.parametrize("changed", ["pred.parquet", "label.parquet", "members/bb/pred.parquet"])
def test_a_report_of_other_predictions_is_refused_with_the_command_that_helps(signal, changed):
    page = signal / "report.html"
    before = page.read_bytes()
    path = signal / changed
    path.write_bytes(path.read_bytes() + b" ")
    for work in (summarise_results, write_report):
        with pytest.raises(StaleResultsError, match=path.name) as caught:
            work(signal, hint=HINT)
        assert caught.value.hint == "make it anew: rollwright collect p"
    assert page.read_bytes() == before


@pytest.mark.parametrize("stage", ["collect", "analysis", "backtest"])
def test_a_stage_that_is_missing_or_damaged_is_named(results, stage):
    index = results / stage / "stage.json"
    text = index.read_text(encoding="utf-8")
    index.write_text("{", encoding="utf-8")
    with pytest.raises(CorruptFileError, match=stage):
        write_report(results, hint=HINT)
    index.write_text(text, encoding="utf-8")
    write_report(results, hint=HINT)
    index.unlink()
    with pytest.raises(DataNotFoundError, match=stage):
        write_report(results, hint=HINT)


def test_results_without_tables_say_what_to_do(tmp_path):
    with pytest.raises(DataNotFoundError, match="no results with tables") as caught:
        write_report(tmp_path, hint=HINT)
    assert caught.value.hint == HINT


def test_what_is_said_beside_the_tables_comes_back_as_it_was(signal):
    about = read_about(signal, hint=HINT)
    (signal / "other").mkdir()
    write_about(about, signal / "other")
    assert read_about(signal / "other", hint=HINT) == about
    assert (about.title, about.lang, about.notes) == ("A title", "en", ("Only a test.",))
    assert about.combined is not None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"name": 3},
        {"variants": [{"name": "../../elsewhere", "is_top": False, "is_signal": False, "stages": []}]},
        {"variants": [{"name": "/etc", "is_top": False, "is_signal": False, "stages": []}]},
        {"variants": 7},
        {"facts": [["one"]]},
        {"notes": "text"},
        {"findings": [{}]},
        {"combined": []},
    ],
)
def test_a_hostile_or_damaged_file_beside_the_tables_is_refused(results, change):
    path = results / "about.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(CorruptFileError, match=r"about\.json") as caught:
        write_report(results, hint=HINT)
    assert caught.value.hint == HINT


def test_the_terms_of_a_back_test_are_those_of_the_file(tmp_path):
    result = make(tmp_path, mode="qlib", deal_price=["open", "close"], risk_free=0.02)
    terms = result.conventions.backtest
    assert terms is not None
    assert (terms.mode, terms.deal_price, terms.risk_free) == ("qlib", ("open", "close"), 0.02)
    page = result.files["report"].read_text(encoding="utf-8")
    assert "bought at the open and sold at the close" in page
    assert "the risk-free rate is 2.00% a year" in page
    assert "Mode `qlib`" in page
    usual = make(tmp_path / "usual", deal_price="close")
    one, two = (read_stage(folder, "backtest").tables["trades"].frame for folder in (tmp_path, tmp_path / "usual"))
    assert not one["price"].equals(two["price"])
    assert usual.conventions.backtest is not None


def test_what_older_versions_left_at_the_top_goes(tmp_path):
    (tmp_path / "trades.parquet").write_bytes(b"old")
    make(tmp_path)
    assert not (tmp_path / "trades.parquet").exists()


ODD = [None, [], {}, "</script>", 10**30, -1, 1.5, True, [[1]], {"a": {"b": 1}}, "1e400", float("inf"), "\ud800"]
PLACES = {
    "collect": [("settings",), ("settings", "days_per_year"), ("metrics",), ("metrics", "windows", "value")],
    "analysis": [("settings",), ("settings", "label_span"), ("settings", "label_horizon"), ("metrics", "ic")],
    "backtest": [
        ("settings",),
        *(("settings", name) for name in ("topk", "n_drop", "account", "benchmark", "deal_price", "costs")),
        *(("settings", "costs", name) for name in ("open_cost", "min_cost", "trade_unit", "limit_threshold")),
        ("metrics", "annualized_return", "value"),
        ("left_out",),
        ("findings",),
    ],
}


def spoil(index, place, value):
    """Put `value` there, or take what is there out."""
    data = json.loads(index)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(("stage", "place"), [(stage, place) for stage, places in PLACES.items() for place in places])
def test_a_value_of_another_form_is_read_or_refused(whole_results, stage, place):
    index = whole_results / stage / "stage.json"
    before = index.read_text(encoding="utf-8")
    try:
        for value in (..., *ODD):
            index.write_text(spoil(before, place, value), encoding="utf-8")
            with suppress(CorruptFileError):
                summarise_results(whole_results, hint=HINT)
    finally:
        index.write_text(before, encoding="utf-8")
    summarise_results(whole_results, hint=HINT)


def test_the_report_of_such_a_stage_is_refused_too_and_the_former_one_stays(whole_results):
    index = whole_results / "collect" / "stage.json"
    before, page = index.read_text(encoding="utf-8"), (whole_results / "report.html").read_bytes()
    for value in (None, "</script>", ...):
        index.write_text(spoil(before, ("settings", "days_per_year"), value), encoding="utf-8")
        with pytest.raises(CorruptFileError, match="another form") as caught:
            write_report(whole_results, hint=HINT)
        assert caught.value.hint == "make them anew: rollwright collect p"
    index.write_text(before, encoding="utf-8")
    assert (whole_results / "report.html").read_bytes() == page
