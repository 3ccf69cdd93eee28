"""A plugin of pytest: names the dearest tests of a run, and fails a run in which a fast one is far too dear.

What counts is CPU time, of the worker process and of the processes that it waited for: a busy machine makes a run
longer, hardly dearer. Setting up what several tests share is told apart, since whoever comes first pays for all.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest

NAMED = 20
FAILS = 3.0
"""How many times the limit fails a run: one machine takes twice the CPU time of another for the same."""
WORTH_TELLING = 60.0
"""CPU seconds of a run whose dearest tests are named."""
_SECONDS, _SHARED, _FAST = "cpu_seconds", "cpu_seconds_shared", "fast"
_PHASE = pytest.StashKey[float]()
_SETTING_UP = pytest.StashKey[list[float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the project's file set the limit."""
    parser.addini("cpu_limit", "CPU seconds that a test which is neither `slow` nor `crash` may take", default="10")


def pytest_configure(config: pytest.Config) -> None:
    """Gather where the run is told of: in the process that the workers of pytest-xdist report to."""
    config.stash[_SETTING_UP] = []
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(CpuCosts(float(config.getini("cpu_limit"))), "cpu_costs_of_the_run")


def _spent() -> float:
    return sum(os.times()[:4])  # of this process and of those it waited for


def _measured(item: pytest.Item) -> Generator[None, Any, Any]:
    before = _spent()
    item.config.stash[_SETTING_UP].clear()
    try:
        return (yield)
    finally:
        item.stash[_PHASE] = _spent() - before


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure it."""
    return (yield from _measured(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure it."""
    return (yield from _measured(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure it."""
    return (yield from _measured(item))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Generator[None]:
    """Measure what is made for more than one test; what it asks for itself is part of it."""
    shared, before = request.config.stash[_SETTING_UP], _spent()
    already = len(shared)
    try:
        return (yield)
    finally:
        if fixturedef.scope != "function":
            shared[already:] = [_spent() - before]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write into each report what its phase took."""
    report = yield
    fast = item.get_closest_marker("slow") is None and item.get_closest_marker("crash") is None
    took = {_SECONDS: item.stash.get(_PHASE, 0.0), _SHARED: sum(item.config.stash[_SETTING_UP]), _FAST: fast}
    report.user_properties.extend(took.items())
    return report


@dataclass(slots=True, kw_only=True)
class Cost:
    """CPU seconds of one test: its own, and those of what it set up for others too."""

    own: float = 0.0
    shared: float = 0.0
    fast: bool = True


class CpuCosts:
    """What the tests of a run cost.

    Parameters
    ----------
    limit : float
        CPU seconds a fast test may take for itself.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._costs: defaultdict[str, Cost] = defaultdict(Cost)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a phase of a test."""
        told: dict[str, Any] = dict(report.user_properties)
        if _SECONDS in told:
            cost = self._costs[report.nodeid]
            cost.own += told[_SECONDS] - told[_SHARED]
            cost.shared += told[_SHARED]
            cost.fast = told[_FAST]

    def _too_dear(self, times: float = 1.0) -> dict[str, Cost]:
        return {name: cost for name, cost in self._costs.items() if cost.fast and cost.own > self._limit * times}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that passed, when a fast test was far too dear."""
        if session.exitstatus == pytest.ExitCode.OK and self._too_dear(FAILS):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Name the dearest."""
        own, shared = (sum(getattr(cost, part) for cost in self._costs.values()) for part in ("own", "shared"))
        if own + shared > WORTH_TELLING:
            terminalreporter.section(f"dearest of {own + shared:.0f} CPU seconds, {shared:.0f} of them for fixtures")
            by_cost = sorted(self._costs.items(), key=lambda found: found[1].own + found[1].shared, reverse=True)
            for name, cost in by_cost[:NAMED]:
                terminalreporter.line(f"{cost.own:6.2f} {cost.shared:+6.2f} {name}")
        for name, cost in self._too_dear().items():
            terminalreporter.line(
                f"too dear: {name} took {cost.own:.1f} CPU seconds and a fast test may take {self._limit:g}; "
                "make it cheaper, or mark it `slow` and keep a small form of it",
                red=True,
            )
