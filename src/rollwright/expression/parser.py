"""Parser of field expressions: operator precedence, hard limits on length and depth, and no evaluation of code.

The grammar is that of Qlib's field expressions. From loose to tight: comparisons (``> >= < <= == !=``, never
chained), ``|``, ``&``, ``+ -``, ``* /``, signs, ``**``; brackets and calls ``Name(argument, …)``; fields
``$close``; fields by period ``$$roe_q``; numbers; and, for the name of an instrument, texts in quotes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from rollwright.errors import ExpressionError, NotPointInTimeError, nearest
from rollwright.expression.lexer import Token, tokenize
from rollwright.expression.operators.catalogue import OPERATORS, known_operators
from rollwright.expression.operators.registry import Operator, Parameter
from rollwright.expression.term import Argument, Term, field, number, period

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "MAX_WINDOW", "parse"]

MAX_LENGTH: Final = 8_000
"""Characters an expression may have."""
MAX_DEPTH: Final = 64
"""How deep brackets and calls may be nested."""
MAX_WINDOW: Final = 100_000
"""Sessions a window may have, or a shift may go."""

_COMPARISONS: Final = {">": "Gt", ">=": "Ge", "<": "Lt", "<=": "Le", "==": "Eq", "!=": "Ne"}
_SIGNS: Final = {"|": ("Or", 1), "&": ("And", 2), "+": ("Add", 3), "-": ("Sub", 3), "*": ("Mul", 4), "/": ("Div", 4)}


def parse(text: str) -> Term:
    """Return the term that `text` describes.

    Guarantees: equal expressions give the same object, whatever spaces and needless brackets they have; ``str`` of the
    term parses to the same object; time and memory are bounded by `MAX_LENGTH` and `MAX_DEPTH`.

    Raises
    ------
    ExpressionError
        For anything that is no valid expression; carries the position and the nearest known name.
    UntrustedModuleError, ConstructError
        For an operator that the settings name and that cannot be loaded.
    NotPointInTimeError
        For a ``$$field`` outside of ``P`` and ``PRef``: data by period has no value on a session of its own.
    LookAheadError
        For a later period within ``P`` or ``PRef``, in labels too.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            text, MAX_LENGTH, f"an expression of {len(text)} characters; at most {MAX_LENGTH} are read"
        )
    if not text.strip():
        raise ExpressionError(text, 0, "an empty expression")
    known_operators()  # those that the settings name, too
    return _parse(text, OPERATORS.version)


@lru_cache(maxsize=4096)
def _parse(text: str, _version: int) -> Term:
    # the version of the table of operators is part of the key, so that registering one is seen
    parser = _Parser(text)
    term = parser.read_expression()
    parser.expect("end", "")
    parser.refuse_bare(term)
    return term


class _Parser:
    """Recursive descent over the tokens of one text, one method for each level of precedence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._next = 0
        self._depth = 0
        self._first_period: Token | None = None

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _take_sign(self, *signs: str) -> Token | None:
        token = self._tokens[self._next]
        if token.kind != "sign" or token.text not in signs:
            return None
        self._next += 1
        return token

    def _error(self, position: int, reason: str, *, hint: str | None = None) -> ExpressionError:
        return ExpressionError(self._text, position, reason, hint=hint)

    def expect(self, kind: str, text: str) -> Token:
        """Take the next token; ExpressionError unless it has this kind and text."""
        token = self._peek()
        if token.kind == kind and token.text == text:
            return self._take()
        found = "the expression ends" if token.kind == "end" else f"`{token.text}`"
        wanted = "the end" if kind == "end" else f"`{text}`"
        raise self._error(token.position, f"{found} where {wanted} was expected")

    def refuse_bare(self, term: Term) -> None:
        """Refuse an expression whose values follow one another by periods; NotPointInTimeError."""
        token = self._first_period
        if term.axis != "periods" or token is None:
            return
        raise NotPointInTimeError(
            f"`$${token.text}` at position {token.position} of `{self._text[:200]}` is data by period: "
            f"it has no value on a session of its own",
            hint=f"write P({self._text.strip()[:200]}): what was known on each session. "
            f"Fields with one `$`, as `$close`, are daily",
        )

    def read_expression(self) -> Term:
        """Read a comparison, or an expression of higher precedence."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(self._peek().position, f"brackets and calls nested deeper than {MAX_DEPTH}")
        left = self._read_binary(1)
        sign = self._take_sign(*_COMPARISONS)
        if sign is not None:
            left = self._apply(_COMPARISONS[sign.text], (left, self._read_binary(1)), sign.position)
            again = self._take_sign(*_COMPARISONS)
            if again is not None:
                raise self._error(
                    again.position, "comparisons cannot be chained", hint="write (a > b) & (b > c), each in brackets"
                )
        self._depth -= 1
        return left

    def _read_binary(self, strength: int) -> Term:
        """Read operands joined by signs of at least the precedence `strength` (precedence climbing).

        1. Read the left operand.
        2. While the next sign has enough precedence: take it, read its right operand with a precedence one higher, so
           that equal signs group from the left, and let their term be the new left operand.
        """
        left = self._read_signed()
        while True:
            token = self._tokens[self._next]
            name, binds = _SIGNS.get(token.text, ("", 0)) if token.kind == "sign" else ("", 0)
            if binds < strength:
                return left
            self._next += 1
            left = self._apply(name, (left, self._read_binary(binds + 1)), token.position)

    def _read_signed(self) -> Term:
        if self._tokens[self._next].text not in ("-", "+"):  # the usual case, quickly; quotes may hold signs, too
            return self._read_power()
        first = self._peek().position
        negative = False
        while (sign := self._take_sign("-", "+")) is not None:
            negative ^= sign.text == "-"
        term = self._read_power()
        if not negative:
            return term
        return number(-term.value) if term.kind == "number" else self._apply("Mul", (number(-1), term), first)

    def _read_power(self) -> Term:
        base = self._read_primary()
        sign = self._take_sign("**")
        if sign is None:
            return base
        exponent_sign = self._take_sign("-", "+")
        exponent = self._read_primary()
        if exponent_sign is not None and exponent_sign.text == "-":
            exponent = self._apply("Mul", (number(-1), exponent), exponent_sign.position)
        again = self._take_sign("**")
        if again is not None:
            raise self._error(again.position, "powers cannot be chained", hint="use brackets to say which comes first")
        return self._apply("Power", (base, exponent), sign.position)

    def _read_primary(self) -> Term:
        token = self._take()
        match token.kind:
            case "number":
                return self._read_number(token)
            case "field":
                return field(token.text)
            case "period":
                return self._read_period(token)
            case "name":
                return self._read_call(token)
            case _ if token.text == "(":
                inner = self.read_expression()
                self.expect("sign", ")")
                return inner
            case "end":
                raise self._error(token.position, "the expression ends too early")
            case _:
                raise self._error(token.position, f"`{token.text}` cannot stand here")

    def _read_period(self, token: Token) -> Term:
        self._first_period = self._first_period or token
        try:
            return period(token.text)
        except ValueError as error:
            raise self._error(token.position, str(error)) from error

    def _read_number(self, token: Token) -> Term:
        value = float(token.text)
        if not math.isfinite(value):
            raise self._error(token.position, f"{token.text} is too large a number")
        return number(value)

    def _read_call(self, name: Token) -> Term:
        if name.text == "Feature" and self._peek().text == "(":
            return self._read_field_call()
        operator = OPERATORS.find(name.text)
        if operator is None:
            raise self._unknown(name)
        if self._peek().text != "(":
            raise self._error(name.position, f"`{name.text}` is an operator and needs arguments in brackets")
        self._take()
        given: dict[int, Argument] = {}
        is_named = False
        while True:
            place = self._read_name(operator, given)
            is_named |= place is not None
            if place is None and is_named:
                raise self._error(self._peek().position, "an argument without a name stands after one with a name")
            place = len(given) if place is None else place
            if place >= len(operator.signature):
                raise self._error(self._peek().position, _arity_message(operator, "more"))
            given[place] = self._read_argument(operator, operator.signature[place], place + 1)
            if self._take_sign(",") is None:
                break
        closing = self.expect("sign", ")")
        if len(given) < len(operator.signature) - operator.optional:
            raise self._error(closing.position, _arity_message(operator, str(len(given))))
        missing = [operator.names[place] for place in range(len(given)) if place not in given]
        if missing:
            raise self._error(closing.position, f"{operator.name} is called without `{missing[0]}`")
        return self._apply(operator.name, tuple(given[place] for place in range(len(given))), name.position)

    def _read_name(self, operator: Operator, given: Mapping[int, Argument]) -> int | None:
        """Return the place of the argument that ``name=`` announces; None, and nothing is read, without a name."""
        token, after = self._peek(), self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        if token.kind != "name" or after.text != "=" or after.kind != "sign":
            return None
        if token.text not in operator.names:
            guess = nearest(token.text, operator.names)
            hint = f"did you mean `{guess}`?" if guess else f"it takes {', '.join(operator.names)}"
            raise self._error(token.position, f"{operator.name} has no argument `{token.text}`", hint=hint)
        place = operator.names.index(token.text)
        if place in given:
            raise self._error(token.position, f"the argument `{token.text}` of {operator.name} is given twice")
        self._next += 2
        return place

    def _read_field_call(self) -> Term:
        """Read what stands after ``Feature``: the name of a field in brackets and quotes, as Qlib writes fields."""
        self.expect("sign", "(")
        token = self._take()
        if token.kind != "text" or not token.text.isidentifier():
            raise self._error(token.position, "`Feature` takes the name of a field in quotes", hint="or write `$close`")
        self.expect("sign", ")")
        return field(token.text)

    def _unknown(self, name: Token) -> ExpressionError:
        known = OPERATORS.operators
        guess = nearest(name.text, known)
        if self._peek().text != "(":
            hint = f"a field is written `${name.text}`" + (f"; an operator is `{guess}(…)`" if guess else "")
            return self._error(name.position, f"`{name.text}` is neither a field nor a call", hint=hint)
        hint = f"did you mean `{guess}`?" if guess else f"known operators: {', '.join(sorted(known))}"
        return self._error(name.position, f"there is no operator `{name.text}`", hint=hint)

    def _read_argument(self, operator: Operator, parameter: Parameter, place: int) -> Argument:
        start = self._peek()
        if parameter == "name":
            self._take()
            if start.kind not in ("name", "text") or not start.text:
                raise self._error(start.position, f"argument {place} of {operator.name} is a name, in quotes")
            return start.text
        if parameter == "any" and start.kind == "text":
            return self._take().text
        term = self.read_expression()
        if parameter == "series":
            return term
        if parameter == "any":
            return term.value if term.kind == "number" else term
        if term.kind != "number":
            reason = f"argument {place} of {operator.name} must be a number, not `{term.text[:60]}`"
            raise self._error(start.position, reason, hint="windows are fixed when the expression is written")
        refusal = _refusal(parameter, term.value)
        if refusal is not None:
            raise self._error(start.position, f"argument {place} of {operator.name} {refusal}, and this is {term.text}")
        return term.value

    def _apply(self, name: str, arguments: tuple[Argument, ...], position: int) -> Term:
        folded = self._fold(name, arguments, position)
        if folded is not None:
            return folded
        try:
            return OPERATORS.operators[name].applied(arguments)
        except ValueError as error:
            raise self._error(position, f"{name}: {error}") from error

    def _fold(self, name: str, arguments: tuple[Argument, ...], position: int) -> Term | None:
        """Return the result of arithmetic on constants, computed as in Python; None when there is a series."""
        if name not in ("Add", "Sub", "Mul", "Div", "Power"):
            return None
        values = [term.value for term in arguments if isinstance(term, Term) and term.kind == "number"]
        if len(values) < 2:
            return None
        left, right = map(float, values)
        try:
            value = {
                "Add": lambda: left + right,
                "Sub": lambda: left - right,
                "Mul": lambda: left * right,
                "Div": lambda: left / right,
                "Power": lambda: math.pow(left, right),
            }[name]()
        except (ZeroDivisionError, OverflowError, ValueError) as error:
            raise self._error(position, f"arithmetic on constants has no result: {error}") from error
        if not math.isfinite(value):
            raise self._error(position, "arithmetic on constants is too large")
        return number(value)


def _arity_message(operator: Operator, given: str) -> str:
    most = len(operator.signature)
    least = most - operator.optional
    wanted = str(most) if least == most else f"{least} to {most}"
    kinds = ", ".join(operator.signature)
    return f"{operator.name} takes {wanted} arguments ({kinds}); {given} were given"


def _refusal(parameter: Parameter, value: float) -> str | None:
    """Return why a constant is not allowed as this argument, or None when it is."""
    is_whole = isinstance(value, int)
    if parameter == "period":
        return None if is_whole else "is a period, as 201903"
    if parameter == "level":
        return None if 0 <= value <= 1 else "is a level from 0 to 1"
    return _window_refusal(parameter, value, is_whole=is_whole)


def _window_refusal(parameter: Parameter, value: float, *, is_whole: bool) -> str | None:
    if abs(value) > MAX_WINDOW:
        return f"may not go beyond {MAX_WINDOW} sessions"
    if parameter == "shift":
        return None if is_whole else "is a whole number of sessions"
    if parameter == "span":
        return None if value >= 0 else "is a span and cannot be negative"
    if is_whole:
        return None if value >= 0 else "is a window and cannot be negative"
    return None if 0 < value < 1 else "is a whole number of sessions, 0, or a fraction between 0 and 1"
