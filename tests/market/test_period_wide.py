"""Importing fields by period from a table with a column for each."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from period_market import give, make_market, read
from rollwright.errors import ConfigError, DataError, LookAheadError, UnknownFieldError


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return make_market(tmp_path_factory.mktemp("market") / "market")


@pytest.fixture
def market(empty, tmp_path):
    shutil.copytree(empty, tmp_path / "market")
    return tmp_path / "market"


WIDE = pd.DataFrame(
    {
        "ts_code": ["600519.SH", "600519.SH", "000001.SZ"],
        "ann_date": ["20080422", "20080828", "20080425"],
        "f_ann_date": ["20080424", "20080828", "20080425"],
        "end_date": ["20080331", "20080630", "20080331"],
        "total_revenue": ["2230.4", "4549.1", None],
        "roe": ["5%", "9%", "4%"],
    }
)


def test_a_table_with_a_column_for_each_field_is_taken_as_its_columns_are_named(market):
    report = give(
        market, WIDE, fields={"total_revenue": "revenue_q", "roe": "roe_q"}, kind={"revenue_q": "flow-cumulative"}
    )
    assert (report.rows, report.added, report.withdrawn) == (5, 5, 0)
    assert read(market, "revenue_q") == [("2008-04-24", 200801, 2230.4), ("2008-08-28", 200802, 4549.1)]
    assert read(market, "revenue_q", "SZ000001") == [], "an empty cell is no value"
    assert read(market, "roe_q", "SZ000001") == [("2008-04-25", 200801, 0.04)]
    assert report.fields == {"revenue_q": "flow-cumulative", "roe_q": "unknown"}
    again = give(market, WIDE, fields=["roe"], interval="quarterly")
    assert (again.kind, again.added) == ("none", 0)


def test_wide_and_long_rows_of_the_same_values_give_the_same_files(market, empty, tmp_path):
    shutil.copytree(empty, tmp_path / "other")
    give(market, WIDE, fields={"roe": "roe_q"})
    rows = [("20080424", "20080331", 0.05), ("20080828", "20080630", 0.09)]
    long = [(*row, "roe_q", "SH600519") for row in rows] + [("20080425", "20080331", 0.04, "roe_q", "SZ000001")]
    give(tmp_path / "other", pd.DataFrame(long, columns=["date", "period", "value", "field", "instrument"]))
    for name in ("sh600519/roe_q.data", "sh600519/roe_q.index", "sz000001/roe_q.data", "sz000001/roe_q.index"):
        assert (market / "financial" / name).read_bytes() == (tmp_path / "other" / "financial" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, DataError, "no value column"),
        ({"fields": ["profit"], "interval": "quarterly"}, DataError, "no value column `profit`"),
        ({"fields": ["roe"]}, UnknownFieldError, "does not say what its periods are"),
        ({"fields": {"roe": "a_q", "total_revenue": "A_q"}}, ConfigError, "two columns are to be the field `a_q`"),
        ({"fields": ["roe"], "field": "roe_q"}, ConfigError, "cannot be the field or value of all"),
        ({"fields": ["end_date"], "interval": "quarterly"}, DataError, "end_date"),
    ],
)
def test_columns_of_fields_that_cannot_be_are_refused_and_nothing_is_written(market, options, error, message):
    before = sorted(path.name for path in market.rglob("*"))
    with pytest.raises(error, match=message):
        give(market, WIDE, **options)
    assert sorted(path.name for path in market.rglob("*")) == before


def test_the_error_of_a_table_without_a_value_column_names_the_option_for_wide_ones(market):
    with pytest.raises(DataError) as caught:
        give(market, WIDE)
    assert "--fields" in (caught.value.hint or "")


def test_a_wrong_row_of_a_wide_table_is_named_by_its_row(market):
    late = WIDE.assign(f_ann_date=["20080424", "20080601", "20080425"])
    with pytest.raises(LookAheadError, match=r"row 1: roe_q of 600519\.SH for 200802"):
        give(market, late, fields={"roe": "roe_q"})
