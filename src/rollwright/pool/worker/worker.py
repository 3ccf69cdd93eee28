"""Working through a pool: `run_task` in this process or in one for each task, `Worker` with supervised slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rollwright.config.context import current_settings, settings_for_child
from rollwright.config.settings import Settings
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import ConfigError, TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import selection
from rollwright.pool.states import CLAIMABLE, Status, parse_status
from rollwright.pool.store import ClaimRequest, Offer, WorkerStore
from rollwright.pool.worker.backoff import DEFAULT_BACKOFF, Backoff
from rollwright.pool.worker.fair import SlotGate
from rollwright.pool.worker.heartbeat import Heartbeat, new_owner
from rollwright.pool.worker.inline import InlineExecutor
from rollwright.pool.worker.loop import Executor, WorkLoop
from rollwright.pool.worker.shards import ShardKeeper
from rollwright.pool.worker.slots import SlotExecutor
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.pool.worker.task_function import TaskFunction, TaskResult, WorkerEvent, WorkerReport
from rollwright.pool.worker.wakeup import SignalHandler

__all__ = [
    "FailedTasks",
    "TaskFunction",
    "TaskResult",
    "Worker",
    "WorkerEvent",
    "WorkerReport",
    "offer_of",
    "run_task",
    "work_through",
]

_COMMITTED: Final = (Status.DONE, Status.PART_DONE)


def offer_of(settings: Settings) -> Offer:
    """Return what a worker with these settings can do."""
    return Offer(tags=frozenset(settings.worker.tags), memory=settings.worker.memory)


class Worker:
    """Works through a pool with several processes at once.

    This process claims, renews and settles for its slots, and holds the one connection to the store; a slot only runs
    the task function. Guarantees: a slot that dies costs its task one attempt and nobody else anything; a slot dies
    with this process, within a second, however it went; told to stop (SIGTERM, SIGINT or `stop`), it claims nothing
    more, waits ``worker.drain`` seconds (4) for the tasks in hand, gives the rest back without using an attempt, and is
    gone within a second more; told again a second later, it is gone at once. What a task that lost its lease still
    returns is thrown away.
    A store that stops answering is waited for ``worker.store_patience`` seconds: tasks in hand go on, and what they
    return is kept and committed when the store is back; what somebody else was given meanwhile is refused by the fence.

    Parameters
    ----------
    store : WorkerStore
    pool : str
    function : TaskFunction
        What is run on each task's definition.
    slots : int
        Processes that work at the same time.
    lease : float
        Seconds; renewed three times as often, for all slots with one statement.
    query : mapping, optional
        Only tasks that match.
    until_empty : bool
        True: end when nothing is left, waiting for tasks that others run, which may come back. False: go on until told
        to stop.
    timeout : float, optional
        Seconds a task may take; then its slot is ended and the attempt has failed. The settings'
        ``worker.task_timeout`` if not given.
    memory : float, optional
        GB a slot may take for a task, its libraries included and files it has mapped not; beyond that it is ended and
        the attempt has failed, the other slots go on. The settings' ``worker.task_memory`` if not given.
    preload : sequence of str
        Modules to import once for all slots.
    settings : Settings, optional
        What the slots work with; those of the current context if not given.
    on_event : callable, optional
        Called in this thread with each `WorkerEvent`.
    only : sequence of str, optional
        Ids of the tasks to work on.
    tags : sequence of str
        Work only on tasks whose definition has each of these names beneath ``tags``, as in
        ``{"tags": {"gpu": true}, …}``, with another value than false.
    before, after : Status
        The state tasks are taken from and the one they are committed in, as in `run_task`.
    tasks_per_slot : int, optional
        After so many tasks a slot is replaced by a new process, which gives its memory back; the settings'
        ``worker.max_tasks_per_child`` if not given.
    backoff : Backoff
        How long a failed task waits before it is tried again.
    poll : float, optional
        Seconds between looks for work while the store notifies of none; the settings' ``pool.poll`` if not given.
    logs : Path, optional
        The folder of the tasks' logs: what a task prints goes to a file of its own there (`task_log`). Without it the
        output goes where this process's does.
    fail_fast : bool
        True: the first attempt that fails stops everything: what runs beside it is given back, and `run` raises.
    warm : WarmSlots, optional
        Slots that were started beforehand; see `WarmSlots`.
    shards : bool
        Whether tasks that have shards are divided into them; else the function is given them whole.
    also : sequence of str
        With `only`: fingerprints of further tasks to work on.
    offer : Offer, optional
        What the tasks that are taken may need; the settings' ``worker.tags`` and ``worker.memory`` if not given.
    gate : SlotGate, optional
        Says how many tasks may be taken, where several workers share slots; see `FairGate`.

    Raises
    ------
    UntrustedModuleError
        When the function's module is not trusted.
    """

    def __init__(
        self,
        *,
        store: WorkerStore,
        pool: str,
        function: TaskFunction,
        slots: int,
        lease: float,
        query: Mapping[str, Any] | None = None,
        until_empty: bool = True,
        timeout: float | None = None,
        memory: float | None = None,
        preload: Sequence[str] = (),
        settings: Settings | None = None,
        on_event: Callable[[WorkerEvent], None] | None = None,
        only: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        before: Status = Status.WAITING,
        after: Status = Status.DONE,
        tasks_per_slot: int | None = None,
        backoff: Backoff = DEFAULT_BACKOFF,
        poll: float | None = None,
        logs: Path | None = None,
        fail_fast: bool = False,
        clock: Clock | None = None,
        warm: WarmSlots | None = None,
        shards: bool = False,
        also: Sequence[str] = (),
        offer: Offer | None = None,
        gate: SlotGate | None = None,
    ) -> None:
        settings = settings if settings is not None else settings_for_child()
        clock = clock if clock is not None else SystemClock()
        executor = SlotExecutor(
            function,
            slots=slots,
            settings=settings,
            clock=clock,
            timeout=timeout,
            memory=memory,
            tasks_per_slot=tasks_per_slot,
            preload=preload,
            logs=logs,
            fail_fast=fail_fast,
            on_event=on_event,
            warm=warm,
        )
        self._loop = WorkLoop(
            store=store,
            executor=executor,
            request=ClaimRequest(
                pool=pool,
                owner=new_owner(),
                lease=lease,
                status=before,
                query=selection(query, only, tags, also),
                offer=offer if offer is not None else offer_of(settings),
            ),
            after=after,
            backoff=backoff,
            poll=poll if poll is not None else settings.pool.poll,
            patience=settings.worker.store_patience,
            drain=settings.worker.drain,
            clock=clock,
            until_empty=until_empty,
            memory_limit=settings.worker.memory_limit,
            on_event=on_event,
            gate=gate,
            shards=ShardKeeper(store, pool) if shards else None,
        )

    def run(self) -> WorkerReport:
        """Work until nothing is left, or until told to stop.

        Raises
        ------
        ConstructError
            When a slot cannot load the task function.
        SlotsDiedError
            When slots die as they start.
        PoolError
            When the store does not answer for longer than it is waited for.
        TaskFailedError
            With `fail_fast`, after the first attempt that failed.
        """
        with SignalHandler(self._loop.stop):
            return self._loop.run()

    def stop(self) -> None:
        """Tell it to stop, from any thread or signal handler."""
        self._loop.stop()


def run_task(
    task_func: Callable[..., Any],
    task_pool: str | TaskManager,
    query: Mapping[str, Any] | None = None,
    force_release: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    before_status: str = TaskManager.STATUS_WAITING,
    after_status: str = TaskManager.STATUS_DONE,
    *,
    fail_fast: bool = False,
    **kwargs: Any,
) -> bool:
    """Take task after task and run `task_func` on each, until none is left.

    Parameters
    ----------
    task_func : callable
        ``task_func(definition, **kwargs)`` for waiting tasks, ``task_func(res, **kwargs)`` for part_done ones. What it
        returns is committed: JSON, an object with a reference, or a `TaskResult`.
    task_pool : str or TaskManager
    query : mapping, optional
        Only tasks that match.
    force_release : bool
        True: each task runs in a process of its own, which gives all its memory back; `task_func` must then be a
        function of a module, and take its arguments as JSON.
    before_status : str
        ``waiting`` or ``part_done``.
    after_status : str
        ``done`` or ``part_done``.
    fail_fast : bool
        True: the first exception is passed on at once, as Qlib does; with `force_release` as a `TaskFailedError`.
    **kwargs
        Given to `task_func`.

    Returns
    -------
    bool
        Whether any task was run.

    Raises
    ------
    TaskFailedError
        When tasks are out of attempts; all the others are finished then.
    ConfigError
        For another state than those above; no task has been taken then.

    Guarantees: a failing task never stops the others, and is tried again after a while as often as its attempts
    allow; an interrupt or exit gives the task in hand back without using an attempt; the lease is renewed meanwhile;
    a store that stops answering is waited for the settings' ``worker.store_patience``, and the result in hand kept.
    """
    manager = task_pool if isinstance(task_pool, TaskManager) else TaskManager(task_pool)
    failed = FailedTasks()
    report = work_through(
        manager,
        task_func,
        kwargs,
        query=query,
        before=parse_status(before_status),
        after=parse_status(after_status),
        isolated=force_release,
        fail_fast=fail_fast,
        on_event=failed.note,
    )
    failed.check()
    return report.started > 0


class FailedTasks:
    """The tasks that a worker saw out of attempts, in the order in which they failed."""

    def __init__(self) -> None:
        self._failures: list[tuple[str, str]] = []

    def note(self, event: WorkerEvent) -> None:
        """Remember the event of a failed task; for `on_event`."""
        if event.kind == "failed" and event.task_id is not None:
            self._failures.append((event.task_id, event.detail))

    def check(self) -> None:
        """Raise `TaskFailedError` when there were any."""
        if self._failures:
            raise TaskFailedError(self._failures, hint="see the whole traceback in re_query(task_id)['error']")


def work_through(
    manager: TaskManager,
    task_func: Callable[..., Any],
    kwargs: Mapping[str, Any],
    *,
    query: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
    tags: Sequence[str] = (),
    before: Status = Status.WAITING,
    after: Status = Status.DONE,
    isolated: bool = False,
    fail_fast: bool = False,
    preload: Sequence[str] = (),
    on_event: Callable[[WorkerEvent], None] | None = None,
    shards: bool = False,
    also: Sequence[str] = (),
    offer: Offer | None = None,
) -> WorkerReport:
    """Do what `run_task` does; a task out of attempts is an event, and no error.

    `only`, `tags`, `shards`, `also` and `offer` are those of `Worker`; with `also`, what others run of it is waited
    for. Processes of their own share the modules of `preload`.

    Raises
    ------
    ConfigError
    """
    if before not in CLAIMABLE:
        raise ConfigError(f"before_status is waiting or part_done, not `{before.value}`")
    if after not in _COMMITTED:
        raise ConfigError(f"after_status is done or part_done, not `{after.value}`")
    settings = settings_for_child() if isolated else current_settings()
    owner = new_owner()  # whatever it holds is this call's alone
    executor: Executor
    clock = SystemClock() if isolated else manager.clock
    if isolated:
        executor = _isolated_executor(
            task_func, kwargs, settings, fail_fast=fail_fast, preload=preload, on_event=on_event
        )
    else:
        heartbeat = Heartbeat(manager.store, owner, lease=manager.lease)
        executor = InlineExecutor(
            task_func, kwargs, heartbeat=heartbeat, fail_fast=fail_fast, clock=None if manager.listens else clock
        )
    loop = WorkLoop(
        store=manager.store,
        executor=executor,
        request=ClaimRequest(
            pool=manager.task_pool,
            owner=owner,
            lease=manager.lease,
            status=before,
            query=selection(query, only, tags, also),
            offer=offer if offer is not None else offer_of(settings),
        ),
        after=after,
        backoff=DEFAULT_BACKOFF,
        poll=manager.poll,
        patience=settings.worker.store_patience,
        drain=settings.worker.drain,
        clock=clock,
        wait_for_others=bool(also),
        listen=isolated or manager.listens,
        memory_limit=settings.worker.memory_limit if isolated else None,
        on_event=on_event,
        shards=ShardKeeper(manager.store, manager.task_pool) if shards else None,
    )
    if not isolated:
        return loop.run()
    with SignalHandler(loop.stop):
        return loop.run()


def _isolated_executor(
    task_func: Callable[..., Any],
    kwargs: Mapping[str, Any],
    settings: Settings,
    *,
    fail_fast: bool,
    preload: Sequence[str],
    on_event: Callable[[WorkerEvent], None] | None,
) -> SlotExecutor:
    """Return what runs each task in a process of its own.

    The function's module is trusted, since the caller has it already.
    """
    module, name = getattr(task_func, "__module__", None), getattr(task_func, "__qualname__", "")
    if not module or module == "__main__" or not name.isidentifier():
        raise ConfigError(
            f"{task_func!r} cannot run in a process of its own", hint="give a function of an importable module"
        )
    trusted = settings.with_values({"trust.modules": (*settings.trust.modules, module)}, origin="run_task")
    return SlotExecutor(
        TaskFunction(entry=f"{module}:{name}", kwargs=kwargs),
        slots=1,
        settings=trusted,
        clock=SystemClock(),
        tasks_per_slot=1,
        preload=preload,
        fail_fast=fail_fast,
        on_event=on_event,
    )
