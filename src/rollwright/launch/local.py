"""Workers as processes of this machine that outlive the command which started them."""

from __future__ import annotations

import json
import os
import platform
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.text import is_name
from rollwright.errors import ConfigError, LaunchError
from rollwright.launch.launcher import LaunchedWorker, LauncherTraits, Resources, WorkerCommand

__all__ = ["LocalLauncher"]

_NEARLY: Final = 1.0
"""Seconds between the start of a process as it is read twice; another one with its number starts later than that."""


class LocalLauncher:
    """Starts workers here, each in a session of its own.

    Parameters
    ----------
    folder : Path
        Where it remembers them: a file for each, by which a later command knows the process from another one that got
        its number.
    """

    traits: Final = LauncherTraits(
        multi_host=False, warns_before_end=True, has_time_limit=False, restarts=False, elastic=True
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        """Start `count` processes; see `Launcher.submit`. `resources` are not kept by anybody here."""
        _refuse_limits(resources)
        command.logs.mkdir(parents=True, exist_ok=True)
        started: list[str] = []
        while len(started) < count:
            try:
                started.append(self._start(command))
            except OSError as error:
                self.cancel(started)
                raise LaunchError(f"a worker could not be started: {error}") from error
        return started

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        """Look which of them are alive; see `Launcher.list`. What is known of those that ended is removed."""
        host = platform.node()
        found = [
            LaunchedWorker(id=str(pid), name=of, state="running", place="here", owner=f"{host}:{pid}:")
            for pid, of in self._alive()
        ]
        return sorted((one for one in found if name in (None, one.name)), key=lambda one: int(one.id))

    def cancel(self, ids: Sequence[str]) -> None:
        """Send SIGTERM, at which a worker gives its tasks back within five seconds; see `Launcher.cancel`."""
        for text in ids:
            if not text.isascii() or not text.isdigit():
                raise ConfigError(f"`{text}` is no worker of this machine")
        alive = {str(pid) for pid, _ in self._alive()}
        for text in ids:
            if text in alive:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(text), signal.SIGTERM)

    def describe(self, count: int, command: WorkerCommand, resources: Resources) -> str:
        """Return the command, as often as it would be given."""
        _refuse_limits(resources)
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in command.environ.items())
        line = " ".join(part for part in (variables, shlex.join(command.words)) if part)
        return f"cd {shlex.quote(str(command.folder))}\n" + f"{line} &\n" * count

    def _start(self, command: WorkerCommand) -> str:
        number = len([*command.logs.glob("local-*.log")]) + 1
        with (command.logs / f"local-{number}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own program
                [*command.words],
                cwd=command.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **command.environ},
                start_new_session=True,
            )
        note = {"pid": child.pid, "started": psutil.Process(child.pid).create_time(), "name": command.name}
        write_text(self._folder / f"{child.pid}.json", json.dumps(note) + "\n")
        child.returncode = 0  # it may outlive this process; one that does not is waited for where it is found ended
        return str(child.pid)

    def _alive(self) -> Iterator[tuple[int, str]]:
        for path in sorted(self._folder.glob("*.json")):
            try:
                note: Any = json.loads(read_text(path, limit=SMALL))
                pid, started, name = int(note["pid"]), float(note["started"]), str(note["name"])
                process = psutil.Process(pid)
                is_it = abs(process.create_time() - started) < _NEARLY and not _has_ended(process)
            except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError, psutil.Error):
                is_it = False
            if is_it and is_name(name):
                yield pid, name
            else:
                path.unlink(missing_ok=True)


def _has_ended(process: psutil.Process) -> bool:
    """Tell whether it is a zombie, and end that too where it is this process' own: an elastic pool starts many."""
    if process.status() != psutil.STATUS_ZOMBIE:
        return False
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return True


def _refuse_limits(resources: Resources) -> None:
    if resources.seconds is not None or resources.gpus or resources.memory is not None:
        raise ConfigError(
            "this machine keeps no limit of time, memory or GPUs for a worker",
            hint="leave the limit out, or give it to each task: --timeout, --mem-limit; or use --on slurm",
        )
