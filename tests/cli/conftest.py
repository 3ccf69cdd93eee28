"""A rolled campaign that the verbs look at: made once for each process of the test run, and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from small_campaign import make_project, roll_here


@pytest.fixture(scope="session")
def rolled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rolled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        file = make_project(folder / "project")
        roll_here(file)
    return file.parent


@pytest.fixture
def rolled(rolled_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose campaign `small` is finished; the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(rolled_once, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose campaign `small` was never started; the working directory."""
    folder = make_project(tmp_path / "project").parent
    monkeypatch.chdir(folder)
    return folder
