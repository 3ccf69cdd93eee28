"""A single run says when the labels it learns from know prices of the segments after."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.checks.label_leak import horizon_notes
from rollwright.config.context import init
from rollwright.market.demo import make_demo_market

ALL = {"instruments": "all"}
CALENDAR = TradingCalendar(pd.bdate_range("2020-01-01", periods=60))


@pytest.fixture(autouse=True)
def _market(tmp_path):
    make_demo_market(tmp_path / "market", instruments=20, sessions=80, seed=1)
    init(provider_uri=str(tmp_path / "market"))


def task(train_end: str, test_start: str, **more):
    return {
        "dataset": {
            "class": "DatasetH",
            "module_path": "rollwright.dataset.dataset",
            "kwargs": {
                "handler": {"class": "Alpha158", "module_path": "rollwright.dataset.alpha", "kwargs": ALL},
                "segments": {"train": ["2020-01-01", train_end], "test": [test_start, "2020-03-13"], **more},
            },
        }
    }


@pytest.mark.parametrize(
    ("train_end", "days"),
    [("2020-01-31", 2), ("2020-01-30", 1), ("2020-01-29", 0), ("2020-02-01", 2)],
)
def test_the_days_whose_labels_leak_are_counted(train_end, days):
    notes = horizon_notes(task(train_end, "2020-02-03"), CALENDAR)
    assert len(notes) == (1 if days else 0)
    for note in notes:
        assert f"the last {days} session(s) of `train` read prices of `test`" in note
        assert "looks 2 sessions ahead; end it on 2020-01-29" in note


def test_valid_is_told_too_and_segments_outside_the_calendar_are_left_to_the_dataset():
    notes = horizon_notes(task("2020-01-31", "2020-02-24", valid=["2020-02-03", "2020-02-21"]), CALENDAR)
    assert [("`train`" in note, "`valid`" in note, "`test`" in note) for note in notes] == [
        (True, True, False),
        (False, True, True),
    ]
    assert horizon_notes(task("2020-01-31", "2020-02-03"), TradingCalendar(CALENDAR.to_index()[40:])) == []


def test_a_dataset_of_the_users_is_not_built_for_it():
    foreign = task("2020-01-31", "2020-02-03")
    foreign["dataset"]["module_path"] = "mine.py"
    assert horizon_notes(foreign, CALENDAR) == []
