"""The one source of time: no other module of rollwright reads the machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Protocol

from rollwright.core.posix import read_boot_id

__all__ = ["BootClock", "Clock", "SystemBootClock", "SystemClock"]


class Clock(Protocol):
    """Wall time, monotonic time, and waiting."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)  # noqa: TID251 - the one place


class BootClock(Protocol):
    """Seconds since the machine started, the same for all its processes, whatever its wall clock is set to."""

    @property
    def boot_id(self) -> str:
        """The name of this start of the machine: seconds of two starts cannot be compared."""
        ...

    def seconds(self) -> float:
        """Return the seconds since then, those the machine was suspended included; always above 0."""
        ...


# CLOCK_MONOTONIC counts suspended time too on macOS, which has no CLOCK_BOOTTIME.
_BOOT_TIME: Final = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


class SystemBootClock:
    """The machine's own boot clock.

    Where the system does not tell one start from another (Windows, untested), the wall clock stands for it: it goes
    on over a restart, and is wrong when it is set.
    """

    def __init__(self) -> None:
        found = read_boot_id() if _BOOT_TIME is not None else None
        self._is_wall = found is None
        self._boot_id = found if found is not None else "wall clock"

    @property
    def boot_id(self) -> str:
        """The name of this start of the machine."""
        return self._boot_id

    def seconds(self) -> float:
        """Return the seconds since it."""
        if self._is_wall or _BOOT_TIME is None:
            return SystemClock().now().timestamp()
        return time.clock_gettime(_BOOT_TIME)
