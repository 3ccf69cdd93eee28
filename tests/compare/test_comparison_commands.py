"""What the commands of a comparison refuse before anything is trained, and what they show of one that was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compared_models import make_comparison_project, run_here
from rollwright.app.compare.opening import comparison_folder, worker_log
from rollwright.cli.root import run
from rollwright.compare.record import ComparedModel, ComparisonOptions, ComparisonRecord
from rollwright.config.settings import load_settings
from rollwright.core.locks import file_lock
from rollwright.errors import CompareError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's folder, which is the working directory, with a comparison that was recorded."""
    (tmp_path / "rollwright.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    model = ComparedModel(name="Ridge", requirements="r.txt", requirements_sha256="", workflows={})
    record = ComparisonRecord(name="mine", source="models", options=ComparisonOptions(), models=(model,))
    record.write(settings.state_dir / "comparisons" / "mine.json")
    log = worker_log(settings, "mine", "Ridge")
    log.parent.mkdir(parents=True)
    log.write_text("postgresql://me:hush@host/db is away\x1b[2J\n")
    return tmp_path


def test_a_comparison_that_runs_is_not_run_twice(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "ridge")
    with (
        file_lock(comparison_folder(load_settings(start=models.parent), "models") / "lock"),
        pytest.raises(CompareError, match="is running already"),
    ):
        run_here(models)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": 0}, "0 runs of each model"),
        ({"jobs": 0}, "0 tasks at the same time"),
        ({"name": "../up"}, "is no name of a comparison"),
        ({"models": ["rigde"]}, "there is no model `rigde`"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    models = make_comparison_project(tmp_path / "p", "ridge")
    with pytest.raises(CompareError, match=message):
        run_here(models, **options)
    assert not (models.parent / ".rollwright" / "comparisons").exists()


def test_an_unknown_model_is_bad_input(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "models" / "ridge").mkdir(parents=True)
    (project / "models" / "ridge" / "w.yaml").write_text("task: {}\n")
    (project / "models" / "ridge" / "requirements.txt").write_text("")
    assert run(["compare", "run", "models", "--models", "ols", "--this-environment", "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["type"] == "CompareError"


@pytest.mark.usefixtures("project")
def test_logs_show_what_was_said_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "logs", "mine", "ridge"]) == 0
    shown = capsys.readouterr()
    assert r"postgresql://me:***@host/db is away\x1b[2J" in shown.out
    assert "environment: nothing was said" in shown.err
    assert run(["compare", "logs", "mine", "ridge", "--json"]) == 0
    logs = json.loads(capsys.readouterr().out)["data"]
    assert [log["name"] for log in logs] == ["environment", "worker"]
    assert "hush" not in json.dumps(logs)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("name", "model"), [("mien", "ridge"), ("mine", "rigde"), ("../mine", "ridge")])
def test_logs_of_what_is_not_there_are_bad_input(name: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "logs", name, model]) == 2
    assert "CompareError" in capsys.readouterr().err
