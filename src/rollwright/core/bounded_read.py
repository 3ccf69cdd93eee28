"""Reading files whole: regular files only, up to a size, and without waiting for anybody.

The one module that reads a file whole. A path may lead to a named pipe, which waits for a writer for ever, to a device
that never ends, or to a sparse file of many gigabytes that takes no room on the disk (promise I25).
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

__all__ = ["LARGE", "MEDIUM", "READ_FLAGS", "SMALL", "open_regular", "read_rest", "read_text", "read_whole"]

SMALL: Final = 1 << 20
"""Bytes of what a person writes, or of a few facts: settings, keys, a list of trust."""
MEDIUM: Final = 1 << 28
"""Bytes of what a program lists: manifests, calendars, summaries, JSON artifacts, journals."""
LARGE: Final = 1 << 32
"""Bytes of a model or a saved object."""

READ_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)
"""For `os.open`: without waiting, and no program started later gets the descriptor."""


def open_regular(path: Path | str, *, follow: bool = True) -> BufferedReader:
    """Open the file `path` for reading, without waiting; with `follow` False its last part may be no link.

    Raises
    ------
    FileNotFoundError
    IsADirectoryError
    OSError
        When it is a pipe, a device or a socket, or cannot be read.
    """
    flags = READ_FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    # `Path.open` takes no opener. It refuses a folder itself.
    file = open(path, "rb", opener=lambda name, _: os.open(name, flags))  # noqa: SIM115 - see above; the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def read_whole(path: Path | str, *, limit: int) -> bytes:
    """Return the bytes of the file `path`; a longer one is refused unread.

    Raises
    ------
    FileNotFoundError
    OSError
        When it is larger than `limit` bytes, is no regular file, or cannot be read.
    """
    with open_regular(path) as file:
        return read_rest(file, limit=limit)


def read_rest(file: BufferedReader, *, limit: int) -> bytes:
    """Return the bytes of a file of `open_regular` from its position on.

    Raises
    ------
    OSError
        When they are more than `limit`; of a file whose size says so nothing is read.
    """
    size = max(0, os.fstat(file.fileno()).st_size - file.tell())
    data = file.read(size + 1) if size <= limit else b""
    if len(data) > size:  # it grows while it is read, or is a file of the kernel, which states no size
        data += file.read(limit + 1 - len(data))
    if max(size, len(data)) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(file.name))
    return data


def read_text(path: Path, *, limit: int, encoding: str = "utf-8") -> str:
    r"""Return the text of the file `path`, with line ends as ``\n``.

    Raises
    ------
    UnicodeDecodeError
    OSError
        As `read_whole`.
    """
    text = read_whole(path, limit=limit).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
