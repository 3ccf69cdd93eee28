"""The page about watching says what is measured, and that is within what the settings promise."""

import pytest

import watch_calibration


@pytest.mark.slow
def test_the_page_says_what_is_measured():
    page = watch_calibration.PAGE.read_text(encoding="utf-8")
    assert watch_calibration.measured_part(page) == watch_calibration.make_tables()


@pytest.mark.slow
@pytest.mark.parametrize("horizon", watch_calibration.HORIZONS)
def test_the_rate_of_false_alarms_is_what_was_asked_for(horizon):
    assert watch_calibration.count_false_alarms(horizon=horizon) <= watch_calibration.RATE
