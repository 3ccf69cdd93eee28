"""The errors: one root, texts that help, and attributes for programs."""

from __future__ import annotations

import copy
import inspect

import pytest

from rollwright import errors
from rollwright.errors import (
    CorruptFileError,
    CoverageError,
    ExpressionError,
    LeaseLostError,
    RollwrightError,
    SegmentError,
    TaskFailedError,
    TaskNotFoundError,
    UnknownFieldError,
    UnknownSettingError,
    nearest,
)

CLASSES = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, RollwrightError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_documented_listed_and_has_an_exit_code(cls):
    assert cls.__doc__
    assert cls.__name__ in errors.__all__
    assert cls.exit_code in (1, 2, 3, 4)
    assert cls.__name__.endswith("Error")


@pytest.mark.parametrize("cls", [item for item in CLASSES if item.__init__ is RollwrightError.__init__])
def test_plain_errors_read_the_same_whatever_else_they_are(cls):
    assert str(cls("what happened")) == "what happened"
    assert str(cls("what happened", hint="do this")) == "what happened\nhint: do this"
    assert cls("what happened", hint="do this").message == "what happened"


def test_a_key_error_of_ours_is_not_quoted():
    assert str(TaskNotFoundError("no task 7")) == "no task 7"
    assert isinstance(UnknownFieldError("x"), KeyError)


@pytest.mark.parametrize(
    ("name", "found"),
    [("Regoin", "region"), ("region", "region"), ("zzz", None), ("", None), ("KERNEL", "kernels")],
)
def test_the_nearest_name_ignores_case(name, found):
    assert nearest(name, ["region", "kernels", "provider_uri"]) == found


def test_nothing_is_near_when_there_is_nothing():
    assert nearest("x", []) is None


def test_an_unknown_name_without_a_near_one_lists_them_all():
    error = UnknownSettingError("zzz", ["b", "a", "a"])
    assert error.hint == "known names: a, b"


def test_errors_carry_their_values():
    segment = SegmentError(start=1, end=0, reason="it ends before it starts")
    assert (segment.start, segment.end, segment.reason) == (1, 0, "it ends before it starts")
    lease = LeaseLostError("t", token=3, current=4, state="running")
    assert (lease.task_id, lease.token, lease.current) == ("t", 3, 4)
    assert "current 4, state running" in str(lease)
    assert "no longer exists" in str(LeaseLostError("t", token=3, current=None))
    assert CorruptFileError("a/b", "short").path.name == "b"


@pytest.mark.parametrize("position", [0, 5, 80, 199])
def test_an_expression_error_points_at_the_character(position):
    expression = "".join(chr(ord("a") + place % 26) for place in range(200))
    error = ExpressionError(expression, position, "no such operator")
    _, excerpt, arrow = str(error).splitlines()
    assert excerpt[arrow.index("^")] == expression[position]
    assert len(excerpt) < 130


def test_an_expression_error_at_the_very_end_has_an_arrow_too():
    assert str(ExpressionError("$close +", 8, "an operand is missing")).endswith("        ^")


def test_long_lists_are_cut_in_the_text_and_whole_in_the_attribute():
    coverage = CoverageError("holes", problems=[f"day {n}" for n in range(30)])
    assert len(coverage.problems) == 30
    assert "… and 10 more" in str(coverage)
    failed = TaskFailedError([(f"t{n}", f"boom {chr(97 + n)}") for n in range(21)])
    assert len(failed.failures) == 21
    assert "21 tasks failed" in str(failed)
    assert "… and 1 more" in str(failed)
    assert str(TaskFailedError([("t", "boom")])).startswith("1 task failed")


SAMPLES = [
    UnknownSettingError("a", ["b"]),
    SegmentError(start=1, end=0, reason="r"),
    LeaseLostError("t", token=3, current=4),
    ExpressionError("$x", 1, "r"),
    CoverageError("m", problems=["p"], hint="h"),
    TaskFailedError([("t", "e")]),
    TaskNotFoundError("m", hint="h"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_crosses_a_process_boundary_whole(error):
    """A copy is made by the protocol that carries exceptions between processes; one that fails there hangs a pool."""
    back = copy.copy(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)
    assert getattr(back, "name", None) == getattr(error, "name", None)
