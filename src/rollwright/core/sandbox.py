"""Taking away from this process what it does not need: time, memory, disk and the network.

POSIX only; elsewhere the limits are not there, and `confine` says so by what it returns (untested on Windows).
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

from rollwright.core.posix import set_resource_limit

__all__ = ["confine"]

_NEW_NETWORK: Final = 0x40000000
_NEW_USER: Final = 0x10000000


def confine(*, seconds: int, memory: int, file_size: int) -> frozenset[str]:
    """Limit this process, for good: to be called in a child, before it starts threads or reads anything.

    Parameters
    ----------
    seconds : int
        Of CPU; the system ends the process after them.
    memory : int
        Bytes of address space; what asks for more gets a MemoryError.
    file_size : int
        Bytes of any file it writes.

    Returns
    -------
    frozenset of str
        Which of ``cpu``, ``memory``, ``files`` and ``network`` are limited now: a network of its own, with nothing in
        it, is what Linux gives where it allows that to ordinary users.
    """
    limits = (("cpu", "RLIMIT_CPU", seconds), ("memory", "RLIMIT_AS", memory), ("files", "RLIMIT_FSIZE", file_size))
    done = {name for name, limit, value in limits if set_resource_limit(limit, value)}
    set_resource_limit("RLIMIT_CORE", 0)
    if sys.platform == "linux" and _without_network():
        done.add("network")
    return frozenset(done)


def _without_network() -> bool:
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (OSError, AttributeError):
        return False
    return bool(unshare(_NEW_NETWORK) == 0 or unshare(_NEW_USER | _NEW_NETWORK) == 0)
