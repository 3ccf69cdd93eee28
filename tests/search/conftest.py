"""A project whose search is done: made once for each process of the run, and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from searched_project import BACKTEST, make_searched, search_here


@pytest.fixture(scope="session")
def searched_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a campaign of which four trials were told; nobody writes into its project."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        file = make_searched(folder / "project", more=BACKTEST)
        search_here(file)
    return file


@pytest.fixture
def searched(searched_once: Path, tmp_path: Path) -> Path:
    """Return a copy of it, which a test may change."""
    shutil.copytree(searched_once.parent, tmp_path / "project")
    return tmp_path / "project" / searched_once.name
