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

__all__ = ["UNBOUNDED", "Argument", "Constant", "Kind", "Term", "call", "field", "number", "period", "walk"]

UNBOUNDED: Final = 1 << 40
"""The look-back of a term that reads a series from its first row on (``N = 0`` and exponential windows)."""

Kind: TypeAlias = Literal["field", "period", "number", "call"]
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
        The terms among the arguments.
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
    lookback: int
    lookahead: int
    back: int
    ahead: int
    fields: tuple[str, ...]
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


def field(name: str) -> Term:
    """Return the term of a market data field, given without ``$``."""
    return _intern(
        ("field", name),
        lambda: Term(
            kind="field",
            name=name,
            arguments=(),
            inputs=(),
            lookback=0,
            lookahead=0,
            back=0,
            ahead=0,
            fields=(name,),
            depth=0,
            value=0,
            text=f"${name}",
            strength=_ATOM,
        ),
    )


def period(name: str) -> Term:
    """Return the term of a field by period, given without ``$$``.

    It has no value of its own on a session: only an operator that chooses among its vintages has one.
    """
    return _intern(
        ("period", name),
        lambda: Term(
            kind="period",
            name=name,
            arguments=(),
            inputs=(),
            lookback=0,
            lookahead=0,
            back=0,
            ahead=0,
            fields=(),
            depth=0,
            value=0,
            text=f"$${name}",
            strength=_ATOM,
        ),
    )


def number(value: float) -> Term:
    """Return the term of a constant; ``2`` and ``2.0`` are one."""
    plain = canonical_number(value)
    text = repr(plain)
    return _intern(
        ("number", text),
        lambda: Term(
            kind="number",
            name=text,
            arguments=(),
            inputs=(),
            lookback=0,
            lookahead=0,
            back=0,
            ahead=0,
            fields=(),
            depth=0,
            value=plain,
            text=text,
            strength=_ATOM if plain >= 0 else -1,
        ),
    )


def call(name: str, arguments: tuple[Argument, ...], *, back: int = 0, ahead: int = 0, identity: object = None) -> Term:
    """Return the term of an operator applied to `arguments`.

    Parameters
    ----------
    back, ahead : int
        How many sessions around its own the operator itself reads of its inputs.
    identity : object, optional
        The registered operator: calls of two operators with one name are different terms.
    """
    return _intern(
        ("call", name, tuple(map(_key, arguments)), identity),
        lambda: _new_call(name, arguments, back=back, ahead=ahead),
    )


def canonical_number(value: float) -> int | float:
    """Return `value` as int where it is a whole number, so that one constant has one text."""
    whole = int(value)
    return whole if whole == value and abs(whole) < 1 << 53 else float(value)


def _key(argument: Argument) -> object:
    return argument if isinstance(argument, Term) else (type(argument).__name__, argument)


def _new_call(name: str, arguments: tuple[Argument, ...], *, back: int, ahead: int) -> Term:
    inputs = tuple(argument for argument in arguments if isinstance(argument, Term))
    past = max((term.lookback for term in inputs), default=0)
    infix = _INFIX.get(name)
    return Term(
        kind="call",
        name=name,
        arguments=arguments,
        inputs=inputs,
        lookback=min(UNBOUNDED, past + back),
        lookahead=max((term.lookahead for term in inputs), default=0) + ahead,
        back=back,
        ahead=ahead,
        fields=tuple(sorted({name for term in inputs for name in term.fields})),
        depth=1 + max((term.depth for term in inputs), default=0),
        value=0,
        text=_infix_text(infix[0], infix[1], inputs) if infix else _call_text(name, arguments),
        strength=infix[1] if infix else _ATOM,
    )


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


def walk(*roots: Term) -> Iterator[Term]:
    """Yield every term below `roots` once, inputs before what uses them, without recursion."""
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
