"""What the system refused, in words: a full disk, a folder that may not be written to."""

from __future__ import annotations

import errno
from typing import Final

__all__ = ["describe_refusal"]

_AGAIN: Final = "give the same command again: what was finished is kept, and no file is left half written"
_HINTS: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"make room there, and {_AGAIN}"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        f"let this user read and write there, or name another place, and {_AGAIN}",
    ),
    errno.EMFILE: f"allow more open files (`ulimit -n`), and {_AGAIN}",
}


def describe_refusal(error: OSError) -> tuple[str, str]:
    """Return what happened and what to do."""
    hint = _HINTS.get(error.errno or 0, f"when that is in order, {_AGAIN}")
    if error.filename is None or error.strerror is None:
        return str(error), hint
    place = str(error.filename) if error.filename2 is None else f"{error.filename} and {error.filename2}"
    return f"the system refuses {place}: {error.strerror}", hint
