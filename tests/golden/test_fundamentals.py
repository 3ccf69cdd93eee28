"""The example of prices and reports: as it stands, killed in the middle, and after a report was restated."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from rollwright.market.demo import make_demo_market

EXAMPLE = Path(__file__).parents[2] / "examples" / "fundamentals.yaml"
SMALLER = ("task.model.kwargs.num_boost_round=15", "rolling.step=45")
PRED = Path("results") / "fundamentals" / "pred.parquet"

pytestmark = [pytest.mark.slow, pytest.mark.crash]


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("fundamentals")
    make_demo_market(home / "demo", instruments=60, sessions=900)
    return home / "demo"


def project(folder: Path, market: Path) -> Path:
    (folder / ".rollwright").mkdir(parents=True)
    shutil.copytree(market, folder / "data" / "demo")
    shutil.copy(EXAMPLE, folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(market, shell, tmp_path_factory) -> Path:
    folder = project(tmp_path_factory.mktemp("undisturbed") / "project", market)
    done = shell.run("roll", EXAMPLE.name, "-j", "1", *SMALLER, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_reports_are_among_what_it_learns_from(undisturbed):
    importance = pd.read_parquet(undisturbed / "results" / "fundamentals" / "collect" / "importance.parquet")
    used = importance[importance["basis"] == "gain"].groupby("feature")["share"].sum()
    assert len(used) == 162
    assert (used[["ROE", "SALES_GROWTH", "MARGIN_RANK", "EQUITY_TO_PRICE"]] > 0).any()


def test_killed_in_the_middle_it_ends_with_the_same_bytes(market, shell, undisturbed, tmp_path):
    folder, log = project(tmp_path / "project", market), tmp_path / "log"
    roll = shell.start("roll", EXAMPLE.name, "-j", "2", *SMALLER, cwd=folder, log=log)
    end = time.monotonic() + 180
    while " done" not in log.read_text() and roll.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert roll.poll() is None, log.read_text()
    family = [psutil.Process(roll.pid), *psutil.Process(roll.pid).children(recursive=True)]
    for process in family:
        process.kill()
    roll.wait()
    assert not (folder / PRED).exists()
    again = shell.run("roll", EXAMPLE.name, "-j", "2", *SMALLER, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "finished already and kept" in again.stderr
    assert (folder / PRED).read_bytes() == (undisturbed / PRED).read_bytes()
