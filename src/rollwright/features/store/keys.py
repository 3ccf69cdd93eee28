"""The key of a list of expressions, which names its folder in the store; found without parsing known texts again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.core.atomic import draft_of, put
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.expression.operators.catalogue import OPERATORS
from rollwright.expression.planner import Plan

__all__ = ["LIST_SUFFIX", "ExpressionKey", "make_key", "read_key", "write_key"]

LIST_SUFFIX: Final = ".list"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionKey:
    """The key of a list of expressions.

    Attributes
    ----------
    name : str
        Name of its folder: a hash of the canonical expressions, so that spelling does not matter.
    lookahead : int
        Sessions after its own that a value reads.
    """

    name: str
    lookahead: int


def make_key(plan: Plan, freq: str) -> ExpressionKey:
    """Return the key of the expressions of `plan`."""
    text = canonical_json({"expressions": list(plan.expressions), "freq": freq})
    return ExpressionKey(name=sha256_hex(text.encode())[:24], lookahead=plan.lookahead)


def read_key(root: Path, freq: str, expressions: Sequence[str]) -> ExpressionKey | None:
    """Return the key that `write_key` stored for exactly these texts; None when there is none, or its file is damaged.

    The names of all registered operators are part of the file name: a list that calls an operator of the user's own is
    parsed, and refused, in a process where that operator is not registered.
    """
    path = _path(root, freq, expressions)
    try:
        text = read_text(path, limit=SMALL, encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    checksum, _, body = text.partition(" ")
    name, _, lookahead = body.strip().partition(" ")
    if sha256_hex(body.encode())[:16] != checksum or not lookahead.isdigit():
        return None
    return ExpressionKey(name=name, lookahead=int(lookahead))


def write_key(root: Path, freq: str, expressions: Sequence[str], key: ExpressionKey) -> None:
    """Store the key of these texts; where that fails, they are parsed each time."""
    path = _path(root, freq, expressions)
    body = f"{key.name} {key.lookahead}\n"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(path) as draft:  # not flushed to disk: its loss costs one parse
            draft.write_text(f"{sha256_hex(body.encode())[:16]} {body}", encoding="ascii")
            put(draft, path)


def _path(root: Path, freq: str, expressions: Sequence[str]) -> Path:
    asked = canonical_json({"format": FORMAT, "texts": list(expressions), "operators": sorted(OPERATORS.operators)})
    return root / freq / f"{sha256_hex(asked.encode())[:24]}{LIST_SUFFIX}"
