"""Filters of a universe: Qlib's objects and configurations, each session judged by what it knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright import D, init
from rollwright.config.construct import init_instance_by_config
from rollwright.dataset.codec import DatasetCodec
from rollwright.dataset.dataset import DatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.errors import CalendarError, ConfigError, LookAheadError, UnknownFieldError, UnknownSettingError
from rollwright.features.filters import ExpressionDFilter, NameDFilter
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2021-01-04", periods=10)
CLOSE = {
    "AA1": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    "AA2": [9, 9, 9, 1, 1, 1, 9, 9, 9, 9],
    "AB1": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    "B1": [np.nan] * 5 + [7, 7, 7, 7, 7],
}


@pytest.fixture(autouse=True)
def market(tmp_path: Path) -> None:
    frame = pd.concat(
        pd.DataFrame({"symbol": code, "date": DAYS, "close": close, "open": 5.0}) for code, close in CLOSE.items()
    )
    import_market(frame, tmp_path / "market")
    init(provider_uri=str(tmp_path / "market"))


def members(*pipe, start=None, end=None) -> dict[str, list[str]]:
    """Return who belongs, each with the days on which it does."""
    found = D.list_instruments(D.instruments("all", filter_pipe=list(pipe)), start, end)
    return {
        code: [f"{day.day}" for first, last in spans for day in DAYS[(first <= DAYS) & (last >= DAYS)]]
        for code, spans in found.items()
    }


def days(*places: int) -> list[str]:
    return [f"{DAYS[place].day}" for place in places]


def test_a_name_is_matched_from_its_beginning_as_in_qlib() -> None:
    assert list(members(NameDFilter("AA"))) == ["AA1", "AA2"]
    assert list(members(NameDFilter("A.1$"))) == ["AA1", "AB1"]
    assert list(members(NameDFilter("1"))) == []


def test_a_rule_holds_day_by_day() -> None:
    found = members(ExpressionDFilter("$close > $open"))
    assert found == {
        "AA1": days(5, 6, 7, 8, 9),
        "AA2": days(0, 1, 2, 6, 7, 8, 9),
        "B1": days(5, 6, 7, 8, 9),
    }


def test_a_rule_holds_between_its_dates_only() -> None:
    rule = ExpressionDFilter("$close > $open", fstart_time=DAYS[2], fend_time="2021-01-08")
    found = members(rule)
    assert found["AA1"] == days(0, 1, 5, 6, 7, 8, 9)
    assert found["AB1"] == days(0, 1, 5, 6, 7, 8, 9)
    assert found["AA2"] == days(0, 1, 2, 5, 6, 7, 8, 9)


def test_rules_follow_one_another() -> None:
    found = members(NameDFilter("AA"), ExpressionDFilter("$close > $open"), ExpressionDFilter("$close < 9"))
    assert found == {"AA1": days(5, 6, 7)}


def test_an_instrument_without_any_value_stays_with_keep_only() -> None:
    without_values = "Log(-1 * $close)"
    assert members(ExpressionDFilter(without_values, keep=True)) == members(NameDFilter(""))
    assert members(ExpressionDFilter(without_values)) == {}


def test_as_list_and_a_range_narrow() -> None:
    universe = D.instruments("all", filter_pipe=[ExpressionDFilter("$close > $open")])
    assert D.list_instruments(universe, end_time=DAYS[1], as_list=True) == ["AA2"]


def test_features_of_a_filtered_universe_have_its_rows_alone() -> None:
    frame = D.features(D.instruments("all", [ExpressionDFilter("$close > $open")]), ["$close"])
    assert len(frame) == 17
    assert (frame["$close"] > 5).all()


@pytest.mark.parametrize(("cls", "argument"), [(NameDFilter, "name_rule_re"), (ExpressionDFilter, "rule_expression")])
def test_a_filter_is_its_configuration(cls, argument: str) -> None:
    made = cls("$close>1", "2021-01-05", None)
    config = made.to_config()
    assert (config["filter_type"], config[argument]) == (cls.__name__, "$close>1")
    assert config["filter_start_time"].startswith("2021-01-05")
    assert config["filter_end_time"] is None
    assert cls.from_config(config).to_config() == config
    described = {"class": cls.__name__, "module_path": "qlib.data.filter", "kwargs": {argument: "$close>1"}}
    assert type(init_instance_by_config(described)) is cls


def test_filters_configurations_and_descriptions_mean_the_same() -> None:
    rule = ExpressionDFilter("$close > $open", DAYS[1], DAYS[8])
    assert members(rule) == members(rule.to_config()) == members(rule.describe())


def test_a_stored_dataset_keeps_its_filters(tmp_path: Path) -> None:
    loader = QlibDataLoader(["$close"], filter_pipe=[NameDFilter("AA")])
    made = DatasetH(DataHandlerLP("all", data_loader=loader), {"test": (DAYS[0], DAYS[9])})
    DatasetCodec().write(made, tmp_path / "dataset.json")
    back = DatasetCodec().read(tmp_path / "dataset.json")
    pd.testing.assert_frame_equal(back.prepare("test"), made.prepare("test"))
    assert set(back.prepare("test").index.get_level_values("instrument")) == {"AA1", "AA2"}


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(CalendarError, match="'soon' is not a date"):
        NameDFilter("A", fstart_time="soon")
    with pytest.raises(ConfigError, match="neither a mapping nor a filter"):
        D.instruments("all", filter_pipe=["A"])
    with pytest.raises(UnknownSettingError, match="unknown name `NamDFilter`"):
        members({"filter_type": "NamDFilter", "name_rule_re": "A"})
    with pytest.raises(UnknownFieldError, match=r"has the field `\$clos`"):
        members(ExpressionDFilter("$clos > 1"))
    with pytest.raises(LookAheadError, match="reads 1 session ahead"):
        members(ExpressionDFilter("Ref($close, -1) > $close"))
