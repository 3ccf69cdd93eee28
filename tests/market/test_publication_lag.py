"""Fields by period seen later than announced: how much, on which day, and beneath every viewpoint that cuts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.holdout import Holdout
from rollwright.market.as_of import AsOf
from rollwright.market.frame import FrameSource
from rollwright.market.publication_lag import AS_ANNOUNCED, Lagged, Visibility, lag
from rollwright.market.sealed import Sealed
from rollwright.testing.market_contract import DataSourceContract, VintageSourceContract

DAYS = pd.bdate_range("2020-01-01", periods=40)
ROWS = [
    ("A", 201904, "2020-01-03 09:30:00", 1.0),
    ("A", 201904, "2020-01-03 18:00:00", 1.5),
    ("A", 201903, "2020-01-10", 0.5),
    ("A", 202001, "2020-02-10", 2.0),
    ("B", 201904, "2020-01-31", 7.0),
]


def a_market(rows=ROWS) -> FrameSource:
    index = pd.MultiIndex.from_product([DAYS, ["A", "B"]], names=["datetime", "instrument"])
    prices = pd.DataFrame({"close": np.arange(len(index), dtype=float)}, index=index).iloc[1:]
    table = pd.DataFrame(rows, columns=["instrument", "period", "known_at", "value"])
    return FrameSource(prices, by_period={"roe_q": table})


def rows_of(source, code="A"):
    found = source.vintages("roe_q", [code])
    return list(zip(found.period.tolist(), [str(at) for at in found.known_at], found.value.tolist(), strict=True))


def seen_on(source, day, code="A"):
    """The values by period that a session sees."""
    found = source.vintages("roe_q", [code])
    seen = found.known_at <= np.datetime64(day)
    return dict(zip(found.period[seen].tolist(), found.value[seen].tolist(), strict=True))


class TestLaggedSource(DataSourceContract, VintageSourceContract):
    @pytest.fixture
    def source(self):
        return Lagged(a_market(), Visibility(lag_days=3, same_day=False))

    @pytest.fixture
    def period_field(self):
        return "roe_q"


def test_without_a_lag_nothing_is_wrapped():
    market = a_market()
    assert lag(market, AS_ANNOUNCED) is market
    assert Visibility() == AS_ANNOUNCED


def test_a_lag_moves_every_announcement_by_days_of_the_calendar():
    lagged = lag(a_market(), Visibility(lag_days=3))
    assert rows_of(lagged)[:3] == [
        (201904, "2020-01-06T09:30:00", 1.0),
        (201904, "2020-01-06T18:00:00", 1.5),
        (201903, "2020-01-13T00:00:00", 0.5),
    ]
    assert seen_on(lagged, "2020-01-12") == {201904: 1.5}
    assert seen_on(lagged, "2020-01-13") == {201904: 1.5, 201903: 0.5}


def test_a_value_that_is_not_seen_on_its_day_is_seen_from_the_next_one():
    lagged = lag(a_market(), Visibility(same_day=False))
    assert seen_on(lagged, "2020-01-03T23:59:59") == {}
    assert seen_on(lagged, "2020-01-04") == {201904: 1.5}
    assert seen_on(lagged, "2020-01-10") == {201904: 1.5}
    assert seen_on(lagged, "2020-01-11") == {201904: 1.5, 201903: 0.5}


def test_of_two_values_of_one_period_that_come_to_be_seen_together_the_later_announced_remains():
    lagged = lag(a_market(), Visibility(lag_days=1, same_day=False))
    assert rows_of(lagged)[0] == (201904, "2020-01-05T00:00:00", 1.5)
    assert len(rows_of(lagged)) == 3


def test_the_identity_of_what_is_known_names_the_lag_and_the_daily_data_keep_theirs():
    market = a_market()
    ways = [Visibility(), Visibility(lag_days=1), Visibility(lag_days=2), Visibility(lag_days=1, same_day=False)]
    assert len({lag(market, way).vintage_generation(["roe_q"]) for way in ways}) == 4
    assert {lag(market, way).generation for way in ways} == {market.generation}
    assert lag(market, ways[1]).unchanged_before(market.generation) == len(DAYS)


def test_a_source_without_fields_by_period_has_nothing_to_be_seen_later():
    index = pd.MultiIndex.from_product([DAYS, ["A"]], names=["datetime", "instrument"])
    plain = FrameSource(pd.DataFrame({"close": 1.0}, index=index))
    cut = AsOf(plain, DAYS[5])
    assert lag(plain, Visibility(lag_days=9)) is plain
    assert lag(cut, Visibility(lag_days=9)) is cut


@pytest.mark.parametrize("day", ["2020-01-05", "2020-01-06", "2020-01-31", "2020-02-03", "2020-02-13"])
def test_a_viewpoint_cuts_by_when_a_value_is_seen_in_whatever_order_both_are_put_on(day):
    late = Visibility(lag_days=3)
    one, other = lag(AsOf(a_market(), day), late), AsOf(lag(a_market(), late), day)
    assert rows_of(one) == rows_of(other)
    assert all(at <= f"{day}T00:00:00" for _, at, _ in rows_of(one))
    assert one.vintage_generation(["roe_q"]) == other.vintage_generation(["roe_q"])


def test_what_was_announced_before_a_holdout_and_is_seen_in_it_does_not_leave_it():
    holdout = Holdout.from_setting(("2020-02-11", "open"), origin="a test")
    assert seen_on(Sealed(a_market(), holdout), "2021-01-01")[202001] == 2.0
    for sealed in (lag(Sealed(a_market(), holdout), Visibility(lag_days=1)),
                   Sealed(lag(a_market(), Visibility(lag_days=1)), holdout)):  # fmt: skip
        assert 202001 not in seen_on(sealed, "2021-01-01")
        assert sealed.calendar().holdout == holdout


def test_a_market_is_not_lagged_twice_by_whatever_lies_above_the_lag():
    late = Visibility(lag_days=3)
    for seen in (lag(a_market(), late), AsOf(lag(a_market(), late), DAYS[30])):
        assert lag(seen, late) is seen
        assert lag(seen, Visibility(lag_days=5)) is seen


@given(st.data())
def test_a_lagged_reader_sees_on_each_day_what_a_reader_without_saw_that_much_earlier(data):
    moments = st.datetimes(pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-20"))
    rows = [
        ("A", period, data.draw(moments).replace(microsecond=0), float(number))
        for number, period in enumerate(data.draw(st.lists(st.sampled_from([201903, 201904, 202001]), max_size=8)))
    ]
    rows = list({row[1:3]: row for row in rows}.values())
    if not rows:
        return
    days = data.draw(st.integers(0, 20))
    market = a_market(rows)
    lagged = Lagged(market, Visibility(lag_days=days, same_day=data.draw(st.booleans())))
    for day in DAYS[::3]:
        # not seen on its day: what was announced before the day's beginning, taken off the moments of it
        edge = day - pd.Timedelta(days=days)
        edge = edge if lagged.visibility.same_day else edge - pd.Timedelta(seconds=1)
        assert seen_on(lagged, day) == seen_on(market, edge)
