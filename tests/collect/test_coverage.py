"""The coverage contract: honest data pass, holes never do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.trading import TradingCalendar
from rollwright.collect.coverage import check_tiling, check_window, universe_coverage
from rollwright.errors import CoverageError

DAYS = pd.bdate_range("2020-01-01", periods=8)


class Market:
    """Three stocks on eight sessions: A trades always, B lists on day 3, C is suspended on days 5 and 6."""

    freq = "day"
    generation = "g1"

    def calendar(self):
        return TradingCalendar(DAYS)

    def instruments(self):
        return ("A", "B", "C")

    def members(self, universe):
        return dict.fromkeys("ABC", ((DAYS[0], DAYS[-1]),))

    def bounds(self, instruments):
        first = {"A": 0, "B": 3, "C": 0}
        return np.array([[first[code], 8] for code in instruments], dtype=np.int64)

    def missing_fields(self, fields):
        return ()

    def load(self, fields, instruments, start, stop):
        close = np.ones((8, 3), dtype=np.float32)
        close[:3, 1] = np.nan
        close[5:7, 2] = np.nan
        columns = ["ABC".index(code) for code in instruments]
        return close[None, start:stop][:, :, columns]


def rows(pairs) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples([(DAYS[day], code) for day, code in pairs], names=["datetime", "instrument"])


def complete(days=range(8)) -> list[tuple[int, str]]:
    return [(day, code) for day in days for code in "ABC" if not (code == "B" and day < 3)]


def test_a_kept_promise_has_no_problem():
    index = rows(complete())
    assert check_window("w", index, index, np.ones(len(index))) == []


def test_a_missing_row_a_strange_row_and_a_doubled_row_are_each_named():
    promised = rows([(0, "A"), (0, "C"), (1, "A")])
    predicted = rows([(0, "A"), (0, "A"), (1, "C")])
    lines = check_window("2020-01", predicted, promised, np.ones(3))
    assert len(lines) == 3
    assert "1 rows are predicted twice, 2020-01-01 (A)" in lines[0]
    assert "2 of 3 promised rows are missing, 2020-01-01 to 2020-01-02 (C, A)" in lines[1]
    assert "1 rows were never promised, 2020-01-02 (C)" in lines[2]


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8),
    promised=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8),
    ordered=st.booleans(),
    days=st.permutations(range(4)),
)
def test_what_is_wrong_is_told_however_the_rows_are_coded(rows, promised, ordered, days):
    rows = sorted(rows) if ordered else rows
    levels = [
        pd.DatetimeIndex(DAYS[list(days)]),
        pd.Index(list("ABCD")),
    ]  # in any order, as a concatenation leaves them
    codes = [[days.index(day) for day, _ in rows], [code for _, code in rows]]
    predicted = pd.MultiIndex(levels=levels, codes=codes, names=["datetime", "instrument"])
    expected = pd.MultiIndex.from_tuples(
        [(DAYS[day], "ABCD"[code]) for day, code in sorted(promised)] or [(DAYS[0], "A")],
        names=["datetime", "instrument"],
    )[: len(promised)]
    lines = check_window("w", predicted, expected, np.ones(len(rows)))
    told = (
        ("predicted twice", len(rows) - len(set(rows))),
        ("are missing", len(promised - set(rows))),
        ("never promised", len(set(rows) - promised)),
    )
    assert [next((line for line in lines if text in line), "w: 0").split()[1] for text, _ in told] == [
        str(count) for _, count in told
    ]
    assert len(lines) == sum(count > 0 for _, count in told)


@pytest.mark.parametrize(("count", "shown"), [(3, "(A, C, A)"), (4, "(A, C, A, …)")])
def test_three_rows_are_named_and_further_ones_hinted_at(count, shown):
    promised = rows([(0, "A"), (0, "C"), (1, "A"), (1, "C")][:count])
    (line,) = check_window("w", promised[:0], promised, np.ones(0))
    assert line.endswith(shown)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_a_hole(score):
    index = rows([(0, "A"), (0, "C")])
    (line,) = check_window("w", index, index, np.array([1.0, score]))
    assert "1 scores are not numbers, 2020-01-01 (C)" in line


def test_windows_that_tile_have_no_problem():
    assert check_tiling([(DAYS[3], DAYS[5]), (DAYS[0], DAYS[2]), (DAYS[6], DAYS[7])], TradingCalendar(DAYS)) == []


def test_a_gap_and_an_overlap_between_windows_are_named_with_dates():
    (gap,) = check_tiling([(DAYS[0], DAYS[1]), (DAYS[4], DAYS[5])], TradingCalendar(DAYS))
    assert "2 sessions from 2020-01-03 to 2020-01-06" in gap
    (overlap,) = check_tiling([(DAYS[0], DAYS[2]), (DAYS[2], DAYS[5])], TradingCalendar(DAYS))
    assert "1 sessions from 2020-01-03 are tested by two windows" in overlap


def test_members_without_a_prediction_are_counted_by_cause():
    predicted = rows([pair for pair in complete() if pair not in [(5, "C"), (6, "C"), (7, "A")]])
    found = universe_coverage(predicted, Market(), "all", start=DAYS[0], end=DAYS[-1], max_missing_share=0.4)
    assert found.expected == 24
    assert found.predicted == 24 - 3 - 3
    assert found.by_cause == {"no series": 3, "suspended": 2, "dropped": 1}
    assert found.worst_share == pytest.approx(1 / 3)


def test_a_day_that_lacks_too_many_fails_and_names_them():
    predicted = rows([pair for pair in complete() if pair not in [(5, "C"), (5, "A")]])
    with pytest.raises(CoverageError) as caught:
        universe_coverage(predicted, Market(), "all", start=DAYS[0], end=DAYS[-1], max_missing_share=0.4)
    assert caught.value.exit_code == 4
    assert caught.value.problems == ("2020-01-08: 67% of 3 members missing (1 suspended, 1 dropped)",)


def test_a_day_without_any_prediction_always_fails():
    predicted = rows(complete([0, 1, 2, 3, 4, 6, 7]))
    with pytest.raises(CoverageError, match="2020-01-08: 100%"):
        universe_coverage(predicted, Market(), "all", start=DAYS[0], end=DAYS[-1], max_missing_share=1.0)


def test_sessions_that_are_declared_to_be_missing_do_not_count_and_no_others():
    predicted = rows(complete([0, 1, 2, 3, 6, 7]))
    asked = {"start": DAYS[0], "end": DAYS[-1], "max_missing_share": 0.5}
    with pytest.raises(CoverageError, match="2020-01-07: 100%"):
        universe_coverage(predicted, Market(), "all", **asked, allow_gaps=[(DAYS[5], DAYS[5])])
    found = universe_coverage(predicted, Market(), "all", **asked, allow_gaps=[(DAYS[4], DAYS[5])])
    assert (found.expected, found.predicted) == (24 - 6, 24 - 3 - 6)
    assert found.worst_day not in (DAYS[4], DAYS[5])


class ShortMarket(Market):
    """The same, but B leaves the universe on a Saturday, and the series of A ends before the seventh session."""

    def members(self, universe):
        return {**super().members(universe), "B": ((DAYS[0], pd.Timestamp("2020-01-04")),)}

    def bounds(self, instruments):
        stops = {"A": 6, "B": 8, "C": 8}
        return np.array([[0, stops[code]] for code in instruments], dtype=np.int64)

    def load(self, fields, instruments, start, stop):
        close = np.ones((8, 3), dtype=np.float32)
        close[6:, 0] = np.nan
        columns = ["ABC".index(code) for code in instruments]
        return close[None, start:stop][:, :, columns]


def test_a_membership_that_ends_between_sessions_ends_with_the_session_before():
    predicted = rows([(day, code) for day in range(8) for code in "AC"] + [(day, "B") for day in range(3)])
    found = universe_coverage(predicted, ShortMarket(), "all", start=DAYS[0], end=DAYS[-1], max_missing_share=0.0)
    assert (found.expected, found.predicted) == (8 + 8 + 3, 8 + 8 + 3)


def test_a_member_has_no_series_from_the_session_on_at_which_its_series_stops():
    predicted = rows([(day, code) for day in range(6) for code in "ABC"] + [(6, "C"), (7, "C")])
    found = universe_coverage(predicted, ShortMarket(), "all", start=DAYS[0], end=DAYS[-1], max_missing_share=0.5)
    assert found.by_cause == {"no series": 2, "suspended": 0, "dropped": 0}


def test_a_session_may_lack_exactly_the_share_that_is_allowed_and_no_more():
    predicted = rows([(day, code) for day in range(3) for code in "ABC"] + [(day, "C") for day in range(3, 8)])
    asked = {"start": DAYS[0], "end": DAYS[-1]}
    assert universe_coverage(predicted, ShortMarket(), "all", **asked, max_missing_share=0.5).worst_share == 0.5
    with pytest.raises(CoverageError, match="2020-01-06: 50% of 2 members missing"):
        universe_coverage(predicted, ShortMarket(), "all", **asked, max_missing_share=0.499)
