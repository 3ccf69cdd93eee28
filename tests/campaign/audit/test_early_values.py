"""Columns that show a report before it was announced are told with each value, and honest ones are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.periods import to_period_ends
from rollwright.campaign.audit.early_values import measure_use
from rollwright.market.demo import simulate_market
from rollwright.market.demo_reports import simulate_reports
from rollwright.market.source import Vintages

DAY = np.timedelta64(86_400, "s")


@pytest.fixture(scope="module")
def market():
    """The sessions of a synthetic market, its closes, and all that became known of its profits."""
    made = simulate_market(instruments=30, sessions=700, seed=11, planted_ic=0.0)
    reports = simulate_reports(made.sessions, made.listed, seed=11)
    parts = [reports[place]["profit_q"] for place in range(30)]
    days = made.sessions.to_numpy().astype("datetime64[s]")
    vintages = Vintages(
        offsets=np.concatenate([[0], np.cumsum([len(part.day) for part in parts])]),
        period=np.concatenate([part.period for part in parts]).astype(np.int32),
        known_at=np.concatenate([part.day for part in parts]).astype("datetime64[s]"),
        value=np.concatenate([part.value for part in parts]),
    )
    return days, made.fields["close"], vintages


def column_of(market, day_of, *, value_of=lambda period, value: value, unit=1.0):
    """A column that shows each value from the day on that ``day_of(period, known_at)`` names, stored as float32."""
    days, _, vintages = market
    column = np.full((len(days), len(vintages.offsets) - 1), np.nan)
    for place in range(column.shape[1]):
        rows = slice(vintages.offsets[place], vintages.offsets[place + 1])
        period, value = vintages.period[rows], vintages.value[rows]
        at = day_of(period, vintages.known_at[rows])
        shown = value_of(period, value)
        for row in np.argsort(at, kind="stable").tolist():
            column[np.searchsorted(days, at[row]) :, place] = unit * shown[row]
    return column.astype(np.float32)


def announced(_period, known_at):
    return known_at


def period_end(period, _known_at):
    return to_period_ends(period, "q").astype("datetime64[s]")


def last_version(period, value):
    last = dict(zip(period.tolist(), value.tolist(), strict=True))
    return np.array([last[one] for one in period.tolist()])


@pytest.mark.parametrize("unit", [1.0, 100.0, -1.0, 1e-8])
@pytest.mark.parametrize("late", [0, 1, 20])
def test_an_honest_column_shows_values_and_none_of_them_early(market, unit, late):
    use = measure_use(column_of(market, lambda _, at: at + late * DAY, unit=unit), market[0], market[2], "q")
    assert use is not None
    assert use.unit == pytest.approx(unit, rel=1e-6)
    assert (use.early, use.is_early) == ((), False)
    assert use.checked > 250


@pytest.mark.parametrize("unit", [1.0, 1e-4])
def test_the_end_of_the_period_taken_for_the_announcement_is_found_with_every_value(market, unit):
    days, _, vintages = market
    use = measure_use(column_of(market, period_end, unit=unit), days, vintages, "q")
    assert use.is_early
    assert use.by_chance == 0
    assert len(use.early) > 0.8 * use.checked
    for one in use.early:
        rows = slice(vintages.offsets[one.instrument], vintages.offsets[one.instrument + 1])
        mine = (vintages.period[rows] == one.period) & (vintages.value[rows] == one.value)
        assert vintages.known_at[rows][mine].tolist() == [one.known_at]
        assert days[one.session] < one.known_at
        # the first session at or after the end of the period
        end = to_period_ends(one.period, "q").astype("datetime64[s]")
        assert one.session == max(np.searchsorted(days, end), np.searchsorted(days, one.known_at) - 270)


def test_the_last_version_in_place_of_the_first_is_found_at_each_restatement(market):
    days, _, vintages = market
    use = measure_use(column_of(market, announced, value_of=last_version), days, vintages, "q")
    assert use.is_early
    restated = 0
    for place in range(30):
        period = vintages.period[vintages.offsets[place] : vintages.offsets[place + 1]].tolist()
        restated += len(period) - len(set(period))
    assert 0.5 * restated < len(use.early) <= restated


def test_a_fixed_delay_is_found_where_it_is_too_short_alone(market):
    days, _, vintages = market
    use = measure_use(column_of(market, lambda period, _: period_end(period, _) + 45 * DAY), days, vintages, "q")
    assert use.is_early
    for one in use.early:
        assert one.known_at - to_period_ends(one.period, "q") > 45 * DAY


@pytest.mark.parametrize("days_later", [0, 30, 45, 60])
@pytest.mark.parametrize("told", [30, 15, 4])
def test_a_table_of_some_instruments_is_compared_with_their_reports_alone(market, days_later, told):
    days, _, vintages = market
    column = column_of(market, lambda period, _: period_end(period, _) + days_later * DAY)
    column[:, told:] = np.nan
    use = measure_use(column, days, vintages, "q")
    assert use is not None
    assert use.is_early
    assert {one.instrument for one in use.early} <= set(range(told))


@pytest.mark.parametrize("kind", ["prices", "noise", "constant", "empty", "ones and zeros"])
def test_a_column_of_something_else_shows_no_field(market, kind):
    days, close, vintages = market
    rng = np.random.default_rng(3)
    column = {
        "prices": close,
        "noise": rng.normal(size=close.shape),
        "constant": np.full(close.shape, 7.0),
        "empty": np.full(close.shape, np.nan),
        "ones and zeros": rng.integers(0, 2, close.shape).astype(float),
    }[kind]
    use = measure_use(column, days, vintages, "q")
    assert use is None or not use.is_early


def test_equal_small_numbers_are_chance_and_no_violation():
    days = pd.bdate_range("2015-01-01", periods=500).to_numpy().astype("datetime64[s]")
    rng = np.random.default_rng(5)
    rows = [
        (place, 201501 + quarter % 4 + 100 * (quarter // 4), days[60 + 62 * quarter], float(rng.integers(1, 5)))
        for place in range(40)
        for quarter in range(6)
    ]
    owner, period, known_at, value = (np.array(part) for part in zip(*rows, strict=True))
    vintages = Vintages(
        offsets=np.searchsorted(owner, np.arange(41)), period=period.astype(np.int32),
        known_at=known_at.astype("datetime64[s]"), value=value,
    )  # fmt: skip
    grades = np.repeat(rng.integers(1, 5, (10, 40)), 50, axis=0).astype(float)  # of something else, from 1 to 4 as well
    use = measure_use(grades, days, vintages, "q")
    assert use is None or not use.is_early


def test_a_value_that_was_known_of_another_period_is_not_early(market):
    days = market[0]
    vintages = Vintages(
        offsets=np.array([0, 5]), period=np.array([201501, 201502, 201503, 201504, 201601], np.int32),
        known_at=days[[100, 160, 220, 300, 360]], value=np.array([1.5, 2.5, 3.5, 1.5, 4.5]),
    )  # fmt: skip
    column = np.full((len(days), 1), np.nan)
    for at, value in zip([100, 160, 220, 300, 360], vintages.value.tolist(), strict=True):
        column[at:, 0] = value
    column[250:300, 0] = 1.5  # which 201501 was
    use = measure_use(column, days, vintages, "q")
    assert use.early == ()
    assert use.checked == 3  # not the repeated one, and not the first, before which the column has nothing
