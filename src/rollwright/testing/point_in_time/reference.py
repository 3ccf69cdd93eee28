"""The point-in-time semantics said as plainly as they can be: loops over days and periods, and nothing kept.

For each instrument and session, `answer` looks at the rows that were known by then, takes the latest period of them as
the anchor, and computes the expression there from the values as they were known. It is slow and shares no code with
the engine, which is what it is for.
"""

from __future__ import annotations

import ast
import math
import re
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from rollwright.errors import DataError
from rollwright.testing.point_in_time.cases import Answers, PeriodCase, Question

__all__ = ["RefusedError", "answer"]

PERIODS_OF_A_YEAR: Final = {"q": 4, "a": 1, "m": 12}
FLOWS: Final = ("flow-cumulative", "flow-discrete")
CROSS_SECTIONS: Final = ("CSRank", "CSZScore", "CSDemean")
SERIES_CALLS: Final = ("TTM", "SQ", "LYR", "YoY")
MISSING: Final = math.nan

_Known: TypeAlias = Mapping[str, Mapping[int, float]]
"""For each field the values of its periods, numbered one after the other, as they are known."""
_Values: TypeAlias = list[float]


class RefusedError(DataError):
    """An expression that means nothing, or looks ahead."""


def answer(case: PeriodCase, question: Question) -> Answers:
    """Return the values of each instrument, one for each session, rounded to float32.

    Raises
    ------
    RefusedError
        For an expression that must be refused.
    """
    tree = _parse(question.expression)
    _check_outside(tree, question.kinds)
    answers = {}
    for instrument in case.instruments:
        outside = _Outside(case, instrument, question.kinds)
        answers[instrument] = [_round(outside.value(tree, place)) for place in range(len(case.sessions))]
    return answers


# -- reading the expression ------------------------------------------------------------------------------------------


def _parse(expression: str) -> ast.expr:
    """Return the syntax tree: the language is Python's, but for the marks of the fields."""
    named = re.sub(r"\$\$(\w+)", r"period__\1", expression)
    return ast.parse(re.sub(r"\$(\w+)", r"daily__\1", named), mode="eval").body


def _field(node: ast.expr) -> str | None:
    """Return the name of a field by period, None for anything else."""
    return node.id.removeprefix("period__") if isinstance(node, ast.Name) and node.id.startswith("period__") else None


def _is_daily(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id.startswith("daily__")


def _called(node: ast.expr) -> str:
    """Return the name of a called operator, nothing for anything else."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _literal(node: ast.expr) -> float:
    """Return a number that is written out, with its sign."""
    return float(ast.literal_eval(node))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and _is_number(node.operand))


def _parts(tree: ast.expr) -> list[ast.expr]:
    """Return the expression and all within it."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.expr)]


@lru_cache(maxsize=64)
def _fields(tree: ast.expr) -> tuple[str, ...]:
    return tuple(sorted({name for part in _parts(tree) if (name := _field(part))}))


# -- what is refused -------------------------------------------------------------------------------------------------


def _check_outside(tree: ast.expr, kinds: Mapping[str, str]) -> None:
    if _called(tree) in ("P", "PRef"):
        assert isinstance(tree, ast.Call)
        _check_inside(tree.args[0], kinds)
        return
    if _field(tree):
        raise RefusedError(f"`$${_field(tree)}` has a value of its own on no session", hint=f"P($${_field(tree)})")
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr):
            _check_outside(child, kinds)


def _check_inside(tree: ast.expr, kinds: Mapping[str, str]) -> None:
    if any(map(_is_daily, _parts(tree))):
        raise RefusedError("a daily field has no periods")
    fields = _fields(tree)
    for name in fields:
        if name[-2:] not in ("_q", "_a", "_m"):
            raise RefusedError(f"`$${name}` does not say whether it is by quarter, year or month")
    if len({name[-1] for name in fields}) != 1:
        raise RefusedError(f"{fields} are not of one interval")
    for part in _parts(tree):
        _check_part(part, kinds)


def _check_part(node: ast.expr, kinds: Mapping[str, str]) -> None:
    name = _called(node)
    if name in ("P", "PRef"):
        raise RefusedError("P within P")
    if name in CROSS_SECTIONS:
        raise RefusedError(f"{name} compares the instruments of a session")
    if name in ("Ref", "Delta"):
        assert isinstance(node, ast.Call)
        if _literal(node.args[1]) < 0:
            raise RefusedError("it reads periods that come later")
    if name in ("TTM", "SQ", "LYR"):
        assert isinstance(node, ast.Call)
        _check_kind(name, node.args[0], kinds)


def _check_kind(name: str, operand: ast.expr, kinds: Mapping[str, str]) -> None:
    kind, interval = _kind(operand, kinds), _fields(operand)[0][-1]
    if kind == "unknown" or (kind == "flow" and interval != "a"):
        raise RefusedError(f"what kind of field {name} reads is not known")
    if kind == "stock" and name in ("TTM", "SQ"):
        raise RefusedError(f"{name} is for flows: a stock is not added up over time")
    if name == "SQ" and interval == "a":
        raise RefusedError("a year has no single quarter that could be told from it")


def _kind(node: ast.expr, kinds: Mapping[str, str]) -> str:
    """Return the kind of a field, or of sums of fields of one kind and their multiples."""
    name = _field(node)
    if name:
        return kinds.get(name, "unknown")
    if isinstance(node, ast.UnaryOp):
        return _kind(node.operand, kinds)
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Mult | ast.Div) and _is_number(node.right):
            return _kind(node.left, kinds)
        if isinstance(node.op, ast.Mult) and _is_number(node.left):
            return _kind(node.right, kinds)
        if isinstance(node.op, ast.Add | ast.Sub) and _kind(node.left, kinds) == _kind(node.right, kinds):
            return _kind(node.left, kinds)
    raise RefusedError("neither flow nor stock, since it is no sum or multiple of fields of one kind")


# -- on the days -----------------------------------------------------------------------------------------------------


class _Outside:
    """One instrument; what the expression is on a session."""

    def __init__(self, case: PeriodCase, instrument: str, kinds: Mapping[str, str]) -> None:
        self._sessions = case.sessions
        # by day of announcement; those of one day in their own order, so that the last of them stands
        self._rows = sorted((row for row in case.rows if row.instrument == instrument), key=lambda row: row.known_at)
        self._kinds = kinds

    def value(self, tree: ast.expr, place: int) -> float:
        """Return the value on the session at `place`."""
        name = _called(tree)
        if name in ("P", "PRef"):
            assert isinstance(tree, ast.Call)
            period = int(_literal(tree.args[1])) if name == "PRef" else None
            return _round(self._by_period(tree.args[0], self._sessions[place], period))
        if name == "Ref":
            assert isinstance(tree, ast.Call)
            before = place - int(_literal(tree.args[1]))
            return self.value(tree.args[0], before) if before >= 0 else MISSING
        return _combine(tree, lambda part: self.value(part, place))

    def _by_period(self, tree: ast.expr, session: int, period: int | None) -> float:
        fields = _fields(tree)
        interval = fields[0][-1]
        # 1. What was known: of each period the value that was announced last.
        known: dict[str, dict[int, float]] = {name: {} for name in fields}
        for row in self._rows:
            if row.field in known and row.known_at <= session:
                known[row.field][_number_of(row.period, interval)] = row.value
        # 2. The periods, from the first to the latest that any of the fields has.
        seen = [number for values in known.values() for number in values]
        if not seen:
            return MISSING
        inside = _Inside(known, min(seen), max(seen), interval, self._kinds)
        # 3. The value at the latest of them, or at the one that was asked for.
        return inside.value(tree, max(seen) if period is None else _number_of(period, interval))


def _number_of(period: int, interval: str) -> int:
    """Return the number of a period, so that those that follow each other have numbers that do."""
    if interval == "a":
        return period
    return period // 100 * PERIODS_OF_A_YEAR[interval] + period % 100 - 1


# -- on the periods --------------------------------------------------------------------------------------------------


class _Inside:
    """What was known on one session; what an expression is at a period."""

    def __init__(self, known: _Known, first: int, last: int, interval: str, kinds: Mapping[str, str]) -> None:
        self._known = known
        self._first = first
        self._last = last
        self._year = PERIODS_OF_A_YEAR[interval]
        self._kinds = kinds

    def value(self, tree: ast.expr, at: int) -> float:
        """Return the value at the period of number `at`; missing where there is no such period."""
        if not self._first <= at <= self._last:
            return MISSING
        name = _called(tree)
        field = _field(tree)
        if field:
            return self._known[field].get(at, MISSING)
        if name in SERIES_CALLS:
            assert isinstance(tree, ast.Call)
            return self._by_year(name, tree.args[0], at)
        if name in ("Ref", "Delta"):
            assert isinstance(tree, ast.Call)
            shift = int(_literal(tree.args[1]))
            before = self.value(tree.args[0], at - shift if shift else self._first)
            return before if name == "Ref" else self.value(tree.args[0], at) - before
        if name in ("Count", *WINDOWS, *PAIR_WINDOWS):
            assert isinstance(tree, ast.Call)
            return self._window(name, tree, at)
        return _combine(tree, lambda part: self.value(part, at))

    def _window(self, name: str, call: ast.Call, at: int) -> float:
        """Return a figure of the last periods: of exactly so many, or of all when the window is 0."""
        series = 2 if name in PAIR_WINDOWS else 1
        length = int(_literal(call.args[series]))
        first = at - length + 1 if length else self._first
        values = [[self.value(part, period) for period in range(first, at + 1)] for part in call.args[:series]]
        if name == "Count":
            return float(sum(not math.isnan(value) for value in values[0]))
        if not all(math.isfinite(value) for one in values for value in one):
            return MISSING
        if series == 2:
            return PAIR_WINDOWS[name](*values)
        more = [_literal(literal) for literal in call.args[2:]]
        return WINDOWS[name](values[0], *more)

    def _by_year(self, name: str, operand: ast.expr, at: int) -> float:
        def x(period: int) -> float:
            return self.value(operand, period)

        year = self._year
        if name == "YoY":
            base = x(at - year)
            return MISSING if base == 0 else (x(at) - base) / abs(base)
        if year == 1:  # by year: the last twelve months, and the last year, are the year
            return x(at)
        is_discrete = _kind(operand, self._kinds) == "flow-discrete"
        place = at % year  # 0 for the first period of a year
        year_end = at if place == year - 1 else at - place - 1  # the last fourth quarter, or December, up to here
        if name == "SQ":
            return x(at) if is_discrete or place == 0 else x(at) - x(at - 1)
        end = at if name == "TTM" else year_end
        if is_discrete:
            return sum(x(period) for period in range(end - year + 1, end + 1))
        return x(end) if end == year_end else x(at) + x(year_end) - x(at - year)


# -- operators of one moment -----------------------------------------------------------------------------------------


def _combine(tree: ast.expr, value: Callable[[ast.expr], float]) -> float:
    """Return what an operator makes of its operands at one moment."""
    if _is_number(tree):
        return _literal(tree)
    if isinstance(tree, ast.UnaryOp):
        return -value(tree.operand) if isinstance(tree.op, ast.USub) else value(tree.operand)
    if isinstance(tree, ast.BinOp):
        return BINARY[type(tree.op).__name__](value(tree.left), value(tree.right))
    if isinstance(tree, ast.Compare):
        return float(COMPARISONS[type(tree.ops[0]).__name__](value(tree.left), value(tree.comparators[0])))
    if isinstance(tree, ast.Call) and _called(tree) == "If":
        return value(tree.args[1]) if value(tree.args[0]) != 0 else value(tree.args[2])
    if isinstance(tree, ast.Call) and _called(tree) in CALLS:
        return CALLS[_called(tree)](*(value(part) for part in tree.args))
    raise RefusedError(f"the reference does not know `{ast.unparse(tree)}`")


def _is_true(value: float) -> bool:
    return value != 0 and not math.isnan(value)


def _divide(one: float, other: float) -> float:
    if other != 0:
        return one / other
    return MISSING if one == 0 or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1, other)


def _log(value: float) -> float:
    if value > 0:
        return math.log(value)
    return -math.inf if value == 0 else MISSING


def _larger(one: float, other: float) -> float:
    return MISSING if math.isnan(one) or math.isnan(other) else max(one, other)


def _smaller(one: float, other: float) -> float:
    return MISSING if math.isnan(one) or math.isnan(other) else min(one, other)


def _sign(value: float) -> float:
    return value if math.isnan(value) or value == 0 else math.copysign(1, value)


BINARY: Final[dict[str, Callable[[float, float], float]]] = {
    "Add": lambda one, other: one + other,
    "Sub": lambda one, other: one - other,
    "Mult": lambda one, other: one * other,
    "Div": _divide,
    "BitAnd": lambda one, other: float(_is_true(one) and _is_true(other)),
    "BitOr": lambda one, other: float(_is_true(one) or _is_true(other)),
}
COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "Gt": lambda one, other: one > other,
    "GtE": lambda one, other: one >= other,
    "Lt": lambda one, other: one < other,
    "LtE": lambda one, other: one <= other,
    "Eq": lambda one, other: one == other,
    "NotEq": lambda one, other: one != other,
}
CALLS: Final[dict[str, Callable[..., float]]] = {
    "Abs": abs,
    "Sign": _sign,
    "Log": _log,
    "Greater": _larger,
    "Less": _smaller,
    "Not": lambda value: float(not _is_true(value)),
    "And": BINARY["BitAnd"],
    "Or": BINARY["BitOr"],
}


# -- operators of several periods: values from the oldest to the newest, none of them missing --------------------------


def _mean(values: _Values) -> float:
    return math.fsum(values) / len(values)


def _products(one: _Values, other: _Values) -> float:
    """Return the sum of products of the distances from the means."""
    left, right = _mean(one), _mean(other)
    return math.fsum((a - left) * (b - right) for a, b in zip(one, other, strict=True))


def _variance(values: _Values) -> float:
    return _products(values, values) / (len(values) - 1) if len(values) > 1 else MISSING


def _places(values: _Values) -> _Values:
    return [float(place) for place in range(1, len(values) + 1)]


def _slope(values: _Values) -> float:
    places = _places(values)
    return _divide(_products(values, places), _products(places, places))


def _residual(values: _Values) -> float:
    places = _places(values)
    return values[-1] - _mean(values) - _slope(values) * (places[-1] - _mean(places))


def _rsquare(values: _Values) -> float:
    places = _places(values)
    spread = _products(values, values) * _products(places, places)
    return _divide(_products(values, places) ** 2, spread)


def _quantile(values: _Values, level: float) -> float:
    ranked, place = sorted(values), level * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


def _rank(values: _Values) -> float:
    """Return the share of the values that the newest one is not below, ties counted at their mean rank."""
    below = sum(value < values[-1] for value in values)
    not_above = sum(value <= values[-1] for value in values)
    return (below + not_above + 1) / 2 / len(values)


def _skewness(values: _Values) -> float:
    size, mean = len(values), _mean(values)
    square = math.fsum((value - mean) ** 2 for value in values) / size
    cube = math.fsum((value - mean) ** 3 for value in values) / size
    return MISSING if square == 0 or size < 3 else math.sqrt(size * (size - 1)) / (size - 2) * cube / square**1.5


def _kurtosis(values: _Values) -> float:
    size, mean = len(values), _mean(values)
    square = math.fsum((value - mean) ** 2 for value in values)
    if square == 0 or size < 4:
        return MISSING
    fourth = math.fsum((value - mean) ** 4 for value in values)
    peak = (size + 1) * size * fourth / square**2
    return (size - 1) / ((size - 2) * (size - 3)) * (peak - 3 * (size - 1))


def _covariance(one: _Values, other: _Values) -> float:
    return _products(one, other) / (len(one) - 1) if len(one) > 1 else MISSING


def _correlation(one: _Values, other: _Values) -> float:
    spread = _products(one, one) * _products(other, other)
    return _divide(_products(one, other), math.sqrt(spread)) if spread > 0 else MISSING


WINDOWS: Final[dict[str, Callable[..., float]]] = {
    "Sum": math.fsum,
    "Mean": _mean,
    "Var": _variance,
    "Std": lambda values: math.sqrt(_variance(values)),
    "Max": max,
    "Min": min,
    "IdxMax": lambda values: float(values.index(max(values)) + 1),
    "IdxMin": lambda values: float(values.index(min(values)) + 1),
    "Med": lambda values: _quantile(values, 0.5),
    "Quantile": _quantile,
    "Rank": _rank,
    "Mad": lambda values: _mean([abs(value - _mean(values)) for value in values]),
    "Skew": _skewness,
    "Kurt": _kurtosis,
    "Slope": _slope,
    "Resi": _residual,
    "Rsquare": _rsquare,
}
PAIR_WINDOWS: Final[dict[str, Callable[[_Values, _Values], float]]] = {"Corr": _correlation, "Cov": _covariance}


def _round(value: float) -> float:
    """Return the nearest float32."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)
