"""Operators that read their own session only: arithmetic, comparison, logic and choice.

Arithmetic keeps the width of its inputs: fields are float32, what windows give is float64, and a constant takes the
width of the other side. Nothing is fused or reordered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.block import Block, Values
from rollwright.expression.operators.loaded_code import digest_of_code
from rollwright.expression.operators.registry import Compute, Operator, Parameter
from rollwright.expression.term import Term

__all__ = ["ELEMENTWISE", "elementwise"]


def elementwise(name: str, function: Callable[..., NDArray[Any]], *, inputs: int = 1) -> Operator:
    """Return an operator that applies `function` to arrays of equal shape.

    Parameters
    ----------
    name : str
    function : callable
        Takes `inputs` arrays (or numbers, where the expression has constants) and returns one array. Its value at a
        place may depend on the inputs at that place only.
    inputs : int
    """
    return Operator(
        name=name,
        signature=_series(inputs),
        compute=_on_numbers(function),
        makes_values=True,
        code=digest_of_code(function),
    )


def _series(inputs: int) -> tuple[Parameter, ...]:
    one: tuple[Parameter, ...] = ("series",)
    return one * inputs


def _on_numbers(function: Callable[..., Any]) -> Compute:
    def compute(block: Block, term: Term) -> Values:
        return _fill(block, term, function(*[block.numbers(source, term) for source in term.inputs]))

    return compute


def _fill(block: Block, term: Term, values: Any) -> Values:
    """Return `values` as an array: calls on constants give a single value."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return values
    kind = np.bool_ if isinstance(values, bool | np.bool_) else np.float64
    return np.full((block.length(term), block.columns), values, kind)


def _comparison(name: str, function: Callable[..., Any]) -> Operator:
    return Operator(name=name, signature=("series", "series"), compute=_on_numbers(function), is_logical=True)


def _to_truth(values: Any) -> Any:
    """Return what is true: neither zero nor missing."""
    if isinstance(values, np.ndarray):
        return values if values.dtype == np.bool_ else (values != 0) & ~np.isnan(values)
    return bool(values)


def _logic(name: str, function: Callable[..., Any], inputs: int) -> Operator:
    def compute(block: Block, term: Term) -> Values:
        truths = [_to_truth(block.read(source, term)) for source in term.inputs]
        if inputs == 1 or block.rows.are_equal:
            return _fill(block, term, function(*truths))
        # as in Qlib: a side is false where it has no row, and nothing is true where the left one has none
        inside = [block.in_series_on(source, term) for source in term.inputs]
        truth: Values = function(*(truth & rows for truth, rows in zip(truths, inside, strict=True)))
        return truth & inside[0]

    return Operator(name=name, signature=_series(inputs), compute=compute, is_logical=True)


def _sign(values: Any) -> Any:
    return np.sign(np.asarray(values, dtype=np.float32))


def _choose(block: Block, term: Term) -> Values:
    condition, left, right = term.inputs
    chosen = block.read(condition, term)
    # a float condition is true when missing, as in NumPy: only comparisons turn "no value" into false
    values = np.where(np.asarray(chosen).astype(np.bool_), block.numbers(left, term), block.numbers(right, term))
    return _fill(block, term, values.astype(np.float64) if values.dtype.kind in "iu" else values)


def _arithmetic(name: str, function: Callable[..., Any], *, inputs: int = 2, makes_values: bool = False) -> Operator:
    return Operator(name=name, signature=_series(inputs), compute=_on_numbers(function), makes_values=makes_values)


def _add(block: Block, term: Term) -> Values:
    left, right = (block.read(source, term) for source in term.inputs)
    if not all(isinstance(side, np.ndarray) and side.dtype == np.bool_ for side in (left, right)):
        return _on_numbers(np.add)(block, term)
    either: Values = left | right  # as in Qlib, and NumPy, the sum of two conditions is a condition
    if block.rows.are_equal:
        return either
    one, two = (block.in_series_on(source, term) for source in term.inputs)
    return np.where(one & two, either, np.float32(np.nan))


ELEMENTWISE: Final = (
    Operator(name="Add", signature=_series(2), compute=_add),
    _arithmetic("Sub", np.subtract),
    _arithmetic("Mul", np.multiply),
    _arithmetic("Div", np.divide),
    _arithmetic("Power", np.power, makes_values=True),
    _arithmetic("Greater", np.maximum),
    _arithmetic("Less", np.minimum),
    _arithmetic("Abs", np.abs, inputs=1),
    _arithmetic("Log", np.log, inputs=1),
    _arithmetic("Sign", _sign, inputs=1),
    _comparison("Gt", np.greater),
    _comparison("Ge", np.greater_equal),
    _comparison("Lt", np.less),
    _comparison("Le", np.less_equal),
    _comparison("Eq", np.equal),
    _comparison("Ne", np.not_equal),
    _logic("And", np.logical_and, 2),
    _logic("Or", np.logical_or, 2),
    _logic("Not", np.logical_not, 1),
    Operator(
        name="If", signature=("series", "series", "series"), compute=_choose, makes_values=True, has_first_rows=True
    ),
)
