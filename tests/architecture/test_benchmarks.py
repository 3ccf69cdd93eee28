"""Every benchmark of `make bench` gives a verdict: a missed target ends it with 1."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py") if "finish(" in path.read_text()} - {"report"})


@pytest.fixture
def record(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")  # which the script sets by itself
    before = set(sys.modules)
    yield importlib.import_module("record")
    for name in set(sys.modules) - before:
        if name in ("record", "machine", "report"):
            del sys.modules[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_ends_with_what_its_main_returns(name):
    text = (ROOT / "benchmarks" / f"{name}.py").read_text()
    assert re.search(r"^    (sys\.exit|raise SystemExit)\(main\(\)\)$", text, re.M)


@pytest.mark.parametrize(("figures", "code"), [((0.5, 0.6), 0), ((0.5, 0.7), 1), ((0.7, 0.5), 1)])
def test_a_missed_target_of_recording_ends_it_with_1(record, tmp_path, monkeypatch, capsys, figures, code):
    rows = [record.compare(str(number), [figure], [1.0], 0.67, "a peer") for number, figure in enumerate(figures)]
    monkeypatch.setattr(record, "record_runs", lambda folder, repeats: rows)
    assert record.main(["--json", str(tmp_path / "out.json")]) == code
    assert ("MISSED" in capsys.readouterr().out) == bool(code)
    assert [row["reached"] for row in json.loads((tmp_path / "out.json").read_text())["rows"]] == [
        figure <= 0.67 for figure in figures
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.name)
def test_every_result_has_the_one_form(path):
    result = json.loads(path.read_text())
    assert [*result] == ["script", "taken", "machine", "load", "repeats", "rows", "figures"]
    assert path.stem.partition("-")[0] == result["script"]
    assert (ROOT / "benchmarks" / f"{result['script']}.py").is_file()
    names = [(row["case"], row["work"]) for row in result["rows"]]
    assert len(names) == len({*names})
    for row in result["rows"]:
        kept = row["figure"] >= row["target"] if row["at_least"] else row["figure"] <= row["target"]
        assert kept == row["reached"], row["work"]
        assert {"unit", "against"} <= {*row}
        assert row.get("low", row["figure"]) <= row["figure"] <= row.get("high", row["figure"])


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("guard")
    for name in ("guard", "report", "machine"):
        sys.modules.pop(name, None)


def test_the_guard_runs_every_script_that_gives_a_verdict_and_names_the_peer_to_those_that_take_one(guard):
    assert sorted(guard.NAMES) == NAMES
    for name in NAMES:
        text = (ROOT / "benchmarks" / f"{name}.py").read_text()
        assert '"--json"' in text
        assert ('"--peer-python"' in text) == (name in guard.WITH_PEER), name


def row(figure, *, at_least, unit="x"):
    return {"case": "S", "work": "w", "figure": figure, "unit": unit, "at_least": at_least}


@pytest.mark.parametrize(
    ("old", "new", "at_least", "unit", "worse"),
    [
        (12, 10, True, "x", 0),
        (12, 8, True, "x", 1),
        (12, 20, True, "x", 0),
        (0.5, 0.6, False, "", 0),
        (0.5, 0.7, False, "", 1),
        (4, 9, False, " s", 0),  # seconds belong to a machine
    ],
)
def test_a_ratio_that_is_worse_by_more_than_a_share_is_found(guard, capsys, old, new, at_least, unit, worse):
    before, now = ({"rows": [row(figure, at_least=at_least, unit=unit)]} for figure in (old, new))
    assert guard.compare(guard.ratios(before), now, 0.25) == worse
    assert ("WORSE" in capsys.readouterr().out) == bool(worse)
    assert guard.compare({}, now, 0.25) == 0  # what is new has nothing to be compared with
