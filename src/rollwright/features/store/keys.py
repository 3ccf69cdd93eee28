"""The key of a list of expressions, which names its folder in the store; found without parsing known texts again.

A note (``<texts>.list``) has two lines under one seal: the key, and the parsed expressions (`stored_terms`), which are
read only where something is computed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.core.atomic import draft_of, put
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.expression.operators.catalogue import known_operators, own_code
from rollwright.expression.planner import Plan
from rollwright.expression.stored_terms import dump_terms, load_terms
from rollwright.expression.term import Term, walk

__all__ = ["LIST_SUFFIX", "ExpressionKey", "make_key", "read_key", "read_terms", "write_key"]

LIST_SUFFIX: Final = ".list"
FORMAT: Final = 4
_PERIOD: Final = "$$"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionKey:
    """The key of a list of expressions.

    Attributes
    ----------
    name : str
        Name of its folder: a hash of the canonical expressions, so that spelling does not matter.
    lookahead : int
        Sessions after its own that a value reads.
    fields : tuple of str
        The daily fields read, sorted.
    periods : tuple of str
        The fields by period read, sorted.
    """

    name: str
    lookahead: int
    fields: tuple[str, ...] = ()
    periods: tuple[str, ...] = ()


def make_key(plan: Plan, freq: str) -> ExpressionKey:
    """Return the key of the expressions of `plan`."""
    called = {term.name for term in walk(*plan.terms, within=True) if term.kind == "call"}
    code = own_code(sorted(called))
    text = canonical_json({"expressions": list(plan.expressions), "freq": freq} | ({"code": code} if code else {}))
    return ExpressionKey(
        name=sha256_hex(text.encode())[:24], lookahead=plan.lookahead, fields=plan.fields, periods=plan.periods
    )


def read_key(root: Path, freq: str, expressions: Sequence[str]) -> ExpressionKey | None:
    """Return the key that `write_key` stored for exactly these texts; None when there is none, or its file is damaged.

    The names of all registered operators, and the code of the user's own, are part of the file name: a list that calls
    one is parsed again when its code changed, and refused in a process where it is not registered.
    """
    name, lookahead, *fields = [*_read(root, freq, expressions).partition("\n")[0].split(), "", ""]
    if not lookahead.isdigit():
        return None
    daily = tuple(field for field in fields if field and not field.startswith(_PERIOD))
    periods = tuple(field.removeprefix(_PERIOD) for field in fields if field.startswith(_PERIOD))
    return ExpressionKey(name=name, lookahead=int(lookahead), fields=daily, periods=periods)


def read_terms(root: Path, freq: str, expressions: Sequence[str]) -> tuple[tuple[Term, ...], tuple[Term, ...]] | None:
    """Return what these texts were parsed to, and the nodes of their plan; None when that is not known here."""
    try:
        return load_terms(json.loads(_read(root, freq, expressions).partition("\n")[2]))
    except ValueError:
        return None


def _read(root: Path, freq: str, expressions: Sequence[str]) -> str:
    """Return what is written below the seal of a note; nothing when there is none, or it is damaged."""
    try:
        text = read_text(_path(root, freq, expressions), limit=MEDIUM, encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    checksum, _, body = text.partition(" ")
    return body if sha256_hex(body.encode())[:16] == checksum else ""


def write_key(root: Path, freq: str, expressions: Sequence[str], key: ExpressionKey, plan: Plan) -> None:
    """Store the key of these texts and what they were parsed to; where that fails, they are parsed each time."""
    path = _path(root, freq, expressions)
    order = () if plan.stages or plan.periods else plan.nodes
    parsed = json.dumps(dump_terms(plan.terms, order), separators=(",", ":"))
    body = (
        " ".join([key.name, str(key.lookahead), *key.fields, *(_PERIOD + name for name in key.periods)])
        + f"\n{parsed}\n"
    )
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(path) as draft:  # not flushed to disk: its loss costs one parse
            draft.write_text(f"{sha256_hex(body.encode())[:16]} {body}", encoding="utf-8")
            put(draft, path)


def _path(root: Path, freq: str, expressions: Sequence[str]) -> Path:
    known = sorted(known_operators())
    asked = canonical_json(
        {"format": FORMAT, "texts": list(expressions), "operators": known}
        | ({"code": code} if (code := own_code()) else {})
    )
    return root / freq / f"{sha256_hex(asked.encode())[:24]}{LIST_SUFFIX}"
