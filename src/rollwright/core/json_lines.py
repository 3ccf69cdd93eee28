"""JSON files that people read too: one line for each member, written at the speed of the compact form.

The standard library indents in Python, one token after another, which is ten times the cost of its compact form.
"""

from __future__ import annotations

import json
from typing import Any, Final

from rollwright.core.canonical import JSON

__all__ = ["dump_lines"]

_IN_ORDER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_SORTED: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True)


def dump_lines(value: JSON, *, levels: int = 1, sort_keys: bool = False) -> str:
    """Return the text of a JSON value, its members on lines of their own, and a newline.

    Parameters
    ----------
    value : JSON
        Its keys are text.
    levels : int
        How deep members get their own lines: 2 for a mapping that holds a list of entries.
    sort_keys : bool
        Whether keys are in order, on each level.

    Raises
    ------
    ValueError
        For NaN and infinities.
    """
    return f"{_dump(value, _SORTED if sort_keys else _IN_ORDER, levels, '')}\n"


def _dump(value: Any, encoder: json.JSONEncoder, levels: int, head: str) -> str:
    if not levels or not value or not isinstance(value, dict | list):
        return encoder.encode(value)
    inner = f"{head} "
    if isinstance(value, list):
        lines = [f"{inner}{_dump(item, encoder, levels - 1, inner)}" for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{head}]"
    items = sorted(value.items()) if encoder.sort_keys else value.items()
    lines = [f"{inner}{encoder.encode(key)}: {_dump(item, encoder, levels - 1, inner)}" for key, item in items]
    return "{\n" + ",\n".join(lines) + f"\n{head}}}"
