"""The sequences that are looked at every day: their false alarms, their power, and what they leave out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import watch_calibration
from rollwright.errors import LedgerError, OnlineError
from rollwright.online.watch.realised_ic import ExpectedIC, ICWatch, measure_rank_ic
from rollwright.online.watch.sequence import FallTest, SequenceState

TEST = FallTest(bound=0.03, lowest=-0.5, highest=0.5, units_a_year=252, false_alarms_a_year=0.1)


def test_daily_looks_give_no_more_false_alarms_than_were_asked_for():
    assert watch_calibration.count_false_alarms(repeats=40, years=5) <= 0.1
    assert 0.1 < watch_calibration.count_false_alarms(repeats=40, years=5, rate=2.0) <= 2.0


def test_the_expected_sum_of_a_sequence_is_never_above_its_units():
    """Two values with the mean of the bound, all paths of ten of them: what the guarantee rests on, exactly."""
    test = FallTest(bound=0.0, lowest=-0.5, highest=0.5, units_a_year=1e9, false_alarms_a_year=1)
    states = [SequenceState()]
    for units in range(1, 11):
        states = [test.take(state, value)[0] for state in states for value in (-0.5, 0.5)]
        assert math.fsum(state.value for state in states) / len(states) == pytest.approx(units)


def test_a_lost_edge_is_found_and_a_larger_one_sooner():
    slow = watch_calibration.find_delays(mean=0.02, lost=1.0, repeats=20)
    fast = watch_calibration.find_delays(mean=0.04, lost=1.0, repeats=20)
    assert np.median(fast) < np.median(slow) < 500
    assert (fast < 4 * watch_calibration.YEAR).all()


def test_the_sequence_begins_anew_after_an_alarm_and_finds_the_next():
    state, alarms = TEST.run([-0.1] * 400)
    assert len(alarms) > 2
    assert state.alarms == len(alarms)
    assert state.units == 400
    assert np.diff(alarms).min() == alarms[0] + 1


def test_going_on_from_a_stored_state_is_as_if_it_had_never_stopped():
    values = np.random.default_rng(5).normal(0.0, 0.12, 300).tolist()
    whole, alarms = TEST.run(values)
    state, found = SequenceState(), []
    for position, value in enumerate(values):
        state, alarm = TEST.take(SequenceState.from_json(state.to_json()), value)
        found += [position] * alarm
    assert (state, tuple(found)) == (whole, alarms)


def test_a_value_that_is_none_changes_nothing():
    state, _ = TEST.run([0.1, -0.1])
    assert TEST.take(state, math.nan) == (state, False)


@pytest.mark.parametrize("changes", [{"bound": 0.5}, {"bound": -0.5}, {"bound": math.nan}, {"highest": math.inf}])
def test_a_bound_outside_the_values_is_refused(changes):
    with pytest.raises(OnlineError, match="is not between"):
        replace(TEST, **changes)


@pytest.mark.parametrize("rate", [0, -1, math.nan, 252])
def test_a_rate_of_false_alarms_that_is_none_is_refused(rate):
    with pytest.raises(OnlineError, match="false alarms a year"):
        ICWatch(bound=0.0, spacing=1, false_alarms_a_year=rate).test  # noqa: B018


@pytest.mark.parametrize(
    "stakes", [[0.0], [0.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, True], "0000", [0.0, 0.0, 0.0, math.inf]]
)
def test_a_damaged_state_is_an_error(stakes):
    with pytest.raises(LedgerError):
        SequenceState.from_json({"stakes": stakes, "units": 0, "alarms": 0})


def sessions(values):
    days = pd.bdate_range("2024-01-01", periods=len(values))
    return {f"{day:%Y-%m-%d}": value for day, value in zip(days, values, strict=True)}


def test_labels_that_overlap_are_taken_apart():
    watch = ICWatch(bound=0.03, spacing=5, false_alarms_a_year=0.1)
    values = np.random.default_rng(1).normal(0.0, 0.1, 100)
    found = watch.measure(sessions(values))
    assert (found.used, found.known, found.missing) == (20, 100, 0)
    assert found.value == pytest.approx(watch.test.run(values[::5].tolist())[0].value)
    assert found.limit == pytest.approx(252 / 5 / 0.1)


def test_a_session_without_a_coefficient_is_counted_and_the_next_is_taken_in_its_stead():
    watch = ICWatch(bound=0.03, spacing=3, false_alarms_a_year=0.1)
    found = watch.measure(sessions([0.1, 0.2, 0.3, math.nan, -0.1, 0.2, 0.3, 0.0]))
    assert (found.known, found.missing, found.used) == (7, 1, 3)
    assert found.value == pytest.approx(watch.test.run([0.1, -0.1, 0.0])[0].value)


def test_nothing_is_said_of_no_sessions():
    found = ICWatch(bound=0.03, spacing=1, false_alarms_a_year=0.1).measure({})
    assert (found.last, found.known, found.value) == (None, 0, 0.0)
    assert math.isnan(found.mean)


def test_a_measured_expectation_is_bounded_by_its_interval():
    values = np.random.default_rng(3).normal(0.04, 0.12, 1000)
    expected = ExpectedIC.measured(values, span=1, source="the campaign")
    assert 0.02 < expected.bound < expected.mean
    assert expected.mean == pytest.approx(0.04, abs=0.01)
    assert ExpectedIC.measured(values[:10], span=1, source="the campaign") is None
    with pytest.raises(OnlineError, match="not between"):
        ExpectedIC.stated(0.7)


def test_the_rank_ic_of_a_session_needs_scores_and_labels_that_vary():
    names = [f"S{number:02d}" for number in range(20)]
    scores = pd.Series(np.arange(20.0), index=names)
    assert measure_rank_ic(scores, scores**3) == pytest.approx(1.0)
    assert measure_rank_ic(scores, -scores.iloc[::-1]) == pytest.approx(-1.0)
    assert math.isnan(measure_rank_ic(scores * 0, scores))
    assert math.isnan(measure_rank_ic(scores, scores * math.nan))
    assert math.isnan(measure_rank_ic(scores.iloc[:9], scores))
