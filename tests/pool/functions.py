"""Task functions that the tests' worker processes run."""

import contextlib
import logging
import os
import signal
import stat
import sys
import time
from pathlib import Path

from rollwright.config.context import current_settings
from rollwright.pool.worker.worker import TaskResult


def double(definition, factor=2):
    return definition["x"] * factor


def validated(definition):
    return TaskResult(value=definition["x"], validity={"data": "7"})


def fail(definition):
    if definition.get("bad"):
        raise RuntimeError("this one is bad")
    return definition["x"]


def abort(definition):
    if definition.get("bad"):
        with Path(definition["log"]).open("a") as file:
            file.write("ran\n")
        os.abort()
    return definition["x"]


def hang_up(definition):
    """Close what this process speaks with its worker by, and freeze, so that a kill alone ends it."""
    Path(definition["log"]).write_text(str(os.getpid()))
    for handle in range(3, 256):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(handle).st_mode):
                os.close(handle)
    os.kill(os.getpid(), signal.SIGSTOP)


def remove(definition):
    """Remove a file."""
    Path(definition["path"]).unlink()


def leave(definition):
    raise SystemExit(3)


def nap(definition):
    """Tell the process id, then sleep."""
    with Path(definition["log"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(definition["seconds"])
    return os.getpid()


def meet(definition):
    """Return once another task has come too."""
    log = Path(definition["log"])
    with log.open("a") as file:
        file.write("here\n")
    for _ in range(3000):
        if log.read_text().count("here") >= 2:
            return True
        time.sleep(0.01)
    raise RuntimeError("nobody came")


def hold(definition):
    """Tell the process id, then hold the interpreter's lock for minutes."""
    with Path(definition["log"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return sum(range(10**11))


def complain(definition):
    """Return how this process logs a warning, and whether it logs more than that."""
    logger = logging.getLogger("rollwright.models")
    record = logger.makeRecord(logger.name, logging.WARNING, __file__, 1, "rows_dropped rows=%d", (3,), None)
    logger.error("rows_wrong rows=%d", 4)
    logger.warning("rows_dropped rows=%d", definition["x"])
    lines = [handler.format(record) for handler in logging.getLogger().handlers[:1]]
    return {"lines": lines, "details": logger.isEnabledFor(logging.INFO)}


def pid(definition):
    return os.getpid()


def hog(definition):
    """Take so many MB and keep them until somebody ends this process."""
    taken = bytearray(definition["mb"] * 1_000_000)
    for place in range(0, len(taken), 4096):
        taken[place] = 1
    if definition["mb"] > 100:
        time.sleep(60)
    return len(taken)


def tell_surroundings(_definition):
    """Return what this process has of the one it comes from, beside what it was told."""
    return {
        "main": [name for name in ("work", "settings") if hasattr(sys.modules["__main__"], name)],
        "lease": current_settings().pool.lease,
        "ignored": [one.name for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is signal.SIG_IGN],
        "preloaded": "sched" in sys.modules,
        "foreign": [type(one).__name__ for one in logging.root.handlers if isinstance(one, logging.NullHandler)],
    }
