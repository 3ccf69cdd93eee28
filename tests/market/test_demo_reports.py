"""The reports of the synthetic market: late, restated, sometimes together, and no business of its prices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright import D
from rollwright.calendar.periods import to_ordinals, to_period_ends
from rollwright.config.context import using
from rollwright.market.demo import INDEX_CODE, make_demo_market, simulate_market
from rollwright.market.demo_reports import REPORT_KINDS, simulate_reports
from rollwright.market.folder.provider import QlibProvider


@pytest.fixture(scope="module")
def reports():
    market = simulate_market(instruments=120, sessions=900, seed=20150105, planted_ic=0.08)
    return market, simulate_reports(market.sessions, market.listed, seed=20150105)


def every(reports, name="revenue_q"):
    market, found = reports
    for place, own in found.items():
        yield place, market, own[name]


def test_no_report_comes_before_its_period_ended_or_after_the_market(reports):
    for place, market, rows in every(reports):
        last = market.sessions[market.listed[place, 1] - 1].to_datetime64().astype("datetime64[D]")
        assert (rows.day > to_period_ends(rows.period, "q")).all()
        assert (rows.day <= last).all()
        order = np.lexsort((rows.period, rows.day))
        assert (order == np.arange(len(order))).all()
        keys = set(zip(rows.day.tolist(), rows.period.tolist(), strict=True))
        assert len(keys) == len(rows.day)


def test_every_instrument_reports_each_quarter_from_before_the_market_on(reports):
    for place, market, rows in every(reports):
        quarters = np.unique(to_ordinals(rows.period, "q"))
        assert (np.diff(quarters) == 1).all()
        if market.listed[place, 0] == 0:
            known = rows.period[rows.day < market.sessions[0].to_datetime64()]
            assert len(np.unique(known)) >= 6  # a year's growth can be told from the first session on


def test_about_one_report_in_fifteen_is_restated_and_some_come_together(reports):
    counts = [(len(rows.day), len(np.unique(rows.period))) for _, _, rows in every(reports)]
    rows, periods = map(sum, zip(*counts, strict=True))
    assert 0.03 < rows / periods - 1 < 0.09  # the restatements that lie beyond the end of the market are not there
    together = [np.unique(rows.day, return_counts=True)[1].max() > 1 for _, _, rows in every(reports)]
    assert 0.1 < np.mean(together) < 0.5


def test_who_is_listed_late_shows_its_past_on_the_first_day(reports):
    late = [(market.sessions[market.listed[place, 0]], rows) for place, market, rows in every(reports)
            if market.listed[place, 0] > 0]  # fmt: skip
    assert late
    for listing, rows in late:
        assert rows.day[0] == listing.to_datetime64().astype("datetime64[D]")
        assert (rows.day == rows.day[0]).sum() >= 6


def test_flows_count_from_the_start_of_the_year():
    market = simulate_market(instruments=20, sessions=300, seed=3, planted_ic=0.0)
    found = simulate_reports(market.sessions, market.listed, seed=3)
    for own in found.values():
        rows = own["revenue_q"]
        first = {}
        for period, value in zip(rows.period.tolist(), rows.value.tolist(), strict=True):
            first.setdefault(period, value)
        grown = [first[period] > first[period - 1] for period in first if period % 100 > 1 and period - 1 in first]
        assert np.mean(grown) == 1.0


def test_other_instruments_change_nothing_of_one_and_another_seed_everything():
    market = simulate_market(instruments=30, sessions=200, seed=3, planted_ic=0.0)
    few = simulate_reports(market.sessions, market.listed[:5], seed=3)
    more = simulate_reports(market.sessions, market.listed, seed=3)
    other = simulate_reports(market.sessions, market.listed, seed=4)
    for place, own in few.items():
        for name, rows in own.items():
            for one, two in zip(rows, more[place][name], strict=True):
                np.testing.assert_array_equal(one, two)
        assert own["profit_q"].value.tolist() != other[place]["profit_q"].value.tolist()


def test_the_folder_holds_them_with_their_kinds_and_expressions_read_them(tmp_path):
    make_demo_market(tmp_path / "demo", instruments=20, sessions=200, seed=5)
    market = simulate_market(instruments=20, sessions=200, seed=5, planted_ic=0.08)
    source = QlibProvider(tmp_path / "demo")
    assert source.period_fields() == ("equity_q", "profit_q", "revenue_q")
    assert {name: source.field_kind(name) for name in source.period_fields()} == REPORT_KINDS
    expected = simulate_reports(market.sessions, market.listed, seed=5)
    for name in REPORT_KINDS:
        assert source.vintages(name, [INDEX_CODE]).offsets.tolist() == [0, 0]
        found = source.vintages(name, market.codes)
        for place in range(20):
            rows = slice(found.offsets[place], found.offsets[place + 1])
            assert found.known_at[rows].astype("datetime64[D]").tolist() == expected[place][name].day.tolist()
            assert found.period[rows].tolist() == expected[place][name].period.tolist()
            assert found.value[rows].tolist() == expected[place][name].value.tolist()
    with using(market=source):
        frame = D.features([market.codes[0]], ["P(TTM($$profit_q))/P($$equity_q)", "P(YoY(SQ($$revenue_q)))"])
    assert frame.notna().all().all()
    assert frame.iloc[:, 0].nunique() >= 3
    assert isinstance(frame.index, pd.MultiIndex)
