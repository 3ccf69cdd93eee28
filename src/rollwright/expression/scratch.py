"""The working memory of evaluations: kept from tile to tile and from call to call, and given back on demand.

A tile makes some thousand short-lived arrays of a few hundred KiB. By itself the C library gives the memory of most of
them back to the system when they are dropped, and the system clears every page of it anew for the next tile: 145,000
pages for 158 expressions on 500 x 2,500. So it is told once to keep what is freed. What is kept is at most
what the threads of an evaluation had at a time (``data.kernel_memory`` for each), and is used for anything that the
process allocates afterwards.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from rollwright.core.posix import keep_freed_memory, release_freed_memory

__all__ = ["keep", "trim"]

LARGEST: Final = 32 << 20
"""Larger arrays (frames, the fields of a large load) are given back when they are dropped."""
KEPT: Final = 256 << 20


@cache
def keep() -> bool:
    """Keep the memory of dropped arrays for the next, from now on; return whether the system's allocator can."""
    return keep_freed_memory(block=LARGEST, total=KEPT)


def trim() -> bool:
    """Give the kept memory back to the system; return whether there was any. The next evaluation takes it anew.

    For a process that computes features and then lives on for long with other work.
    """
    return release_freed_memory()
