"""Terms: immutable nodes of field expressions, which know how far they look back and ahead.

Equal terms are one object (hash-consing, or interning): a table with weak references maps what a term is made of to the
term. So comparing terms compares addresses, and sub-expressions that two expressions share are found without a search.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from rollwright.calendar.periods import Interval, interval_of

__all__ = [
    "UNBOUNDED",
    "Argument",
    "Axis",
    "Constant",
    "Kind",
    "Term",
    "call",
    "field",
    "interval_of_field",
    "number",
    "period",
    "walk",
]

UNBOUNDED: Final = 1 << 40
"""The look-back of a term that reads a series from its first row on (``N = 0`` and exponential windows)."""

Kind: TypeAlias = Literal["field", "period", "number", "call"]
Axis: TypeAlias = Literal["none", "sessions", "periods"]
"""What the values of a term follow one another by; of a constant nothing."""
Constant: TypeAlias = int | float | str
"""A constant of an expression: a window, a level, the name of an instrument."""


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, eq=False)
class Term:
    """One node of an expression; equal expressions are one object, so ``is`` compares and ``hash`` is by identity.

    Create terms with `field`, `number`, `call` or the parser, never directly.

    Attributes
    ----------
    kind : {"field", "period", "number", "call"}
        A daily field, a field by period (`rollwright.market.source.VintageSource`), a constant, or an operator.
    name : str
        The field without its ``$`` or ``$$``, the number's text, or the operator.
    arguments : tuple
        Of a call, in the order written: terms and literals.
    inputs : tuple of Term
        The terms among the arguments; none of ``P`` and ``PRef``, which read no session of theirs.
    inner : Term or None
        Of ``P`` and ``PRef`` the expression over the axis of periods that is computed anew at each vintage.
    axis : {"none", "sessions", "periods"}
        What the values follow one another by.
    lookback : int
        Sessions before its own that a value may read; `UNBOUNDED` when it reads the whole past of its series.
    lookahead : int
        Sessions after its own that a value may read.

        .. warning:: **Look-ahead.** Above 0 the value is not known on its own session. A label is such a value; in a
           feature it is a leak, which `compile_plan` refuses unless `allow_lookahead` is set.
    back, ahead : int
        The same of the term's own operator alone, beyond its inputs.
    fields : tuple of str
        The daily fields read, without ``$``, sorted.
    periods : tuple of str
        The fields by period read, without ``$$``, sorted.
    depth : int
        Length of the longest path to a leaf.
    value : int or float
        Of a number.
    text : str
        The canonical text.
    strength : int
        Precedence of the outermost operator in the text, which decides about brackets around it.
    """

    kind: Kind
    name: str
    arguments: tuple[Argument, ...]
    inputs: tuple[Term, ...]
    inner: Term | None
    axis: Axis
    lookback: int
    lookahead: int
    back: int
    ahead: int
    fields: tuple[str, ...]
    periods: tuple[str, ...]
    depth: int
    value: float | int
    text: str
    strength: int

    @property
    def literals(self) -> tuple[Constant, ...]:
        """The constants among the arguments."""
        return tuple(argument for argument in self.arguments if not isinstance(argument, Term))

    def __str__(self) -> str:
        """Return the canonical text, which parses to this same object."""
        return self.text

    def __repr__(self) -> str:
        return f"<Term {self.text}>"


Argument: TypeAlias = Term | Constant

_INFIX: Final = {
    "Or": ("|", 1),
    "And": ("&", 2),
    "Gt": (">", 0),
    "Ge": (">=", 0),
    "Lt": ("<", 0),
    "Le": ("<=", 0),
    "Eq": ("==", 0),
    "Ne": ("!=", 0),
    "Add": ("+", 3),
    "Sub": ("-", 3),
    "Mul": ("*", 4),
    "Div": ("/", 4),
}
_ATOM: Final = 9
_known: weakref.WeakValueDictionary[object, Term] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def _intern(key: object, make: Callable[[], Term]) -> Term:
    with _lock:
        term = _known.get(key)
        if term is None:
            term = make()
            _known[key] = term
        return term


def _leaf(
    kind: Kind,
    name: str,
    text: str,
    axis: Axis,
    *,
    fields: tuple[str, ...] = (),
    periods: tuple[str, ...] = (),
    value: float = 0,
    strength: int = _ATOM,
) -> Term:
    return Term(
        kind=kind,
        name=name,
        arguments=(),
        inputs=(),
        inner=None,
        axis=axis,
        lookback=0,
        lookahead=0,
        back=0,
        ahead=0,
        fields=fields,
        periods=periods,
        depth=0,
        value=value,
        text=text,
        strength=strength,
    )


def field(name: str) -> Term:
    """Return the term of a market data field, given without ``$``."""
    return _intern(("field", name), lambda: _leaf("field", name, f"${name}", "sessions", fields=(name,)))


def period(name: str) -> Term:
    """Return the term of a field by period, given without ``$$``.

    It has no value of its own on a session: only an operator that chooses among its vintages has one.

    Raises
    ------
    ValueError
        When the name does not say how long its periods are.
    """
    interval_of_field(name)
    return _intern(("period", name), lambda: _leaf("period", name, f"$${name}", "periods", periods=(name,)))


def interval_of_field(name: str) -> Interval:
    """Return how long the periods of a field are, given without ``$$``.

    Raises
    ------
    ValueError
        When its name does not say it.
    """
    found = interval_of(name.lower())
    if found is None:
        raise ValueError(
            f"`$${name}` does not say how long its periods are: its name ends with _q (quarters), _a (years), "
            f"_m (months) or _d (from a day on), as `$${name}_q`"
        )
    return found


def number(value: float) -> Term:
    """Return the term of a constant; ``2`` and ``2.0`` are one."""
    plain = canonical_number(value)
    text = repr(plain)
    return _intern(
        ("number", text),
        lambda: _leaf("number", text, text, "none", value=plain, strength=_ATOM if plain >= 0 else -1),
    )


def call(
    name: str,
    arguments: tuple[Argument, ...],
    *,
    back: int = 0,
    ahead: int = 0,
    identity: object = None,
    collapses: bool = False,
) -> Term:
    """Return the term of an operator applied to `arguments`.

    Parameters
    ----------
    back, ahead : int
        How many sessions, or periods, around its own the operator itself reads of its inputs.
    identity : object, optional
        The registered operator: calls of two operators with one name are different terms.
    collapses : bool
        Whether it makes of its first argument, an expression over periods, a value on each session.
    """
    return _intern(
        ("call", name, tuple(map(_key, arguments)), identity),
        lambda: _new_call(name, arguments, back=back, ahead=ahead, collapses=collapses),
    )


def canonical_number(value: float) -> int | float:
    """Return `value` as int where it is a whole number, so that one constant has one text."""
    whole = int(value)
    return whole if whole == value and abs(whole) < 1 << 53 else float(value)


def _key(argument: Argument) -> object:
    return argument if isinstance(argument, Term) else (type(argument).__name__, argument)


def _new_call(name: str, arguments: tuple[Argument, ...], *, back: int, ahead: int, collapses: bool) -> Term:
    below = tuple(argument for argument in arguments if isinstance(argument, Term))
    inputs = () if collapses else below
    infix = _INFIX.get(name)
    return Term(
        kind="call",
        name=name,
        arguments=arguments,
        inputs=inputs,
        inner=below[0] if collapses else None,
        axis="sessions" if collapses else _axis_of(below),
        lookback=min(UNBOUNDED, max((term.lookback for term in inputs), default=0) + back),
        lookahead=max((term.lookahead for term in inputs), default=0) + ahead,
        back=back,
        ahead=ahead,
        fields=tuple(sorted({name for term in below for name in term.fields})),
        periods=tuple(sorted({name for term in below for name in term.periods})),
        depth=1 + max((term.depth for term in below), default=0),
        value=0,
        text=_infix_text(infix[0], infix[1], inputs) if infix else _call_text(name, arguments),
        strength=infix[1] if infix else _ATOM,
    )


def _axis_of(inputs: tuple[Term, ...]) -> Axis:
    return next((term.axis for term in inputs if term.axis != "none"), "none")


def _infix_text(sign: str, strength: int, inputs: tuple[Term, ...]) -> str:
    # a comparison never stands bare inside another: `a<b<c` is refused by the parser
    left, right = inputs
    first = f"({left.text})" if _needs_brackets(left, strength, is_right=False) else left.text
    second = f"({right.text})" if _needs_brackets(right, strength, is_right=True) else right.text
    return f"{first}{sign}{second}"


def _needs_brackets(term: Term, strength: int, *, is_right: bool) -> bool:
    if term.strength == -1:  # a negative number: fine where an expression may start, ambiguous after a sign
        return is_right
    if is_right or strength == 0:
        return term.strength <= strength
    return term.strength < strength


def _call_text(name: str, arguments: tuple[Argument, ...]) -> str:
    return f"{name}({','.join(map(_argument_text, arguments))})"


def _argument_text(argument: Argument) -> str:
    if isinstance(argument, str):
        return f"'{argument}'"
    return argument.text if isinstance(argument, Term) else repr(argument)


def walk(*roots: Term, within: bool = False) -> Iterator[Term]:
    """Yield every term below `roots` once, inputs before what uses them, without recursion.

    Parameters
    ----------
    *roots : Term
    within : bool, default False
        Whether the terms over periods within ``P`` and ``PRef`` are yielded, too.
    """
    seen: set[Term] = set()
    stack: list[tuple[Term, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        term, ready = stack.pop()
        if term in seen:
            continue
        if ready:
            seen.add(term)
            yield term
            continue
        stack.append((term, True))
        stack.extend((child, False) for child in reversed(term.inputs))
        if within and term.inner is not None:
            stack.append((term.inner, False))
