"""Operators of one's own: classes of Python that compute one instrument's series, with pandas.

A class derives from `rollwright.expression.ops.ExpressionOps`, mostly through `ElemOperator`, `PairOperator`, `Rolling`
or `PairRolling`, and defines ``_load_internal``. How the engine computes a call of it:

1. An object is made from the call's arguments; in place of the expressions it gets stand-ins (`_Given`).
2. For each instrument the stand-ins are given their series, from its first row on, and ``_load_internal`` is called.
3. What it returns is checked: a series of numbers on those rows, or an array of as many.
4. Where later sessions are not allowed it is called a second time, for one instrument, without its last rows: a value
   that changes read rows after its own, and the call is refused.

It always sees the whole past, so that no value depends on where a query begins.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import ConfigError, DataError, LookAheadError, RollwrightError
from rollwright.expression.block import Block, Values
from rollwright.expression.operators.loaded_code import digest_of_code
from rollwright.expression.operators.registry import Operator, Parameter
from rollwright.expression.ops import Expression, ExpressionOps
from rollwright.expression.term import UNBOUNDED, Argument, Term

__all__ = ["operator_of_class"]

_FEWEST_ROWS: Final = 12
"""Rows of an instrument from which on it is worth looking whether an operator reads ahead."""


class _Given(Expression):
    """Stands in for an expression: its series of the instrument that is being computed."""

    def __init__(self, term: Term) -> None:
        self._term = term
        self.series: pd.Series[Any] = pd.Series(dtype=np.float32)
        self.instrument: str | None = None

    def __str__(self) -> str:
        return self._term.text

    def _load_internal(self, instrument: str, start_index: int, end_index: int, *args: Any) -> pd.Series[Any]:  # noqa: ARG002 - Qlib's signature; the series is there already
        if instrument != self.instrument:
            raise DataError(
                f"an operator of your own was given `{self}` of {self.instrument} and asks for {instrument}",
                hint=f"give it `ChangeInstrument('{instrument}',{self})` as an argument in the expression",
            )
        return self.series.copy()

    def get_extended_window_size(self) -> tuple[int, int]:
        return 0, 0


def operator_of_class(cls: type[ExpressionOps]) -> Operator:
    """Return the operator that calls `cls` in expressions.

    Raises
    ------
    ConfigError
        When its constructor has arguments that no expression can give.
    """
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"`{cls.__qualname__}` cannot be an operator: {error}") from error
    odd = [one.name for one in parameters if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if odd or not parameters:
        raise ConfigError(
            f"the constructor of `{cls.__qualname__}` takes {', '.join(f'*{name}' for name in odd) or 'no argument'}",
            hint="an operator names each argument: def __init__(self, feature, N)",
        )
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise ConfigError(f"`{cls.__qualname__}` does not define {missing}", hint="derive it from ElemOperator")

    def make(arguments: Sequence[Argument]) -> tuple[ExpressionOps, list[_Given]]:
        given = [_Given(one) if isinstance(one, Term) else one for one in arguments]
        return cls(*given), [one for one in given if isinstance(one, _Given)]

    def check(arguments: tuple[Argument, ...]) -> None:
        try:
            ahead = make(arguments)[0].get_extended_window_size()[1]
        except Exception as error:
            raise ValueError(_complaint(error)) from error
        if not 0 <= ahead < UNBOUNDED:
            raise ValueError(f"get_extended_window_size says that it reads {ahead} rows ahead")

    def reach(arguments: tuple[Argument, ...]) -> tuple[int, int]:
        return UNBOUNDED, int(make(arguments)[0].get_extended_window_size()[1])

    def compute(block: Block, term: Term) -> Values:
        return _compute(block, term, *make(term.arguments))

    anything: tuple[Parameter, ...] = ("any",)
    return Operator(
        name=cls.__name__,
        signature=anything * len(parameters),
        names=tuple(one.name for one in parameters),
        optional=sum(one.default is not one.empty for one in parameters),
        compute=compute,
        reach=reach,
        check=check,
        makes_values=True,
        code=digest_of_code(cls),
    )


def _compute(block: Block, term: Term, made: ExpressionOps, given: Sequence[_Given]) -> Values:
    inputs = [(one, *_dated(block, source)) for one, source in zip(given, term.inputs, strict=True)]
    before, after = block.margin(term)
    first = block.start - before
    values = np.full((block.length(term), block.columns), np.nan)
    is_single, is_checked = True, block.allows_lookahead
    for column, code in enumerate(block.instruments):
        for one, sessions, table in inputs:
            low, high = np.clip(block.rows.of(one._term)[column] - sessions, 0, len(table)).tolist()  # noqa: SLF001
            one.instrument = code
            one.series = pd.Series(table[low:high, column], index=pd.RangeIndex(sessions + low, sessions + high))
        if not any(len(one.series) for one in given):
            continue
        span = (max(first, 0), block.stop + after - 1)
        series = _call(term, made, given, code, span, block.freq)
        _put(values[:, column], series, first)
        is_single &= series.dtype in (np.float32, np.bool_)
        if not is_checked and len(series) >= _FEWEST_ROWS:
            _refuse_lookahead(term, made, given, series, code, span, block.freq)
            is_checked = True
    return values.astype(np.float32) if is_single else values


def _dated(block: Block, source: Term) -> tuple[int, NDArray[Any]]:
    """Return the calendar position of the first row of an input, and its values."""
    return block.start - block.margin(source).before, block.values(source)


def _call(
    term: Term, made: ExpressionOps, given: Sequence[_Given], code: str, span: tuple[int, int], freq: str
) -> pd.Series[Any]:
    """Return what the operator computes for one instrument, when it is a series of numbers on the rows it was given."""
    try:
        found: Any = made.load(code, *span, freq)
    except RollwrightError:
        raise
    except Exception as error:
        raise DataError(f"the operator of `{term}` failed on {code}: {_complaint(error)}") from error
    rows = _rows(given)
    if isinstance(found, np.ndarray) and found.shape == (len(rows),):
        found = pd.Series(found, index=rows)
    if not isinstance(found, pd.Series):
        shape = f" of shape {found.shape}" if hasattr(found, "shape") else ""
        raise DataError(
            f"the operator of `{term}` returned {type(found).__name__}{shape} for {code}, not a series of {len(rows)} "
            "rows",
            hint="return a pandas Series with the index that `load` gave, or an array of as many values",
        )
    if not pd.api.types.is_numeric_dtype(found.dtype) or pd.api.types.is_complex_dtype(found.dtype):
        raise DataError(f"the operator of `{term}` returned values of type {found.dtype} for {code}, not numbers")
    if not found.index.is_unique or not found.index.isin(rows).all():
        odd = found.index[found.index.duplicated() | ~found.index.isin(rows)][0]
        raise DataError(
            f"the operator of `{term}` returned a row {odd!r} for {code} that it was not given, or gave twice",
            hint="keep the index of the series that `load` gives: it is the place in the calendar",
        )
    return found


def _rows(given: Sequence[_Given]) -> pd.Index[Any]:
    """Return the rows of all that the operator was given."""
    index: pd.Index[Any] = given[0].series.index
    for one in given[1:]:
        index = index.union(one.series.index)
    return index


def _put(values: NDArray[np.float64], series: pd.Series[Any], first: int) -> None:
    cells = series.to_numpy(np.float64, na_value=np.nan)
    places = series.index.to_numpy() - first
    inside = (places >= 0) & (places < len(values))
    values[places[inside]] = cells[inside]


def _refuse_lookahead(
    term: Term,
    made: ExpressionOps,
    given: Sequence[_Given],
    whole: pd.Series[Any],
    code: str,
    span: tuple[int, int],
    freq: str,
) -> None:
    """Refuse an operator whose values change when the last rows are not there."""
    index = whole.index
    cut = int(index[len(index) * 2 // 3])
    for one in given:
        one.series = one.series[one.series.index < cut]
    try:
        part = _call(term, made, given, code, (span[0], cut - 1), freq)
    except DataError:
        return  # it needs more rows: nothing can be said
    stood = whole[whole.index < cut - term.ahead].astype(np.float64)
    again = part.reindex(stood.index).astype(np.float64)
    same = np.isclose(stood, again, rtol=1e-9, atol=1e-12, equal_nan=True)
    if not same.all():
        raise LookAheadError(
            f"`{term}` reads sessions after its own: for {code} its value at row {stood.index[int(np.argmin(same))]} "
            f"changes when the rows from {cut} on are left out",
            hint="use rolling or expanding windows; what is meant to look ahead says so in get_extended_window_size, "
            "and belongs into labels",
        )


def _complaint(error: BaseException) -> str:
    """Return what failed, and the line of the user's code where."""
    own = Path(__file__).parents[2]
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not Path(frame.filename).is_relative_to(own)
    ]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
