"""What the fields by period of a data folder measure: `financial/fields.json`, which Qlib does not look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rollwright.core.bounded_read import SMALL, read_whole
from rollwright.core.canonical import JSON, parse_json
from rollwright.errors import ConfigError, CorruptFileError, RollwrightError, nearest
from rollwright.market.folder.bins import content_digest
from rollwright.market.folder.layout import FINANCIAL
from rollwright.market.source import UNKNOWN_KIND, FieldKind

__all__ = ["KINDS", "KINDS_PATH", "format_kinds", "name_kind", "parse_kind", "read_kinds"]

KINDS_PATH: Final = f"{FINANCIAL}/fields.json"
_FORMAT: Final = "rollwright fields by period"
_VERSION: Final = 1

KINDS: Final[Mapping[str, FieldKind]] = {
    "flow-cumulative": FieldKind("flow", "cumulative"),
    "flow-discrete": FieldKind("flow", "discrete"),
    "flow": FieldKind("flow"),
    "stock": FieldKind("stock"),
    "unknown": UNKNOWN_KIND,
}
"""The names of kinds, as they are written at an import."""


def parse_kind(name: str) -> FieldKind:
    """Return the kind called `name`.

    Raises
    ------
    ConfigError
        When there is none.
    """
    found = KINDS.get(name.strip().lower())
    if found is None:
        close = nearest(name, KINDS)
        hint = f"did you mean `{close}`?" if close else f"one of {', '.join(KINDS)}"
        raise ConfigError(f"{name!r} is no kind of field", hint=hint)
    return found


def name_kind(kind: FieldKind) -> str:
    """Return the name of `kind`; undoes `parse_kind`."""
    return next(name for name, known in KINDS.items() if known == kind)


def read_kinds(root: Path, digest: str | None = None) -> dict[str, FieldKind]:
    """Return the kinds that a data folder declares, by fields without ``$$``; none where it has no such file.

    Parameters
    ----------
    root : Path
    digest : str, optional
        What `content_digest` must say of the file, which then has to be there.

    Raises
    ------
    CorruptFileError
    """
    path = root / KINDS_PATH
    try:
        data = read_whole(path, limit=SMALL)
    except FileNotFoundError as error:
        if digest is None:
            return {}
        raise CorruptFileError(path, "it is missing, and the manifest lists it") from error
    except OSError as error:
        raise CorruptFileError(path, f"it cannot be read: {error.strerror}") from error
    if digest is not None and content_digest(data) != digest:
        raise CorruptFileError(path, "its bytes are not the ones that were written")
    try:
        body = parse_json(data.decode("utf-8"))
    except (ValueError, RecursionError, RollwrightError) as error:
        raise CorruptFileError(path, f"it is not JSON: {error}") from error
    if not isinstance(body, dict) or body.get("format") != _FORMAT or body.get("version") != _VERSION:
        raise CorruptFileError(path, f"it is no list of fields by period of version {_VERSION}")
    fields: Any = body.get("fields")
    if not isinstance(fields, dict):
        raise CorruptFileError(path, "it lists no fields")
    return {name: _read_kind(path, name, value) for name, value in fields.items()}


def _read_kind(path: Path, name: str, value: object) -> FieldKind:
    for kind in KINDS.values():
        if value == kind._asdict():
            return kind
    raise CorruptFileError(path, f"it says of `{name}` {value!r}, which is no kind of field")


def format_kinds(kinds: Mapping[str, FieldKind]) -> bytes:
    """Return the bytes of the file; those of fields of which nothing is known are left out."""
    fields: dict[str, JSON] = {
        name: dict(kind._asdict()) for name, kind in sorted(kinds.items()) if kind != UNKNOWN_KIND
    }
    body: dict[str, JSON] = {"format": _FORMAT, "version": _VERSION, "fields": fields}
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()
