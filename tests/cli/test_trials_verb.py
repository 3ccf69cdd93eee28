"""``rollwright trials``: what it lists, and what it finds."""

from __future__ import annotations

import json

import pytest

from made_trials import SteppingClock, make_trial
from rollwright.cli.root import run
from rollwright.trials.registry import TrialRegistry


@pytest.fixture
def registry(tmp_path, monkeypatch):
    (tmp_path / ".rollwright").mkdir()
    monkeypatch.chdir(tmp_path)
    made = TrialRegistry(tmp_path / ".rollwright", clock=SteppingClock())
    made.register([make_trial(1), make_trial(2, name="\x1b[31mred", holdout=True), make_trial(3, synthetic=True)])
    return made


def damage(registry):
    (chain,) = registry.folder.glob("*.chain")
    chain.write_bytes(chain.read_bytes().replace(b'"topk":5', b'"topk":6', 1))
    return chain.name


def test_trials_are_listed_by_data_set(registry, capsys):
    registry.register([make_trial(1, count=61)])
    assert run(["trials", "list"]) == 0
    out = capsys.readouterr().out
    assert "data set market: 2 distinct trials of 3 registered" in out
    assert "made-up data market: 1 distinct trials of 1 registered" in out
    assert "trial 1" in out
    assert "topk 5" in out
    assert "ratio of a day, not of a year" in " ".join(out.split())
    assert "(holdout)" in out
    assert "\x1b" not in out


def test_a_project_without_trials_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["trials", "list"]) == 0
    assert "no trials are registered" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.chain"))


def test_the_list_is_one_json_value(registry, capsys):
    assert run(["trials", "list", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["sound"], data["lost"], data["torn"]) == (True, 0, 0)
    assert [part["trials"] for part in data["data_sets"]] == [2, 1]
    assert data["data_sets"][0]["distinct"][0]["sessions"] == 60
    assert registry.folder.name in data["folder"]


def test_a_sound_registry_passes(registry, capsys):
    assert run(["trials", "verify"]) == 0
    assert f"sound: 4 records in {registry.folder}" in capsys.readouterr().out


def test_a_damaged_registry_fails_and_names_the_line(registry, capsys):
    name = damage(registry)
    assert run(["trials", "verify"]) == 4
    captured = capsys.readouterr()
    assert f"damaged: {name}, line 2: the record was changed" in captured.err.replace("\n", "")
    assert "1 records are lost" in captured.err
    assert run(["trials", "verify", "--json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["data"]["damage"][0]["line"] == 2
    assert run(["trials", "list"]) == 0
    assert "each counts as a trial" in capsys.readouterr().out
