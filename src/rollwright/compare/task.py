"""The function that worker processes of a comparison run: one task in a clean folder, and what it took."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rollwright.compare.evaluation import RunCost
from rollwright.core.clock import SystemClock
from rollwright.core.memory import peak_memory
from rollwright.pool.worker.task_function import TaskResult
from rollwright.tracking.recorder import Recorder
from rollwright.training.pooled import train_in_slot

__all__ = ["ENTRY", "clear_work", "read_cost", "train_measured"]

ENTRY: Final = "rollwright.compare.task:train_measured"
_SECONDS: Final = "cost_seconds"
_CPU: Final = "cost_cpu_seconds"
_PEAK: Final = "cost_peak_bytes"


def train_measured(definition: Mapping[str, Any], *, experiment_name: str, work: str) -> TaskResult:
    """Train one task as `train_in_slot` does, in a new folder, and log what it took in its recorder.

    A recorder that has these figures already keeps them: a task that only went on in it took little this time, and its
    result much.

    Parameters
    ----------
    definition : mapping
    experiment_name : str
    work : str
        The folder beneath which the task's own is made; that is removed when the task ends.

    Returns
    -------
    TaskResult
    """
    clock = SystemClock()
    begun, used = clock.monotonic(), _cpu_seconds()
    with _clean_folder(Path(work)):
        result = train_in_slot(definition, experiment_name=experiment_name)
    recorder = result.value
    if isinstance(recorder, Recorder) and _SECONDS not in recorder.list_metrics():
        figures = {
            _SECONDS: clock.monotonic() - begun,
            _CPU: _cpu_seconds() - used,
            _PEAK: float(peak_memory()),
        }
        recorder.log_metrics(step=None, **figures)
        recorder.flush()
    return result


def _cpu_seconds() -> float:
    """Return the CPU time of this process, all its threads, and the child processes that it waited for."""
    return sum(os.times()[:4])


@contextmanager
def _clean_folder(work: Path) -> Iterator[None]:
    """Work in a new folder beneath `work` inside the block; it is removed then, with all that was written there."""
    work.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    with tempfile.TemporaryDirectory(dir=work, prefix="task-", ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def clear_work(work: Path) -> None:
    """Remove what killed tasks left beneath `work`; nobody may work there now."""
    shutil.rmtree(work, ignore_errors=True)


def read_cost(recorders: list[Recorder]) -> RunCost | None:
    """Return what the tasks of a run took together; None where one of them does not tell."""
    figures = [recorder.list_metrics() for recorder in recorders]
    if not figures or any(not {_SECONDS, _CPU, _PEAK} <= one.keys() for one in figures):
        return None
    return RunCost(
        seconds=sum(one[_SECONDS] for one in figures),
        cpu_seconds=sum(one[_CPU] for one in figures),
        peak_bytes=int(max(one[_PEAK] for one in figures)),
    )
