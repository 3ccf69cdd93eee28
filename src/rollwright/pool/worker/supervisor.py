"""Slots, the worker's side of its processes: starting them, speaking with them, ending them."""

from __future__ import annotations

import importlib
import json
import logging
import multiprocessing
import signal
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self

from rollwright.core.clock import Clock, SystemClock
from rollwright.core.library_threads import are_libraries_limited, single_threaded
from rollwright.errors import SlotsDiedError
from rollwright.pool.store import Lease
from rollwright.pool.worker.process import run_forked_process, run_worker_process

__all__ = ["Slot", "Supervisor", "WarmSlots"]

_EXIT_PATIENCE: Final = 0.5
_UNKNOWN: Final = 255
"""The exit code of a slot whose server ended, so that nobody can tell how the slot did."""
_SERVER_PAUSES: Final = (0.02, 0.1, 0.3, 1.0, 2.0)
"""Seconds before a slot is asked for once more after its server ended: a killed one takes a while to be gone."""

_MOST_FORKED: Final = 4
"""Of more slots each would import what a server imports once for all."""
_OWN_THREADS: Final = Path("/proc/self/task")

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


class WarmSlots:
    """Slots, or the server that starts them, made ready while this process does other work; a context that ends them.

    Empty at first: `start` makes them, a `Supervisor` takes them, and `close` ends those that nobody has taken.
    """

    def __init__(self) -> None:
        self._slots: list[Slot] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, preload: Sequence[str], *, fork: int = 0) -> None:
        """Start what worker processes come from, which imports `preload`.

        Parameters
        ----------
        preload : sequence of str
        fork : int
            How many slots may be forked from this process itself, which has half of it imported already. The caller
            answers for it that nothing is open here which they must not share. It is done only on Linux, for a few,
            where this process has one thread and `limit_libraries` came before NumPy; else a server is started.
        """
        if 0 < fork <= _MOST_FORKED and _may_fork():
            self._slots += _fork_slots(_modules(preload), fork)
            return
        context = _context()
        if hasattr(context, "set_forkserver_preload"):
            with _without_stop_signals(), single_threaded():
                context.set_forkserver_preload(_modules(preload))
                importlib.import_module("multiprocessing.forkserver").ensure_running()

    def take(self) -> Slot | None:
        """Return one that nobody has taken, which is the caller's from now on."""
        return self._slots.pop(0) if self._slots else None

    def close(self) -> None:
        """End those that nobody has taken."""
        while (slot := self.take()) is not None:
            slot.kill()


class Supervisor:
    """Starts slots, from a server that has the heavy imports done where the platform has forkserver.

    Parameters
    ----------
    terms : mapping
        JSON: ``settings``, ``entry``, ``kwargs``.
    preload : sequence of str
        Modules the server imports once; slots share their memory.
    clock : Clock, optional
    warm : WarmSlots, optional
        Slots that are taken before others are started.
    """

    def __init__(
        self,
        *,
        terms: Mapping[str, Any],
        preload: Sequence[str],
        clock: Clock | None = None,
        warm: WarmSlots | None = None,
    ) -> None:
        self._warm = warm if warm is not None else WarmSlots()
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
        if (slot := self._warm.take()) is not None:
            slot.number = number
            slot.send_terms(self._terms)
            return slot
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
            with _without_stop_signals(), single_threaded(), _without_main():
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


def _may_fork() -> bool:
    """Tell whether a fork of this process is a sound one: it has one thread, the system's own count included."""
    if sys.platform != "linux" or not are_libraries_limited():
        return False
    try:
        return len(list(_OWN_THREADS.iterdir())) == 1
    except OSError:
        return False


def _fork_slots(modules: Sequence[str], count: int) -> list[Slot]:
    context = multiprocessing.get_context("fork")
    slots: list[Slot] = []
    ours: list[Connection] = []
    try:
        for number in range(count):
            above, below = context.Pipe()
            far, near = context.Pipe(duplex=False)
            ours += [above, near]
            process = context.Process(
                target=run_forked_process, args=(below, far, tuple(modules), tuple(ours)), name=f"slot-{number}"
            )
            try:
                with _without_signals(signal.SIGTERM, signal.SIGINT):
                    process.start()
            finally:
                below.close()
                far.close()
            slots.append(Slot(number, process, above, near))
    except BaseException:
        for slot in slots:
            slot.kill()
        for connection in ours:
            connection.close()
        raise
    return slots


def _context() -> Any:
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


def _modules(preload: Sequence[str]) -> list[str]:
    return [*preload, "rollwright.pool.worker.process"]


@contextmanager
def _without_stop_signals() -> Iterator[None]:
    """Block SIGTERM and SIGINT in what is started inside: both are often sent to all processes of a group.

    The worker alone decides how its slots end. Without the server of the slots it would take them for dead, and a
    server that is interrupted while it still imports would tell it with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "resource_tracker: process died")  # slots keep nothing it would look after
        resource_tracker.ensure_running()  # starting it inside would let them through again
        with _without_signals(signal.SIGTERM, signal.SIGINT):
            yield


@contextmanager
def _without_signals(*signals: signal.Signals) -> Iterator[None]:
    """Block `signals` in what is started inside, until it says otherwise itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
