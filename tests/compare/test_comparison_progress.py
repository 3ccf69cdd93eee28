"""The progress of a comparison in plain lines, where nobody watches a terminal."""

from __future__ import annotations

import pytest

from comparisons import make_failure
from rollwright.cli.compare.progress import ComparisonProgress
from rollwright.compare.evaluation import RunKey
from rollwright.errors import EnvironmentFailedError


def test_what_models_do_is_told_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with ComparisonProgress() as progress:
        progress("runs", "", (RunKey("a", "D", 1), RunKey("a", "D", 2), RunKey("b", "D", 1)))
        progress("changed", "", ["times: 1 → 2"])
        progress("features", "", None)
        progress("environment", "b", EnvironmentFailedError("no versions fit"))
        progress("message", "a", {"kind": "planned", "dataset": "D", "windows": 2, "kept": 1})
        progress("message", "a", {"kind": "event", "event": "started", "window": "D/1/x"})
        progress("message", "a", {"kind": "event", "event": "retry", "window": "D/1/x", "detail": "no\x1b[2J"})
        progress("message", "a", {"kind": "died", "detail": "the process that trains it was ended by signal 9"})
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "2 models, 3 runs",
        "changed: times: 1 → 2",
        "the features are computed, once for all models",
        "a: 2 tasks on D, 1 finished before and kept",
        r"a: D/1/x retry: no\x1b[2J",
        "a: the process that trains it was ended by signal 9; it is started again",
    ]


@pytest.mark.parametrize("message", [{}, {"kind": "planned"}, {"kind": "planned", "windows": "x"}, {"kind": "event"}])
def test_a_message_that_says_nothing_ends_nothing(
    message: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ComparisonProgress()
    progress("runs", "", (RunKey("a", "D", 1),))
    said = capsys.readouterr().err
    progress("message", "a", message)
    progress("evaluated", "a", make_failure("a", cause="ValueError: no"))
    assert said == "1 model, 1 run\n"
    assert capsys.readouterr().err.endswith("failed: ValueError: no\n")


def test_a_failed_run_is_told_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ComparisonProgress()
    failure = make_failure("a", cause="ValueError: no")
    progress("runs", "", (failure.key,))
    progress("evaluated", "a", failure)
    assert f"{failure.key} failed: ValueError: no" in capsys.readouterr().err
