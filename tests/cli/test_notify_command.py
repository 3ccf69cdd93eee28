"""`rollwright online notify`: tells what is to be told, lists it, sends a trial."""

from __future__ import annotations

import json
import sys

import pytest

from rollwright.cli.root import run
from served_ledgers import begin, make_served, served_day


@pytest.fixture
def project(fresh):
    make_served(fresh / "small.yaml", [begin("lgb", "linear"), *served_day("2024-01-02")])
    return fresh


def name_targets(project, *commands):
    rows = "".join(f"    - {{command: {json.dumps([sys.executable, '-c', code])}}}\n" for code in commands)
    file = project / "small.yaml"
    file.write_text(file.read_text() + f"\nonline:\n  notify:\n{rows}")


KEEP = "import sys; open('told', 'a').write(sys.stdin.read() + '\\n')"
FAIL = "import sys; sys.exit('no')"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("rollwright.app.online.notify._WAITS", ())


def test_what_is_pending_is_listed_told_and_then_no_more(project, capsys):
    name_targets(project, KEEP)
    assert run(["online", "notify", "--pending"]) == 0
    assert "session 2024-01-02 is published" in capsys.readouterr().out
    assert not (project / "told").exists()
    assert run(["online", "notify"]) == 0
    assert "was told" in capsys.readouterr().out
    assert json.loads((project / "told").read_text())["event"] == "published"
    assert run(["online", "notify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == {"delivered": [], "undelivered": []}
    assert run(["online", "notify", "--pending"]) == 0
    assert "everybody was told everything" in capsys.readouterr().out


def test_who_cannot_be_told_is_named_and_ends_it_with_1(project, capsys):
    name_targets(project, FAIL, KEEP)
    assert run(["online", "notify", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert [one["waiting"] for one in found["data"]["undelivered"]] == [1]
    assert len(found["data"]["delivered"]) == 1
    assert run(["online", "notify"]) == 1
    assert "ended with 1: no; still to be told: 1 notification" in " ".join(capsys.readouterr().err.split())


def test_a_trial_tells_who_takes_it(project, capsys):
    name_targets(project, FAIL, KEEP)
    assert run(["online", "notify", "--test"]) == 1
    said = capsys.readouterr()
    assert "took the trial" in said.out
    assert "ended with 1" in said.err
    assert json.loads((project / "told").read_text())["event"] == "test"


def test_where_nobody_is_named_that_is_told(project, capsys):
    assert run(["online", "notify"]) == 0
    assert "nobody is to be told" in capsys.readouterr().out
    assert run(["online", "notify", "--test", "--pending"]) == 2
