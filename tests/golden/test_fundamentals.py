"""The example of prices and reports: as it stands, killed in the middle, and after a report was restated."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from rollwright import Alpha158, D
from rollwright.app.campaign import open_campaign
from rollwright.config.context import using
from rollwright.market.current import current_market
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider

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


def test_its_features_are_those_of_prices_and_of_reports_seen_from_the_next_day_on(market, tmp_path):
    folder = project(tmp_path / "project", market)
    campaign = open_campaign(folder / EXAMPLE.name, project=folder)
    handler = campaign.config.task.dataset.kwargs["handler"]["kwargs"]
    expressions, names = handler["extra_features"]
    with using(campaign.context):
        found = Alpha158(**{**handler, "end_time": "2015-06-30"}).fetch(col_set="feature", data_key="raw")
        assert found.columns.tolist()[158:] == names
        own = D.features("top50", expressions, "2015-03-02", "2015-06-30").swaplevel().sort_index()
        np.testing.assert_array_equal(found[names].to_numpy(), own.to_numpy())
        assert found[names].notna().mean().min() > 0.9
        late = current_market().vintages("profit_q", ["R0000"])
    early = QlibProvider(market).vintages("profit_q", ["R0000"])
    assert (late.known_at - early.known_at == np.timedelta64(1, "D")).all()


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
