"""TimeInspector and the clock: durations are logged, and time has one source."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import pytest

from rollwright import TimeInspector
from rollwright.core.clock import SystemClock


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, logger="rollwright.core")
    return caplog


def test_a_block_is_timed_and_told(told):
    with TimeInspector.logt("fit", True):
        pass
    assert [record.getMessage().partition(" seconds=")[0] for record in told.records] == [
        "timing.start name=fit",
        "timing.done name=fit",
    ]
    assert {record.name for record in told.records} == {"rollwright.core"}


def test_a_block_that_fails_is_timed_too_and_fails(told):
    def fail():
        with TimeInspector.logt("fit"):
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert len(told.records) == 1


def test_a_function_is_timed_at_every_call_and_keeps_its_name(told):
    @TimeInspector.log_time("double")
    def double(x, *, times=2):
        """Double it."""
        return x * times

    assert (double(2), double(2, times=3)) == (4, 6)
    assert (double.__name__, double.__doc__) == ("double", "Double it.")
    assert len(told.records) == 2


def test_marks_nest_and_belong_to_their_thread(told):
    outer = TimeInspector.set_time_mark()
    inner = TimeInspector.set_time_mark()
    assert inner >= outer
    with ThreadPoolExecutor(1) as threads, pytest.raises(IndexError, match="no time mark is set"):
        threads.submit(TimeInspector.get_cost_time).result()
    assert 0 <= TimeInspector.get_cost_time() <= TimeInspector.log_cost_time("all")
    with pytest.raises(IndexError, match="no time mark is set"):
        TimeInspector.pop_time_mark()
    assert told.records[-1].getMessage().startswith("timing.done name=all seconds=")
    TimeInspector.set_time_mark()
    TimeInspector.log_cost_time()
    assert told.records[-1].getMessage().startswith("timing.done name=Done seconds=")


def test_the_clock_is_aware_and_its_steady_time_does_not_run_back():
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
    clock.sleep(0)
