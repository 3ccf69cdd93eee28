"""Working through a pool: `run_task` in this process, `Worker` with supervised slots."""

from __future__ import annotations

from rollwright.pool.body import TaskBody, TaskResult, WorkerEvent, WorkerReport
from rollwright.pool.loop import run_task

__all__ = ["TaskBody", "TaskResult", "WorkerEvent", "WorkerReport", "run_task"]
