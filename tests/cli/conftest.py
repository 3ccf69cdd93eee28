"""Rolled campaigns that the verbs look at: each is made once for each process of the run, and copied for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rolled_projects import roll_once, rolled_project
from small_campaign import CAMPAIGN, make_project

__all__ = ["roll_once", "rolled_project"]


@pytest.fixture
def rolled(rolled_project: Callable[[str], Path]) -> Path:
    """A project whose campaign `small` is finished; the working directory."""
    return rolled_project(CAMPAIGN)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose campaign `small` was never started; the working directory."""
    folder = make_project(tmp_path / "project").parent
    monkeypatch.chdir(folder)
    return folder
