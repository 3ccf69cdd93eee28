"""What Qlib's `P` and `PRef` compute, with a switch for each of its ways that is not ours.

With all switches off it is our meaning, so that a difference between the two can be named by the switch that makes it:

- ``P17``: a window over fewer periods, or over missing ones, is that of the periods there are;
- ``P6``: a window of 0 is over the periods that happen to be loaded, mostly the latest alone;
- ``own periods``: each field has the periods from its own first to its own latest, and none after;
- ``one period``: what is within `PRef` reads the named period alone.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

__all__ = ["SWITCHES", "model_value", "parse_inner"]

SWITCHES: Final = ("P17", "P6", "own periods", "one period")

_BINARY: Final = {
    "Add": np.add, "Sub": np.subtract, "Mult": np.multiply, "Div": np.divide, "Gt": np.greater, "LtE": np.less_equal,
}  # fmt: skip
_UNARY: Final = {"Abs": np.abs, "Sign": np.sign}
_PAIRS: Final = {"Greater": np.maximum, "Less": np.minimum}
_ROLLING: Final = {
    "Sum": "sum",
    "Mean": "mean",
    "Std": "std",
    "Var": "var",
    "Max": "max",
    "Min": "min",
    "Med": "median",
}


def parse_inner(expression: str) -> tuple[ast.expr, int | None]:
    """Return the tree within `P` or `PRef`, and the period that `PRef` names."""
    call = ast.parse(expression.replace("$$", "period__"), mode="eval").body
    assert isinstance(call, ast.Call)
    return call.args[0], ast.literal_eval(call.args[1]) if len(call.args) > 1 else None


def model_value(
    tree: ast.expr, known: Mapping[str, Mapping[int, float]], switches: frozenset[str], period: int | None
) -> float:
    """Return the value of one instrument on one session.

    Parameters
    ----------
    tree : ast.expr
    known : mapping of str to mapping of int to float
        Of each field that the tree reads the values by number of period, as they are known.
    switches : frozenset of str
    period : int, optional
        Number of the period that `PRef` names.
    """
    seen = [number for values in known.values() for number in values]
    if not seen:
        return np.nan
    model = _Model(known, switches, (min(seen), max(seen)), _reach(tree), period)
    series = model.series(tree)
    at = max(seen) if period is None else period
    return float(series.get(at, np.nan))


def _reach(tree: ast.expr) -> int:
    """Return how many periods before the latest Qlib loads."""
    parts = [_reach(part) for part in ast.iter_child_nodes(tree) if isinstance(part, ast.expr)]
    most = max(parts, default=0)
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        if tree.func.id == "Ref":
            return most + ast.literal_eval(tree.args[1])
        if tree.func.id in _ROLLING or tree.func.id == "Delta":
            return most + max(ast.literal_eval(tree.args[1]) - 1, 0)
    return most


class _Model:
    def __init__(self, known, switches, axis, reach, period) -> None:
        self._known = known
        self._on = switches
        self._axis = axis
        self._reach = reach
        self._period = period

    def series(self, tree):
        match tree:
            case ast.Name():
                return self._field(self._known[tree.id.removeprefix("period__")])
            case ast.Constant():
                return float(tree.value)
            case ast.UnaryOp():
                return -self.series(tree.operand)
            case ast.BinOp():
                return _BINARY[type(tree.op).__name__](self.series(tree.left), self.series(tree.right))
            case ast.Compare():
                return _BINARY[type(tree.ops[0]).__name__](self.series(tree.left), self.series(tree.comparators[0]))
            case ast.Call():
                return self._call(tree.func.id, tree.args)

    def _field(self, values) -> pd.Series:
        first, last = self._axis
        if "own periods" in self._on:
            if not values:
                return pd.Series(dtype=np.float64)
            first, last = min(values), max(values)
        numbers = list(range(first, last + 1))
        if self._period is not None and "one period" in self._on:
            numbers = [self._period] if self._period in numbers else []
        elif "P6" in self._on:
            numbers = numbers[max(0, len(numbers) - self._reach - 1) :]
        return pd.Series([values.get(number, np.nan) for number in numbers], index=numbers, dtype=np.float64)

    def _call(self, name, arguments):
        operands = [self.series(part) for part in arguments]
        one = operands[0]
        if name in _UNARY:
            return _UNARY[name](one)
        if name in _PAIRS:
            return _PAIRS[name](one, operands[1])
        if name == "If":
            chosen = np.where(one, operands[1], operands[2])
            return pd.Series(chosen, index=one.index, dtype=np.float64)
        if name in ("Ref", "Delta"):
            moved = one.shift(int(operands[1]))
            return moved if name == "Ref" else one - moved
        return self._window(name, one, int(operands[1]))

    def _window(self, name, series, length):
        # as in our windows and in Qlib's, an infinity is no value
        series = series.where(np.isfinite(series)) if len(series) else series
        is_short = "P17" in self._on
        if length:
            return getattr(series.rolling(length, min_periods=1 if is_short else length), _ROLLING[name])()
        values = getattr(series.expanding(min_periods=1), _ROLLING[name])()
        return values if is_short else values.where(series.notna().astype(bool).cummin())
