"""The example of prices and reports: as it stands, killed in the middle, and after a report was restated."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from rollwright import Alpha158, D
from rollwright.app.open_campaign import open_campaign
from rollwright.config.context import using
from rollwright.market.current import current_market
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.periods.period_import import import_periods

EXAMPLE = Path(__file__).parents[2] / "examples" / "fundamentals.yaml"
SMALLER = ("task.model.kwargs.num_boost_round=15", "rolling.step=45")
DAY = pd.Timestamp("2018-04-23")
"""On which a report is restated: within the walk."""
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


def report(code: str, day: str, period: int, field: str) -> pd.DataFrame:
    return pd.DataFrame([{"instrument": code, "date": day, "period": period, "value": 2.0, "field": field}])


def test_a_restatement_costs_the_windows_that_read_it(market, shell, undisturbed, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(undisturbed, folder)
    members = QlibProvider(market).members("top50")
    code = next(code for code, spans in members.items() if any(start <= DAY <= end for start, end in spans))

    import_periods(report(code, "2017-09-11", 201702, "goodwill_q"), folder / "data" / "demo")
    same = shell.run("roll", EXAMPLE.name, "-j", "2", *SMALLER, cwd=folder)
    assert "nothing to train" in same.stderr, same.stderr  # nobody reads that field

    import_periods(report(code, f"{DAY:%Y-%m-%d}", 201704, "profit_q"), folder / "data" / "demo")
    planned = shell.run("plan", EXAMPLE.name, "--diff", *SMALLER, "--json", cwd=folder)
    windows = {one["name"]: one for one in json.loads(planned.stdout)["data"]["windows"]}
    told = shell.run("roll", EXAMPLE.name, "-j", "2", *SMALLER, cwd=folder)
    assert told.returncode == 0, told.stderr
    assert len(windows) >= 5
    actions = set()
    for window in windows.values():
        first, last = (pd.Timestamp(side) for side in window["segments"]["test"])
        # a label reads two sessions more, and what a window predicts with is what was known then: its records alone
        expected = "keep" if last < DAY - pd.Timedelta(days=4) else "train" if first > DAY else "records"
        assert window["change"]["action"] == expected, (window["name"], window["change"])
        actions.add(expected)
    assert actions == {"keep", "records", "train"}
    anew = project(tmp_path / "anew", market)
    shutil.rmtree(anew / "data" / "demo")
    shutil.copytree(folder / "data" / "demo", anew / "data" / "demo")
    fresh = shell.run("roll", EXAMPLE.name, "-j", "2", *SMALLER, cwd=anew)
    assert fresh.returncode == 0, fresh.stderr
    assert (folder / PRED).read_bytes() == (anew / PRED).read_bytes()
