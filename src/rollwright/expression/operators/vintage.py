"""Operators over data by period: ``P`` and ``PRef``, and those that know what a flow and a fiscal year are.

Within ``P`` values follow one another by periods, all as they were known at one vintage. The operators here that read
several periods (``TTM``, ``SQ``, ``LYR``, ``YoY``) give NaN where one of them is missing, as windows do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from rollwright.calendar.periods import PERIODS_PER_YEAR, check_periods
from rollwright.errors import CalendarError, LookAheadError
from rollwright.expression.block import Block, Values
from rollwright.expression.operators.registry import Operator, Reach
from rollwright.expression.term import UNBOUNDED, Argument, Term, interval_of_field, walk
from rollwright.market.source import FieldKind

__all__ = ["MAX_PERIODS", "VINTAGE", "check_kind"]

MAX_PERIODS: Final = 1000
"""How many periods an expression within ``P`` may look back, unless it reads all of them."""

_Kinds: TypeAlias = Mapping[str, FieldKind]


def _refuse(_block: Block, term: Term) -> Values:
    raise AssertionError(f"{term} is computed by the engine, from vintages")


def _check_inner(arguments: tuple[Argument, ...]) -> None:
    inner = arguments[0]
    assert isinstance(inner, Term)  # noqa: S101 - the signature says so
    if inner.lookahead:
        culprit = next(term for term in walk(inner) if term.ahead > 0)
        raise LookAheadError(
            f"`{culprit}` reads {culprit.ahead} period{'s' * (culprit.ahead != 1)} ahead, of which no report is known "
            "yet, in a label either",
            hint="use a positive shift, which looks back; a label shifts what is known: Ref(P(…),-5)",
        )
    if inner.lookback and interval_of_field(inner.periods[0]) == "d":
        raise ValueError(f"`{inner}` looks back, and values that hold from a day on have no period before theirs")
    if MAX_PERIODS < inner.lookback < UNBOUNDED:
        raise ValueError(f"it looks back {inner.lookback} periods; at most {MAX_PERIODS} are read")


def _check_reference(arguments: tuple[Argument, ...]) -> None:
    _check_inner(arguments)
    inner, period = arguments
    assert isinstance(inner, Term) and isinstance(period, int)  # noqa: S101, PT018 - as above
    try:
        check_periods([period], interval_of_field(inner.periods[0]))
    except CalendarError as error:
        raise ValueError(error.message) from error


def _per_year(argument: Argument) -> int:
    assert isinstance(argument, Term)  # noqa: S101 - the signature says so
    return PERIODS_PER_YEAR[interval_of_field(argument.periods[0])]


def _look_back(periods: Callable[[int], int]) -> Reach:
    return lambda arguments: (periods(_per_year(arguments[0])), 0)


class _Periods:
    """The values of an input on the periods that a call reads, and where in their fiscal year these are."""

    def __init__(self, block: Block, term: Term) -> None:
        source = term.inputs[0]
        columns = block.periods
        assert columns is not None  # noqa: S101 - the parser lets these operators stand within P only
        self._block, self._term, self._source = block, term, source
        self._values = block.series(source)
        self.per_year = PERIODS_PER_YEAR[columns.interval]
        self._kinds = columns.kinds
        rows = np.arange(block.length(term))[:, None] - (block.length(term) - 1)
        self.part = (rows + columns.last) % self.per_year
        """How many periods of its fiscal year lie before each: ``[rows, columns]``."""

    @property
    def kind(self) -> FieldKind:
        """The kind of the input, for the operators that ask for one."""
        return _kind_of(self._source, self._kinds)

    def before(self, periods: int) -> Values:
        """Return the values so many periods before each."""
        return self._block.cut(self._values, self._block.after(self._source), self._term, shift=periods)

    def year_end(self, values: Callable[[int], Values]) -> Values:
        """Return ``values(n)``, where `n` periods before lies the end of the last fiscal year, its own included."""
        found = values(0)
        for part in range(self.per_year - 1):
            found = np.where(self.part == part, values(part + 1), found)
        return found

    def year(self, start: int) -> Values:
        """Return the sums over a year that ends `start` periods before."""
        total = self.before(start + self.per_year - 1)
        for periods in reversed(range(start, start + self.per_year - 1)):
            total = total + self.before(periods)
        return total


def _trailing_year(block: Block, term: Term) -> Values:
    periods = _Periods(block, term)
    now = periods.before(0)
    if periods.per_year == 1:
        return now
    if periods.kind.accrual == "discrete":
        return periods.year(0)
    before = periods.year_end(periods.before)
    is_whole = periods.part == periods.per_year - 1
    return np.where(is_whole, now, now + before - periods.before(periods.per_year))


def _single_period(block: Block, term: Term) -> Values:
    periods = _Periods(block, term)
    now = periods.before(0)
    if periods.kind.accrual == "discrete":
        return now
    return np.where(periods.part == 0, now, now - periods.before(1))


def _last_year(block: Block, term: Term) -> Values:
    periods = _Periods(block, term)
    if periods.per_year > 1 and periods.kind == FieldKind("flow", "discrete"):
        return periods.year_end(periods.year)
    return periods.year_end(periods.before)


def _year_on_year(block: Block, term: Term) -> Values:
    periods = _Periods(block, term)
    base = periods.before(periods.per_year)
    change: Values = (periods.before(0) - base) / np.abs(base)
    return np.where(base == 0, np.nan, change)


class _Demand(NamedTuple):
    """What an operator asks of the kind of its input."""

    meaning: str
    allows_stock: bool


_DEMANDS: Final = {
    "TTM": _Demand("the sum of twelve months", allows_stock=False),
    "SQ": _Demand("what a single period adds", allows_stock=False),
    "LYR": _Demand("the last whole fiscal year", allows_stock=True),
}


def check_kind(term: Term, kinds: _Kinds) -> None:
    """Refuse a call that its input's kind makes meaningless; any other term passes.

    Parameters
    ----------
    term : Term
    kinds : mapping of str to FieldKind
        Of every field by period that `term` reads.

    Raises
    ------
    ValueError
    """
    demand = _DEMANDS.get(term.name) if term.kind == "call" else None
    if demand is None:
        return
    kind = _kind_of(term.inputs[0], kinds)
    fields = ", ".join(f"`$${name}`" for name in term.periods)
    if kind.measure == "unknown":
        raise ValueError(f"{term.name} is {demand.meaning}, and nobody said whether {fields} is a flow or a stock")
    if kind == FieldKind("flow") and _per_year(term.inputs[0]) > 1:
        raise ValueError(
            f"{term.name} is {demand.meaning}, and nobody said whether the reports of {fields} count from the start of "
            f"the fiscal year (flow-cumulative) or of their period (flow-discrete)"
        )
    if kind.measure == "stock" and not demand.allows_stock:
        raise ValueError(f"{term.name} is {demand.meaning}, and {fields} is a stock, which has a value on a day only")


def _kind_of(term: Term, kinds: _Kinds) -> FieldKind:
    found = {kinds.get(name, FieldKind()) for name in term.periods}
    if len(found) > 1:
        listed = ", ".join(f"`$${name}` ({'/'.join(kinds.get(name, FieldKind()))})" for name in term.periods)
        raise ValueError(f"fields of different kinds are added: {listed}")
    return found.pop()


def _check_keeps_kind(arguments: tuple[Argument, ...]) -> None:
    """Refuse an input of which no kind can be told: neither a field, nor sums of fields, nor their multiples."""
    odd = next((term for term in _outer_terms(arguments[0]) if not _keeps_kind(term)), None)
    if odd is not None:
        raise ValueError(
            f"`{odd}` is neither a field by period nor sums, differences and multiples of such, so that nobody knows "
            "whether it is a flow or a stock"
        )


def _outer_terms(root: Argument) -> list[Term]:
    assert isinstance(root, Term)  # noqa: S101 - the signature says so
    return list(walk(root))[::-1]


def _keeps_kind(term: Term) -> bool:
    if term.kind in ("number", "period"):
        return True
    constants = [part.kind == "number" for part in term.inputs]
    if term.name in ("Add", "Sub"):
        return not any(constants)
    return (term.name == "Mul" and sum(constants) == 1) or (term.name == "Div" and constants == [False, True])


def _check_single(arguments: tuple[Argument, ...]) -> None:
    _check_keeps_kind(arguments)
    if _per_year(arguments[0]) == 1:
        raise ValueError(f"`{arguments[0]}` is known by years: a single quarter or month of it is not")


def _over_periods(name: str, compute: Callable[[Block, Term], Any], reach: Reach, check: Any = None) -> Operator:
    return Operator(name=name, signature=("series",), compute=compute, reach=reach, check=check, axis="periods")


VINTAGE: Final = (
    Operator(
        name="P", signature=("series",), compute=_refuse, check=_check_inner, axis="periods", collapses=True,
        makes_values=True,
    ),
    Operator(
        name="PRef", signature=("series", "period"), compute=_refuse, check=_check_reference, axis="periods",
        collapses=True, makes_values=True,
    ),
    _over_periods("TTM", _trailing_year, _look_back(lambda year: year if year > 1 else 0), _check_keeps_kind),
    _over_periods("SQ", _single_period, _look_back(lambda _year: 1), _check_single),
    _over_periods("LYR", _last_year, _look_back(lambda year: 2 * year - 2), _check_keeps_kind),
    _over_periods("YoY", _year_on_year, _look_back(lambda year: year)),
)  # fmt: skip
