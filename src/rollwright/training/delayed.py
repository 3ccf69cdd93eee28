"""Trainers in two phases: `train` prepares, `end_train` trains, where and when that suits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rollwright.errors import ConfigError, TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.needs import NO_NEEDS, Needs
from rollwright.pool.states import Status
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.phases import begin_task_train, end_task_train
from rollwright.training.pooled import TASK_ID_KEY, TrainerRM, find_result, train_in_pool
from rollwright.training.trainer import (
    STATUS_END,
    STATUS_KEY,
    TrainerR,
    TrainFunction,
    as_recorders,
    as_tasks,
    check_recorder,
    mark_trained,
    show_trained,
)

__all__ = ["DelayTrainerR", "DelayTrainerRM"]

EndFunction = Callable[..., Recorder]


class DelayTrainerR(TrainerR):
    """Prepares tasks in `train`, and trains them one after another in `end_train`, each in the recorder it has.

    Parameters
    ----------
    experiment_name, call_in_subproc, default_rec_name
        As `TrainerR` takes them.
    train_func : callable
        ``train_func(task, experiment_name, recorder_name=…, **kwargs) -> Recorder`` prepares a task.
    end_train_func : callable
        ``end_train_func(recorder, experiment_name, **kwargs) -> Recorder`` trains it.

    Guarantees: those of `TrainerR`; `end_train` given the same recorders again trains what is not trained yet, and
    goes on with what was killed.
    """

    def __init__(
        self,
        experiment_name: str | None = None,
        train_func: TrainFunction = begin_task_train,
        end_train_func: EndFunction = end_task_train,
        call_in_subproc: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        default_rec_name: str | None = None,
    ) -> None:
        super().__init__(experiment_name, train_func, call_in_subproc, default_rec_name)
        self.end_train_func = end_train_func
        self.delay = True

    def end_train(
        self,
        models: Recorder | Sequence[Recorder],
        end_train_func: EndFunction | None = None,
        experiment_name: str | None = None,
        **kwargs: Any,
    ) -> list[Recorder]:
        """Train what the recorders hold, and return them in order; those that are trained stay as they are.

        Parameters
        ----------
        models : Recorder or sequence of Recorder
            What `train` returned, here or in another process.
        end_train_func, experiment_name
            In place of the constructor's. Without any experiment it is the recorder's own.
        **kwargs
            Given to `end_train_func`.

        Raises
        ------
        TaskFailedError
            When some failed, after all were tried.
        """
        run = end_train_func or self.end_train_func

        def end(recorder: Recorder) -> Recorder:
            if recorder.list_tags().get(STATUS_KEY) == STATUS_END:
                return show_trained(recorder)
            experiment = experiment_name or self.experiment_name or _name_experiment(recorder)
            (ended,) = mark_trained([check_recorder(self._end_one(run, recorder, experiment, kwargs), run)])
            return ended

        return self._try_each(as_recorders(models), end)

    def _end_one(
        self, run: EndFunction, recorder: Recorder, experiment_name: str, kwargs: Mapping[str, Any]
    ) -> Recorder:
        if not self.call_in_subproc:
            return run(recorder, experiment_name, **kwargs)
        from rollwright.training.isolated import train_isolated  # noqa: PLC0415 - as `TrainerR` does

        return train_isolated(run, recorder, experiment_name=experiment_name, **kwargs)


class DelayTrainerRM(TrainerRM):
    """Prepares tasks in `train`, and trains them in `end_train` or in workers elsewhere, through a task pool.

    A prepared task is ``part_done`` in the pool and has a recorder that waits. Whoever trains it goes on in that
    recorder: `end_train`, `worker` in another process, or ``rollwright worker POOL --prepared``. What a task needs of
    a machine stands in `needs`, for all tasks alike (``--tag gpu`` of a worker meets it), or beneath its ``tags``:
    ``{"tags": {"gpu": true}, …}`` is trained by ``DelayTrainerRM(…, tags=["gpu"]).worker()``.

    Parameters
    ----------
    experiment_name, task_pool, default_rec_name
        As `TrainerRM` takes them.
    train_func : callable
        ``train_func(task, experiment_name=…, **kwargs) -> Recorder`` prepares a task.
    end_train_func : callable
        ``end_train_func(recorder, experiment_name=…, **kwargs) -> Recorder`` trains it.
    skip_run_task : bool
        With True `end_train` only waits, and workers elsewhere do the training; preparing is always done here.
    tags : sequence of str
        What this process has. `end_train` leaves tasks that need another tag to workers, and waits for them.
    needs : Needs
        What each task needs of the worker that trains it; preparing needs nothing.

    Guarantees: those of `TrainerRM`; killed at any moment and given the same tasks again it goes on, and no task is
    trained twice or in two recorders.
    """

    def __init__(
        self,
        experiment_name: str | None = None,
        task_pool: str | None = None,
        train_func: TrainFunction = begin_task_train,
        end_train_func: EndFunction = end_task_train,
        skip_run_task: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        default_rec_name: str | None = None,
        *,
        tags: Sequence[str] = (),
        needs: Needs = NO_NEEDS,
    ) -> None:
        super().__init__(
            experiment_name, task_pool, train_func, skip_run_task, default_rec_name, tags=tags, needs=needs
        )
        self.end_train_func = end_train_func
        self.delay = True

    def train(  # type: ignore[override]  # Qlib's signature: the states are those of preparing
        self,
        tasks: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        train_func: TrainFunction | None = None,
        experiment_name: str | None = None,
        *,
        default_rec_name: str | None = None,
        **kwargs: Any,
    ) -> list[Recorder]:
        """Put `tasks` into the pool, prepare those that nobody has, and return their recorders, in order.

        Tasks that are prepared or trained already are left as they are.

        Raises
        ------
        TaskFailedError
            When preparing some failed, naming each.
        """
        return self._train(
            as_tasks(tasks),
            train_func or self.train_func,
            experiment_name or self.experiment_name,
            {"recorder_name": default_rec_name or self.default_rec_name, **kwargs},
            after=Status.PART_DONE,
        )

    def end_train(  # type: ignore[override]  # Qlib's name
        self,
        recs: Recorder | Sequence[Recorder],
        end_train_func: EndFunction | None = None,
        experiment_name: str | None = None,
        **kwargs: Any,
    ) -> list[Recorder]:
        """Train what is prepared, wait for what others train, and return the recorders, in order.

        Parameters
        ----------
        recs : Recorder or sequence of Recorder
            What `train` returned, here or in another process.
        end_train_func, experiment_name
            In place of the constructor's.
        **kwargs
            Given to `end_train_func`.

        Raises
        ------
        ConfigError
            When a recorder belongs to no task of a pool.
        TaskFailedError
            When some failed, naming each; the others are finished.
        """
        recorders = as_recorders(recs)
        tags = [recorder.list_tags() for recorder in recorders]
        stray = [recorder.id for recorder, known in zip(recorders, tags, strict=True) if TASK_ID_KEY not in known]
        if stray:
            raise ConfigError(
                f"recorder {stray[0]} has no tag `{TASK_ID_KEY}`, so it is not known which task it belongs to",
                hint="give the recorders that DelayTrainerRM.train returned",
            )
        open_ids = [known[TASK_ID_KEY] for known in tags if known.get(STATUS_KEY) != STATUS_END]
        if not open_ids:
            return [show_trained(recorder) for recorder in recorders]
        run = end_train_func or self.end_train_func
        experiment = experiment_name or self.experiment_name
        manager = self._manager(experiment)
        if not self.skip_run_task:
            train_in_pool(
                manager,
                experiment_name=experiment or _name_experiment(recorders[0]),
                ids=self._mine(manager, open_ids),
                function=run,
                arguments=kwargs,
                before=Status.PART_DONE,
                offer=self._offer(),
            )
        failure: TaskFailedError | None = None
        try:
            manager.wait(query={"_id": {"$in": open_ids}})
        except TaskFailedError as error:
            failure = error
        ended = {
            task["_id"]: find_result(manager, task["_id"], task["def"], run=run)
            for task in manager.query({"_id": {"$in": open_ids}, "status": Status.DONE.value})
        }
        mark_trained(list(ended.values()))
        if failure is not None:
            raise failure
        return [
            ended[known[TASK_ID_KEY]] if known[TASK_ID_KEY] in ended else show_trained(recorder)
            for recorder, known in zip(recorders, tags, strict=True)
        ]

    def _mine(self, manager: TaskManager, ids: Sequence[str]) -> list[str]:
        """Return the tasks that need nothing which this process has not."""
        return [
            task["_id"]
            for task in manager.query({"_id": {"$in": [*ids]}})
            if all(name in self.tags for name, needed in (task["def"].get("tags") or {}).items() if needed is not False)
        ]

    def worker(self, end_train_func: EndFunction | None = None, experiment_name: str | None = None) -> bool:  # type: ignore[override]  # Qlib's signature
        """Train what is prepared, from another process, until nothing is left; return whether there was anything."""
        return self._work(end_train_func or self.end_train_func, experiment_name, before=Status.PART_DONE)


def _name_experiment(recorder: Recorder) -> str:
    return R.get_exp(experiment_id=recorder.experiment_id).name
