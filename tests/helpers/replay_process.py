"""One process that serves what the market has, and is killed at the step it was told; see `replay_serving`.

Processes are forked from a server that has imported everything and done nothing, so that each begins as a command does
and what it costs is its work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

from replay_serving import Steps, enter_project, serve, watched
from rollwright.online import ledger as ledger_module

_LEASE: Final = 0.5
"""Seconds for which an entry is held by who was killed over it."""


def start_process(folder: Path, days: list[str], what: str, at: int = 0) -> ForkServerProcess:
    """Start a process that serves the project of `folder`.

    Parameters
    ----------
    folder : Path
    days, what
        As `serve` takes them.
    at : int
        The step to die at, from 1; 0 for none. The process writes the label of that step to ``killed`` in the project,
        or the number of steps to ``passed``.
    """
    process = _context().Process(target=_run, args=(str(folder), days, what, at))
    process.start()
    return process


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["replay_serving", "rollwright.models.linear", "rollwright.dataset.dataset"])
    return context


def _run(folder: str, days: list[str], what: str, at: int) -> None:
    project = Path(folder)
    os.chdir(project)

    def die(label: str) -> None:
        (project / "killed").write_text(label)
        os.kill(os.getpid(), signal.SIGKILL)

    ledger_module._LEASE = _LEASE
    enter_project(project)
    steps = Steps(die, at)
    with watched(steps):
        serve(what, days)
    (project / "passed").write_text(str(len(steps.passed)))
