"""The runs of a model as windows of a campaign, and how a run is judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from compared_models import MODELS, WORKFLOW
from rollwright.app.open_campaign import open_campaign
from rollwright.campaign.config import CampaignConfig
from rollwright.compare.evaluation import RunKey
from rollwright.compare.judge import RunJudge
from rollwright.compare.outcome import RunOutcome
from rollwright.compare.plan import describe_label, plan_runs
from rollwright.config.context import using
from rollwright.errors import CompareError
from rollwright.market.current import current_market
from small_campaign import make_project

PORTFOLIO = """
  - class: PortAnaRecord
    module_path: rollwright.analysis.records
    kwargs:
      config:
        strategy:
          class: TopkDropoutStrategy
          module_path: qlib.contrib.strategy
          kwargs: {signal: <PRED>, topk: 2, n_drop: 1}
        backtest: {account: 1000000, benchmark: null}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("planned") / "p").parent


@pytest.fixture
def read(project: Path) -> Iterator[object]:
    """Return a function that reads a workflow's text; its market is the current one from then on."""
    contexts = []

    def read_text(text: str) -> CampaignConfig:
        (project / "w.yaml").write_text(text)
        opened = open_campaign(project / "w.yaml", project=project)
        contexts.append(using(opened.context))
        contexts[-1].__enter__()
        return opened.config

    yield read_text
    for context in reversed(contexts):
        context.__exit__(None, None, None)


def plan(config: CampaignConfig, *seeds: int):
    return plan_runs(config, name="pool", dataset="D", seeds=seeds, calendar=current_market().calendar())


def test_each_seed_is_a_member_with_a_window_or_a_walk(read) -> None:
    made = plan(read(MODELS["trees"][0]), 1, 2)
    assert [str(window.key) for window in made.windows] == ["D/1/2020-05-29..2020-10-05", "D/2/2020-05-29..2020-10-05"]
    definitions = [window.spec.definition for window in made.windows]
    assert [one["seed"] for one in definitions] == [1, 2]
    assert "seed" not in definitions[0]["model"]["kwargs"]
    assert len({window.spec.fingerprint for window in made.windows}) == 2
    walk = plan(read(MODELS["walk"][0]), 3)
    assert [window.key.variant for window in walk.windows] == ["D/3"] * 4
    assert walk.name == "pool"


def test_a_task_without_records_gets_those_of_a_campaign(read) -> None:
    text = WORKFLOW.replace("  record: {class: SignalRecord, module_path: rollwright.analysis.records}\n", "")
    (window,) = plan(read(text), 1).windows
    assert [record["class"] for record in window.spec.definition["record"]] == ["SignalRecord", "SigAnaRecord"]


def test_what_cannot_be_compared_is_refused(read) -> None:
    with pytest.raises(CompareError, match="has a section `vary`"):
        plan(read(MODELS["walk"][0] + "vary: {model.kwargs.alpha: [0.1, 0.2]}\n"), 1)
    with pytest.raises(CompareError, match="make no signal"):
        plan(read(WORKFLOW.replace("SignalRecord", "SigAnaRecord")), 1)
    with pytest.raises(CompareError, match="no segment `test`"):
        plan(read(WORKFLOW.replace('        test: ["2020-05-29", "2020-10-05"]\n', "")), 1)


def test_labels_that_differ_are_described_differently(read) -> None:
    usual = plan(read(WORKFLOW), 1).members[0]
    assert describe_label(usual) == "the return over 1 session, which reads 2 sessions ahead"
    other = plan(read(WORKFLOW.replace("Ref($close, -2)/Ref($close, -1) - 1", "Ref($open, -2)/Ref($open, -1) - 1")), 1)
    assert describe_label(other.members[0]).endswith(": Ref($open, -2)/Ref($open, -1) - 1")


def make_frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    days = pd.bdate_range("2020-05-29", "2020-09-30")
    names = [f"SH60000{number}" for number in range(8)]
    index = pd.MultiIndex.from_product([days, names], names=["datetime", "instrument"])
    generator = np.random.default_rng(5)
    label = pd.DataFrame({"LABEL0": generator.normal(size=len(index))}, index=index)
    return pd.DataFrame({"score": label["LABEL0"] + generator.normal(size=len(index))}), label


def judge(config: CampaignConfig):
    outcome = RunOutcome(key=RunKey("m", "D", 1), status="done", label="l", label_span=2, universe="all")
    pred, label = make_frames()
    made = RunJudge(config=config, source=current_market(), region="us")
    return made.judge(outcome, pred, label, digest="0" * 64)


def test_a_run_is_judged_by_the_back_test_of_its_file(read) -> None:
    config = read(WORKFLOW)
    found = judge(config)
    assert found.metrics["ic"] == pytest.approx(found.ic.mean())
    assert found.metrics["information_ratio"] == pytest.approx(
        found.excess.mean() / found.excess.std() * np.sqrt(found.terms.periods)
    )
    assert found.metrics["max_drawdown"] <= 0
    assert (found.terms.benchmark, found.terms.universe, found.terms.label_span) == ("mean", "all", 2)
    wider = judge(read(WORKFLOW.replace("topk: 3", "topk: 5")))
    assert wider.excess.tolist() != found.excess.tolist()
    assert wider.ic.tolist() == found.ic.tolist()


def test_without_a_back_test_a_run_is_traded_as_its_portfolio_record_does(read) -> None:
    text = WORKFLOW.replace("backtest: {topk: 3, n_drop: 1}\n", "").replace(
        "  record: {class: SignalRecord, module_path: rollwright.analysis.records}\n",
        "  record:\n  - {class: SignalRecord, module_path: rollwright.analysis.records}" + PORTFOLIO,
    )
    found = judge(read(text))
    assert found.terms.benchmark == "none"
    assert judge(read(text + "backtest: {topk: 3, n_drop: 1}\n")).returns.tolist() != found.returns.tolist()


def test_without_either_the_defaults_of_the_section_hold(read) -> None:
    config = read(WORKFLOW.replace("backtest: {topk: 3, n_drop: 1}\n", ""))
    explicit = read(WORKFLOW.replace("backtest: {topk: 3, n_drop: 1}\n", "backtest: {topk: 50, n_drop: 5}\n"))
    assert judge(config).returns.tolist() == judge(explicit).returns.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"status": "waiting"},
        {"key": ["m", "D"]},
        {"label_span": 0},
        {"cost": {"seconds": float("nan"), "cpu_seconds": 0, "peak_bytes": 0}},
        {"cost": {"seconds": -1, "cpu_seconds": 0, "peak_bytes": 0}},
    ],
)
def test_an_outcome_that_is_none_is_refused(change: dict[str, object]) -> None:
    whole = RunOutcome(key=RunKey("m", "D", 1), status="done", label="l", universe="all")
    assert RunOutcome.from_json(whole.to_json()) == whole
    assert replace(whole, label_span=2) != whole
    with pytest.raises((ValueError, TypeError, KeyError)):
        RunOutcome.from_json({**whole.to_json(), **change})
