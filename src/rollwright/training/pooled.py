"""Training through the task pool: several processes share the work, and none of it is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from rollwright.config.construct import translate_module
from rollwright.config.context import current_settings, settings_for_child
from rollwright.config.settings import Settings
from rollwright.core.clock import SystemClock
from rollwright.core.sqlite_urls import SQLITE
from rollwright.errors import ConfigError, RecorderNotFoundError
from rollwright.pool.manager import TaskManager
from rollwright.pool.needs import NO_NEEDS, Needs, Offer, is_tag
from rollwright.pool.states import Status, parse_status
from rollwright.pool.worker.fair import SlotGate
from rollwright.pool.worker.shards import TURN, find_shards
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.pool.worker.task_log import log_folder
from rollwright.pool.worker.worker import (
    FailedTasks,
    TaskFunction,
    TaskResult,
    Worker,
    WorkerEvent,
    WorkerReport,
    work_through,
)
from rollwright.tasks.identity import fit_key
from rollwright.tracking.recorder import Recorder
from rollwright.tracking.stores.opening import MEMORY
from rollwright.training.execute import task_train
from rollwright.training.kept_fit import FIT_KEY_TAG
from rollwright.training.phases import begin_task_train, end_in_slot, end_task_train
from rollwright.training.task_body import train_once
from rollwright.training.trainer import (
    STATUS_BEGIN,
    STATUS_END,
    STATUS_KEY,
    Trainer,
    TrainFunction,
    as_tasks,
    check_recorder,
    mark_trained,
    refuse_arguments,
)

__all__ = ["TASK_ID_KEY", "TrainerRM", "find_result", "list_preload", "train_in_pool", "train_in_slot", "warm_workers"]

_logger: Final = logging.getLogger("rollwright.training")

TASK_ID_KEY: Final = "_id in TaskManager"
ENTRY: Final = "rollwright.training.pooled:train_in_slot"
PREPARED_ENTRY: Final = "rollwright.training.phases:end_in_slot"
PRELOAD: Final = (
    "rollwright.training.pooled",
    "rollwright.analysis.records",
    "rollwright.dataset.dataset",
    "rollwright.dataset.alpha",
)
"""Modules that all worker processes share, whatever they train."""
_MLFLOW: Final = "rollwright.tracking.stores.mlflow.preloaded"
_MODELS: Final = "rollwright.models."
_LIBRARIES: Final = {
    "rollwright.models.double_ensemble": "rollwright.models.lightgbm_preloaded",
    "rollwright.models.lightgbm": "rollwright.models.lightgbm_preloaded",
    "rollwright.models.xgboost": "xgboost",
    "rollwright.models.catboost": "catboost",
    "rollwright.models.sklearn": "sklearn",
    **{
        f"rollwright.models.torch.{module}": "rollwright.models.torch.preloaded"
        for module in ("dnn", "general", "sequence_windows", "sequences")
    },
}
_UNNAMED: Final = ("recorder_name", None)
_USUAL: Final = "rollwright.models.lightgbm_preloaded"
"""What is loaded beforehand where it is not known what will be trained."""


def list_preload(settings: Settings, definitions: Iterable[Mapping[str, Any]] = ()) -> tuple[str, ...]:
    """Return the modules that worker processes share; what is not installed is left out.

    Parameters
    ----------
    settings : Settings
        Whether MLflow is needed: an embedded tracking store does without.
    definitions : iterable of mapping
        Tasks that will be trained, whose models tell which library is needed.
    """
    models = {str((task.get("model") or {}).get("module_path", "")) for task in definitions} or {""}
    homes = {translate_module(model)[0] for model in models}
    ours = {_LIBRARIES.get(model) if model.startswith(_MODELS) else _USUAL for model in homes}
    tracking = () if settings.tracking.uri.startswith((SQLITE, MEMORY)) else (_MLFLOW,)
    return (*PRELOAD, *tracking, *sorted(library for library in ours if library is not None))


def warm_workers(
    warm: WarmSlots, settings: Settings, definitions: Iterable[Mapping[str, Any]], *, fork: int = 0
) -> None:
    """Let what worker processes of these tasks need be imported beside other work.

    Parameters
    ----------
    warm : WarmSlots
        Holds them until `train_in_pool` takes them.
    settings, definitions
        As `list_preload` takes them.
    fork : int
        How many worker processes may be forked from this one; see `WarmSlots.start`.
    """
    warm.start(list_preload(settings, definitions), fork=fork)


def train_in_pool(
    manager: TaskManager,
    *,
    experiment_name: str | None,
    ids: Sequence[str] | None = None,
    function: Callable[..., Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    before: Status = Status.WAITING,
    after: Status = Status.DONE,
    isolated: bool = False,
    fail_fast: bool = False,
    slots: int = 1,
    settings: Settings | None = None,
    query: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    until_empty: bool = True,
    on_event: Callable[[WorkerEvent], None] | None = None,
    seconds: float | None = None,
    warm: WarmSlots | None = None,
    offer: Offer | None = None,
    gate: SlotGate | None = None,
) -> WorkerReport:
    """Train tasks of a pool: the one way of trainers, campaigns and those who help them.

    Parameters
    ----------
    manager : TaskManager
    experiment_name : str or None
        Where the recorders go.
    ids : sequence of str, optional
        Only these tasks.
    function : callable, optional
        With it, tasks are trained in this process, one after another, by
        ``function(task, experiment_name=…, **arguments)``, and those that others train are not waited for. Without it,
        `train_in_slot` trains them in worker processes, or `end_in_slot` those that are prepared (``part_done``).
    arguments : mapping, optional
        Given to the function; JSON values for worker processes.
    before, after : Status
        As `run_task` takes them.
    isolated : bool
        With a function: as `run_task` takes ``force_release``.
    fail_fast : bool
        Whether the first attempt that fails is raised, as a `TaskFailedError` from worker processes.
    slots : int
        Worker processes that train at the same time.
    settings : Settings, optional
        What worker processes work with; those of the current context if not given.
    query, tags, offer, gate
        As in `Worker`.
    until_empty
        As in `Worker`, for worker processes.
    on_event : callable, optional
        Called with each `WorkerEvent`; a task out of attempts is one, and no error here.
    seconds : float, optional
        After so long no task is begun, and worker processes are told to stop; what they have in hand is finished if
        it ends within a few seconds, and else released. In this process a task that has begun is finished. That the
        time was up is not told as `WorkerReport.interrupted`.
    warm : WarmSlots, optional
        What `warm_workers` filled.
    """
    terms = {"experiment_name": experiment_name, **(arguments or {})}
    divides = function in (None, task_train, train_in_slot) and (before, after) == (Status.WAITING, Status.DONE)
    divides &= function is None or seconds is None  # in this process a task that has begun is finished
    shards = find_shards(manager.store, manager.task_pool, ids) if divides and ids is not None else {}
    also = tuple(dict.fromkeys(fingerprint for task_id in shards for fingerprint in shards[task_id]))
    if before is Status.PART_DONE:  # a task that is set aside is none that was prepared
        query = {"$and": [query or {}, {f"res.{TURN}": {"$exists": False}}]}
    if function is not None:
        if isolated:  # the same, but a model's provenance says where it ran
            function = {task_train: train_in_slot, end_task_train: end_in_slot}.get(function, function)
        if seconds is not None and ids is not None:
            return _work_until(seconds, manager, function, terms, ids, on_event)
        return work_through(
            manager,
            function,
            terms,
            query=query,
            only=ids,
            tags=tags,
            before=before,
            after=after,
            isolated=isolated,
            fail_fast=fail_fast,
            preload=list_preload(settings if settings is not None else current_settings()),
            on_event=on_event,
            shards=divides,
            also=also,
            offer=offer,
        )
    settings = settings if settings is not None else settings_for_child()
    worker = Worker(
        store=manager.store,
        pool=manager.task_pool,
        function=TaskFunction(entry=PREPARED_ENTRY if before is Status.PART_DONE else ENTRY, kwargs=terms),
        slots=slots if ids is None else max(1, min(slots, len(ids) - len(shards) + len(also))),
        lease=settings.pool.lease,
        query=query,
        tags=tags,
        only=ids,
        before=before,
        after=after,
        until_empty=until_empty,
        preload=list_preload(settings),
        settings=settings,
        logs=log_folder(settings, manager.task_pool),
        fail_fast=fail_fast,
        on_event=on_event,
        warm=warm,
        shards=divides,
        also=also,
        offer=offer,
        gate=gate,
    )
    return worker.run() if seconds is None else _run_until(seconds, worker)


def _run_until(seconds: float, worker: Worker) -> WorkerReport:
    """Let a worker run for so long; that it is stopped then is no interrupt."""
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        worker.stop()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        report = worker.run()
    finally:
        timer.cancel()
    return replace(report, interrupted=False) if is_over.is_set() else report


def _work_until(
    seconds: float,
    manager: TaskManager,
    function: Callable[..., Any],
    terms: Mapping[str, Any],
    ids: Sequence[str],
    on_event: Callable[[WorkerEvent], None] | None,
) -> WorkerReport:
    """Train tasks one after another in this process, and begin none after `seconds`."""
    clock = SystemClock()
    begun = clock.monotonic()
    reports = []
    for task_id in ids:
        if clock.monotonic() - begun >= seconds:
            break
        reports.append(work_through(manager, function, terms, only=[task_id], on_event=on_event))
        if reports[-1].interrupted:
            break
    return WorkerReport(
        started=sum(report.started for report in reports),
        done=sum(report.done for report in reports),
        failed=sum(report.failed for report in reports),
        released=sum(report.released for report in reports),
        seconds=clock.monotonic() - begun,
        interrupted=any(report.interrupted for report in reports),
    )


def train_in_slot(
    definition: Mapping[str, Any], *, experiment_name: str, recorder_name: str | None = None
) -> TaskResult:
    """Train one task of a pool: the function that worker processes run.

    What the experiment has learnt already, and what stands, is not learnt again: then only records are made.

    Without a name the recorder is named by `name_run`.

    Returns
    -------
    TaskResult
        A reference to the finished recorder and the validity of the result (decision D16).
    """
    return train_once(definition, experiment_name=experiment_name, recorder_name=recorder_name, process="slot")


def find_result(manager: TaskManager, task_id: str, definition: Mapping[str, Any], *, run: TrainFunction) -> Recorder:
    """Return the recorder that a task of a pool has as its result, marked as begun.

    Raises
    ------
    RecorderNotFoundError
        When it is another task's: whoever can write to a pool can name any recorder. A function of the user's own may
        make of a task what it likes.
    """
    recorder = check_recorder(manager.re_query(task_id)["res"], run)
    tags = recorder.list_tags()
    is_ours = run in (task_train, train_in_slot, begin_task_train, end_task_train, end_in_slot)
    if is_ours and FIT_KEY_TAG in tags and tags[FIT_KEY_TAG] != fit_key(definition):
        raise RecorderNotFoundError(
            f"the result of task {task_id} is recorder {recorder.id}, which holds another task",
            hint="put the task to work again: rollwright pool reset --again; and see who writes to it",
        )
    # A task finished by an earlier call keeps its state (defect R5).
    marks = {} if tags.get(STATUS_KEY) == STATUS_END else {STATUS_KEY: STATUS_BEGIN}
    recorder.set_tags(
        **{key: value for key, value in {**marks, TASK_ID_KEY: task_id}.items() if tags.get(key) != value}
    )
    return recorder


class TrainerRM(Trainer):
    """Trains through a task pool, so that workers elsewhere can help and a crash loses nothing.

    Parameters
    ----------
    experiment_name : str, optional
        Where the recorders go; may be given to `train` instead.
    task_pool : str, optional
        The pool; named like the experiment if not given.
    train_func : callable
        ``train_func(task, experiment_name=…, **kwargs) -> Recorder``.
    skip_run_task : bool
        With True this process only submits and waits, and workers elsewhere do the training.
    default_rec_name : str, optional
    tags : sequence of str
        What this process has: `worker` takes only tasks with each of these names beneath ``tags``, as in
        ``{"tags": {"gpu": true}, …}``. Tags are no part of a task's identity. This process has them too for tasks that
        say what they need, beside the settings' ``worker.tags``.
    needs : Needs
        What each task that is put needs of the worker that trains it. Tasks that this process may not train are left
        to others, and waited for.

    Guarantees: submitting the same tasks again trains nothing twice; the recorders come back in the order of the
    tasks; a task that fails does not stop the others.
    """

    TM_ID: ClassVar[str] = TASK_ID_KEY

    def __init__(
        self,
        experiment_name: str | None = None,
        task_pool: str | None = None,
        train_func: TrainFunction = task_train,
        skip_run_task: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        default_rec_name: str | None = None,
        *,
        tags: Sequence[str] = (),
        needs: Needs = NO_NEEDS,
    ) -> None:
        super().__init__()
        self.experiment_name = experiment_name
        self.task_pool = task_pool
        self.train_func = train_func
        self.skip_run_task = skip_run_task
        self.default_rec_name = default_rec_name
        self.tags = (tags,) if isinstance(tags, str) else tuple(tags)
        self.needs = needs

    def train(
        self,
        tasks: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        train_func: TrainFunction | None = None,
        experiment_name: str | None = None,
        before_status: str = TaskManager.STATUS_WAITING,
        after_status: str = TaskManager.STATUS_DONE,
        default_rec_name: str | None = None,
        *,
        force_release: bool = False,
        fail_fast: bool = False,
        **kwargs: Any,
    ) -> list[Recorder]:
        """Put `tasks` into the pool, help to train them, wait for the rest, and return their recorders, in order.

        Parameters
        ----------
        tasks : mapping or sequence of mappings
        train_func, experiment_name, default_rec_name
            In place of the constructor's.
        before_status, after_status, force_release, fail_fast
            As `run_task` takes them. With ``part_done`` after it, a task is waited for until it is there.
        **kwargs
            Given to `train_func`.

        Raises
        ------
        TaskFailedError
            When some failed, naming each; the others are finished.
        """
        return self._train(
            as_tasks(tasks),
            train_func or self.train_func,
            experiment_name or self.experiment_name,
            {"recorder_name": default_rec_name or self.default_rec_name, **kwargs},
            before=parse_status(before_status),
            after=parse_status(after_status),
            isolated=force_release,
            fail_fast=fail_fast,
            run_here=not self.skip_run_task,
        )

    def _train(
        self,
        definitions: Sequence[Mapping[str, Any]],
        run: TrainFunction,
        experiment_name: str | None,
        arguments: Mapping[str, Any],
        *,
        before: Status = Status.WAITING,
        after: Status = Status.DONE,
        isolated: bool = False,
        fail_fast: bool = False,
        run_here: bool = True,
    ) -> list[Recorder]:
        if not definitions:
            return []
        manager = self._manager(experiment_name)
        ids = manager.create_task(definitions, needs=self.needs)
        manager.restore_definitions(definitions, ids)
        if run_here:
            train_in_pool(
                manager,
                experiment_name=experiment_name,
                ids=ids,
                function=run,
                arguments={name: value for name, value in arguments.items() if (name, value) != _UNNAMED},
                before=before,
                after=after,
                isolated=isolated,
                fail_fast=fail_fast,
                # Preparing needs nothing of what training does.
                offer=self._offer() if after is Status.DONE else Offer(tags=frozenset(self.needs.tags)),
            )
        mine: dict[str, Any] = {"_id": {"$in": ids}}
        if after is Status.PART_DONE:  # nobody makes more of them, so they must not be waited for
            mine["status"] = {"$ne": Status.PART_DONE.value}
        manager.wait(query=mine)
        return [
            find_result(manager, task_id, definition, run=run)
            for task_id, definition in zip(ids, definitions, strict=True)
        ]

    def end_train(self, recs: list[Recorder], *args: Any, **kwargs: Any) -> list[Recorder]:  # type: ignore[override]  # Qlib's name
        """Mark the recorders as trained and return them.

        Raises
        ------
        ConfigError
            For further arguments, which would have no effect.
        """
        refuse_arguments(self, args, kwargs)
        return mark_trained(recs)

    def has_worker(self) -> bool:
        """Tell that other processes may help."""
        return True

    def worker(self, train_func: TrainFunction | None = None, experiment_name: str | None = None) -> bool:  # type: ignore[override]  # Qlib's signature
        """Help from another process until the pool is empty; return whether there was anything to do."""
        return self._work(train_func or self.train_func, experiment_name, before=Status.WAITING)

    def _work(self, function: TrainFunction, experiment_name: str | None, *, before: Status) -> bool:
        experiment = experiment_name or self.experiment_name
        manager = self._manager(experiment)
        failed = FailedTasks()
        report = train_in_pool(
            manager,
            experiment_name=experiment,
            function=function,
            before=before,
            tags=self.tags,
            on_event=failed.note,
            offer=self._offer(),
        )
        failed.check()
        return report.started > 0

    def _offer(self) -> Offer:
        """Return what this process has."""
        settings = current_settings().worker
        known = [tag for tag in self.tags if is_tag(tag)]
        return Offer(tags=frozenset((*settings.tags, *known)), memory=settings.memory)

    def _manager(self, experiment_name: str | None) -> TaskManager:
        pool = self.task_pool or experiment_name
        if pool is None:
            raise ConfigError(
                "neither a task_pool nor an experiment_name is given",
                hint=f"give one to {type(self).__name__}(...)",
            )
        return TaskManager(pool)
