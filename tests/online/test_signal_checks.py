"""Checks before publishing: sound signals raise nothing, each planted fault is caught by the check that is for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import ConfigError, LedgerError
from rollwright.online.checks.bounds import CheckBounds, build_checks
from rollwright.online.checks.check import CheckContext, CheckResult, list_violations, run_checks

NAMES = [f"STOCK{number:03d}" for number in range(120)]


def make_signals(sessions=60, seed=7):
    """Return signals whose scores keep half of their rank from one session to the next, the first one first."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=len(NAMES))
    signals = []
    for _ in range(sessions):
        state = 0.85 * state + np.sqrt(1 - 0.85**2) * rng.normal(size=len(NAMES))
        signals.append(pd.Series(0.001 * state + rng.normal(0, 3e-4), index=NAMES, name="score"))
    return signals


def context(signal, history=(), **changes):
    """Return the context of a signal that follows `history`, the first one first."""
    latest_first = tuple(reversed(history))[:20]
    given = CheckContext(
        session="2024-05-17",
        signal=signal,
        previous=latest_first[0] if latest_first else None,
        history=latest_first,
        members=tuple(NAMES),
        generation_session="2024-05-17",
    )
    return replace(given, **changes)


def find_violated(given, **bounds):
    results = run_checks(build_checks(CheckBounds(**bounds)), given)
    return {result.name for result in results if result.violated}


def test_sixty_sound_signals_raise_nothing():
    signals = make_signals()
    for number, signal in enumerate(signals):
        assert find_violated(context(signal, signals[:number])) == set()


def swap_top(signal):
    return -signal


def multiply(signal):
    return 100 * signal


def shift(signal):
    return signal + 1


def lose_half(signal):
    return signal.iloc[:60]


def forget_names(signal):
    return signal.set_axis([f"{name}.SH" for name in signal.index])


def make_constant(signal):
    return signal * 0 + 0.1


def make_nan(signal):
    return signal.where(signal.index != "STOCK003")


def make_infinite(signal):
    return signal.where(signal.index != "STOCK003", np.inf)


def make_extreme(signal):
    return signal.where(signal.index != "STOCK003", 5.0)


@pytest.mark.parametrize(
    ("plant", "caught"),
    [
        (swap_top, "turnover"),
        (multiply, "spread_ratio"),
        (lambda signal: signal / 100, "spread_ratio"),
        (shift, "level_shift"),
        (lose_half, "missing_names"),
        (forget_names, "unseen_names"),
        (forget_names, "missing_names"),
        (make_constant, "equal_scores"),
        (make_nan, "not_finite"),
        (make_infinite, "not_finite"),
        (make_extreme, "score_mass"),
        (lambda signal: signal.iloc[:0], "not_finite"),
        (lambda signal: signal.iloc[:0], "equal_scores"),
    ],
)
def test_a_planted_fault_is_caught_by_its_check(plant, caught):
    *history, last = make_signals()
    assert caught in find_violated(context(plant(last), history))


def test_scores_of_the_session_before_are_caught():
    history = make_signals()
    assert find_violated(context(history[-1], history)) == {"repeated_scores"}


def test_data_that_end_before_the_session_are_caught():
    (only,) = make_signals(1)
    late = context(only, generation_session="2024-05-16")
    assert find_violated(late) == {"stale_data"}
    assert find_violated(late, stale_data=1.0) == set()
    (line,) = list_violations(run_checks(build_checks(CheckBounds()), late))
    assert line == "stale_data 1 > 0: the data end with 2024-05-16, and the session is 2024-05-17"


def test_the_turnover_of_a_few_names_is_not_judged_unless_asked_for():
    (only,) = make_signals(1)
    few = context(-only.iloc[:40], [only.iloc[:40]], members=tuple(NAMES[:40]))
    assert find_violated(few) == set()
    assert find_violated(few, topk=8) == {"turnover"}


def test_a_check_whose_bound_is_none_is_left_out():
    off = {name: None for name in CheckBounds.__dataclass_fields__ if name != "topk"}
    assert build_checks(CheckBounds(**off)) == ()
    assert [check.name for check in build_checks(CheckBounds(**{**off, "turnover": 0.5}))] == ["turnover"]


def test_the_value_stands_beside_its_bound_and_a_first_signal_is_not_compared():
    signals = make_signals(2)
    first = {result.name: result for result in run_checks(build_checks(CheckBounds()), context(signals[0]))}
    assert first["turnover"].value is None
    assert not first["turnover"].violated
    second = {
        result.name: result for result in run_checks(build_checks(CheckBounds()), context(signals[1], signals[:1]))
    }
    assert 0 < second["turnover"].value < second["turnover"].bound == 0.9
    assert "of the top 24 names" in second["turnover"].text


@pytest.mark.parametrize("ascending", [True, False])
def test_the_order_of_the_rows_changes_nothing(ascending):
    *history, last = make_signals(8)
    tied = last.round(3)
    results = run_checks(build_checks(CheckBounds()), context(tied, history))
    assert results == run_checks(build_checks(CheckBounds()), context(tied.sort_values(ascending=ascending), history))


def test_checks_change_nothing_of_what_they_are_given():
    *history, last = make_signals(8)
    given = context(make_nan(last), history)
    before = given.signal.copy(), [signal.copy() for signal in given.history]
    run_checks(build_checks(CheckBounds()), given)
    pd.testing.assert_series_equal(given.signal, before[0])
    for signal, kept in zip(given.history, before[1], strict=True):
        pd.testing.assert_series_equal(signal, kept)


def test_names_that_steer_a_terminal_are_escaped():
    (only,) = make_signals(1)
    renamed = only.rename({"STOCK000": "\x1b[2JEVIL"})
    results = run_checks(build_checks(CheckBounds()), context(renamed, [only]))
    texts = "".join(result.text for result in results)
    assert "EVIL" in texts
    assert "\x1b" not in texts


def test_results_are_stored_as_json_whatever_the_figure():
    *history, last = make_signals(8)
    for result in run_checks(build_checks(CheckBounds()), context(make_constant(last), history)):
        assert CheckResult.from_json(result.to_json()) == result
        assert result.value is None or np.isfinite(result.value)
    for changed in ({**result.to_json(), "value": "1"}, {**result.to_json(), "violated": 1}, {"name": "x"}, None):
        with pytest.raises(LedgerError):
            CheckResult.from_json(changed)


@pytest.mark.parametrize("bounds", [{"turnover": -0.1}, {"level_shift": float("nan")}, {"topk": 0}])
def test_a_bound_that_is_none_is_refused(bounds):
    with pytest.raises(ConfigError, match=next(iter(bounds))):
        CheckBounds(**bounds)
