"""The description of an operator, and the table of the operators that expressions may call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from numpy.typing import NDArray

from rollwright.errors import ConfigError
from rollwright.expression.block import Block
from rollwright.expression.term import Argument, Axis, Term, call, interval_of_field

__all__ = ["Compute", "Operator", "OperatorTable", "Parameter", "Reach", "Stage", "check_axis", "no_reach"]

Parameter: TypeAlias = Literal["series", "window", "span", "shift", "level", "name", "any", "period"]
"""The kind of one argument of a call.

``series`` an expression or a number; ``window`` a whole number from 0, or for some operators a fraction in (0, 1);
``span`` a number from 0, the weight of the newest value if below 1; ``shift`` a whole number of either sign; ``level``
a number in [0, 1]; ``name`` a word or a quoted text; ``any`` an expression, a number or a quoted text, as an operator
of one's own takes them; ``period`` a quarter, year or month as fields by period have it (``201903``).
"""

Reach: TypeAlias = Callable[[tuple[Argument, ...]], tuple[int, int]]
"""From the arguments of a call to the sessions it reads before and after its own."""

Compute: TypeAlias = Callable[[Block, Term], NDArray[Any]]
"""From a block and a call to the call's values on the rows the block wants of it."""


def no_reach(_arguments: tuple[Argument, ...]) -> tuple[int, int]:
    """Return the reach of an operator that reads its own session only."""
    return 0, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How the engine computes an operator that reads other instruments, before the blocks.

    Attributes
    ----------
    columns : callable
        ``columns(call, all instruments of the source)`` returns the instruments whose inputs are needed.
    combine : callable
        ``combine(inputs)`` turns arrays ``[rows, columns]``, float32 or float64, NaN outside each series, into one.
    is_per_column : bool
        Whether each column of the result belongs to one instrument; otherwise its one column is read by all.
    """

    columns: Callable[[Term, tuple[str, ...]], tuple[str, ...]]
    combine: Callable[[Sequence[NDArray[Any]]], NDArray[Any]]
    is_per_column: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # one object is one operator, and quick to hash
class Operator:
    """An operator that expressions may call.

    Attributes
    ----------
    name : str
    signature : tuple of Parameter
        What each argument is.
    names : tuple of str
        What each argument is called, for ``Ref($close, N=5)``; Qlib's names if not given.
    code : str
        Of an operator of one's own the digest of its code, which is part of what its features are stored under.
    optional : int
        How many arguments from the right may be left out.
    compute : callable
        Returns the values. Each value may depend only on the rows within `reach` of its own and on its own column, and
        must not depend on how many rows or columns the block has, so that results do not depend on the query.
    reach : callable
    family : str or None
        Calls of one family on the same inputs share work: the block lists the windows of all of them (`Block.calls`).
    shares : tuple of str
        The work on its inputs that it reads and that other calls read too, by the names under which the block has it
        (`Block.share`). The calls of an input that share work are computed one after another, and the work is dropped
        after the last of them: what is not named here may be computed more than once.
    makes_values : bool
        Whether it may give a value where an input has none, so that rows outside the series must be blanked again.
    is_logical : bool
        Whether the values are truth values.
    stage : Stage or None
        Set for an operator that reads other instruments: the engine computes it before the blocks, and `compute` is
        not called.
    has_first_rows : bool
        Whether a value has a row where the first input has one; otherwise where any input has one.
    axis : {"none", "sessions", "periods"}
        What its inputs must follow one another by; ``none`` for either.
    collapses : bool
        Whether it makes of an expression over periods a value on each session; the engine computes it.
    is_windowed : bool
        Whether it reads a window of its inputs. Over periods, a window in which a value is missing has none.
    check : callable or None
        Refuses arguments, by raising ValueError with the reason.
    """

    name: str
    signature: tuple[Parameter, ...]
    compute: Compute
    reach: Reach = no_reach
    names: tuple[str, ...] = ()
    code: str = ""
    optional: int = 0
    family: str | None = None
    shares: tuple[str, ...] = ()
    makes_values: bool = False
    is_logical: bool = False
    stage: Stage | None = None
    has_first_rows: bool = False
    axis: Axis = "none"
    collapses: bool = False
    is_windowed: bool = False
    check: Callable[[tuple[Argument, ...]], None] | None = None

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", _names_of(self.signature))

    def applied(self, arguments: tuple[Argument, ...]) -> Term:
        """Return the term of this operator applied to `arguments`.

        Raises
        ------
        ValueError
            When it refuses them; with the reason.
        """
        check_axis(arguments, self.axis)
        if self.check is not None:
            self.check(arguments)
        back, ahead = self.reach(arguments)
        return call(self.name, arguments, back=back, ahead=ahead, identity=self, collapses=self.collapses)


def check_axis(arguments: Sequence[Argument], wanted: Axis) -> None:
    """Refuse arguments of an operator that do not lie on one axis, or not on the `wanted` one.

    Raises
    ------
    ValueError
    """
    terms = [argument for argument in arguments if isinstance(argument, Term) and argument.axis != "none"]
    by_period = next((term for term in terms if term.axis == "periods"), None)
    daily = next((term for term in terms if term.axis == "sessions"), None)
    if wanted == "periods" and by_period is None:
        what = f"`{daily}` has values on sessions" if daily is not None else "there is none"
        raise ValueError(f"it takes data by period, as `$$revenue_q`, and {what}")
    if by_period is None:
        return
    if daily is not None:
        raise ValueError(
            f"`{by_period}` is data by period and `{daily}` has values on sessions: "
            f"write P(…) around what is data by period, and around nothing else"
        )
    if wanted == "sessions":
        raise ValueError(f"it works on sessions, and `{by_period}` is data by period: write P({by_period})")
    names = {interval_of_field(name): name for term in terms for name in term.periods}
    if len(names) > 1:
        one, other = sorted(names.values())[:2]
        raise ValueError(
            f"`$${one}` and `$${other}` have periods of different length: mix them outside, P($${one}) and P($${other})"
        )


_NAMES: Final[Mapping[Parameter, str]] = {
    "window": "N", "span": "N", "shift": "N", "level": "qscore", "name": "instrument", "any": "value",
    "period": "period",
}  # fmt: skip


def _names_of(signature: tuple[Parameter, ...]) -> tuple[str, ...]:
    """Return Qlib's names: one series is the feature, two are its left and right one, of three the first decides."""
    series = {1: ["feature"], 2: ["feature_left", "feature_right"], 3: ["condition", "feature_left", "feature_right"]}
    names = iter(series.get(signature.count("series"), []))
    return tuple(next(names) if kind == "series" else _NAMES[kind] for kind in signature)


class OperatorTable:
    """Operators by name. A built-in one is never redefined; one of the user's own may be, as its code changes.

    Attributes
    ----------
    version : int
        Rises with every change, so that what was parsed before is not taken for what is meant now.
    """

    def __init__(self, operators: Iterable[Operator] = ()) -> None:
        self._operators: dict[str, Operator] = {}
        self.version = 0
        self.add(*operators)

    @property
    def operators(self) -> Mapping[str, Operator]:
        """A read-only view of the table."""
        return MappingProxyType(self._operators)

    def add(self, *operators: Operator) -> None:
        """Add operators.

        Raises
        ------
        ConfigError
            When a name is taken by a different operator, or is no identifier.
        """
        for operator in operators:
            if not operator.name.isidentifier():
                raise ConfigError(f"{operator.name!r} cannot name an operator", hint="use letters, digits and _")
            known = self._operators.get(operator.name, operator)
            if known is not operator and not (known.code and operator.code):
                raise ConfigError(
                    f"operator `{operator.name}` exists already",
                    hint="give yours another name: an expression must mean one thing",
                )
        self._operators.update({operator.name: operator for operator in operators})
        self.version += 1

    def find(self, name: str) -> Operator | None:
        """Return the operator called `name`, or None."""
        return self._operators.get(name)
