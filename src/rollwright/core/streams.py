"""Standard streams that end no program: whatever they cannot write, and whoever stopped reading them.

A command that has done its work must not fail because its last line goes to a log in Latin-1, to a console that knows
no Chinese, or to ``head``, which has read enough. A full disk stays an error: what was asked for is not there then.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, Final

__all__ = ["flush_streams", "make_streams_tolerant"]

_STDERR: Final = 2
_STANDARD: Final = ((1, "stdout"), (_STDERR, "stderr"))


def make_streams_tolerant() -> None:
    r"""Let `sys.stdout` and `sys.stderr` write everything, for the whole process.

    1. A descriptor that was closed before the start leads nowhere, so that no file of ours gets its number.
    2. A character that the encoding lacks is written as ``\u7814``.
    3. What is written to a pipe that nobody reads any more is dropped.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for number, name in _STANDARD:
        stream: Any = getattr(sys, name)
        if stream is None or (os.name == "posix" and _writes_to(stream, number)):
            setattr(sys, name, _open_tolerant(number, stream))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> OSError | None:
    """Write what is buffered, and return what hindered it, such as a full disk; nothing waits to be written then."""
    problem = None
    for number, name in _STANDARD:
        try:
            getattr(sys, name).flush()
        except OSError as error:
            problem = error
            _drop_output(number)
    return problem


def _writes_to(stream: Any, number: int) -> bool:
    """Tell whether a stream is the plain one that Python opened for this descriptor, none of a caller."""
    if type(stream) is not io.TextIOWrapper:
        return False
    return isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO) and stream.fileno() == number


def _open_tolerant(number: int, former: Any) -> io.TextIOWrapper:
    if former is not None:
        with suppress(OSError, ValueError):
            former.flush()
    raw = _Output(number, "wb", closefd=False)
    unbuffered = former is not None and former.write_through  # PYTHONUNBUFFERED: line by line is near enough
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if former is None else former.encoding,
        errors="backslashreplace",
        line_buffering=number == _STDERR or unbuffered or raw.isatty(),
    )


class _Output(io.FileIO):
    """A descriptor whose pipe may lose its reader: what is written from then on goes nowhere."""

    def write(self, data: Any, /) -> int:  # an ordinary file, so never None
        try:
            return super().write(data)
        except BrokenPipeError:
            _drop_output(self.fileno())
            return super().write(data)


def _drop_output(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
