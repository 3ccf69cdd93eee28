"""Paths as people write them in settings: plain ones, with ``~``, and ``file:`` URIs. The one place that reads them.

A plain path is taken as it is written: ``%41``, blanks and ``#`` in it are nothing but characters. A ``file:`` URI is
decoded, with one slash, with three, and with ``localhost``; blanks may stand in it unencoded.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from rollwright.errors import ConfigError

__all__ = ["read_path"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):(//)?")
_DRIVE: Final = re.compile(r"/?[A-Za-z]:[\\/]|\\\\")
_LOCAL: Final = ("", "localhost", "127.0.0.1")


def read_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that `text` names, with ``~`` expanded; a relative one stays relative.

    Raises
    ------
    ConfigError
        For a URI of another machine, or of something else than files, and for a path of Windows elsewhere.
    """
    given = os.fspath(text)
    path = given
    scheme = _SCHEME.match(given)
    if scheme and scheme[1].lower() == "file":
        path = _decode(given, given[len("file:") :])
    elif scheme and scheme[2]:
        raise ConfigError(f"{given!r} is no folder of this machine", hint="give a path, or a file: URI")
    if os.name != "nt" and _DRIVE.match(path):
        raise ConfigError(f"{given!r} is a path of Windows", hint="give this machine's path, as /mnt/c/data")
    if not path or "\0" in path:
        raise ConfigError(f"{given!r} names no path", hint="as data/market, ~/market or file:///data/market")
    return Path(path).expanduser()


def _decode(given: str, rest: str) -> str:
    if not rest.startswith("//"):  # file:/a, file:a, and file:~/a
        return unquote(rest)
    host, slash, path = rest[2:].partition("/")
    if host == "~":
        return f"~/{unquote(path)}"
    if host.lower() not in _LOCAL:
        raise ConfigError(
            f"{given!r} names the host {host!r}, and files are read from this machine",
            hint=f"three slashes begin an absolute path, as file:///{host}{slash}{path}; a relative one has no file://",
        )
    return unquote(f"{slash}{path}")
