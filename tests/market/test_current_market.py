"""The market that stands in for a source nobody gave: any `DataSource`, not only a folder."""

from __future__ import annotations

import numpy as np
import pytest

from rollwright import D, RollingGen, TimeAdjuster
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, DataNotFoundError
from rollwright.market.current import current_market
from rollwright.testing.market import random_source


@pytest.fixture
def market():
    return random_source(np.random.default_rng(5), sessions=60, instruments=4)


def test_any_source_can_be_the_current_market(market):
    with using(market=market):
        assert current_market() is current_market("day") is current_market("1d") is market
        frame = D.features("all", ["$close"])
        assert len(TimeAdjuster().cals) == 60
        assert list(D.calendar()) == list(market.calendar().to_index())
        assert list(D.instruments("all")) == ["market", "filter_pipe"]
    wanted = market.load(["close"], market.instruments(), 0, 60)[0]
    assert np.isfinite(wanted).sum() == frame["$close"].notna().sum() > 0


def test_windows_are_rolled_over_the_current_market(market):
    days = market.calendar()
    template = {
        "model": {"class": "LGBModel"},
        "dataset": {
            "class": "DatasetH",
            "kwargs": {"segments": {"train": (days[0], days[29]), "test": (days[30], days[59])}},
        },
    }
    with using(market=market):
        tasks = RollingGen(step=10, rtype="sliding").generate(template)
    assert [task["dataset"]["kwargs"]["segments"]["test"][0] for task in tasks] == [days[30], days[40], days[50]]


def test_another_frequency_than_the_given_market_s_is_refused(market):
    with using(market=market), pytest.raises(ConfigError, match="frequency day, and 5min is asked for"):
        current_market("5min")


def test_a_folder_that_is_not_there_is_told_with_where_the_search_began(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "studies" / "data").mkdir(parents=True)
    (project / "rollwright.toml").write_text('[data]\nprovider_uri = "data"\n')
    monkeypatch.chdir(project / "studies")
    with using(load_settings()), pytest.raises(DataNotFoundError) as caught:
        current_market()
    assert f"`data` (rollwright.toml), which begins at the project folder {project}" in caught.value.message
    assert str(project / "studies" / "data") in (caught.value.hint or "")


def test_without_a_market_and_a_setting_the_error_says_so():
    with using(load_settings()), pytest.raises(DataNotFoundError, match="provider_uri"):
        current_market()
