"""What an actor of Ray is: a worker's process, for as long as it runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from rollwright.core.optional import require

__all__ = ["WorkerProcess"]

_GUARD: Final = """\
import os, subprocess, sys, threading
if os.fork():
    os._exit(0)  # Ray kills the children of an actor that ends: this one is none
alive, patience, words = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
worker = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2)
os.write(1, b"%d\\n" % worker.pid)
def end():
    os.read(alive, 1)  # a byte, or the end of the actor
    worker.terminate()
    try:
        worker.wait(patience)
    except subprocess.TimeoutExpired:
        worker.kill()
threading.Thread(target=end, daemon=True).start()
worker.wait()
"""
"""Runs the worker, and ends it when it is told to, or when the actor is gone, however it went."""


class WorkerProcess:
    """A worker of a node: it is started with the actor, and the actor ends with it.

    Guarantees: the process does not outlive the actor for more than a moment. It is told by SIGTERM when the actor is
    gone, as when its node is taken away, or by `drain`; what has not ended `notice` seconds later is killed.

    Parameters
    ----------
    words : sequence of str
    folder : str
        The process runs there.
    log : str
        The file that what it prints goes to.
    environ : mapping of str to str
        Variables beside those of the node.
    notice : float
        Seconds from SIGTERM to SIGKILL.
    """

    def __init__(
        self, words: Sequence[str], folder: str, log: str, environ: Mapping[str, str], notice: float = 30.0
    ) -> None:
        self._ending = threading.Event()
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        read, self._alive = os.pipe()
        with Path(log).open("ab") as output:
            self._guard = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-S", "-c", _GUARD, str(read), str(notice), *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**os.environ, **environ},
                pass_fds=(read,),
                start_new_session=True,
            )
        os.close(read)
        self._guard.wait()
        self._pid = int(self._output.readline() or 0)
        threading.Thread(target=self._end_with_it, name="watch-worker", daemon=True).start()

    @property
    def _output(self) -> IO[bytes]:
        if self._guard.stdout is None:
            raise ValueError("a pipe was asked for")
        return self._guard.stdout

    def look(self) -> tuple[str, int, bool]:
        """Return the machine, the worker's process, and whether it was told to end."""
        return platform.node(), self._pid, self._ending.is_set()

    def drain(self) -> None:
        """Tell the worker to give its tasks back and end."""
        if not self._ending.is_set():
            self._ending.set()
            with suppress(OSError):
                os.write(self._alive, b".")

    def _end_with_it(self) -> None:
        self._output.read()  # until nobody holds the other end: the guard ended, and with it the worker
        ray = require("ray", extra="ray")
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
