"""A newcomer's first hour: every step of the README, in order, in a fresh folder, as it stands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.tracking.r import R

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(sh|yaml)\n([\s\S]*?)^```$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
NOT_HERE = ("make", "pip")
"""What installs; the tests run in what it makes."""


@pytest.mark.slow
def test_every_step_runs_as_it_stands_and_ends_with_0(shell, tmp_path, monkeypatch):
    steps = 0
    for kind, body in BLOCKS:
        if kind == "yaml":
            (tmp_path / "campaign.yaml").write_text(body)
            continue
        for line in body.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            if program in NOT_HERE:
                continue
            assert program == "rollwright"
            done = shell.run(*arguments, cwd=tmp_path)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            steps += 1
    assert steps >= 8

    made = tmp_path / "results" / "campaign"
    assert {"pred.parquet", "label.parquet", "summary.json", "report.html"} <= {path.name for path in made.iterdir()}
    assert not list(made.parent.glob("campaign~*"))  # the same command again is the same campaign
    windows = json.loads((made / "summary.json").read_text())["variants"]["main"]["windows"]

    monkeypatch.chdir(tmp_path)
    recorders = list(R.list_recorders(experiment_name="campaign").values())
    assert len(recorders) == windows
    assert [recorder.window for recorder in recorders] == sorted(recorder.window for recorder in recorders)
    for recorder in recorders:
        assert recorder.name == f"campaign {recorder.window}"
        assert {"IC", "ICIR", "Rank IC", "Rank ICIR"} <= recorder.list_metrics().keys()


@pytest.mark.slow
def test_another_hyper_parameter_keeps_the_former_results_beside(shell, tmp_path):
    """Shorter than the README's campaign: one window on few stocks."""
    (campaign,) = (body for kind, body in BLOCKS if kind == "yaml")
    file = tmp_path / "campaign.yaml"
    file.write_text(campaign)
    made = shell.run("data", "demo", "--out", "data/us", "--instruments", "60", "--sessions", "700", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    few = [
        "task.dataset.kwargs.segments.train=[2015-06-01, 2016-05-31]",
        "task.dataset.kwargs.segments.valid=[2016-06-01, 2016-11-30]",
        "task.dataset.kwargs.segments.test=[2016-12-01, 2017-06-30]",
        "task.dataset.kwargs.handler.kwargs.end_time=2017-08-31",
        "backtest.topk=10",
        "rolling.step=200",
        "task.model.kwargs.num_boost_round=5",
    ]
    results = tmp_path / "results"

    def roll(*more: str) -> None:
        done = roll_campaign(open_campaign(file, overrides=[*few, *more], project=tmp_path), jobs=1)
        assert done is not None

    roll()
    first = (results / "campaign" / "pred.parquet").read_bytes()
    roll()
    assert [path.name for path in results.iterdir()] == ["campaign"]
    roll("report.title=Another title")
    assert [path.name for path in results.iterdir()] == ["campaign"]
    roll("task.model.kwargs.num_leaves=4")
    assert sorted(path.name for path in results.iterdir()) == ["campaign", "campaign~1"]
    assert (results / "campaign~1" / "pred.parquet").read_bytes() == first
    assert (results / "campaign" / "pred.parquet").read_bytes() != first
