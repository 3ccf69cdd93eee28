"""Memberships and adjustment factors as they were known: who belonged, and what prices looked like, then."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollwright.calendar.holdout import Holdout
from rollwright.calendar.trading import to_session
from rollwright.errors import NotPointInTimeError
from rollwright.market.as_of import AsOf
from rollwright.market.frame import FrameSource
from rollwright.market.generations import read_generation
from rollwright.market.known_then import member_field
from rollwright.market.sealed import Sealed
from rollwright.testing.market_contract import DataSourceContract

DAYS = pd.bdate_range("2020-01-01", periods=60)
LAST = DAYS[-1]

# A 2-for-1 split of A on 2020-02-03, announced on 2020-01-20; today's history is adjusted to it: factor 0.5 before.
FACTORS = [
    ("A", 20200101, "2020-01-01", 1.0),
    ("A", 20200101, "2020-01-20", 0.5),
    ("A", 20200203, "2020-01-20", 1.0),
    ("B", 20200101, "2020-01-01", 2.0),
]
MEMBERS = [
    ("A", 20200106, "2020-01-02", 1.0),
    ("A", 20200210, "2020-02-03", 0.0),
    ("B", 20200210, "2020-02-03", 1.0),
]


def table(rows):
    return pd.DataFrame(rows, columns=["instrument", "period", "known_at", "value"])


def a_market(*, factors=FACTORS, members=MEMBERS, codes=("A", "B", "C"), drop=()) -> FrameSource:
    """A market whose raw closes are 10, 11, 12 … for A, B and C alike."""
    index = pd.MultiIndex.from_product([DAYS, codes], names=["datetime", "instrument"])
    raw = np.repeat(10.0 + np.arange(len(DAYS)), len(codes))
    day, code = index.get_level_values(0), index.get_level_values(1)
    # before the split a share of A cost twice as much, and half as many were traded
    split = (code == "A") & (day < "2020-02-03")
    raw = np.where(split, 2 * raw, raw)
    factor = np.where(split, 0.5, np.where(code == "B", 2.0, 1.0))
    frame = pd.DataFrame(
        {"close": raw * factor, "volume": 100.0 / factor, "factor": factor, "amount": raw * 100, "mine": raw},
        index=index,
    ).drop(columns=list(drop))
    by_period = {}
    if factors:
        by_period["factor_d"] = table(factors)
    if members:
        by_period["member_some_d"] = table(members)
    universes = {"some": {"B": ((DAYS[0], LAST),)}, "all_of_them": {"C": ((DAYS[0], LAST),)}}
    return FrameSource(frame, universes=universes, by_period=by_period)


def close_of(source, code, field="close"):
    return source.load([field], [code], 0, len(DAYS))[0, :, 0]


def dates(*pairs):
    return tuple((to_session(start), to_session(end)) for start, end in pairs)


class TestAMarketWithDatedMembers(DataSourceContract):
    @pytest.fixture
    def source(self):
        index = pd.MultiIndex.from_product([DAYS, ["A", "B"]], names=["datetime", "instrument"])[1:]
        values = np.arange(4.0 * len(index)).reshape(-1, 4)
        frame = pd.DataFrame(values, index=index, columns=["close", "factor", "volume", "open"])
        return FrameSource(frame, by_period={"member_some_d": table(MEMBERS)})


# --- membership ---


def test_who_belonged_is_what_had_been_announced():
    market = a_market()
    assert market.members("some") == {"B": ((DAYS[0], LAST),)}  # today's file, as Qlib reads it
    assert AsOf(market, "2020-01-01").members("some") == {}
    assert AsOf(market, "2020-01-03").members("some") == {}  # announced, and not there yet
    assert AsOf(market, "2020-01-31").members("some") == {"A": dates(("2020-01-06", "2020-01-31"))}
    assert AsOf(market, "2020-02-07").members("some") == {"A": dates(("2020-01-06", "2020-02-07"))}
    after = AsOf(market, "2020-02-14").members("some")
    assert after == {"A": dates(("2020-01-06", "2020-02-09")), "B": dates(("2020-02-10", "2020-02-14"))}


def test_a_universe_without_dates_is_todays_cut():
    assert AsOf(a_market(), "2020-01-31").members("all_of_them") == {"C": dates(("2020-01-01", "2020-01-31"))}


def test_who_leaves_and_returns_has_two_ranges_and_what_was_withdrawn_never_was():
    rows = [
        ("A", 20200106, "2020-01-02", 1.0),
        ("A", 20200113, "2020-01-07", 0.0),
        ("A", 20200120, "2020-01-14", 1.0),
        ("A", 20200113, "2020-02-03", np.nan),
        ("A", 20200120, "2020-02-03", np.nan),
    ]
    market = a_market(members=rows)
    assert AsOf(market, "2020-01-31").members("some") == {
        "A": dates(("2020-01-06", "2020-01-12"), ("2020-01-20", "2020-01-31"))
    }
    assert AsOf(market, "2020-02-03").members("some") == {"A": dates(("2020-01-06", "2020-02-03"))}


@pytest.mark.parametrize(
    ("universe", "field"),
    [("csi300", "member_csi300_d"), ("CSI300", "member_csi300_d"), ("s-p.500", "member_s_p_500_d")],
)
def test_the_field_of_a_universe_is_named_after_it(universe, field):
    assert member_field(universe) == field


# --- adjustment ---


def test_prices_are_adjusted_by_the_factors_that_were_known():
    market = a_market()
    today = close_of(market, "A")
    before = close_of(AsOf(market, "2020-01-17"), "A")
    known = DAYS <= "2020-01-17"
    np.testing.assert_array_equal(before[known], 2 * today[known])  # raw prices: nobody knew of the split
    assert np.isnan(before[~known]).all()
    announced = close_of(AsOf(market, "2020-01-20"), "A")
    known = DAYS <= "2020-01-20"
    np.testing.assert_array_equal(announced[known], today[known])


def test_volume_goes_the_other_way_and_what_is_no_price_stays():
    market, then = a_market(), AsOf(a_market(), "2020-01-17")
    known = DAYS <= "2020-01-17"
    np.testing.assert_array_equal(close_of(then, "A", "volume")[known], close_of(market, "A", "volume")[known] / 2)
    np.testing.assert_array_equal(close_of(then, "A", "factor")[known], np.ones(known.sum()))
    for field in ("amount", "mine"):
        np.testing.assert_array_equal(close_of(then, "A", field)[known], close_of(market, "A", field)[known])


def test_equal_factors_leave_every_bit_and_who_has_none_keeps_its_prices():
    market = a_market(factors=[*FACTORS[3:], ("A", 20200101, "2020-03-01", 1 / 3)])
    then = AsOf(market, "2020-01-17")
    known = DAYS <= "2020-01-17"
    for code in ("A", "B", "C"):
        np.testing.assert_array_equal(close_of(then, code)[known], close_of(market, code)[known])


def test_a_session_before_the_first_known_factor_has_no_price():
    then = AsOf(a_market(factors=[("A", 20200113, "2020-01-13", 1.0)]), "2020-01-17")
    values = close_of(then, "A")
    assert np.isnan(values[DAYS < "2020-01-13"]).all()
    assert np.isfinite(values[(DAYS >= "2020-01-13") & (DAYS <= "2020-01-17")]).all()


def test_dated_factors_without_the_factor_of_the_prices_are_refused_where_prices_are_read():
    then = AsOf(a_market(drop=["factor"]), "2020-01-17")
    assert np.isfinite(close_of(then, "A", "amount")).any()
    with pytest.raises(NotPointInTimeError, match=r"factor_d.*no `\$factor`"):
        close_of(then, "A")


# --- identity ---


def test_later_knowledge_changes_neither_an_answer_nor_its_identity():
    later_factors = [*FACTORS, ("B", 20200301, "2020-02-20", 4.0), ("C", 20200101, "2020-02-20", 4.0)]
    later_members = [*MEMBERS, ("A", 20200301, "2020-02-20", 1.0)]
    for moment in ("2020-01-01", "2020-01-17", "2020-01-20", "2020-02-19"):
        one = AsOf(a_market(), moment)
        other = AsOf(a_market(factors=later_factors, members=later_members), moment)
        assert one.members("some") == other.members("some")
        for code in ("A", "B", "C"):
            np.testing.assert_array_equal(close_of(one, code), close_of(other, code))
        assert one.generation == other.generation
    assert AsOf(a_market(), "2020-02-20").generation != AsOf(a_market(factors=later_factors), "2020-02-20").generation


def test_rows_are_taken_over_only_from_where_prices_were_adjusted_alike():
    market = a_market()
    before, announced, later = (AsOf(market, day) for day in ("2020-01-17", "2020-01-20", "2020-01-31"))
    count = int((DAYS <= "2020-01-20").sum())
    assert later.unchanged_before(announced.generation) == count
    assert announced.unchanged_before(announced.generation) == count
    assert announced.unchanged_before(before.generation) == 0
    assert market.unchanged_before(before.generation) == 0
    assert before.unchanged_before(market.generation) == 0


def test_other_members_take_no_row_from_anybody():
    one = AsOf(a_market(factors=()), "2020-01-31")
    other = AsOf(a_market(factors=(), members=MEMBERS[:0]), "2020-01-31")
    assert one.generation != other.generation
    assert read_generation(one.generation) == read_generation(other.generation)
    assert one.unchanged_before(other.generation) == int((DAYS <= "2020-01-31").sum())


def test_a_sealed_market_knows_what_was_known_before_its_holdout():
    holdout = Holdout.from_setting(("2020-01-20", "open"), origin="a test")
    sealed = Sealed(a_market(), holdout)
    rows = len(sealed.calendar())
    np.testing.assert_array_equal(
        sealed.load(["close"], ["A"], 0, rows), AsOf(a_market(), "2020-01-17").load(["close"], ["A"], 0, rows)
    )
    changed = a_market(factors=[*FACTORS, ("A", 20200101, "2020-01-20", 0.25)][:1] + FACTORS[3:])
    assert Sealed(changed, holdout).generation == sealed.generation
    assert sealed.unchanged_before(sealed.generation) == rows
    cut = Sealed(AsOf(a_market(), "2020-01-10"), holdout)
    assert cut.generation != sealed.generation
    assert cut.unchanged_before(cut.generation) == int((DAYS <= "2020-01-10").sum())


@settings(max_examples=40)
@given(st.data())
def test_known_members_are_what_a_reader_of_the_announcements_writes_down(data):
    day_of = st.integers(0, len(DAYS) - 1)
    rows = {}
    for number in range(data.draw(st.integers(1, 6))):
        effective, known = DAYS[data.draw(day_of)], DAYS[data.draw(day_of)]
        rows[effective, known] = data.draw(st.sampled_from([0.0, 1.0, np.nan])), number
    listed = [("A", int(day.strftime("%Y%m%d")), str(known), value) for (day, known), (value, _) in rows.items()]
    market = a_market(factors=(), members=listed)
    moment = DAYS[data.draw(day_of)]
    told = {}
    for (day, known), (value, _) in sorted(rows.items(), key=lambda item: item[0][1]):
        if known <= moment:
            told[day] = value
    inside = []
    for session in DAYS[: list(DAYS).index(moment) + 1]:
        said = [(day, value) for day, value in sorted(told.items()) if day <= session and value == value]
        if said and said[-1][1]:
            inside.append(session)
    spans = AsOf(market, moment).members("some").get("A", ())
    assert [session for session in DAYS if any(start <= session <= end for start, end in spans)] == inside
