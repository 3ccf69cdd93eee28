"""The executor that runs tasks in supervised worker processes: one task after another in each, or one in each."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

from rollwright.config.construct import Trust
from rollwright.config.settings import Settings
from rollwright.core.canonical import normalise
from rollwright.core.clock import Clock
from rollwright.core.log_relay import relay_warning
from rollwright.core.memory import process_memory
from rollwright.errors import ConfigError, ConstructError, SlotsDiedError, TaskFailedError, UntrustedModuleError
from rollwright.pool.document import last_line
from rollwright.pool.states import Status
from rollwright.pool.store import Lease
from rollwright.pool.worker.loop import AttemptEnd
from rollwright.pool.worker.supervisor import Slot, Supervisor, WarmSlots
from rollwright.pool.worker.task_function import TaskFunction, WorkerEvent
from rollwright.pool.worker.wakeup import WakeupPipe

__all__ = ["SlotExecutor"]

_logger = logging.getLogger("rollwright.pool")

_START_FAILURES: Final = 3
_NUMBERS: Final = re.compile(r"[0-9]+")

MEMORY_CHECK: Final = 0.1
"""Seconds between looks at what a task's process takes, when there is a limit."""

_GB: Final = 1e9


class SlotExecutor:
    """Runs tasks in several worker processes at once, and replaces those that die.

    Parameters
    ----------
    function : TaskFunction
    slots : int
        Processes that work at the same time.
    settings : Settings
        What the processes work with; its ``worker`` section holds the defaults of what follows.
    clock : Clock
    timeout : float, optional
        Seconds a task may take.
    memory : float, optional
        GB a process may take for a task.
    tasks_per_slot : int, optional
        After so many tasks a process is replaced by a new one; 1 isolates each task.
    preload : sequence of str
        Modules to import once for all processes.
    logs : Path, optional
        The folder of the tasks' logs; without it their output goes where this process's does.
    fail_fast : bool
        Whether the loop raises `TaskFailedError` after the first attempt that failed.
    on_event : callable, optional
        Called with the event of a process that died.
    warm : WarmSlots, optional
        Processes that are taken before others are started.

    Raises
    ------
    UntrustedModuleError
        When the function's module is not trusted.
    """

    def __init__(
        self,
        function: TaskFunction,
        *,
        slots: int,
        settings: Settings,
        clock: Clock,
        timeout: float | None = None,
        memory: float | None = None,
        tasks_per_slot: int | None = None,
        preload: Sequence[str] = (),
        logs: Path | None = None,
        fail_fast: bool = False,
        on_event: Callable[[WorkerEvent], None] | None = None,
        warm: WarmSlots | None = None,
    ) -> None:
        if slots < 1:
            raise ConfigError(f"a worker needs at least one slot, not {slots}")
        module = function.entry.partition(":")[0]
        if not Trust.from_settings(settings).allows_function(module):
            raise UntrustedModuleError(module)
        self._count = slots
        self._clock = clock
        self._timeout = settings.worker.task_timeout if timeout is None else timeout
        self._memory = settings.worker.task_memory if memory is None else memory
        if self._memory is not None and process_memory(os.getpid()) is None:
            _logger.warning("worker.memory_unknown limit=%g action=%s", self._memory, "the limit is not held")
            self._memory = None
        self._tasks_per_slot = settings.worker.max_tasks_per_child if tasks_per_slot is None else tasks_per_slot
        self._fail_fast = fail_fast
        self._on_event = on_event
        terms = {
            "settings": settings.model_dump_json(),
            "entry": function.entry,
            "kwargs": normalise(dict(function.kwargs)),
            "logs": None if logs is None else str(logs),
            "log_level": logging.getLogger("rollwright").getEffectiveLevel(),
        }
        self._supervisor = Supervisor(terms=terms, preload=preload, clock=clock, warm=warm)
        self._slots: list[Slot] = []
        self._ends: list[AttemptEnd] = []
        self._said: set[tuple[str, ...]] = set()
        self._start_failures = 0
        self._draining = False
        self._wakeup: WakeupPipe | None = None

    @property
    def free(self) -> int:
        """How many processes are ready and have no task."""
        return sum(slot.idle for slot in self._slots)

    @property
    def starting(self) -> bool:
        """Whether some process has not loaded the function yet."""
        return any(not slot.ready for slot in self._slots)

    @property
    def leases(self) -> list[Lease]:
        """The tasks that run."""
        return [slot.lease for slot in self._slots if slot.lease is not None]

    def open(self) -> None:
        """Start the processes."""
        self._wakeup = WakeupPipe()
        self._slots = [self._supervisor.start(number) for number in range(self._count)]

    def give(self, lease: Lease) -> int:
        """Hand a task to a free process; return its number."""
        slot = next(slot for slot in self._slots if slot.idle)
        slot.give(lease, now=self._clock.monotonic(), stage=lease.origin is Status.PART_DONE)
        return slot.number

    def wait(self, seconds: float) -> list[AttemptEnd]:
        """Wait for processes to answer or die, and end those that take too long or too much.

        Raises
        ------
        ConstructError
            When the function cannot be loaded.
        SlotsDiedError
            When processes die as they start.
        """
        end = self._clock.monotonic() + seconds
        while self._hear(max(0.0, end - self._clock.monotonic())):
            self._end_overdue()
            self._end_oversized()
            if self._ends:
                break
        self._end_overdue()
        self._end_oversized()
        ends, self._ends = self._ends, []
        return ends

    def _hear(self, seconds: float) -> bool:
        """Wait for messages once; return whether nothing came but how far fits are, so that one may go on waiting."""
        waits: dict[Any, Slot | None] = {self._wakeup.descriptor: None} if self._wakeup is not None else {}
        for slot in self._slots:
            waits[slot.connection] = slot
            waits[slot.process.sentinel] = slot
        ready = wait(list(waits), timeout=self._until_check(seconds))
        only_rounds = bool(ready)
        for speaker in {id(waits[item]): waits[item] for item in ready}.values():
            if speaker is not None:
                only_rounds &= self._receive(speaker)
            elif self._wakeup is not None:
                self._wakeup.drain()
                only_rounds = False
        return only_rounds

    def drop(self, lease: Lease) -> int | None:
        """End the process that runs a task, and replace it; return its number."""
        slot = next((slot for slot in self._slots if slot.lease == lease), None)
        if slot is None:
            return None
        slot.lease = None
        slot.kill()
        self._replace(slot)
        return slot.number

    def drain(self) -> None:
        """Replace no process any more."""
        self._draining = True

    def wake(self) -> None:
        """Let `wait` return."""
        if self._wakeup is not None:
            self._wakeup.wake()

    def close(self) -> None:
        """End all processes: an idle one by itself, a busy one at once."""
        for slot in self._slots:
            if slot.idle:
                slot.dismiss()
            else:
                slot.kill()
        self._slots = []
        if self._wakeup is not None:
            wakeup, self._wakeup = self._wakeup, None
            wakeup.close()

    # -- what processes send -----------------------------------------------------------------------------------

    def _receive(self, slot: Slot) -> bool:
        """Read one message of a process; return whether it only says how far its fit is."""
        message = slot.receive() if slot.connection.poll() else None
        if message is not None and message["kind"] == "round":
            if self._on_event is not None and slot.lease is not None:
                detail = f"{message['done']}/{message['of']}"
                self._on_event(WorkerEvent(kind="round", task_id=slot.lease.task_id, slot=slot.number, detail=detail))
            return True
        if message is None:
            self._note_death(slot)
        elif message["kind"] == "ready":
            slot.ready = True
            self._start_failures = 0
        elif message["kind"] == "said":
            self._say(message)
        elif message["kind"] == "broken":
            raise ConstructError(f"the task function cannot be loaded:\n{message['error'].rstrip()}")
        else:
            self._note_end(slot, message)
        return False

    def _say(self, message: Mapping[str, Any]) -> None:
        """Log a warning of a process, once: what differs in numbers alone is the same to whoever reads it."""
        texts = [message["text"], *(value for value in message["args"] if isinstance(value, str))]
        key = (message["logger"], *(_NUMBERS.sub("#", text) for text in texts))
        if key in self._said:
            return
        self._said.add(key)
        relay_warning(message["logger"], message["text"], tuple(message["args"]))

    def _note_end(self, slot: Slot, message: Mapping[str, Any]) -> None:
        lease, slot.lease = slot.lease, None
        if lease is not None:
            if message["kind"] == "finished":
                end = AttemptEnd(lease=lease, kind="finished", result=message["result"], validity=message["validity"])
                self._ends.append(end)
            else:
                self._fail(lease, message["error"], retry=message["retry"])
        if self._tasks_per_slot is not None and slot.tasks >= self._tasks_per_slot:
            slot.dismiss()
            self._replace(slot)

    def _fail(self, lease: Lease, error: str, *, retry: bool = True) -> None:
        raised = TaskFailedError([(lease.task_id, last_line(error))]) if self._fail_fast else None
        self._ends.append(AttemptEnd(lease=lease, kind="failed", error=error, retry=retry, raised=raised))

    def _note_death(self, slot: Slot) -> None:
        reason = slot.describe_exit()
        lease, slot.lease = slot.lease, None
        task_id = lease.task_id if lease else None
        _logger.info("slot.died slot=%d task=%s reason=%s", slot.number, task_id, reason)
        if self._on_event is not None:
            self._on_event(WorkerEvent(kind="slot died", task_id=task_id, slot=slot.number, detail=reason))
        if lease is not None and self._draining:
            self._ends.append(AttemptEnd(lease=lease, kind="released"))
        elif lease is not None:
            self._fail(lease, reason)
        told = slot.has_lost_server() and not self._supervisor.note_server_death(slot)
        if not slot.ready and not told:  # all slots of a killed server die at once: that is one death
            self._start_failures += 1
            if self._start_failures >= _START_FAILURES:
                raise SlotsDiedError(
                    f"slots die as they start: {reason}",
                    hint="import the task function's module by itself to see what ends it",
                )
        slot.kill()
        self._replace(slot)

    def _replace(self, slot: Slot) -> None:
        place = self._slots.index(slot)
        if self._draining:  # there is nothing more to run
            del self._slots[place]
        else:
            self._slots[place] = self._supervisor.start(slot.number)

    # -- limits ------------------------------------------------------------------------------------------------

    def _until_check(self, seconds: float) -> float:
        busy = [slot for slot in self._slots if slot.lease]
        ends = [seconds]
        if self._timeout is not None:
            now = self._clock.monotonic()
            ends += [slot.since + self._timeout - now for slot in busy]
        if self._memory is not None and busy:
            ends.append(MEMORY_CHECK)
        return max(0.0, min(ends))

    def _end_overdue(self) -> None:
        if self._timeout is None:
            return
        now = self._clock.monotonic()
        for lease in [slot.lease for slot in self._slots if slot.lease and now - slot.since >= self._timeout]:
            self._fail(lease, f"no result within {self._timeout:g} s")
            self.drop(lease)

    def _end_oversized(self) -> None:
        if self._memory is None:
            return
        for slot in list(self._slots):
            taken = process_memory(slot.process.pid) if slot.lease is not None else None
            if slot.lease is not None and taken is not None and taken > self._memory * _GB:
                self._fail(
                    slot.lease,
                    f"out of memory: its process took {taken / _GB:.2f} GB, and {self._memory:g} GB are allowed",
                )
                self.drop(slot.lease)
