"""Put windows of a campaign back to work, give them up, and read what they printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.app.detached import find_detached, roll_log, stop_detached
from rollwright.app.pool import Selection, retry_tasks
from rollwright.app.status import OpenWindows, open_windows
from rollwright.campaign.submitted import SubmittedWindow
from rollwright.campaign.window_names import find_named_windows
from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import OPEN_STATES, Status
from rollwright.pool.worker.task_log import log_folder, log_path

__all__ = ["Cancelled", "WindowLog", "cancel_windows", "count_open", "follow_log", "list_logs", "retry_windows"]

_PAUSE: Final = 0.3
"""Seconds between two looks at a log that is followed."""


def choose_windows(opened: OpenWindows, texts: Sequence[str]) -> tuple[SubmittedWindow, ...]:
    """Return the windows that are named: each by its name, by how its test begins, or by its member; all for none.

    Raises
    ------
    ConfigError
        When a text names none.
    """
    if not texts:
        return opened.windows
    windows = {one.name: one for one in opened.windows}
    named = f"campaign {opened.record.name}"
    chosen = {name for text in texts for name in find_named_windows(text, windows, campaign=named)}
    return tuple(one for one in opened.windows if one.name in chosen)


def retry_windows(name: str | None, texts: Sequence[str] = (), *, project: Path | None = None) -> tuple[str, list[str]]:
    """Let windows wait again that failed, and those among the named that were cancelled.

    Returns
    -------
    (str, list of str)
        The campaign, and the windows that wait again.

    Raises
    ------
    ConfigError
        When there is no such campaign or window.
    """
    with open_windows(name, project=project) as opened:
        chosen = {one.task_id: one.name for one in choose_windows(opened, texts)}
        states = (Status.FAILED, Status.CANCELLED) if texts else (Status.FAILED,)
        ids = [one.task_id for one in opened.read_tasks().values() if one.task_id in chosen and one.status in states]
        if ids and opened.store is not None:
            manager = TaskManager(opened.record.name, store=opened.store)
            retry_tasks(manager, Selection(ids=tuple(ids)), cancelled=bool(texts))
        return opened.record.name, [chosen[task_id] for task_id in ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What was given up.

    Attributes
    ----------
    windows : tuple of str
    stopped : int
        Processes in the background that were ended.
    """

    windows: tuple[str, ...]
    stopped: int


def count_open(name: str, *, project: Path | None = None) -> tuple[int, int]:
    """Return how many windows wait or run, and how many processes roll the campaign in the background."""
    with open_windows(name, project=project) as opened:
        tasks = opened.read_tasks().values()
        return sum(one.status in OPEN_STATES for one in tasks), len(find_detached(opened.settings, name))


def cancel_windows(name: str, *, project: Path | None = None) -> Cancelled:
    """End what rolls the campaign in the background, and give up the windows that are not finished.

    Guarantees: nothing of a finished window is touched; giving the campaign's command again goes on.
    """
    with open_windows(name, project=project) as opened:
        stopped = stop_detached(find_detached(opened.settings, name))
        names = {one.task_id: one.name for one in opened.windows}
        ids = [one.task_id for one in opened.read_tasks().values() if one.status in OPEN_STATES]
        if ids and opened.store is not None:
            TaskManager(name, store=opened.store).cancel({"_id": {"$in": ids}})
        return Cancelled(windows=tuple(names[task_id] for task_id in ids), stopped=stopped)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLog:
    """What there is to read about a window.

    Attributes
    ----------
    name : str
    status : Status or None
    path : Path
        Where its output is, if it was trained on this machine.
    text : str or None
        Its output; None when there is none here.
    error : str or None
        The traceback that the pool has.
    owner : str or None
        Who ran it last.
    """

    name: str
    status: Status | None
    path: Path
    text: str | None
    error: str | None
    owner: str | None


def list_logs(
    name: str | None, texts: Sequence[str] = (), *, project: Path | None = None
) -> tuple[list[WindowLog], Path | None]:
    """Return the logs of windows, and the file of the roll in the background if there was one.

    Raises
    ------
    ConfigError
        When there is no such campaign or window.
    """
    with open_windows(name, project=project) as opened:
        folder = log_folder(opened.settings, opened.record.name) or opened.settings.state_dir
        tasks = opened.read_tasks()
        logs = []
        for window in choose_windows(opened, texts):
            task = tasks.get(window.task_id)
            path = log_path(folder, window.task_id)
            logs.append(
                WindowLog(
                    name=window.name,
                    status=None if task is None else task.status,
                    path=path,
                    text=_read(path) if texts else None,
                    error=None if task is None else task.error,
                    owner=None if task is None else task.owner,
                )
            )
        whole = roll_log(opened.settings, opened.record.name)
        return logs, whole if whole.is_file() else None


def follow_log(
    name: str | None, text: str | None, *, project: Path | None = None, clock: Clock | None = None
) -> Iterator[str]:
    """Yield what is written to a window's log, or to that of the roll in the background, until it has ended.

    Raises
    ------
    ConfigError
        When there is no such campaign or window, or more than one window is meant.
    """
    clock = clock if clock is not None else SystemClock()
    with open_windows(name, project=project) as opened:
        if text is None:
            path, window = roll_log(opened.settings, opened.record.name), None
        else:
            chosen = choose_windows(opened, [text])
            if len(chosen) > 1:
                raise ConfigError(f"`{text}` is {len(chosen)} windows, and one is followed", hint=f"`{chosen[0].name}`")
            (window,) = chosen
            folder = log_folder(opened.settings, opened.record.name) or opened.settings.state_dir
            path = log_path(folder, window.task_id)
        place = 0
        while True:
            is_over = _is_over(opened, window)
            text_now = _read(path) or ""
            if len(text_now) < place:  # it lost its middle, or begins anew
                place = 0
            if text_now[place:]:
                yield text_now[place:]
                place = len(text_now)
            if is_over:
                return
            clock.sleep(_PAUSE)


def _is_over(opened: OpenWindows, window: SubmittedWindow | None) -> bool:
    if window is None:
        return not find_detached(opened.settings, opened.record.name)
    task = opened.read_tasks().get(window.task_id)
    return task is None or task.status not in OPEN_STATES


def _read(path: Path) -> str | None:
    try:
        return read_whole(path, limit=MEDIUM).decode("utf-8", "replace")
    except OSError:
        return None
