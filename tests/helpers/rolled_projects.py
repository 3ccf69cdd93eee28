"""Fixtures of projects whose campaign is rolled: made once for each process of the run, and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from small_campaign import make_project, roll_here


@pytest.fixture(scope="session")
def roll_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what gives the project of a campaign's text, rolled; nobody writes into it."""
    made: dict[str, Path] = {}

    def roll(text: str) -> Path:
        if text not in made:
            folder = tmp_path_factory.mktemp("rolled")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("HOME", str(folder))
                file = make_project(folder / "project", text=text)
                roll_here(file)
            made[text] = file.parent
        return made[text]

    return roll


@pytest.fixture
def rolled_project(
    roll_once: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Return what copies the rolled project of a campaign's text and makes it the working directory."""

    def copy(text: str) -> Path:
        folder = tmp_path / "project"
        shutil.copytree(roll_once(text), folder)
        monkeypatch.chdir(folder)
        return folder

    return copy
