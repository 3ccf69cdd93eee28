"""Convert old pickles, as Qlib's recorders hold them, into safe files."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.core.atomic import write_atomically
from rollwright.core.bounded_read import LARGE, read_whole
from rollwright.errors import (
    ArtifactNotFoundError,
    ConfigError,
    CorruptArtifactError,
    RecordError,
    UnsupportedArtifactError,
    UntrustedArtifactError,
)

__all__ = ["ImportedPickle", "import_pickle"]

_logger: Final = logging.getLogger("rollwright.compat")

SECONDS: Final = 60
MEMORY: Final = 3 << 30
_START: Final = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); "
    "from rollwright.compat.pickle_child import main; sys.exit(main())"
)
_INSTEAD: Final = (
    "if you trust where it comes from: open it with the program that wrote it, and let that write a frame with "
    "`to_parquet`, an array with `numpy.save`, a booster with its `save_model`"
)
_ERRORS: Final[dict[str, type[RecordError]]] = {
    "UntrustedArtifactError": UntrustedArtifactError,
    "CorruptArtifactError": CorruptArtifactError,
    "UnsupportedArtifactError": UnsupportedArtifactError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPickle:
    """Result of an import: what the pickle held and where it is now.

    Attributes
    ----------
    source, path : str
    kind : str
        ``parquet``, ``npy`` or ``json``.
    type : str
        The Python type it comes back as.
    shape : list of int or None
    limits : list of str
        What the process that read it was limited in: cpu, memory, files, network.
    """

    source: str
    path: str
    kind: str
    type: str
    shape: list[int] | None
    limits: list[str]


def import_pickle(
    source: Path, out: Path | None = None, *, seconds: int = SECONDS, memory: int = MEMORY
) -> ImportedPickle:
    """Convert the pickle `source` without running it, and return what it held.

    A process of its own, without environment and network and with limits of time and memory, reads the instructions
    of the pickle and calls nothing. Frames and series become Parquet, arrays npy, plain values JSON.

    Parameters
    ----------
    out : Path, optional
        New file; `source` with the suffix of its format if not given.
    seconds, memory : int
        Of CPU, and bytes of address space, for that process.

    Raises
    ------
    UntrustedArtifactError
        When the pickle asks for anything that no frame needs; the message names it.
    CorruptArtifactError, UnsupportedArtifactError
        When it is not a pickle, or holds what has no safe form.
    ArtifactNotFoundError
        When there is no such file.
    ConfigError
        When `out` exists.
    """
    if not source.is_file():
        said = f"{source} is no regular file" if source.exists() else f"there is no file {source}"
        raise ArtifactNotFoundError(said)
    with tempfile.TemporaryDirectory(prefix="rollwright-import-") as folder:
        told = _ask_child(source.resolve(), Path(folder), seconds, memory)
        made = Path(folder) / str(told["file"])
        target = out if out is not None else source.with_suffix(made.suffix)
        if target.exists():
            raise ConfigError(f"{target} exists, and an import replaces nothing", hint="name a new file: --out FILE")
        body = read_whole(made, limit=LARGE)
        write_atomically(target, lambda draft: _write(draft, body))
    _logger.info("import.done source=%s path=%s kind=%s", source, target, told["kind"])
    return ImportedPickle(
        source=str(source),
        path=str(target),
        kind=told["kind"],
        type=told["type"],
        shape=told["shape"],
        limits=told["limits"],
    )


def _ask_child(source: Path, folder: Path, seconds: int, memory: int) -> dict[str, Any]:
    command = [sys.executable, "-I", "-c", _START, "\n".join(sys.path), str(source), str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - this very Python; what it reads it does not run
            [*command, str(seconds), str(memory)],
            env={},
            cwd=folder,
            capture_output=True,
            timeout=4 * seconds,
            check=False,
        )
        told = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise UntrustedArtifactError(f"{source.name} was not read within {4 * seconds} s") from error
    except ValueError as error:
        reason = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise UntrustedArtifactError(
            f"{source.name} was not read within {seconds} s of CPU and {memory >> 20} MiB: {reason}"
        ) from error
    if not told["ok"]:
        kind = _ERRORS[told["type"]]
        raise kind(told["message"], hint=None if kind is CorruptArtifactError else _INSTEAD)
    return dict(told)


def _write(path: Path, body: bytes) -> None:
    path.write_bytes(body)
