"""Members and factors by date in a data folder: imported as reports are, read as of a day, and nothing to Qlib."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from rollwright import D
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.market.as_of import AsOf
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.periods.period_import import import_periods
from rollwright.market.view import view

DAYS = pd.bdate_range("2020-01-01", periods=60)
DATED = pd.DataFrame(
    [
        ("SH600000", "2020-01-02", 20200106, 1, "member_all_d"),
        ("SH600000", "2020-02-03", 20200210, 0, "member_all_d"),
        ("SH600001", "2020-02-03", 20200210, 1, "member_all_d"),
        ("SH600000", "2020-01-01", 20200101, 2.0, "factor_d"),
        ("SH600000", "2020-01-20", 20200101, 1.0, "factor_d"),
        ("SH600000", "2020-01-02", 20200102, 7, "industry_d"),
        ("SH600000", "2020-02-03", 20200217, 8, "industry_d"),
        ("SH600000", "2020-02-24", 20200221, 9, "industry_d"),
    ],
    columns=["instrument", "date", "period", "value", "field"],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("dated") / "market"
    index = pd.MultiIndex.from_product([DAYS, ["SH600000", "SH600001"]], names=["date", "symbol"])
    frame = pd.DataFrame({"close": np.arange(1.0, len(index) + 1), "factor": 1.0, "volume": 10.0}, index=index)
    import_market(frame.reset_index(), home)
    import_periods(DATED, home)
    return home


def test_universes_and_prices_as_of_a_day_are_those_known_then(folder):
    source = QlibProvider(folder)
    assert set(source.members("all")) == {"SH600000", "SH600001"}  # as Qlib reads it
    january, march = AsOf(source, "2020-01-17"), AsOf(source, "2020-03-02")
    assert set(january.members("all")) == {"SH600000"}
    assert {code: len(spans) for code, spans in march.members("all").items()} == {"SH600000": 1, "SH600001": 1}
    with using(market=source):
        then = D.features(["SH600000"], ["$close", "$volume"], as_of="2020-01-17")
        now = D.features(["SH600000"], ["$close", "$volume"], end_time="2020-01-17")
        np.testing.assert_array_equal(then["$close"], 2 * now["$close"])
        np.testing.assert_array_equal(then["$volume"], now["$volume"] / 2)
        found = D.features("all", ["$close"], as_of="2020-03-02")
    days = found.index.to_frame(index=False).groupby("instrument")["datetime"].agg(["min", "max"])
    assert str(days.loc["SH600000", "max"])[:10] == "2020-02-07"
    assert str(days.loc["SH600001", "min"])[:10] == "2020-02-10"


def test_an_industry_is_a_dated_field_that_is_seen_once_it_is_known_and_holds(folder):
    with using(market=QlibProvider(folder)):
        found = D.features(["SH600000"], ["P($$industry_d)"])["P($$industry_d)"].droplevel(0)
    assert found["2020-01-01":"2020-01-01"].isna().all()
    assert found["2020-01-02":"2020-02-14"].eq(7).all()  # announced on 2020-02-03, and not in force
    assert found["2020-02-17":"2020-02-21"].eq(8).all()
    assert found["2020-02-24":].eq(9).all()  # in force since 2020-02-21, and not known


def test_a_later_announcement_leaves_what_was_known_and_its_identity(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = AsOf(QlibProvider(copy), "2020-01-17")
    names = before.generation, before.members("all")
    later = pd.DataFrame([("SH600001", "2020-03-02", 20200302, 0, "member_all_d")], columns=DATED.columns)
    import_periods(later, copy)
    after = AsOf(QlibProvider(copy), "2020-01-17")
    assert after.members("all") == names[1]
    assert after.generation.partition(QlibProvider(copy).generation)[0] == names[0].partition(
        QlibProvider(folder).generation
    )[0]  # fmt: skip
    assert AsOf(QlibProvider(copy), "2020-03-02").members("all") != AsOf(QlibProvider(folder), "2020-03-02").members(
        "all"
    )


def test_a_lag_is_put_on_the_reports_of_a_folder(folder, tmp_path):
    (tmp_path / "rollwright.toml").write_text("[point_in_time]\nsame_day = false\n")
    seen = view(QlibProvider(folder), load_settings(start=tmp_path, environ={}))
    with using(market=seen):
        found = D.features(["SH600000"], ["P($$industry_d)"])["P($$industry_d)"].droplevel(0)
    assert found["2020-01-03":"2020-02-14"].eq(7).all()
    assert found["2020-02-17":"2020-02-24"].eq(8).all()
    assert found["2020-02-25":].eq(9).all()
