"""Tokens of field expressions, each with its position in the text."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, TypeAlias

from rollwright.errors import ExpressionError

__all__ = ["Token", "TokenKind", "tokenize"]

TokenKind: TypeAlias = Literal["number", "field", "period", "name", "text", "sign", "end"]

# word characters and the punctuation 、：（） that field names of Chinese reports contain
_WORD: Final = r"[\w\u3001\uff1a\uff08\uff09]+"
_PATTERN: Final = re.compile(
    rf"""
    (?P<space>\s+)
  | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
  | (?P<period>\$\${_WORD})
  | (?P<field>\${_WORD})
  | (?P<name>[^\W\d]\w*)
  | (?P<text>'[^'"\\\n]*'|"[^'"\\\n]*")
  | (?P<sign>\*\*|>=|<=|==|!=|[-+*/<>&|(),=])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A token: its kind, its characters (fields without ``$``, texts without quotes) and its position."""

    kind: TokenKind
    text: str
    position: int


_MARKS: Final = {"field": (1, 0), "period": (2, 0), "text": (1, 1)}


def tokenize(expression: str) -> list[Token]:
    """Return the tokens of `expression`, the last one of kind ``end``.

    Raises
    ------
    ExpressionError
        At the first character that starts no token.
    """
    tokens: list[Token] = []
    position = 0
    for match in iter(_PATTERN.scanner(expression).match, None):  # type: ignore[attr-defined,unused-ignore]  # the stubs lack it
        kind = match.lastgroup
        if kind != "space":
            text = match.group()
            if kind in _MARKS:
                before, after = _MARKS[kind]
                text = text[before : len(text) - after]
            tokens.append(Token(kind, text, position))
        position = match.end()
    if position < len(expression):
        raise ExpressionError(expression, position, _complaint(expression, position))
    tokens.append(Token("end", "", position))
    return tokens


def _complaint(expression: str, position: int) -> str:
    character = expression[position]
    if character == "$":
        return "`$` without the name of a field"
    if character in "'\"":
        return "a text that is never closed"
    if character.isdigit():
        return "a number that is no number"
    return f"unexpected character {character!r}"
