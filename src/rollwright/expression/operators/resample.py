"""Operators over the calendar period that a session belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.block import Block, Values
from rollwright.expression.operators.registry import Operator
from rollwright.expression.term import UNBOUNDED, Argument, Term

__all__ = ["RESAMPLE"]

_Floats: TypeAlias = NDArray[np.float64]
_Days: TypeAlias = NDArray[Any]

_PERIODS: Final[dict[str, Callable[[_Days], NDArray[np.int64]]]] = {
    "D": lambda time: time.astype("datetime64[D]").astype(np.int64),
    "W": lambda time: (time.astype("datetime64[D]").astype(np.int64) + 3) // 7,  # 1970-01-01 was a Thursday
    "M": lambda time: time.astype("datetime64[M]").astype(np.int64),
    "Q": lambda time: time.astype("datetime64[M]").astype(np.int64) // 3,
    "Y": lambda time: time.astype("datetime64[Y]").astype(np.int64),
}
_FUNCTIONS: Final[dict[str, Callable[[_Floats, _Floats], _Floats]]] = {
    "first": lambda past, _now: past,
    "last": lambda _past, now: now,
    "max": np.maximum,
    "min": np.minimum,
    "sum": np.add,
    "mean": np.add,
    "count": np.add,
}


def _check(arguments: tuple[Argument, ...]) -> None:
    period, function = arguments[1:]
    if period not in _PERIODS:
        raise ValueError(f"period `{period}` is none of {', '.join(_PERIODS)}")
    if function not in _FUNCTIONS:
        raise ValueError(f"`{function}` is none of {', '.join(_FUNCTIONS)}")


def _resample(block: Block, term: Term) -> Values:
    source = term.inputs[0]
    period, name = (str(literal) for literal in term.literals)
    values = block.selectable(source).astype(np.float64)
    if name == "count":
        values = np.where(np.isnan(values), np.nan, 1.0)
    running, sizes = _running(values, _PERIODS[period](block.sessions(source)), _FUNCTIONS[name])
    return block.cut(running / sizes if name == "mean" else running, block.after(source), term)


def _running(
    values: _Floats, periods: NDArray[np.int64], combine: Callable[[_Floats, _Floats], _Floats]
) -> tuple[_Floats, _Floats]:
    """Return, row by row, the period's values so far combined, and how many there were."""
    running, sizes = np.full(values.shape, np.nan), np.zeros(values.shape)
    for row, now in enumerate(values):
        is_same = row > 0 and periods[row] == periods[row - 1]
        past = running[row - 1] if is_same else np.full(len(now), np.nan)
        size = sizes[row - 1] if is_same else np.zeros(len(now))
        valid = ~np.isnan(now)
        running[row] = np.where(valid, np.where(size > 0, combine(past, now), now), past)
        sizes[row] = size + valid
    return running, sizes


RESAMPLE: Final = (
    Operator(
        name="TResample",
        signature=("series", "name", "name"),
        names=("feature", "freq", "func"),
        compute=_resample,
        reach=lambda _arguments: (UNBOUNDED, 0),
        axis="sessions",
        check=_check,
    ),
)
