"""Values that JSON alone would not give back, as typed JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rollwright.codecs.registry import Codec, read_artifact
from rollwright.core.bounded_read import MEDIUM
from rollwright.core.canonical import parse_json
from rollwright.core.json_lines import dump_lines
from rollwright.core.typed import from_typed, to_typed
from rollwright.errors import CorruptArtifactError, TaskValueError

__all__ = ["TypedJsonCodec"]

FORMAT: Final = 1
_LIMIT: Final = 1 << 24
"""Values and characters; the file is longer by its brackets and blanks, and can still be read whole."""


class TypedJsonCodec(Codec):
    """Tuples, dates, timestamps, NumPy scalars, sets, bytes, dictionaries with any keys, and what is made of them.

    Guarantees: the object read has the type and value of the one written, in every part; nothing is run.
    """

    kind = "typed"
    suffix = ".json"

    def write(self, obj: Any, path: Path) -> None:
        """Write `obj` as typed JSON."""
        body = {"format": FORMAT, "value": to_typed(obj, limit=_LIMIT)}
        path.write_text(dump_lines(body), encoding="utf-8")

    def accepts(self, obj: Any) -> bool:
        """Return whether every part of `obj` has a typed form, and it is not too large for one."""
        try:
            to_typed(obj, limit=_LIMIT)
        except TaskValueError:
            return False
        return True

    def read(self, path: Path) -> Any:
        """Return the value in `path`.

        Raises
        ------
        CorruptArtifactError
            When it holds none, or was written by a newer rollwright.
        """
        try:
            body = parse_json(read_artifact(path, limit=MEDIUM).decode("utf-8"))
            if not isinstance(body, dict) or body.get("format") != FORMAT or "value" not in body:
                raise TaskValueError("$", f"it is no typed JSON of format {FORMAT}")
            return from_typed(body["value"])
        except (TaskValueError, UnicodeDecodeError) as error:
            raise CorruptArtifactError(f"{path} holds no typed value: {error}") from error
