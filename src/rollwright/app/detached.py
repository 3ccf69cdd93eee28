"""Rolling a campaign in a process of its own, which goes on when the terminal is closed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.config.settings import Settings
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.locks import HeldLock, probe_lock

__all__ = ["DetachedRoll", "find_detached", "hold_detached", "roll_log", "start_detached", "stop_detached"]

_FOLDER: Final = "detached"
_LONGEST_STOP: Final = 15.0
"""Seconds that a process gets to give its windows back; it takes five."""
_POLL: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedRoll:
    """A process that rolls a campaign without a terminal.

    Attributes
    ----------
    pid : int
    path : Path
        The file whose lock it holds while it lives.
    """

    pid: int
    path: Path


def roll_log(settings: Settings, name: str) -> Path:
    """Return the file that a detached roll of the campaign writes what it says to."""
    return settings.state_dir / "logs" / name / "roll.log"


def start_detached(settings: Settings, name: str, arguments: Sequence[str]) -> int:
    """Start ``rollwright`` with `arguments` in a session of its own; return the process's id.

    What it says goes to `roll_log`, which begins anew.
    """
    log = roll_log(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        child = subprocess.Popen(  # noqa: S603 - our own program, with the arguments that were given to it
            [sys.executable, "-m", "rollwright", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    child.returncode = 0  # nobody waits for it: it outlives this process
    return child.pid


@contextmanager
def hold_detached(settings: Settings, name: str) -> Iterator[None]:
    """Show for the length of the block that this process rolls the campaign without a terminal."""
    try:
        lock = HeldLock(settings.state_dir / _FOLDER / f"{name}~{os.getpid()}")
        lock.write(json.dumps({"pid": os.getpid()}).encode())
    except OSError:  # the roll matters more than the file
        yield
        return
    try:
        yield
    finally:
        lock.release()


def find_detached(settings: Settings, name: str) -> list[DetachedRoll]:
    """Return the processes of this machine that roll the campaign without a terminal."""
    found = []
    for path in sorted((settings.state_dir / _FOLDER).glob(f"{name}~*")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if probe_lock(path):
                found.append(DetachedRoll(pid=int(json.loads(read_text(path, limit=SMALL))["pid"]), path=path))
            else:
                path.unlink(missing_ok=True)
    return found


def stop_detached(rolls: Sequence[DetachedRoll], *, clock: Clock | None = None) -> int:
    """Tell the processes to give their windows back and end; wait for that, and return how many ended."""
    clock = clock if clock is not None else SystemClock()
    for roll in rolls:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(roll.pid, signal.SIGTERM)
    end = clock.monotonic() + _LONGEST_STOP
    while (left := [roll for roll in rolls if probe_lock(roll.path)]) and clock.monotonic() < end:
        clock.sleep(_POLL)
    return len(rolls) - len(left)
