"""``analyze``, ``backtest`` and ``report``: the same numbers for a campaign, its file of scores, and a recorded run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rollwright.analysis.metrics import metrics_from_json, show_metrics
from rollwright.analysis.stages.files import read_stage
from rollwright.app.runs import list_runs
from rollwright.cli.root import run
from rollwright.codecs.registry import codecs
from rollwright.config.settings import load_settings
from small_campaign import CAMPAIGN, roll_here

BACKTEST = "backtest: {topk: 3, n_drop: 1, account: 1e6, min_cost: 0}\n"
DATA = ("--data", "market", "--region", "us")
TRADE = ("--topk", "3", "--n-drop", "1", "--account", "1e6", "--min-cost", "0")


@pytest.fixture
def tested(rolled_project: Callable[[str], Path]) -> Path:
    """A project whose campaign `small` is finished, with a back-test; the working directory."""
    return rolled_project(CAMPAIGN + BACKTEST)


def answer(capsys: Any, *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    return said["data"] if code == 0 else said["errors"][0]


def numbers(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    (variant,) = data["variants"].values()
    return {key: variant["metrics"][key]["value"] for key in keys or variant["metrics"]}


SIGNAL = ("ic", "rank_ic", "icir", "ic_error")
ACCOUNT = ("annualized_return", "excess_return", "information_ratio", "max_drawdown", "turnover")


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_campaigns_stages_are_made_anew_with_the_same_bytes(tested, capsys):
    folder = tested / "results" / "small"
    before = files(folder)
    for name in ("analysis/ic.parquet", "backtest/trades.parquet"):
        (folder / name).write_bytes(b"damaged")
    assert answer(capsys, "report", "small", code=2)["type"] == "CorruptFileError"
    for verb in ("analyze", "backtest", "report"):
        data = answer(capsys, verb, "small")
        assert data["files"]["report"].endswith("results/small/report.html")
    after = files(folder)
    assert [name for name in {**before, **after} if before.get(name) != after.get(name)] == []
    assert answer(capsys, "report", str(folder))["name"] == "small"
    assert answer(capsys, "report", "small.yaml")["name"] == "small"
    assert answer(capsys, "report")["name"] == "small"


def test_scores_from_a_file_give_the_numbers_of_the_campaign_that_made_them(tested, capsys):
    summary = json.loads((tested / "results" / "small" / "summary.json").read_text())
    pred = codecs.for_kind("parquet").read(tested / "results" / "small" / "pred.parquet")
    pred.reset_index().to_csv(tested / "scores.csv", index=False)
    before = files(tested / "results")
    for file in ("results/small/pred.parquet", "scores.csv"):
        found = answer(capsys, "analyze", file, *DATA)
        assert numbers(found, *SIGNAL) == pytest.approx(numbers(summary, *SIGNAL), rel=1e-9)
        assert found["conventions"]["label_span"] == 2
        assert any("Alpha158's" in note for note in found["notes"])
        assert any("known after the close" in note for note in found["notes"])
        assert found["files"] == found["variants"]["main"]["files"] == {}
        traded = answer(capsys, "backtest", file, *DATA, *TRADE)
        assert numbers(traded, *ACCOUNT) == pytest.approx(numbers(summary, *ACCOUNT), rel=1e-12)
    assert files(tested / "results") == before


def test_scores_from_a_file_are_judged_by_columns_of_ones_own_and_over_other_horizons(tested, capsys):
    names = sorted(
        set(codecs.for_kind("parquet").read(tested / "results/small/pred.parquet").index.get_level_values(1))
    )
    rows = "".join(f"{name},{'ab'[place % 2]},{place}\n" for place, name in enumerate(names))
    (tested / "industries.csv").write_text("instrument,industry,size\n" + rows)
    words = ["--columns", "industries.csv", "--groups-by", "industry", "--neutralise", "industry, size"]
    answer(capsys, "analyze", "results/small/pred.parquet", *DATA, *words, "--horizons", "1,3", "--out", "by_industry")
    found = read_stage(tested / "by_industry", "analyze")
    assert {*found.tables["ic_by_group"].frame["group"]} == {"a", "b"}
    assert "neutralised" in found.tables
    assert {*found.tables["decay"].frame["horizon"]} == {1, 3}
    for wrong, what in (
        (["--groups-by", "industry"], "which is not given"),
        (["--horizons", "1,1"], "there twice"),
        (["--horizons", "x"], "horizons"),
        (["--columns", "industries.csv", "--groups-by", "sector"], "sector"),
    ):
        error = answer(capsys, "analyze", "results/small/pred.parquet", *DATA, *wrong, code=2)
        assert what in error["message"]
    missing = answer(capsys, "analyze", "results/small/pred.parquet", *DATA, "--columns", "nothing.csv", code=3)
    assert "no such file" in missing["message"]


def test_exchange_rules_are_an_option_of_a_back_test(tested, capsys):
    usual = answer(capsys, "backtest", "results/small/pred.parquet", *DATA, *TRADE)
    ruled = answer(capsys, "backtest", "results/small/pred.parquet", *DATA, *TRADE, "--rules", "cn")
    assert (usual["conventions"]["backtest"]["rules"], ruled["conventions"]["backtest"]["rules"]) == (None, "cn")
    assert numbers(usual, *ACCOUNT) != numbers(ruled, *ACCOUNT)
    error = answer(capsys, "backtest", "results/small/pred.parquet", *DATA, "--rules", "mars", code=2)
    assert error["message"].startswith("rules:")


def test_a_pickle_of_scores_is_refused_with_the_command_that_converts_it(tested, capsys):
    (tested / "pred.pkl").write_bytes(b"anything")
    error = answer(capsys, "analyze", "pred.pkl", *DATA, code=2)
    assert error["message"].endswith("is a pickle, and nothing is unpickled")
    assert error["hint"].endswith("rollwright import pickle pred.pkl")


def test_an_interrupted_judgement_speaks_of_no_campaign(tested, capsys, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("rollwright.app.judgement.judge", interrupt)
    assert run(["analyze", "results/small/pred.parquet"]) == 130
    said = capsys.readouterr().err
    assert "give the same command again" in said
    assert "resume" not in said


def test_nothing_but_the_folder_that_is_named_is_written(tested, capsys):
    before = files(tested)
    answer(capsys, "analyze", "results/small/pred.parquet", *DATA, "--out", "judged")
    answer(capsys, "backtest", "results/small/pred.parquet", *DATA, *TRADE, "--out", "judged")
    new = {name for name in files(tested) if name not in before and not name.startswith(".rollwright")}
    assert all(name.startswith("judged/") for name in new)
    assert {"judged/pred.parquet", "judged/label.parquet", "judged/about.json", "judged/summary.json"} <= new
    summary = json.loads((tested / "judged" / "summary.json").read_text())
    assert {*numbers(summary)} >= {*SIGNAL, *ACCOUNT}
    page = Path(answer(capsys, "report", "judged")["files"]["report"])
    once = page.read_bytes()
    page.unlink()
    answer(capsys, "report", "judged")
    assert page.read_bytes() == once


def test_terminal_json_summary_page_and_tables_show_the_same_numbers(tested, capsys):
    folder = tested / "judged"
    data = answer(capsys, "report", "results/small/pred.parquet", *DATA, *TRADE, "--out", str(folder))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["variants"]["main"]["metrics"] == data["variants"]["main"]["metrics"]
    stages = [read_stage(folder, stage) for stage in ("analyze", "backtest")]
    metrics = metrics_from_json(summary["variants"]["main"]["metrics"])
    assert tuple(one for stage in stages for one in stage.metrics) == metrics
    assert stages[0].tables["ic"].frame["ic"].mean() == numbers(summary, "ic")["ic"]
    assert stages[1].tables["account"].frame["turnover"].mean() == numbers(summary, "turnover")["turnover"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    for words in (["report"], ["analyze", *DATA], ["backtest", *DATA, *TRADE]):
        assert run([*words, str(folder)]) == 0
        said = capsys.readouterr().out
        assert said.startswith("health: ")
        assert str(folder / "report.html") in said
        for metric in show_metrics(metrics):
            assert metric.value in said
            assert metric.value in page


def test_predictions_that_changed_are_not_reported_and_the_command_that_helps_is_named(tested, capsys):
    folder = tested / "results" / "small"
    pred = codecs.for_kind("parquet").read(folder / "pred.parquet")
    codecs.for_kind("parquet").write(-pred, folder / "other.parquet")
    (folder / "other.parquet").replace(folder / "pred.parquet")
    before = (folder / "report.html").read_bytes()
    for verb in ("report", "analyze", "backtest"):
        error = answer(capsys, verb, "small", code=4)
        assert error["type"] == "StaleResultsError"
        assert "rollwright collect small" in error["hint"]
    assert (folder / "report.html").read_bytes() == before


def test_a_signals_folder_is_judged_anew_after_its_scores_changed(tested, capsys):
    answer(capsys, "analyze", "results/small/pred.parquet", *DATA, "--out", "judged")
    answer(capsys, "backtest", "results/small/pred.parquet", *DATA, *TRADE, "--out", "judged")
    folder = tested / "judged"
    pred = codecs.for_kind("parquet").read(folder / "pred.parquet")
    codecs.for_kind("parquet").write(-pred, folder / "pred.parquet")
    assert "rollwright analyze" in answer(capsys, "report", "judged", code=4)["hint"]
    found = answer(capsys, "analyze", "judged", *DATA)
    assert {*numbers(found)} & {*ACCOUNT} == set()  # the back-test was of other scores
    assert "backtest" not in found["variants"]["main"]["files"]
    answer(capsys, "report", "judged")


def test_a_recorded_run_is_judged_and_has_the_metrics_afterwards(tested, capsys):
    (one, *_) = [found for found in list_runs(load_settings(start=tested)) if found.window.startswith("2020-05")]
    found = answer(capsys, "analyze", one.recorder.id[:12])
    (again,) = [each for each in list_runs(load_settings(start=tested)) if each.recorder.id == one.recorder.id]
    metrics = again.recorder.list_metrics()
    shown = numbers(found)
    assert metrics["IC"] == pytest.approx(shown["ic"])
    assert metrics["ic_days"] == shown["ic_days"]
    assert found["conventions"]["label_horizon"] == 1
    traded = answer(capsys, "backtest", one.window, *TRADE)
    (again,) = [each for each in list_runs(load_settings(start=tested)) if each.recorder.id == one.recorder.id]
    assert again.recorder.list_metrics()["turnover"] == pytest.approx(numbers(traded)["turnover"])


def test_other_terms_leave_a_campaigns_own_results_as_they_are(tested, capsys):
    before = files(tested / "results")
    found = answer(capsys, "backtest", "small", "--topk", "2", "--n-drop", "1")
    assert found["conventions"]["backtest"]["topk"] == 2
    assert found["files"] == {}
    five = answer(capsys, "analyze", "small", "--label", "Ref($close, -6)/Ref($close, -1) - 1")
    assert five["conventions"]["label_horizon"] == 5
    assert files(tested / "results") == before


def test_the_rules_of_the_strategy_may_be_typed(tested, capsys):
    usual = answer(capsys, "backtest", "small", *TRADE)
    held = answer(capsys, "backtest", "small", *TRADE, "--hold-thresh", "5")
    assert held["conventions"]["backtest"]["hold_thresh"] == 5
    assert numbers(held)["turnover"] < numbers(usual)["turnover"]
    rules = ("--risk-degree", "0.5", "--only-tradable", "--trade-at-limits")
    terms = answer(capsys, "backtest", "small", *TRADE, *rules)["conventions"]["backtest"]
    assert (terms["risk_degree"], terms["only_tradable"], terms["forbid_all_trade_at_limit"]) == (0.5, True, False)


def test_labels_may_come_from_a_file(tested, capsys):
    label = codecs.for_kind("parquet").read(tested / "results" / "small" / "label.parquet")
    label.dropna().reset_index().to_csv("mine.csv", index=False)
    terms = ("--label", "mine.csv", "--label-span", "2", "--label-horizon", "1", "--groups", "4")
    found = answer(capsys, "analyze", "results/small/pred.parquet", *DATA, *terms, "--out", "judged")
    summary = json.loads((tested / "results" / "small" / "summary.json").read_text())
    assert numbers(found, *SIGNAL) == pytest.approx(numbers(summary, *SIGNAL), rel=1e-6)
    assert read_stage(tested / "judged", "analyze").tables["groups"].frame.shape[1] == 4


def test_members_are_judged_by_their_names(fresh, capsys):
    (fresh / "small.yaml").write_text(f"{CAMPAIGN}{BACKTEST}vary: {{model.kwargs.alpha: [0.1, 50.0]}}\n")
    roll_here(fresh / "small.yaml")
    folder = fresh / "results" / "small"
    before = files(folder)
    assert len(answer(capsys, "analyze", "small")["variants"]) == 3
    answer(capsys, "report", "small")
    assert files(folder) == before
    one = answer(capsys, "analyze", "small", "--member", "alpha=50.0")
    summary = json.loads((folder / "summary.json").read_text())
    assert numbers(one, "ic")["ic"] == summary["variants"]["alpha=50.0"]["metrics"]["ic"]["value"]
    assert answer(capsys, "analyze", "small", "--member", "alpha=5.0", code=2)["hint"] == "did you mean `alpha=50.0`?"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["analyze", "nothing.csv", *DATA], "no such file of scores"),
        (["analyze", "smal"], "names no campaign and no run"),
        (["analyze", "scores.csv"], "data.provider_uri"),
        (["analyze", "scores.csv", "--data", "nowhere"], "nowhere"),
        (["analyze", "scores.csv", *DATA, "--label", "Ref($close,"], "Ref"),
        (["backtest", "scores.csv", *DATA, "--topk", "2", "--n-drop", "5"], "n_drop"),
        (["backtest", "scores.csv", *DATA, "--mode", "loose"], "mode"),
        (["backtest", "scores.csv", *DATA, "--deal-price", "middle"], "middle"),
        (["backtest", "scores.csv", *DATA, "--benchmark", "SH1"], "SH1"),
        (["backtest", "strange.csv", *DATA], "not in the market data"),
        (["analyze", "scores.csv", *DATA, "--out", "market"], "holds something"),
        (["analyze", "scores.csv", *DATA, "--out", "results/small"], "holds the results of `small`"),
        (["analyze", "scores.csv", *DATA, "--region", "mars"], "mars"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(tested, capsys, arguments, told):
    pred = codecs.for_kind("parquet").read(tested / "results" / "small" / "pred.parquet").reset_index()
    pred.to_csv("scores.csv", index=False)
    pred.replace({"instrument": {"SH600003": "SZ000001"}}).to_csv("strange.csv", index=False)
    before = files(tested)
    error = answer(
        capsys, *arguments, code=3 if told in ("no such file of scores", "nowhere", "data.provider_uri") else 2
    )
    assert told in error["message"] + str(error["hint"])
    assert {name for name in files(tested) if not name.startswith(".rollwright")} == {
        name for name in before if not name.startswith(".rollwright")
    }


def test_a_campaign_without_a_back_test_has_none_to_make_anew(rolled, capsys):
    assert "add a section `backtest`" in answer(capsys, "backtest", "small", code=2)["hint"]
    assert numbers(answer(capsys, "analyze", "small"), "ic")


def test_results_of_before_there_were_stages_are_collected_first(rolled, capsys):
    (rolled / "results" / "small" / "about.json").unlink()
    for verb in ("report", "analyze"):
        assert "rollwright collect small" in answer(capsys, verb, "small", code=3)["hint"]


def test_tables_are_plain_parquet_files_that_pandas_reads(tested):
    frame = pd.read_parquet(tested / "results" / "small" / "backtest" / "account.parquet")
    assert {"datetime", "account", "return", "bench"} <= {*frame.columns, *frame.index.names}
