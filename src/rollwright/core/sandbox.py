"""A sandbox for a child process: limits on CPU time, memory and file size, and no network.

POSIX only; elsewhere the limits do not exist, and `enter_sandbox` returns which are in force (untested on Windows).
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

from rollwright.core.posix import set_resource_limit

__all__ = ["enter_sandbox", "leave_network"]

_NEW_NETWORK: Final = 0x40000000
_NEW_USER: Final = 0x10000000


def enter_sandbox(*, seconds: int, memory: int, file_size: int) -> frozenset[str]:
    """Limit this process until it ends; to be called in a child, before it starts threads or reads anything.

    It writes no bytecode from here on: what it imports later must not be cached in a file cut short at `file_size`.

    Parameters
    ----------
    seconds : int
        Of CPU; the system ends the process after them.
    memory : int
        Bytes of address space; an allocation beyond raises MemoryError.
    file_size : int
        Bytes of any file it writes.

    Returns
    -------
    frozenset of str
        Which of ``cpu``, ``memory``, ``files`` and ``network`` are limited now. On Linux the process gets
        an empty network of its own, where ordinary users may have one.
    """
    sys.dont_write_bytecode = True
    limits = (("cpu", "RLIMIT_CPU", seconds), ("memory", "RLIMIT_AS", memory), ("files", "RLIMIT_FSIZE", file_size))
    done = {name for name, limit, value in limits if set_resource_limit(limit, value)}
    set_resource_limit("RLIMIT_CORE", 0)
    if leave_network():
        done.add("network")
    return frozenset(done)


def leave_network() -> bool:
    """Give this process an empty network of its own, for good, with all it starts; return whether it has one now.

    To be called before it starts threads. Only Linux can do that, and only where ordinary users may.
    """
    if sys.platform != "linux":
        return False
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (OSError, AttributeError):
        return False
    return bool(unshare(_NEW_NETWORK) == 0 or unshare(_NEW_USER | _NEW_NETWORK) == 0)
