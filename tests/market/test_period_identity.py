"""Fields by period and daily data have identities of their own: an import of one leaves the other's as it was."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from period_market import give, make_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return make_market(tmp_path_factory.mktemp("market") / "market")


@pytest.fixture
def market(empty, tmp_path):
    shutil.copytree(empty, tmp_path / "market")
    return tmp_path / "market"


def one(date, period):
    return pd.DataFrame(
        [(date, period, 1.0, "roe_q", "SH600519")], columns=["date", "period", "value", "field", "instrument"]
    )


def test_daily_values_stay_as_they_were_for_who_kept_them(market):
    before = QlibProvider(market)
    give(market, one("2009-04-20", 200901))
    after = QlibProvider(market)
    assert after.generation == before.generation
    assert after.unchanged_before(before.generation) == len(after.calendar())


def test_an_import_of_prices_after_one_of_reports_counts_from_where_the_prices_stood(market):
    before = QlibProvider(market)
    give(market, one("2009-04-20", 200901))
    days = pd.bdate_range("2011-01-03", periods=2)
    rows = pd.MultiIndex.from_product([days, ["SH600519", "SZ000001"]], names=["date", "symbol"])
    import_market(rows.to_frame(index=False).assign(close=1.0), market)
    after = QlibProvider(market)
    assert after.generation != before.generation
    assert after.unchanged_before(before.generation) == len(before.calendar())


def test_prices_of_another_tool_have_one_identity_over_all_imports_of_reports(market):
    for name in ("rollwright.json", "rollwright.files"):
        (market / name).unlink()
    give(market, one("2009-04-20", 200901))
    first = QlibProvider(market)
    give(market, one("2009-07-20", 200902))
    second = QlibProvider(market)
    assert first.generation == second.generation
    assert second.unchanged_before(first.generation) == len(second.calendar())
    days = pd.bdate_range("2011-01-03", periods=2)
    rows = pd.MultiIndex.from_product([days, ["SH600519", "SZ000001"]], names=["date", "symbol"])
    import_market(rows.to_frame(index=False).assign(close=1.0), market)
    assert QlibProvider(market).unchanged_before(first.generation) == len(first.calendar())
