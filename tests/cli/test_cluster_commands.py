"""``rollwright cluster``: a pool that is followed, what is printed for KEDA, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from rollwright.app.campaign import _make_record  # what starting a campaign writes down
from rollwright.app.open_campaign import open_campaign  # what starting a campaign writes down
from rollwright.cli.root import run

SERVERS = '[pool]\nurl = "postgresql://user:hunter2@db/tasks"\n[tracking]\nuri = "http://tracking"\n'
CLUSTER = '[cluster]\nimage = "registry/rollwright:1"\nsecret = "rollwright"\n'


@pytest.fixture
def started(fresh: Path) -> Path:
    """A project in which `small` was started and has no window left; the working directory."""
    campaign = open_campaign(fresh / "small.yaml", project=fresh)
    campaign.record.parent.mkdir(parents=True, exist_ok=True)
    campaign.record.write_text(_make_record(campaign).text)
    return fresh


def test_a_pool_without_work_needs_no_worker(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cluster", "up", "small", "--elastic", "--max", "2", "--on", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"wanted": 0, "there": 0, "started": 0, "ended": 0}
    assert run(["cluster", "up", "small", "--elastic", "--max", "2", "--once", "--every", "90s", "--on", "local"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out


def test_what_keda_needs_is_printed_without_a_secret(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (started / "rollwright.toml").write_text(SERVERS + CLUSTER)
    words = ["cluster", "up", "small", "--elastic", "--min", "1", "--max", "9", "--on", "kubernetes", "--print"]
    assert run(words) == 0
    text = capsys.readouterr().out
    kinds = {one["kind"]: one for one in YAML(typ="safe", pure=True).load_all(text)}
    assert {*kinds} == {"TriggerAuthentication", "ScaledJob"}
    assert kinds["ScaledJob"]["spec"]["maxReplicaCount"] == 9
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--elastic"], "--elastic needs --max"),
        (["--once"], "are for --elastic"),
        (["--max", "3"], "are for --elastic"),
        (["--elastic", "--min", "3", "--max", "2"], "is no range"),
        (["--elastic", "--max", "2", "--on", "local", "--print"], "nothing is printed by which local would scale"),
        (["--on", "kubernetes", "--print"], "which image the workers run in"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    started: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run(["cluster", "up", "small", *words]) == 2
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert said in told
