"""A workflow in Qlib's own words, run from the command line: only the data's path, the market and the dates change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollwright.campaign.config_file import read_config
from rollwright.cli.root import run
from rollwright.market.demo import make_demo_market

EXAMPLE = Path(__file__).parents[2] / "examples" / "qlib_workflow.yaml"
HERE = (
    "market=all",
    "data_handler_config.start_time=2015-01-05",
    "data_handler_config.end_time=2016-09-30",
    "data_handler_config.fit_start_time=2015-03-02",
    "data_handler_config.fit_end_time=2015-12-31",
    "task.dataset.kwargs.segments.train=[2015-03-02, 2015-12-31]",
    "task.dataset.kwargs.segments.valid=[2016-01-04, 2016-03-31]",
    "task.dataset.kwargs.segments.test=[2016-04-01, 2016-09-30]",
    "port_analysis_config.backtest.start_time=2016-04-01",
    "port_analysis_config.backtest.end_time=2016-09-30",
)


@pytest.fixture
def market(tmp_path):
    make_demo_market(tmp_path / "market", instruments=30, sessions=480, seed=3)
    return tmp_path / "market"


def test_the_example_is_valid_as_it_stands():
    config, document = read_config(EXAMPLE, environ={}, trusted=())
    assert config.task.dataset.kwargs["handler"]["kwargs"]["instruments"] == "csi300"
    assert document.list_anchored() == {"market", "benchmark", "data_handler_config", "port_analysis_config"}


def test_a_workflow_of_qlib_runs_unchanged_but_for_path_market_and_dates(market, capsys, monkeypatch, caplog):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")  # a database takes its time to be made
    text = EXAMPLE.read_text()
    words = [f"qlib_init.provider_uri={market}", *HERE, "benchmark=null", "task.model.kwargs.num_boost_round=20"]
    assert run(["run", str(EXAMPLE), *words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    metrics = answer["data"]["metrics"]
    assert {"IC", "ICIR", "Rank IC", "Rank ICIR"} <= set(metrics)
    assert metrics["IC"] > 0  # the market has a planted signal
    assert metrics["1day.excess_return_without_cost.mean"] > metrics["1day.excess_return_with_cost.mean"]
    assert metrics["1day.ffr"] > 0.9
    health = {finding["kind"]: finding for finding in answer["data"]["health"]}
    assert health["synthetic_market"]["severity"] == "note"
    assert EXAMPLE.read_text() == text
    assert "`valid` ends 2016-03-29 instead of 2016-03-31: the labels of its last 2 sessions" in caplog.text


def test_a_child_of_the_workflow_changes_the_market_everywhere():
    child = Path("mine.yaml")
    child.write_text(
        f"BASE_CONFIG_PATH: {EXAMPLE}\n"
        "qlib_init: {provider_uri: '{{ MARKET_DATA }}', region: us}\n"
        "market: top50\n"
        "data_handler_config: {fit_start_time: __DROP__, fit_end_time: __DROP__}\n"
        "port_analysis_config: __DROP__\n"
        "task:\n"
        "  model: {kwargs: {learning_rate: 0.2}}\n"
        "  record: [{class: SignalRecord, module_path: qlib.workflow.record_temp}]\n"
    )
    config, document = read_config(child, environ={"MARKET_DATA": "data/us"}, trusted=())
    handler = config.task.dataset.kwargs["handler"]["kwargs"]
    assert handler["instruments"] == "top50"
    assert set(handler) == {"start_time", "end_time", "instruments"}
    assert config.qlib_init == {"provider_uri": "data/us", "region": "us"}
    assert config.task.model.kwargs["learning_rate"] == 0.2
    assert config.task.model.kwargs["num_leaves"] == 63
    assert "port_analysis_config" not in document.data


def test_a_benchmark_that_the_market_lacks_is_told_before_anything_is_fitted(market, capsys, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    fitted = []
    monkeypatch.setattr("rollwright.models.lightgbm.LGBModel.fit", lambda *_, **__: fitted.append(1))
    words = [f"qlib_init.provider_uri={market}", *HERE]
    assert run(["run", str(EXAMPLE), *words]) != 0
    said = capsys.readouterr().err
    assert "there is no instrument `SH000300` to be the back-test's benchmark" in said
    assert "benchmark=None compares with nothing" in said
    assert not fitted


def test_an_executor_that_is_not_simulated_is_refused_before_anything_runs(capsys):
    assert run(["run", str(EXAMPLE), "port_analysis_config.executor={class: NestedExecutor}"]) == 2
    assert "the executor `NestedExecutor` is not simulated" in capsys.readouterr().err
    assert not list(Path.cwd().iterdir())
