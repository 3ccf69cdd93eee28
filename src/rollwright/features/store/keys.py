"""Which folder of the store a list of expressions has: told by its texts, without parsing what was parsed before."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.core.atomic import draft_of, put
from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.expression.operators.catalogue import OPERATORS
from rollwright.expression.planner import Plan

__all__ = ["LIST_SUFFIX", "Listed", "listed_of", "recall", "remember"]

LIST_SUFFIX: Final = ".list"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the store knows of a list of expressions.

    Attributes
    ----------
    key : str
        Name of its folder: a hash of the canonical expressions, so that spelling does not matter.
    lookahead : int
        Sessions of future its values read.
    """

    key: str
    lookahead: int


def listed_of(plan: Plan, freq: str) -> Listed:
    """Return what the store calls the expressions of `plan`."""
    text = canonical_json({"expressions": list(plan.expressions), "freq": freq})
    return Listed(key=sha256_hex(text.encode())[:24], lookahead=plan.lookahead)


def recall(root: Path, freq: str, expressions: Sequence[str]) -> Listed | None:
    """Return what `remember` wrote for these very texts; None when it wrote nothing, or its file is damaged.

    The names of all operators belong to the question: a list that calls an operator of the user's own is parsed, and
    refused, where that operator is not registered.
    """
    path = _path(root, freq, expressions)
    try:
        text = path.read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    seal, _, body = text.partition(" ")
    key, _, lookahead = body.strip().partition(" ")
    if sha256_hex(body.encode())[:16] != seal or not lookahead.isdigit():
        return None
    return Listed(key=key, lookahead=int(lookahead))


def remember(root: Path, freq: str, expressions: Sequence[str], listed: Listed) -> None:
    """Write down what the store calls these texts; a store that cannot be written to parses them each time."""
    path = _path(root, freq, expressions)
    body = f"{listed.key} {listed.lookahead}\n"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(path) as draft:  # its loss costs a parse, so it is not flushed
            draft.write_text(f"{sha256_hex(body.encode())[:16]} {body}", encoding="ascii")
            put(draft, path)


def _path(root: Path, freq: str, expressions: Sequence[str]) -> Path:
    asked = canonical_json({"format": FORMAT, "texts": list(expressions), "operators": sorted(OPERATORS.operators)})
    return root / freq / f"{sha256_hex(asked.encode())[:24]}{LIST_SUFFIX}"
