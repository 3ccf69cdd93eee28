"""Slots, the worker's side of its processes: starting them, speaking with them, ending them."""

from __future__ import annotations

import importlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Final

from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import SlotsDiedError
from rollwright.pool.store import Lease
from rollwright.pool.worker.process import run_worker_process

__all__ = ["Slot", "Supervisor", "warm_slots"]

_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_EXIT_PATIENCE: Final = 0.5
_UNKNOWN: Final = 255
"""The exit code of a slot whose server ended, so that nobody can tell how the slot did."""
_SERVER_PAUSES: Final = (0.02, 0.1, 0.3, 1.0, 2.0)
"""Seconds before a slot is asked for once more after its server ended: a killed one takes a while to be gone."""

_logger = logging.getLogger("rollwright.pool")


class Slot:
    """One process as the worker sees it.

    Attributes
    ----------
    number : int
    lease : Lease or None
        The task it runs.
    since : float
        When it got the task, in the worker's steady seconds.
    ready : bool
        Whether it has loaded the task function and can take tasks.
    tasks : int
        How many it was given.
    generation : int
        How often the server had ended before it started it.
    """

    def __init__(
        self, number: int, process: Any, connection: Connection, lifeline: Connection, *, generation: int = 0
    ) -> None:
        self.number = number
        self.process = process
        self.connection = connection
        self._lifeline = lifeline
        self.lease: Lease | None = None
        self.since = 0.0
        self.ready = False
        self.tasks = 0
        self.generation = generation

    @property
    def idle(self) -> bool:
        """Whether it can take a task now."""
        return self.ready and self.lease is None

    def give(self, lease: Lease, *, now: float, stage: bool) -> None:
        """Hand it a task: the definition, or, for a later stage, the intermediate result."""
        self.lease = lease
        self.since = now
        self.tasks += 1
        param = lease.result if stage else lease.canonical
        place = {"pool": lease.pool, "task_id": lease.task_id, "fingerprint": lease.fingerprint}
        self._send({"param": param, "stage": stage, "stored": place})

    def receive(self) -> dict[str, Any] | None:
        """Return what it sent, or None when it has ended."""
        try:
            message: dict[str, Any] = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError, ValueError):
            return None
        return message

    def send_terms(self, terms: Mapping[str, Any]) -> None:
        """Send the terms: settings, entry, keyword arguments."""
        self._send(terms)

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self.connection.send_bytes(json.dumps(message).encode())
        except OSError:  # it has ended; its sentinel says so
            return

    def kill(self) -> None:
        """End the process now, whatever it does."""
        self.process.kill()
        self.process.join()
        self._close()

    def dismiss(self) -> None:
        """Let an idle slot end by itself, and end it if it does not."""
        self.connection.close()
        self.process.join(_EXIT_PATIENCE)
        self.kill()

    def _close(self) -> None:
        self.connection.close()
        self._lifeline.close()

    def has_lost_server(self) -> bool:
        """Whether nobody can tell how the process ended, because its server did, too."""
        return bool(self.process.exitcode == _UNKNOWN)

    def describe_exit(self) -> str:
        """Return how the process ended."""
        self.process.join(_EXIT_PATIENCE)
        code = self.process.exitcode
        if code is not None and code < 0:
            try:
                name = signal.Signals(-code).name
                why = ", as the system does when its memory runs out" if name == "SIGKILL" else ""
                return f"the slot was ended by {name}{why}"
            except ValueError:
                return f"the slot was ended by signal {-code}"
        if code == _UNKNOWN:
            return "the slot, or the process that starts the slots, was ended"
        return f"the slot ended with exit code {code}"


class Supervisor:
    """Starts slots, from a server that has the heavy imports done where the platform has forkserver.

    Parameters
    ----------
    terms : mapping
        JSON: ``settings``, ``entry``, ``kwargs``.
    preload : sequence of str
        Modules the server imports once; slots share their memory.
    clock : Clock, optional
    """

    def __init__(self, *, terms: Mapping[str, Any], preload: Sequence[str], clock: Clock | None = None) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._generation = 0
        self._terms = terms
        self._preload = _modules(preload)
        self._context = _context()

    def start(self, number: int) -> Slot:
        """Return a new slot; it is not ready yet. A server that was killed is started anew.

        Raises
        ------
        SlotsDiedError
            When the server ends again and again.
        """
        pauses = iter(_SERVER_PAUSES)
        while True:
            try:
                return self._start(number)
            except (EOFError, ConnectionError) as error:  # the server ended between being found alive and answering
                pause = next(pauses, None)
                if pause is None:
                    raise SlotsDiedError(
                        f"the process that starts the slots ended {len(_SERVER_PAUSES) + 1} times",
                        hint="see whether something kills it: too little memory, or a limit of the system",
                    ) from error
                _logger.info("slot.server_died slot=%d error=%s", number, error)
            self._clock.sleep(pause)

    def note_server_death(self, slot: Slot) -> bool:
        """Note that a slot's server ended; return whether that is news, and not told by another of its slots before."""
        if slot.generation < self._generation:
            return False
        self._generation += 1
        return True

    def _start(self, number: int) -> Slot:
        above, below = self._context.Pipe()
        far, near = self._context.Pipe(duplex=False)
        try:
            with _without_sigterm(), _single_threaded(), _without_main():
                if hasattr(self._context, "set_forkserver_preload"):
                    self._context.set_forkserver_preload(self._preload)
                process = self._context.Process(target=run_worker_process, args=(below, far), name=f"slot-{number}")
                process.start()
        except BaseException:
            above.close()
            near.close()
            raise
        finally:
            below.close()
            far.close()
        slot = Slot(number, process, above, near, generation=self._generation)
        slot.send_terms(self._terms)
        return slot


def warm_slots(preload: Sequence[str]) -> None:
    """Start the server of the worker processes, which imports `preload` while this process does other work.

    Nothing is done where the platform has no such server.
    """
    context = _context()
    if hasattr(context, "set_forkserver_preload"):
        with _without_sigterm(), _single_threaded():
            context.set_forkserver_preload(_modules(preload))
            importlib.import_module("multiprocessing.forkserver").ensure_running()


def _context() -> Any:
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


def _modules(preload: Sequence[str]) -> list[str]:
    return [*preload, "rollwright.pool.worker.process"]


@contextmanager
def _without_sigterm() -> Iterator[None]:
    """Block SIGTERM in what is started inside: it is often sent to all processes of a group.

    The worker alone decides how its slots end. Without the server of the slots it would take them for dead.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "resource_tracker: process died")  # slots keep nothing it would look after
        resource_tracker.ensure_running()  # starting it inside would let SIGTERM through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let what is started inside use one thread per library; a task's own thread count is part of its definition."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, which multiprocessing would otherwise run again in every slot.

    A slot needs nothing of it: the task function is named by an importable module.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
