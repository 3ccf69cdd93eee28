"""A finished comparison given again: its evaluations as they are while all is as it was, and judged anew otherwise."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compared_models import add_model, make_comparison_project, run_here
from rollwright.app.compare.run import ComparisonResult
from rollwright.campaign.standing import WindowRef
from rollwright.compare.standing import ComparisonStanding, PoolStanding, read_comparison_standing


class Told(list[str]):
    """What `run_comparison` told, by its name."""

    def __call__(self, what: str, _model: str, value: Any) -> None:
        self.append(str(value["kind"]) if what == "message" else what)


def give_again(models: Path, /, **options: Any) -> tuple[bool, ComparisonResult]:
    """Return whether it was found as it is, and the result."""
    told = Told()
    result = run_here(models, times=2, on_progress=told, **options)
    trained = "planned" in told or "environment" in told
    assert trained != ({*told} <= {"changed", "runs", "evaluated"})
    return not trained, result


def facts(result: ComparisonResult) -> list[Any]:
    return [(one.key, one.status, one.digest, one.cost, dict(one.metrics), one.terms) for one in result.evaluations]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = make_comparison_project(tmp_path / "p", "ridge")
    add_model(folder, "ols")
    return folder


def rows(models: Path, statement: str) -> None:
    with sqlite3.connect(models.parent / ".rollwright" / "pool.db") as connection:
        connection.execute(statement)
    connection.close()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def newest(models: Path, pattern: str) -> Path:
    return sorted(models.parent.glob(pattern))[0]


def change_market(models: Path) -> None:
    path = newest(models, "market/instruments/*.txt")
    os.utime(path, ns=(1, 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a workflow": lambda models: (models / "ols" / "workflow.yaml").write_text(
        (models / "ols" / "workflow.yaml").read_text().replace("topk: 3", "topk: 2")
    ),
    "requirements": lambda models: (models / "ols" / "requirements.txt").write_text("numpy>=1\n"),
    "the market": change_market,
    "a prediction": lambda models: flip(newest(models, "results/compare-models/runs/ols/*/seed-1/pred.parquet")),
    "a stored evaluation": lambda models: flip(newest(models, "results/compare-models/evaluations/*.parquet")),
    "a lock": lambda models: flip_text(newest(models, "results/compare-models/locks/ols.txt")),
    "an artifact": lambda models: flip(newest(models, ".rollwright/artifacts/**/pred.parquet")),
    "a task": lambda models: rows(models, "UPDATE task SET status = 'failed' WHERE id = (SELECT min(id) FROM task)"),
    "the note": lambda models: newest(models, ".rollwright/comparisons/models/standing.json").write_text("{}"),
}


IN_SHORT = ("a workflow", "the market", "a stored evaluation", "a task")


def flip_text(path: Path) -> None:
    path.write_text(path.read_text() + "# changed\n")


def test_it_is_found_as_it_is(models: Path) -> None:
    was_found, first = give_again(models)
    assert not was_found
    was_found, second = give_again(models)
    assert was_found
    assert facts(second) == facts(first)
    assert second.basis is not None
    assert first.basis is not None
    assert second.basis.to_json() == first.basis.to_json()
    assert second.environments == first.environments
    assert second.exit_code == 0


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[] if what in IN_SHORT else [pytest.mark.slow]) for what in CHANGES]
)
def test_whatever_differs_is_judged_anew(models: Path, what: str) -> None:
    _, first = give_again(models)
    CHANGES[what](models)
    was_found, second = give_again(models)
    assert not was_found
    if what not in ("a workflow", "requirements", "an artifact"):
        assert facts(second) == facts(first) or what == "a task"  # a task trained again takes another time
    assert second.exit_code == 0
    assert give_again(models)[0], "and the new ones stand"


def test_other_options_are_another_comparison(models: Path) -> None:
    give_again(models)
    assert not give_again(models, overrides=["backtest.topk=2"])[0]
    assert not give_again(models)[0]  # the last one's results lie there


def test_limits_are_no_premise(models: Path) -> None:
    give_again(models)
    assert give_again(models, timeout=600.0, jobs=2)[0]


def test_failed_runs_leave_no_note(models: Path) -> None:
    add_model(models, "refused")
    assert not give_again(models)[0]
    assert not (models.parent / ".rollwright" / "comparisons" / "models" / "standing.json").exists()
    assert not give_again(models)[0]


def test_a_file_of_ones_own_counts(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "writes")
    give_again(models)
    assert give_again(models)[0]
    own = models / "writes" / "own.py"
    own.write_text(own.read_text() + "# changed\n")
    assert not give_again(models)[0]


def test_a_note_of_another_form_is_none(tmp_path: Path) -> None:
    path, digest = tmp_path / "standing.json", "0" * 64
    pool = PoolStanding(
        model="m", dataset="d", pool="p", code={"own.py": digest}, windows=(WindowRef("1", "2", "a"),), held=digest
    )
    note = ComparisonStanding(request=digest, results=digest, pools=(pool,))
    note.write(path)
    assert read_comparison_standing(path) == note
    whole = json.loads(path.read_text())
    for broken in (
        [],
        {"format": 99},
        {**whole, "pools": 3},
        {**whole, "more": 1},
        {**whole, "request": "x"},
        {**whole, "pools": [{**whole["pools"][0], "windows": [["1", "2"]]}]},
        {**whole, "pools": [{**whole["pools"][0], "code": []}]},
    ):
        path.write_text(json.dumps(broken))
        assert read_comparison_standing(path) is None
    assert read_comparison_standing(tmp_path / "absent") is None
