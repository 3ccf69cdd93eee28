"""`TaskManager`: Qlib's words over a task store."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Final, TypeAlias

from rollwright.config.context import current_settings, open_part
from rollwright.core.canonical import JSON, canonical_json
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.masking import mask_secrets
from rollwright.errors import (
    ConfigError,
    DamagedTaskError,
    IllegalTransitionError,
    TaskValueError,
)
from rollwright.pool.document import TaskDocument, document_of_lease, document_of_record
from rollwright.pool.lookups import find_by_fingerprint
from rollwright.pool.needs import NO_NEEDS, Needs, Offer
from rollwright.pool.query import In, Query, both
from rollwright.pool.query import parse as parse_query
from rollwright.pool.states import Status, parse_status
from rollwright.pool.store import (
    Amendment,
    ClaimRequest,
    Lease,
    ManagerStore,
    NewTask,
    Outcome,
    OutcomeKind,
    PoolAdmin,
    check_pool_name,
    encode_result,
)
from rollwright.pool.stored_definition import restore_definitions
from rollwright.pool.waiting import Waiting, WaitProgress, failures_in
from rollwright.pool.worker.heartbeat import Heartbeat, new_owner
from rollwright.signing.serializable import Serializable
from rollwright.tasks.spec import TaskSpec

__all__ = ["TaskDocument", "TaskManager"]

_logger = logging.getLogger("rollwright.pool")

_Ids: TypeAlias = list[str]
_Names: TypeAlias = list[str]


class TaskManager(Serializable):
    """A pool of tasks: put, fetch, commit, ask, wait.

    **At-least-once execution, exactly one accepted commit.** A task whose worker died is run again by another; a
    worker that lost its task gets a `LeaseLostError`, and what it commits changes nothing.

    Parameters
    ----------
    task_pool : str
        The pool's name; any text.
    store : ManagerStore, optional
        That of the current settings' ``pool.url`` if not given, opened once per process.
    lease, max_attempts, poll : optional
        Over the settings ``pool.lease`` (seconds), ``pool.max_attempts`` and ``pool.poll`` (seconds).
    clock : Clock, optional
        For waiting, instead of the store's notifications; it never decides a lease.
    """

    exclude_attr: ClassVar = ("store", "owner", "clock", "listens")

    STATUS_WAITING: Final = "waiting"
    STATUS_RUNNING: Final = "running"
    STATUS_DONE: Final = "done"
    STATUS_PART_DONE: Final = "part_done"
    STATUS_FAILED: Final = "failed"
    STATUS_CANCELLED: Final = "cancelled"

    def __init__(
        self,
        task_pool: str,
        *,
        store: ManagerStore | None = None,
        lease: float | None = None,
        max_attempts: int | None = None,
        poll: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        settings = current_settings().pool
        self.task_pool = check_pool_name(task_pool)
        self.store: ManagerStore = store if store is not None else open_part("pool")
        self.lease = lease if lease is not None else settings.lease
        self.max_attempts = max_attempts if max_attempts is not None else settings.max_attempts
        self.poll = poll if poll is not None else settings.poll
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.listens = clock is None
        self.owner = new_owner()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # From a file: on the current settings' store, as an owner of its own. A copy keeps its store.
        fresh = {} if "store" in state else vars(type(self)(state["task_pool"]))
        self.__dict__.update({**fresh, **state})

    def __repr__(self) -> str:
        return f"TaskManager({self.task_pool!r})"

    # -- Qlib's words, in Qlib's order -------------------------------------------------------------------------------

    @staticmethod
    def list(*, store: PoolAdmin | None = None) -> _Names:
        """Return the names of all pools of a store (that of the current context if not given), sorted."""
        found: PoolAdmin = store if store is not None else open_part("pool")
        return found.list_pools()

    def replace_task(self, task: Mapping[str, Any], new_task: Mapping[str, Any]) -> None:
        """Give a task that nobody holds another definition.

        Raises
        ------
        IllegalTransitionError
            When it is running.
        PoolError
            When another task of the pool has that definition.
        """
        new = NewTask.of(new_task.get("def", new_task), max_attempts=self.max_attempts)
        self._amend_one(task, Amendment(replacement=new))

    def insert_task(self, task: Mapping[str, Any]) -> str:
        """Put one task given as a document with ``def`` and, optionally, ``priority``; return its id."""
        if "def" not in task:
            raise ConfigError("a task document has a `def`", hint="insert_task_def takes a bare definition")
        return self.create_task([task["def"]], priority=int(task.get("priority") or 0))[0]

    def insert_task_def(self, task_def: Mapping[str, Any]) -> str:
        """Put one definition and return the id of its task, new or not."""
        return self.create_task([task_def])[0]

    def create_task(
        self,
        task_def_l: Sequence[Mapping[str, Any] | TaskSpec],
        dry_run: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        print_nt: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        *,
        priority: int = 0,
        needs: Needs | Sequence[Needs] = NO_NEEDS,
    ) -> _Ids:
        """Put the tasks the pool does not have yet, all of them or, when one has no JSON form, none.

        Parameters
        ----------
        task_def_l : sequence of dict or TaskSpec
            A spec is put as it is, at no cost of normalising it again.
        dry_run : bool
            With True nothing is put; how many would be new is logged.
        print_nt : bool
            With True each new definition is logged.
        priority : int
            Of the new ones; higher goes first.
        needs : Needs or sequence of Needs
            What the new ones need of the worker that takes them: all the same, or one for each.

        Returns
        -------
        list of str
            The ids, in the order given; equal definitions share one. Empty with `dry_run`.

        Raises
        ------
        TaskValueError
            When a definition holds a value without a JSON form, with its path.
        """
        each = [needs] * len(task_def_l) if isinstance(needs, Needs) else needs
        tasks = [
            replace(self._new(definition, priority, f"[{place}]"), needs=need)
            for place, (definition, need) in enumerate(zip(task_def_l, each, strict=True))
        ]
        if dry_run or print_nt:
            self._announce(tasks, shown=print_nt)
        if dry_run:
            return []
        result = self.store.put(self.task_pool, tasks)
        _logger.info(
            "tasks.created pool=%s new=%d known=%d", self.task_pool, result.created, len(tasks) - result.created
        )
        return [*result.ids]

    def fetch_task(self, query: Mapping[str, Any] | None = None, status: str = STATUS_WAITING) -> TaskDocument | None:
        """Take one task, the highest priority first, then the oldest; None when there is none to take.

        It is the caller's for ``lease`` seconds; `safe_fetch_task` and `run_task` renew that by themselves.
        """
        lease = self._claim(parse_query(query), Status(parse_status(status)))
        if lease is None:
            return None
        try:
            return document_of_lease(lease)
        except DamagedTaskError as error:  # nobody could end it else before its lease is over
            self.store.settle([Outcome.failed(lease, error=f"{type(error).__name__}: {error}", retry=False)])
            raise

    @contextmanager
    def safe_fetch_task(
        self, query: Mapping[str, Any] | None = None, status: str = STATUS_WAITING
    ) -> Iterator[TaskDocument | None]:
        """Take one task for the length of the block, and give it back when the block raises.

        An exception uses an attempt, and a task out of attempts is failed; an interrupt or exit uses none. A task that
        the block committed or returned before it raised stays as it is.
        """
        task = self.fetch_task(query, status)
        if task is None:
            yield None
            return
        with Heartbeat(self.store, self.owner, lease=self.lease):
            try:
                yield task
            except Exception as error:
                self._give_up(task, "failed", error=_describe(error), retry=True)
                raise
            except BaseException:  # an interrupt, an exit, or an abandoned iterator
                self._give_up(task, "released")
                raise

    def task_fetcher_iter(self, query: Mapping[str, Any] | None = None) -> Iterator[TaskDocument]:
        """Take task after task until none is left; the caller commits each.

        When the loop is left by a break or an exception, the task in hand goes back unless it was committed.
        """
        while True:
            with self.safe_fetch_task(query) as task:
                if task is None:
                    return
                yield task

    def query(
        self,
        query: Mapping[str, Any] | None = None,
        decode: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> Iterator[TaskDocument]:
        """Return the tasks that match, oldest first, as an iterator that reads in pages.

        With `decode` ``def`` and ``res`` are what they were when they were put; without, all is plain JSON.
        """
        tree = parse_query(query)
        return (document_of_record(record, decode=decode) for record in self.store.find(self.task_pool, tree))

    def re_query(self, _id: str) -> TaskDocument:
        """Return the task as it is now.

        Raises
        ------
        TaskNotFoundError
        """
        return document_of_record(self.store.get(self.task_pool, [str(_id)])[0])

    def commit_task_res(
        self, task: Mapping[str, Any], res: object, status: str | None = STATUS_DONE, *, validity: JSON = None
    ) -> None:
        """Commit the result of a fetched task.

        Parameters
        ----------
        task : mapping
            What `fetch_task` gave.
        res : object
            JSON of at most 64 KiB, or an object with a reference (a recorder).
        status : str, optional
            ``done`` (None too) or ``part_done``.
        validity : JSON, optional
            What the result depends on beside the definition.

        Raises
        ------
        LeaseLostError
            When the task is not the caller's any more; nothing was changed.
        """
        target = Status.DONE if status is None else parse_status(status)
        if target not in (Status.DONE, Status.PART_DONE):
            raise IllegalTransitionError(f"a result is committed as done or part_done, not `{target.value}`")
        kind: OutcomeKind = "done" if target is Status.DONE else "part_done"
        proof = canonical_json(validity) if validity is not None else None
        self._settle(task, kind, result=encode_result(res), validity=proof)

    def return_task(self, task: Mapping[str, Any], status: str | None = None) -> None:
        """Give a fetched task back to the state it was fetched from, or to `status`; no attempt is used.

        Raises
        ------
        LeaseLostError
            When the task is not the caller's any more; nothing was changed.
        """
        settled = self._settle(task, "released")
        if status is not None and parse_status(status) is not settled:
            self._amend_one(task, Amendment(status=parse_status(status)))

    def remove(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        force: bool = True,
    ) -> int:
        """Remove the tasks that match, every one of the pool without a query, and return how many.

        Parameters
        ----------
        query : mapping, optional
        force : bool
            True: also those that somebody holds, who is then refused when they commit. False: they stay.
        """
        removed = self.store.delete(self.task_pool, parse_query(query), running=force)
        _logger.info("tasks.removed pool=%s tasks=%d", self.task_pool, removed)
        return removed

    def task_stat(self, query: Mapping[str, Any] | None = None) -> dict[str, int]:
        """Return how many tasks match, by the states that occur."""
        return {name: tasks for name, tasks in self.get_task_stats(query).items() if tasks}

    def reset_waiting(self, query: Mapping[str, Any] | None = None, *, force: bool = False) -> int:
        """Free tasks that are stuck in ``running`` and return how many.

        Parameters
        ----------
        query : mapping, optional
            A query, or a task.
        force : bool
            False: only tasks of workers that died or did not renew their leases. True: all of them, also those whose
            worker is alive; it is then refused when it commits.
        """
        tree = self._selection(query)
        if force:
            running = In(path=("status",), values=(Status.RUNNING.value,))
            freed = self.store.amend(self.task_pool, both(tree, running), Amendment(status=Status.WAITING))
            _logger.warning("tasks.reset pool=%s status=%s tasks=%d", self.task_pool, self.STATUS_WAITING, len(freed))
            return len(freed)
        return len(self._reap(tree))

    def reset_status(self, query: Mapping[str, Any], status: str) -> int:
        """Put the tasks that match into `status` (waiting, part_done, failed or cancelled); return how many changed.

        A task put into ``waiting`` forgets its result, its error and its attempts.

        Raises
        ------
        IllegalTransitionError
            For ``running`` and ``done``, which no task is put into by hand.
        """
        changed = self.store.amend(self.task_pool, self._selection(query), Amendment(status=parse_status(status)))
        _logger.info("tasks.reset pool=%s status=%s tasks=%d", self.task_pool, status, len(changed))
        return len(changed)

    def prioritize(self, task: Mapping[str, Any], priority: int) -> None:
        """Give a task another priority; higher goes first."""
        self._amend_one(task, Amendment(priority=int(priority)))

    def wait(
        self,
        query: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        *,
        on_progress: Callable[[WaitProgress], None] | None = None,
    ) -> WaitProgress:
        """Return when every task that matches is finished; tasks of dead workers are freed meanwhile.

        Parameters
        ----------
        query : mapping, optional
        timeout : float, optional
            Seconds.
        on_progress : callable, optional
            Called in this thread with how it stands, at first and whenever that changes; for a live bar.

        Returns
        -------
        WaitProgress
            How it stood at the end.

        Raises
        ------
        TaskFailedError
            When tasks ended as failed or cancelled; it names each.
        WaitTimeoutError
            When `timeout` has passed and tasks are still open.

        Guarantees: it returns as soon as the store notifies (`Traits.can_notify`), else within ``poll`` seconds.
        """
        tree = parse_query(query)
        waiting = Waiting(
            self.store, self.task_pool, query=tree, poll=self.poll, clock=self.clock, listens=self.listens
        )
        progress = waiting.until_finished(timeout=timeout, on_progress=on_progress)
        if progress.counts[Status.FAILED] or progress.counts[Status.CANCELLED]:
            error = failures_in(self.store, self.task_pool, tree)
            if error is not None:
                raise error
        return progress

    # -- beside Qlib's -----------------------------------------------------------------------------------------------

    def get_waiting_task(self, query: Mapping[str, Any] | None = None) -> TaskDocument | None:
        """Take one waiting task; the same as `fetch_task`."""
        return self.fetch_task(query)

    def mark_failed(self, task: Mapping[str, Any], error: str | None = None) -> None:
        """Put a task into ``failed``, whatever attempts it has left.

        Raises
        ------
        LeaseLostError
            When the caller had fetched it and lost it.
        """
        text = error if error is not None else "marked as failed"
        if "token" in task:
            self._settle(task, "failed", error=text)
        else:
            self._amend_one(task, Amendment(status=Status.FAILED, error=text))

    def get_task_stats(self, query: Mapping[str, Any] | None = None) -> dict[str, int]:
        """Return how many tasks match, by state; every state is a key."""
        return {status.value: n for status, n in self.store.count(self.task_pool, parse_query(query)).items()}

    def cancel(self, query: Mapping[str, Any]) -> int:
        """Cancel the open tasks that match; whoever runs one is refused when it commits. Return how many."""
        return self.reset_status(query, self.STATUS_CANCELLED)

    def pause(self, reason: str | None = None) -> bool:
        """Let nobody fetch tasks of this pool until `resume`, whatever process; running ones may end. Say if it was on.

        Guarantees: it lasts, also when everything is restarted.
        """
        changed = self.store.pause(self.task_pool, reason=reason)
        _logger.info("pool.paused pool=%s changed=%s", self.task_pool, changed)
        return changed

    def resume(self) -> bool:
        """Let tasks be fetched again, and wake idle workers; return whether it was paused."""
        changed = self.store.resume(self.task_pool)
        _logger.info("pool.resumed pool=%s changed=%s", self.task_pool, changed)
        return changed

    def restore_definitions(self, task_def_l: Sequence[Mapping[str, Any] | TaskSpec], ids: Sequence[str]) -> _Ids:
        """Put back the definitions that were changed in the database beside rollwright.

        Parameters
        ----------
        task_def_l, ids : sequence
            What `create_task` was given and what it returned.

        Returns
        -------
        list of str
            The ids of the tasks that have their definition again; each is told in a warning. One that had failed is
            to be tried again. Those that somebody holds are left to their workers.
        """
        tasks = {
            task_id: self._new(definition, 0, f"[{place}]")
            for place, (task_id, definition) in enumerate(zip(ids, task_def_l, strict=True))
        }
        return restore_definitions(self.store, self.task_pool, tasks)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _new(self, definition: Mapping[str, Any] | TaskSpec, priority: int, place: str) -> NewTask:
        try:
            return NewTask.of(definition, priority=priority, max_attempts=self.max_attempts)
        except TaskValueError as error:
            raise TaskValueError(f"task {place} {error.path}", error.message.partition(": ")[2]) from error

    def _announce(self, tasks: Sequence[NewTask], *, shown: bool) -> None:
        unique = {task.fingerprint: task for task in tasks}
        known = {record.fingerprint for record in find_by_fingerprint(self.store, self.task_pool, unique)}
        fresh = [task for name, task in unique.items() if name not in known]
        _logger.info("tasks.counted pool=%s given=%d new=%d", self.task_pool, len(tasks), len(fresh))
        if shown:
            for task in fresh:
                _logger.info("task.new pool=%s definition=%s", self.task_pool, task.canonical)

    def _give_up(
        self, task: Mapping[str, Any], kind: OutcomeKind, *, error: str | None = None, retry: bool = False
    ) -> None:
        outcome = Outcome(task_id=task["_id"], token=task["token"], kind=kind, error=error, retry=retry)
        settlement = self.store.settle([outcome])
        for task_id, status in settlement.statuses.items():
            _logger.info("task.returned pool=%s task=%s status=%s", self.task_pool, task_id, status.value)

    def _settle(self, task: Mapping[str, Any], kind: OutcomeKind, **fields: Any) -> Status:
        if "token" not in task:
            raise IllegalTransitionError(
                f"task {task.get('_id')} was not fetched, so it cannot be ended",
                hint="end the task that fetch_task or safe_fetch_task gave you",
            )
        settlement = self.store.settle([Outcome(task_id=task["_id"], token=task["token"], kind=kind, **fields)])
        settlement.check()
        status = settlement.statuses[task["_id"]]
        _logger.info("task.%s pool=%s task=%s status=%s", kind, self.task_pool, task["_id"], status.value)
        return status

    def _amend_one(self, task: Mapping[str, Any], amendment: Amendment) -> None:
        task_id = str(task["_id"])
        self.store.get(self.task_pool, [task_id])  # says it when there is none
        if not self.store.amend(self.task_pool, In(path=("_id",), values=(task_id,)), amendment):
            target = amendment.status.value if amendment.status is not None else "as asked"
            raise IllegalTransitionError(f"task {task_id} cannot become `{target}` from the state it is in")

    def _selection(self, query: Mapping[str, Any] | None) -> Query | None:
        if query is not None and "_id" in query and "def" in query:  # a task, as Qlib passes it
            return In(path=("_id",), values=(str(query["_id"]),))
        return parse_query(query)

    def _claim(self, query: Query | None, status: Status) -> Lease | None:
        """Take one task; tasks of dead workers are freed when nothing else is left."""
        has = current_settings().worker
        request = ClaimRequest(
            pool=self.task_pool,
            owner=self.owner,
            lease=self.lease,
            status=status,
            query=query,
            offer=Offer(tags=frozenset(has.tags), memory=has.memory),
        )
        leases = self.store.claim(request)
        if not leases and self._reap(query):
            leases = self.store.claim(request)
        return leases[0] if leases else None

    def _reap(self, query: Query | None) -> _Ids:
        """Free the tasks of workers that died or did not renew their leases."""
        freed = self.store.reap(self.task_pool, query=query)
        if freed:
            _logger.warning("tasks.reaped pool=%s tasks=%s", self.task_pool, ",".join(freed))
        return freed


def _describe(error: Exception) -> str:
    """Return an exception as one line or a few, secrets hidden, also one whose text cannot be made."""
    return mask_secrets("".join(traceback.format_exception_only(error)).rstrip())
