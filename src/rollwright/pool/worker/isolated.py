"""`run_task` with ``force_release=True``: each task in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rollwright.config.context import current_settings
from rollwright.errors import ConfigError, TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import Query
from rollwright.pool.states import Status
from rollwright.pool.worker.task_function import TaskBody, WorkerEvent
from rollwright.pool.worker.worker import Worker

__all__ = ["run_apart"]


def run_apart(
    task_func: Callable[..., Any],
    manager: TaskManager,
    *,
    query: Query | None,
    before: Status,
    after: Status,
    kwargs: Mapping[str, Any],
) -> bool:
    """Run each task in a process of its own; what `run_task` does with ``force_release=True``.

    Raises
    ------
    ConfigError
        When `task_func` is no function of a module.
    TaskFailedError
    """
    module, name = getattr(task_func, "__module__", None), getattr(task_func, "__qualname__", "")
    if not module or module == "__main__" or not name.isidentifier():
        raise ConfigError(
            f"{task_func!r} cannot run in a process of its own", hint="give a function of an importable module"
        )
    settings = current_settings()
    trusted = settings.with_values({"trust.modules": (*settings.trust.modules, module)}, origin="run_task")
    failures: dict[str, str] = {}
    ran: list[str] = []

    def note(event: WorkerEvent) -> None:
        if event.kind == "started" and event.task_id is not None:
            ran.append(event.task_id)
        if event.kind == "failed" and event.task_id is not None:
            failures[event.task_id] = event.detail

    worker = Worker(
        store=manager.store,
        pool=manager.task_pool,
        body=TaskBody(entry=f"{module}:{name}", kwargs=kwargs),
        slots=1,
        lease=manager.lease,
        settings=trusted,
        on_event=note,
        before=before,
        after=after,
        tasks_per_slot=1,
    )
    worker.narrow(query)
    worker.run()
    if failures:
        raise TaskFailedError(sorted(failures.items()))
    return bool(ran)
