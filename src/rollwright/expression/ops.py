"""Expressions as Python objects, and the base classes of operators of one's own, by Qlib's names.

``Ref(Feature("close"), 1) / Feature("close")`` is the expression ``Div(Ref($close,1),$close)``: an object stands for
its text, wherever a text may stand. An operator of one's own derives from `ElemOperator`, `PairOperator`, `Rolling` or
`PairRolling` and is registered by ``init(custom_ops=[…])``; what it computes is in `operators.custom`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd

from rollwright.config.context import current_settings, init
from rollwright.errors import ExpressionError

__all__ = [
    "EMA",
    "LYR",
    "SQ",
    "TTM",
    "WMA",
    "Abs",
    "Add",
    "And",
    "ChangeInstrument",
    "Corr",
    "Count",
    "Cov",
    "Delta",
    "Div",
    "ElemOperator",
    "Eq",
    "Expression",
    "ExpressionOps",
    "Feature",
    "Ge",
    "Greater",
    "Gt",
    "IdxMax",
    "IdxMin",
    "If",
    "Kurt",
    "Le",
    "Less",
    "Log",
    "Lt",
    "Mad",
    "Mask",
    "Max",
    "Mean",
    "Med",
    "Min",
    "Mul",
    "Ne",
    "Not",
    "NpElemOperator",
    "NpPairOperator",
    "Operators",
    "Or",
    "P",
    "PFeature",
    "PRef",
    "PairOperator",
    "PairRolling",
    "Power",
    "Quantile",
    "Rank",
    "Ref",
    "Resi",
    "Rolling",
    "Rsquare",
    "Sign",
    "Skew",
    "Slope",
    "Std",
    "Sub",
    "Sum",
    "TResample",
    "Var",
    "YoY",
]


class Expression(ABC):
    """An expression as an object; its text is ``str(expression)``."""

    def __str__(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        return str(self)

    def __hash__(self) -> int:
        return hash(str(self))

    def __gt__(self, other: Any) -> Expression:
        return Gt(self, other)

    def __ge__(self, other: Any) -> Expression:
        return Ge(self, other)

    def __lt__(self, other: Any) -> Expression:
        return Lt(self, other)

    def __le__(self, other: Any) -> Expression:
        return Le(self, other)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]  # Qlib's: a comparison of values, an expression
        return Eq(self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]  # as `__eq__`
        return Ne(self, other)

    def __add__(self, other: Any) -> Expression:
        return Add(self, other)

    def __radd__(self, other: Any) -> Expression:
        return Add(other, self)

    def __sub__(self, other: Any) -> Expression:
        return Sub(self, other)

    def __rsub__(self, other: Any) -> Expression:
        return Sub(other, self)

    def __mul__(self, other: Any) -> Expression:
        return Mul(self, other)

    def __rmul__(self, other: Any) -> Expression:
        return Mul(other, self)

    def __truediv__(self, other: Any) -> Expression:
        return Div(self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return Div(other, self)

    def __pow__(self, other: Any) -> Expression:
        return Power(self, other)

    def __rpow__(self, other: Any) -> Expression:
        return Power(other, self)

    def __and__(self, other: Any) -> Expression:
        return And(self, other)

    def __rand__(self, other: Any) -> Expression:
        return And(other, self)

    def __or__(self, other: Any) -> Expression:
        return Or(self, other)

    def __ror__(self, other: Any) -> Expression:
        return Or(other, self)

    def __neg__(self) -> Expression:
        return Mul(self, -1)

    def __bool__(self) -> bool:
        raise ExpressionError(
            str(self),
            0,
            "an expression is neither true nor false before it is computed",
            hint="write & for `and`, | for `or`",
        )

    def load(self, instrument: str, start_index: int, end_index: int, *args: Any) -> pd.Series[Any]:
        """Return the values of one instrument on the rows from `start_index` to `end_index`, by calendar position.

        For the operators of one's own, which call it on what they were given.
        """
        return self._load_internal(instrument, start_index, end_index, *args)

    @abstractmethod
    def _load_internal(self, instrument: str, start_index: int, end_index: int, *args: Any) -> pd.Series[Any]:
        """Return what `load` returns."""

    @abstractmethod
    def get_extended_window_size(self) -> tuple[int, int]:
        """Return how many rows before and after its own a value reads of the fields beneath.

        .. warning:: **Look-ahead.** What an operator reads after its own row it must say here: it is refused in
           features, and one that reads more than it says is found out and refused too.
        """

    def get_longest_back_rolling(self) -> float:
        """Return the rows before its own that a value reads, at most."""
        return self.get_extended_window_size()[0]


class Feature(Expression):
    """A field: ``Feature("close")`` is ``$close``."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name or type(self).__name__.lower()

    def __str__(self) -> str:
        return f"${self._name}"

    def _load_internal(self, *_range: Any, **_named: Any) -> pd.Series[Any]:
        raise _not_given(self)

    def get_extended_window_size(self) -> tuple[int, int]:
        """Return (0, 0)."""
        return 0, 0


class PFeature(Feature):
    """A field by period: ``P(PFeature("roe_q"))`` is ``P($$roe_q)``."""

    def __str__(self) -> str:
        return f"$${self._name}"


class ExpressionOps(Expression):
    """An operator applied to expressions and constants; base of all operators. Its text is how it was called."""

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the object and keep the arguments, which are its text."""
        made = super().__new__(cls)
        made._given = (args, kwargs)
        return made

    def __str__(self) -> str:
        args, kwargs = self._given
        written = [*map(_text, args), *(f"{name}={_text(value)}" for name, value in kwargs.items())]
        return f"{type(self).__name__}({','.join(written)})"


class ElemOperator(ExpressionOps):
    """Base of operators of one expression, whose value depends on the same row, or on what its window says."""

    def __init__(self, feature: Any) -> None:
        self.feature = feature

    def get_extended_window_size(self) -> tuple[int, int]:
        """Return the window of the expression."""
        return _window(self.feature)


class NpElemOperator(ElemOperator):
    """Base of operators that apply a function of NumPy to one expression."""

    def __init__(self, feature: Any, func: str) -> None:
        self.func = func
        super().__init__(feature)

    def _load_internal(self, instrument: str, start_index: int, end_index: int, *args: Any) -> pd.Series[Any]:
        found: pd.Series[Any] = getattr(np, self.func)(self.feature.load(instrument, start_index, end_index, *args))
        return found


class PairOperator(ExpressionOps):
    """Base of operators of two operands, of which either may be a number."""

    def __init__(self, feature_left: Any, feature_right: Any) -> None:
        self.feature_left = feature_left
        self.feature_right = feature_right

    def get_extended_window_size(self) -> tuple[int, int]:
        """Return the wider window of the two."""
        return _widest(_window(self.feature_left), _window(self.feature_right))


class NpPairOperator(PairOperator):
    """Base of operators that apply a function of NumPy to two operands."""

    def __init__(self, feature_left: Any, feature_right: Any, func: str) -> None:
        self.func = func
        super().__init__(feature_left, feature_right)

    def _load_internal(self, instrument: str, start_index: int, end_index: int, *args: Any) -> pd.Series[Any]:
        sides = (
            side.load(instrument, start_index, end_index, *args) if isinstance(side, Expression) else side
            for side in (self.feature_left, self.feature_right)
        )
        found: pd.Series[Any] = getattr(np, self.func)(*sides)
        return found


class Rolling(ExpressionOps):
    """Base of operators over a window: `func` is a method of pandas' ``rolling`` (``N`` rows, all past for 0)."""

    def __init__(self, feature: Any, N: float, func: str) -> None:  # noqa: N803 - Qlib's name
        self.feature = feature
        self.N = N
        self.func = func

    def _load_internal(self, instrument: str, start_index: int, end_index: int, *args: Any) -> pd.Series[Any]:
        series = self.feature.load(instrument, start_index, end_index, *args)
        if self.N == 0:
            window: Any = series.expanding(min_periods=1)
        elif 0 < self.N < 1:
            window = series.ewm(alpha=self.N, min_periods=1)
        else:
            window = series.rolling(int(self.N), min_periods=1)
        found: pd.Series[Any] = getattr(window, "mean" if 0 < self.N < 1 else self.func)()
        return found

    def get_extended_window_size(self) -> tuple[int, int]:
        """Return the window of the expression, and `N` - 1 rows before."""
        before, after = _window(self.feature)
        return before + max(int(self.N) - 1, 0), after


class PairRolling(ExpressionOps):
    """Base of operators over a window of two expressions: `func` is a method of pandas' ``rolling``."""

    def __init__(self, feature_left: Any, feature_right: Any, N: int, func: str) -> None:  # noqa: N803 - Qlib's name
        self.feature_left = feature_left
        self.feature_right = feature_right
        self.N = N
        self.func = func

    def _load_internal(self, instrument: str, start_index: int, end_index: int, *args: Any) -> pd.Series[Any]:
        left, right = (
            side.load(instrument, start_index, end_index, *args) for side in (self.feature_left, self.feature_right)
        )
        window: Any = left.expanding(min_periods=1) if self.N == 0 else left.rolling(self.N, min_periods=1)
        found: pd.Series[Any] = getattr(window, self.func)(right)
        return found

    def get_extended_window_size(self) -> tuple[int, int]:
        """Return the wider window of the two, and `N` - 1 rows before."""
        before, after = _widest(_window(self.feature_left), _window(self.feature_right))
        return before + max(self.N - 1, 0), after


class _BuiltIn(ExpressionOps):
    """An operator that the engine computes: an object of it is a text and nothing else."""

    _names: ClassVar[tuple[str, ...]] = ("feature",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = dict(zip(self._names, args, strict=False))
        unknown = [name for name in kwargs if name not in self._names or name in given]
        given |= kwargs
        if len(args) > len(self._names) or unknown or len(given) < len(self._names):
            raise TypeError(f"{type(self).__name__} takes ({', '.join(self._names)})")
        for name in self._names:
            setattr(self, name, given[name])

    def _load_internal(self, *_range: Any, **_named: Any) -> pd.Series[Any]:
        raise _not_given(self)

    def get_extended_window_size(self) -> tuple[int, int]:
        """Return what the term of this text reads."""
        from rollwright.expression.parser import parse  # noqa: PLC0415 - the parser's operators are above these classes

        term = parse(str(self))
        return term.lookback, term.lookahead


def _built_in(name: str, *names: str) -> type[_BuiltIn]:
    return type(name, (_BuiltIn,), {"__doc__": f"The operator ``{name}``.", "__module__": __name__, "_names": names})


class P(_BuiltIn):
    """The operator ``P``: what was known on each session of an expression over periods."""

    def __init__(self, feature: Any) -> None:
        super().__init__(feature)


class PRef(_BuiltIn):
    """The operator ``PRef``: the same of the period that is named."""

    _names = ("feature", "period")

    def __init__(self, feature: Any, period: int) -> None:
        super().__init__(feature, period)


Abs = _built_in("Abs", "feature")
Sign = _built_in("Sign", "feature")
Log = _built_in("Log", "feature")
Not = _built_in("Not", "feature")
Ref = _built_in("Ref", "feature", "N")
Mean = _built_in("Mean", "feature", "N")
Sum = _built_in("Sum", "feature", "N")
Std = _built_in("Std", "feature", "N")
Var = _built_in("Var", "feature", "N")
Skew = _built_in("Skew", "feature", "N")
Kurt = _built_in("Kurt", "feature", "N")
Max = _built_in("Max", "feature", "N")
Min = _built_in("Min", "feature", "N")
IdxMax = _built_in("IdxMax", "feature", "N")
IdxMin = _built_in("IdxMin", "feature", "N")
Med = _built_in("Med", "feature", "N")
Mad = _built_in("Mad", "feature", "N")
Rank = _built_in("Rank", "feature", "N")
Count = _built_in("Count", "feature", "N")
Delta = _built_in("Delta", "feature", "N")
Slope = _built_in("Slope", "feature", "N")
Rsquare = _built_in("Rsquare", "feature", "N")
Resi = _built_in("Resi", "feature", "N")
WMA = _built_in("WMA", "feature", "N")
EMA = _built_in("EMA", "feature", "N")
Power = _built_in("Power", "feature_left", "feature_right")
Add = _built_in("Add", "feature_left", "feature_right")
Sub = _built_in("Sub", "feature_left", "feature_right")
Mul = _built_in("Mul", "feature_left", "feature_right")
Div = _built_in("Div", "feature_left", "feature_right")
Greater = _built_in("Greater", "feature_left", "feature_right")
Less = _built_in("Less", "feature_left", "feature_right")
Gt = _built_in("Gt", "feature_left", "feature_right")
Ge = _built_in("Ge", "feature_left", "feature_right")
Lt = _built_in("Lt", "feature_left", "feature_right")
Le = _built_in("Le", "feature_left", "feature_right")
Eq = _built_in("Eq", "feature_left", "feature_right")
Ne = _built_in("Ne", "feature_left", "feature_right")
And = _built_in("And", "feature_left", "feature_right")
Or = _built_in("Or", "feature_left", "feature_right")
Corr = _built_in("Corr", "feature_left", "feature_right", "N")
Cov = _built_in("Cov", "feature_left", "feature_right", "N")
Quantile = _built_in("Quantile", "feature", "N", "qscore")
If = _built_in("If", "condition", "feature_left", "feature_right")
ChangeInstrument = _built_in("ChangeInstrument", "instrument", "feature")
Mask = _built_in("Mask", "feature", "instrument")
TResample = _built_in("TResample", "feature", "freq", "func")
TTM = _built_in("TTM", "feature")
SQ = _built_in("SQ", "feature")
LYR = _built_in("LYR", "feature")
YoY = _built_in("YoY", "feature")


class _Operators:
    """Qlib's table of operators: ``Operators.register([Mine])``, ``Operators.Ref``."""

    def register(self, ops_list: list[Any]) -> None:
        """Register operators of one's own, as ``init(custom_ops=…)`` does."""
        init(custom_ops=[*current_settings().data.custom_ops, *ops_list])

    def __getattr__(self, key: str) -> type[Expression]:
        found = globals().get(key)
        if not (isinstance(found, type) and issubclass(found, Expression)):
            raise AttributeError(f"there is no operator `{key}`")
        return found


Operators: Final = _Operators()


def _text(argument: Any) -> str:
    if isinstance(argument, Expression):
        return str(argument)
    return f"'{argument}'" if isinstance(argument, str) else repr(argument)


def _window(operand: Any) -> tuple[int, int]:
    return operand.get_extended_window_size() if isinstance(operand, Expression) else (0, 0)


def _widest(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), max(one[1], other[1])


def _not_given(expression: Expression) -> ExpressionError:
    return ExpressionError(
        str(expression), 0, "an operator of your own can load only what it was given as an argument",
        hint=f"give it as an argument in the expression: Name(…, {expression})",
    )  # fmt: skip
