"""Memory in use, for ``worker.memory_limit`` and ``worker.task_memory``; free memory: kept, or given to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["MemoryGuard", "keep_heap", "memory_share", "peak_memory", "process_memory", "trim_heap"]

PROC: Final = Path("/proc")
CGROUP: Final = Path("/sys/fs/cgroup")
LARGEST_KEPT: Final = 32 << 20
"""The largest piece that `keep_heap` keeps: glibc allows no more."""
KEPT: Final = 256 << 20
_M_TRIM_THRESHOLD: Final = -1  # of mallopt(3)
_M_MMAP_THRESHOLD: Final = -3


def memory_share(*, proc: Path = PROC, cgroup: Path = CGROUP) -> float | None:
    """Return the share of memory in use, 0 to 1, or None where the system does not say (only Linux does).

    Of the host's memory what could be given to a new process without swapping counts as free. In a container with a
    limit of its own (control groups, version 2) its share of that limit counts, when it is the larger one; pages that
    merely cache files are free there too.
    """
    shares = [share for share in (_host(proc / "meminfo"), _container(cgroup)) if share is not None]
    return max(shares, default=None)


def process_memory(pid: int, *, proc: Path = PROC) -> int | None:
    """Return the bytes of memory that a process takes for itself, or None when it ended or the system does not say.

    Swapped and shared memory count; files it has mapped do not, since the system can drop their pages at any time. On
    systems other than Linux they do count.
    """
    values = _table(proc / str(pid) / "status")
    if "RssAnon" in values:
        return 1024 * sum(values.get(name, 0) for name in ("RssAnon", "RssShmem", "VmSwap"))
    if proc.is_dir():  # it ended
        return None
    import psutil  # noqa: PLC0415 - only where the kernel's own files are missing

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def peak_memory(*, proc: Path = PROC) -> int:
    """Return the most bytes that this process ever had in memory, mapped files included; 0 where nobody says."""
    return 1024 * _table(proc / "self" / "status").get("VmHWM", 0)


class MemoryGuard:
    """Decides whether another task may be claimed, given how much memory is in use.

    Guarantees: without a limit, or where the system does not say how much is in use, a task may always be claimed.

    Parameters
    ----------
    limit : float or None
        Share above which nothing more is claimed; ``worker.memory_limit``.
    proc, cgroup : Path
        Where Linux reports it.
    """

    def __init__(self, limit: float | None, *, proc: Path = PROC, cgroup: Path = CGROUP) -> None:
        self._limit = limit
        self._proc = proc
        self._cgroup = cgroup

    def admits(self) -> bool:
        """Return whether the share in use is at most the limit now."""
        if self._limit is None:
            return True
        share = memory_share(proc=self._proc, cgroup=self._cgroup)
        return share is None or share <= self._limit


@cache
def keep_heap() -> bool:
    """Let this process use freed memory again instead of giving it back to the system; return whether it does now.

    By itself glibc gives freed memory at the end of a heap back at once, and the system clears every page anew when it
    is taken again: 145,000 pages in the first call for 158 expressions on 500 x 2,500. What is kept is at most what was
    used at a time. Larger arrays than `LARGEST_KEPT` are given back when they are dropped, and `trim_heap` gives back
    the rest.
    """
    set_option = _find("mallopt")
    if set_option is None:
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, LARGEST_KEPT) and set_option(_M_TRIM_THRESHOLD, KEPT))


def trim_heap() -> None:
    """Return the unused pages of the C library's heap to the system; does nothing where that is not possible.

    Without it glibc keeps what the temporaries of many threads took (measured: 150 MB after a feature build on two
    threads) until the process ends.
    """
    trim = _find("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _find(name: str) -> Any:
    """Return a function of glibc; None where the C library is another."""
    if sys.platform != "linux":
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None


def _host(path: Path) -> float | None:
    values = _table(path)
    total, free = values.get("MemTotal"), values.get("MemAvailable")
    return 1 - free / total if total and free is not None else None


def _container(folder: Path) -> float | None:
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        if limit == "max" or int(limit) <= 0:
            return None
    except (OSError, ValueError):
        return None
    cached = _table(folder / "memory.stat").get("inactive_file", 0)
    return max(0, used - cached) / int(limit)


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of lines like ``MemTotal:  16384 kB`` or ``inactive_file 4096``; others are left out."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    values: dict[str, int] = {}
    for words in (line.replace(":", " ").split() for line in lines):
        if len(words) >= 2 and words[1].isdigit():
            values[words[0]] = int(words[1])
    return values
