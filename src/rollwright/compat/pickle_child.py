"""The process that reads an old pickle: it enters a sandbox, reads, and writes a safe file or the reason why not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from rollwright.core.sandbox import enter_sandbox

__all__ = ["convert", "main"]

_MEGABYTE: Final = 1 << 20


def main() -> int:
    """Convert ``argv[1]`` into a file in the folder ``argv[2]`` and tell of it on stdout, as one line of JSON."""
    source, folder, seconds, memory = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    limits = enter_sandbox(seconds=seconds, memory=memory, file_size=max(64 * _MEGABYTE, 4 * source.stat().st_size))
    try:
        told = {"ok": True, "limits": sorted(limits), **convert(source, folder)}
    except MemoryError:
        told = {"ok": False, "type": "UntrustedArtifactError", "message": f"{source.name} asks for too much memory"}
    except Exception as error:  # noqa: BLE001 - this process is the boundary: its parent learns everything from one line
        known = {"UntrustedArtifactError", "CorruptArtifactError", "UnsupportedArtifactError"}
        kind = type(error).__name__ if type(error).__name__ in known else "CorruptArtifactError"
        message = getattr(error, "message", f"{source.name} cannot be converted: {type(error).__name__}: {error}")
        told = {"ok": False, "type": kind, "message": str(message)[:2000]}
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    return 0


def convert(source: Path, folder: Path) -> dict[str, Any]:
    """Convert `source`, without running it, into a file in `folder`, and return what it held; errors are typed."""
    # Not before the limits stand.
    from rollwright.compat.pickle_reader import read_notes  # noqa: PLC0415
    from rollwright.core.bounded_read import LARGE, read_whole  # noqa: PLC0415

    notes = read_notes(read_whole(source, limit=LARGE), where=source.name)

    from rollwright.codecs.registry import codecs  # noqa: PLC0415
    from rollwright.compat.pickle_frames import Rebuilder  # noqa: PLC0415 - pandas, only for what passed so far
    from rollwright.errors import UnsupportedArtifactError  # noqa: PLC0415

    value = Rebuilder(source.name).value(notes)
    codec = codecs.for_object(value)
    if codec.kind not in ("parquet", "npy", "json", "typed"):
        raise UnsupportedArtifactError(
            f"{source.name} holds a {type(value).__name__} without a JSON form, and no pickle is written in its place"
        )
    path = folder / f"converted{codec.suffix}"
    codec.write(value, path)
    shape = list(getattr(value, "shape", ())) or None
    return {"kind": codec.kind, "file": path.name, "type": type(value).__name__, "shape": shape}


if __name__ == "__main__":
    sys.exit(main())
