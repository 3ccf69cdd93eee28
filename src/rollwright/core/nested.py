"""Nested dictionaries as flat ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["FLATTEN_TUPLE", "flatten_dict"]

FLATTEN_TUPLE: Final = "_FLATTEN_TUPLE"
"""The `sep` of `flatten_dict` that makes tuples."""

_Path = tuple[Any, ...]


def flatten_dict(d: Mapping[Any, Any], parent_key: Any = "", sep: str = ".") -> dict[Any, Any]:
    """Return the values of nested dictionaries under the keys that lead to them; empty dictionaries leave nothing.

    Parameters
    ----------
    d : mapping
    parent_key : str
        What all keys begin with; empty: nothing.
    sep : str
        What stands between keys, as ``{"a.b.c": 1}``; with `FLATTEN_TUPLE` keys are tuples, as
        ``{("a", "b", "c"): 1}``, and a key of one level is itself.
    """
    before: _Path = () if parent_key == "" else (parent_key,)
    if sep == FLATTEN_TUPLE:
        return {path if len(path) > 1 else path[0]: value for path, value in _walk(d, before)}
    return {path[0] if len(path) == 1 else sep.join(map(str, path)): value for path, value in _walk(d, before)}


def _walk(d: Mapping[Any, Any], before: _Path) -> Iterator[tuple[_Path, Any]]:
    for key, value in d.items():
        path = (*before, key)
        if isinstance(value, Mapping):
            yield from _walk(value, path)
        else:
            yield path, value
