"""Workers as the members of a Slurm job array, which drain when they are told and go on when they are requeued."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from typing import Final

from rollwright.core.clock import Clock, SystemClock
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError, LaunchError
from rollwright.launch.launcher import LaunchedWorker, LauncherTraits, Resources, WorkerCommand, WorkerState
from rollwright.launch.program import ProgramHints, run_program

__all__ = ["SlurmLauncher"]

_JOB: Final = re.compile(r"[0-9]+(_[0-9]+)?")
_OPTION: Final = re.compile(r"--[a-z][a-z-]*(=[^\x00-\x1f\x7f]*)?")
_PREFIX: Final = "rollwright-"
_HINTS: Final = ProgramHints(
    absent="give the command on a machine of the cluster, or start workers here: --on local",
    silent="see whether Slurm runs: sinfo",
    refused="see what the cluster offers: sinfo, sacctmgr",
)
_NOTICE: Final = 60
"""Seconds, at least, before the end of its time at which a worker is told."""
_SHORTEST: Final = 120.0
"""Seconds of a time limit before the notice: Slurm may tell a minute early, and one told at once would do nothing."""
_REQUEUING: Final = 30.0
"""Seconds in which a member that was ending when it was cancelled has ended, or waits to be started again."""
_LOOK: Final = 0.5
_STATES: Final[dict[str, WorkerState]] = {
    "RUNNING": "running",
    "PENDING": "pending",
    "CONFIGURING": "pending",
    "REQUEUED": "pending",
    "REQUEUE_HOLD": "pending",
    "REQUEUE_FED": "pending",
    "SUSPENDED": "pending",
    "STOPPED": "pending",
    "RESIZING": "running",
    "SIGNALING": "running",
    "COMPLETING": "ending",
    "STAGE_OUT": "ending",
    "PREEMPTED": "ending",
}
"""Any other state is one of a job that has ended."""
_HELD: Final = ("launch_failed_requeued_held", "JobHoldMaxRequeue")
"""Reasons for which Slurm itself holds a job; what a user or an administrator holds waits for them."""

_SCRIPT: Final = """\
#!/bin/sh
# A worker of rollwright. SIGTERM (preemption, scancel) and SIGUSR1 (the end of its time is near) let it give its tasks
# back, which costs no attempt. A worker whose time is over asks for another turn.
export {exports}
worker='' told=0 again=0
tell() {{ told=1; if [ -n "$worker" ]; then kill -TERM "$worker" 2>/dev/null; fi; }}
trap tell TERM
trap 'again=1; tell' USR1
{worker} &
worker=$!
if [ "$told" = 1 ]; then tell; fi
while :; do
  wait "$worker"
  code=$?
  kill -0 "$worker" 2>/dev/null || break
done
if [ "$again" = 1 ]; then
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}" && exit 0
fi
exit "$code"
"""


class SlurmLauncher:
    """Starts workers by ``sbatch``.

    Each call of `submit` is one job array. Its members are requeued when they are preempted or their node fails.
    Nothing is pickled and nothing of a task is in the script: it runs ``rollwright worker``.

    Parameters
    ----------
    options : sequence of str
        More of ``sbatch``'s, as ``--partition=low``; each is one argument.
    project : str
        What tells the jobs of this project from those of others: a text of letters and digits.
    clock : Clock, optional
        What it waits by.

    Raises
    ------
    ConfigError
        For an option that is none.
    LaunchError
        When Slurm is not installed here.
    """

    traits: Final = LauncherTraits(
        multi_host=True, warns_before_end=True, has_time_limit=True, restarts=True, elastic=True
    )

    def __init__(self, *, options: Sequence[str] = (), project: str, clock: Clock | None = None) -> None:
        for option in options:
            if _OPTION.fullmatch(option) is None:
                raise ConfigError(
                    f"`{escape_text(option, longest=100)}` is no option of sbatch",
                    hint="write each as --name=value, as in --partition=low",
                )
        self._options = tuple(options)
        self._project = project
        self._clock: Clock = clock if clock is not None else SystemClock()

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        """Submit one job array of `count` members; see `Launcher.submit`."""
        command.logs.mkdir(parents=True, exist_ok=True)
        answer = _run(self._command(count, command, resources), script=_make_script(command))
        job = answer.strip().partition(";")[0]  # a cluster's name may follow
        if _JOB.fullmatch(job) is None:
            raise LaunchError(f"sbatch answered {escape_text(answer.strip(), longest=200)!r}, which is no job")
        return [f"{job}_{member}" for member in range(1, count + 1)]

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        """Ask ``squeue`` for this user's jobs; see `Launcher.list`."""
        answer = _run(["squeue", "--noheader", "--array", "--me", "--format=%i|%T|%j|%N|%r"])
        workers = [worker for line in answer.splitlines() if (worker := self._read(line)) is not None]
        return [worker for worker in sorted(workers, key=_order) if name in (None, worker.name)]

    def cancel(self, ids: Sequence[str]) -> None:
        """Call ``scancel``: SIGTERM and, after the cluster's ``KillWait``, SIGKILL; see `Launcher.cancel`.

        A member that is being preempted passes over ``scancel`` and is requeued: so the engine is asked again until
        all that is left was told before it began to end, for half a minute at most.
        """
        for job in ids:
            if _JOB.fullmatch(job) is None:
                raise ConfigError(f"`{escape_text(job, longest=100)}` is no job of Slurm")
        told: set[str] = set()
        end = self._clock.monotonic() + _REQUEUING
        while left := [worker for worker in self.list() if worker.id in ids]:
            open_ones = [worker.id for worker in left if worker.state != "ending"]
            if open_ones:
                _run(["scancel", "--full", "--quiet", *open_ones])
                told |= {*open_ones}
            elif told >= {worker.id for worker in left}:
                return
            if self._clock.monotonic() >= end:
                return
            self._clock.sleep(_LOOK)

    def describe(self, count: int, command: WorkerCommand, resources: Resources) -> str:
        """Return the command and the script that it reads."""
        words = shlex.join(self._command(count, command, resources))
        return f"{words} <<'EOF'\n{_make_script(command)}EOF\n"

    def _command(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        notice = max(_NOTICE, math.ceil(command.notice))
        if resources.seconds is not None and resources.seconds < _SHORTEST + notice:
            raise ConfigError(
                f"a time limit of {resources.seconds:g} s is too short for Slurm, which counts in minutes and tells a "
                f"worker of its end {notice} to {notice + 60} s before",
                hint=f"set cluster.time_limit to {_SHORTEST + notice:g} or more, or leave it to the partition",
            )
        words = [
            "sbatch", "--parsable", "--requeue", "--open-mode=append", "--no-kill=off", f"--array=1-{count}",
            f"--job-name={self._job_name(command.name)}", f"--chdir={command.folder}",
            f"--output={command.logs}/slurm-%A_%a.log", f"--signal=B:USR1@{notice}",
            f"--cpus-per-task={resources.cores}",
        ]  # fmt: skip
        words += [f"--mem={math.ceil(resources.memory * 1000)}M"] if resources.memory is not None else []
        words += [f"--gres=gpu:{resources.gpus}"] if resources.gpus else []
        words += [f"--time={math.ceil(resources.seconds / 60)}"] if resources.seconds is not None else []
        return [*words, *self._options]

    def _job_name(self, name: str) -> str:
        return f"{_PREFIX}{self._project}-{name}"

    def _read(self, line: str) -> LaunchedWorker | None:
        """Return a worker of this project as ``squeue`` told it in a line."""
        parts = line.split("|", 4)
        if len(parts) != 5 or not parts[2].startswith(self._job_name("")) or parts[1] not in _STATES:
            return None
        job, state, name, place, reason = parts
        is_held = reason.replace(" ", "_") in _HELD
        return LaunchedWorker(
            id=job,
            name=name.removeprefix(self._job_name("")),
            state="held" if is_held else _STATES[state],
            place=place,
            owner=f"{place}:" if place else "",
            reason="" if reason in ("None", "(null)") else reason,
        )


def _order(worker: LaunchedWorker) -> tuple[int, ...]:
    return tuple(int(part) for part in worker.id.split("_") if part.isdigit())


def _make_script(command: WorkerCommand) -> str:
    exports = {"PYTHONUNBUFFERED": "1", **command.environ}
    return _SCRIPT.format(
        exports=" ".join(f"{name}={shlex.quote(value)}" for name, value in exports.items()),
        worker=shlex.join(command.words),
    )


def _run(words: Sequence[str], *, script: str | None = None) -> str:
    """Run a command of Slurm and return what it prints."""
    return run_program(words, text=script or "", hints=_HINTS)
