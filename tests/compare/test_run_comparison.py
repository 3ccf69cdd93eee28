"""A comparison from end to end, its models trained in the environment of the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compared_models import make_comparison_project, run_here
from rollwright.app.compare.logs import list_comparison_logs
from rollwright.app.compare.run import read_evaluations
from rollwright.config.settings import load_settings
from rollwright.trials.registry import TrialRegistry


def test_runs_are_trained_judged_registered_and_kept(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "ridge")
    told: list[tuple[str, object]] = []
    result = run_here(models, times=2, on_progress=lambda what, _model, value: told.append((what, value)))

    assert [str(one.key) for one in result.evaluations] == ["ridge/DataHandlerLP/1", "ridge/DataHandlerLP/2"]
    assert result.exit_code == 0
    first, second = result.evaluations
    assert first.metrics["rank_ic"] == pytest.approx(first.rank_ic.mean())
    assert first.excess.index.name == "datetime"
    assert first.terms is not None
    assert (first.terms.label, first.terms.universe) == (
        "the return over 1 session, which reads 2 sessions ahead",
        "all",
    )
    assert first.cost is not None
    assert first.cost.seconds > 0
    assert first.cost.cpu_seconds > 0
    assert first.cost.peak_bytes > 1 << 20
    assert first.digest == second.digest  # a ridge draws nothing

    settings = load_settings(start=models.parent)
    stored = read_evaluations(settings, "models")
    assert [(one.key, one.digest, one.cost) for one in stored] == [
        (one.key, one.digest, one.cost) for one in result.evaluations
    ]
    names = [trial.name for trial in TrialRegistry(settings.state_dir).read().trials]
    assert sorted(names) == ["models: ridge/DataHandlerLP/1"]  # the same returns are one trial

    (settings.state_dir / "comparisons" / "models" / "standing.json").unlink()  # else nothing is judged again
    again = run_here(models, times=2, on_progress=lambda what, _model, value: told.append((what, value)))
    planned = [value for what, value in told if what == "message" and value["kind"] == "planned"]
    assert [(one["windows"], one["kept"]) for one in planned] == [(2, 0), (2, 2)]
    assert [(one.key, one.digest, one.cost) for one in again.evaluations] == [
        (one.key, one.digest, one.cost) for one in result.evaluations
    ]
    logs = {log.name: log.text for log in list_comparison_logs("models", "RIDGE", project=models.parent)}
    assert [*logs][:2] == ["environment", "worker"]
    assert len(logs) == 4
    assert not [*(settings.state_dir / "comparisons" / "models" / "work").rglob("task-*")]
    assert json.loads((settings.state_dir / "comparisons" / "models.json").read_text())["options"]["times"] == 2
