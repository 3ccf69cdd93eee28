"""How a campaign stands, from its note and its pool alone: no data, no recorder and no table is opened for it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.app.campaign_record import (
    CampaignRecord,
    find_record,
    list_records,
    results_folder,
    submitted_path,
)
from rollwright.app.pool import Holder, make_holders, open_store
from rollwright.app.pool_demand import Unserved
from rollwright.campaign.submitted import SubmittedWindow, SubmittedWindows
from rollwright.config.context import using
from rollwright.config.settings import Settings, load_settings
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import group_failures
from rollwright.pool.document import last_hint, last_line
from rollwright.pool.query import among
from rollwright.pool.states import CLAIMABLE, Status
from rollwright.pool.store import PoolStore
from rollwright.pool.stored_definition import read_plain
from rollwright.pool.types import TaskRecord
from rollwright.pool.worker.shards import read_set_aside
from rollwright.tasks.shards import SHARD

__all__ = [
    "CampaignStatus",
    "FailureGroup",
    "OpenWindows",
    "WindowStatus",
    "open_windows",
    "read_status",
    "watch_status",
]

STATUS_FORMAT: Final = 1
SUMMARY_FILE: Final = "summary.json"
REPORT_FILE: Final = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWindows:
    """The windows that a campaign submitted last, and the store they are in.

    Attributes
    ----------
    record : CampaignRecord
    settings : Settings
    windows : tuple of SubmittedWindow
    store : PoolStore or None
        None when there is none yet.
    """

    record: CampaignRecord
    settings: Settings
    windows: tuple[SubmittedWindow, ...]
    store: PoolStore | None

    def read_tasks(self) -> dict[str, TaskRecord]:
        """Return the tasks of the windows by their ids; those that somebody removed are missing."""
        if self.store is None or not self.windows:
            return {}
        query = among(window.task_id for window in self.windows)
        found = self.store.find(self.record.name, query)
        # A store that was emptied begins its ids anew: a task is ours by what it asks for.
        prints = {window.task_id: window.fingerprint for window in self.windows}
        return {task.task_id: task for task in found if prints[task.task_id] == task.fingerprint}

    def read_shards(self, tasks: Mapping[str, TaskRecord]) -> dict[str, tuple[TaskRecord, ...]]:
        """Return the shards that windows are set aside for, by the ids of the windows' tasks."""
        wanted = {task_id: shards for task_id, task in tasks.items() if (shards := read_set_aside(task))}
        if self.store is None or not wanted:
            return {}
        query = among(one for shards in wanted.values() for one in shards)
        found = {record.task_id: record for record in self.store.find(self.record.name, query)}
        return {task_id: tuple(found[one] for one in shards if one in found) for task_id, shards in wanted.items()}


@contextmanager
def open_windows(name: str | None, *, project: Path | None = None) -> Iterator[OpenWindows]:
    """Open what a campaign submitted last, that of the campaign that ran last if no name is given.

    Raises
    ------
    ConfigError
        When there is no such campaign.
    """
    settings = load_settings(start=project)
    record = find_record(settings, name)
    submitted = SubmittedWindows.read(submitted_path(settings, record.name))
    if submitted is not None and submitted.own_pool:
        from rollwright.app.open_campaign import open_campaign  # noqa: PLC0415 - heavy, and seldom needed

        overrides, file = record.overrides, settings.root / record.file
        settings = open_campaign(file, overrides=overrides, project=settings.root).settings
    windows = () if submitted is None else submitted.windows
    with using(settings), open_store(create=False) as store:
        yield OpenWindows(record=record, settings=settings, windows=windows, store=store)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowStatus:
    """How one window stands.

    Attributes
    ----------
    name, variant : str
    status : Status or None
        None when the pool has no such task any more.
    attempts, max_attempts : int
    owner : str or None
        Who holds it.
    seconds : float or None
        For how long it runs, or how long it took.
    error : str or None
        The line that tells why its last attempt failed.
    shards : tuple of int
        Where it is made in shards now: how many are done, and how many there are. Where one model serves all, that
        model is made first, as the one shard of it.
    """

    name: str
    variant: str
    status: Status | None
    attempts: int = 0
    max_attempts: int = 0
    owner: str | None = None
    seconds: float | None = None
    error: str | None = None
    shards: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "variant": self.variant,
            "status": None if self.status is None else self.status.value,
            "attempts": self.attempts,
            "max_attempts": self.max_attempts,
            "owner": self.owner,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "error": self.error,
            "shards": [*self.shards],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Windows that failed of one cause.

    Attributes
    ----------
    cause : str
    hint : str or None
        What the error says to do.
    windows : tuple of str
    command : str
        Shows the whole traceback.
    """

    cause: str
    hint: str | None
    windows: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStatus:
    """How a campaign stands.

    Attributes
    ----------
    name, file : str
    windows : tuple of WindowStatus
        In the order of the plan; none when it was never submitted.
    counts : mapping of str to int
        Windows by state; ``missing`` where the pool has no task any more.
    holders : tuple of Holder
        Who works on it.
    failures : tuple of FailureGroup
    paused : bool
        Whether its pool gives no task.
    unserved : tuple of Unserved
        Windows that need something of a worker, of which none runs.
    seconds_left : float or None
        How long the rest will take, by what ended and who works; None when that is not known.
    report : Path or None
        The report, when all windows are done and it was made.
    command : str or None
        The one command that goes on; None when there is nothing to do.
    others : tuple of str
        Other campaigns that were started here.
    """

    name: str
    file: str
    windows: tuple[WindowStatus, ...]
    counts: Mapping[str, int]
    holders: tuple[Holder, ...]
    failures: tuple[FailureGroup, ...]
    paused: bool
    unserved: tuple[Unserved, ...]
    seconds_left: float | None
    report: Path | None
    command: str | None
    others: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Whether nothing waits and nobody works."""
        return not any(self.counts.get(status.value) for status in (Status.WAITING, Status.RUNNING, Status.PART_DONE))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "format": STATUS_FORMAT,
            "name": self.name,
            "file": self.file,
            "counts": dict(self.counts),
            "windows": [window.to_json() for window in self.windows],
            "workers": [
                {"owner": one.owner, "windows": [*one.labels], "since": one.since, "until": one.until}
                for one in self.holders
            ],
            "failures": [
                {"cause": one.cause, "hint": one.hint, "windows": [*one.windows], "command": one.command}
                for one in self.failures
            ],
            "paused": self.paused,
            "unserved": [{"needs": one.needs.text, "windows": one.tasks} for one in self.unserved],
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
            "report": None if self.report is None else str(self.report),
            "command": self.command,
            "others": [*self.others],
        }


def read_status(name: str | None, *, project: Path | None = None, clock: Clock | None = None) -> CampaignStatus:
    """Return how a campaign stands, the one that ran last if no name is given; nothing is changed.

    Raises
    ------
    ConfigError
        When there is no such campaign.
    """
    with open_windows(name, project=project) as opened:
        return _read(opened, clock if clock is not None else SystemClock())


def watch_status(
    name: str | None, *, interval: float, project: Path | None = None, clock: Clock | None = None
) -> Iterator[CampaignStatus]:
    """Yield how a campaign stands every `interval` seconds, until nothing waits and nobody works."""
    clock = clock if clock is not None else SystemClock()
    with open_windows(name, project=project) as opened:
        while True:
            status = _read(opened, clock)
            yield status
            if status.is_over:
                return
            clock.sleep(interval)


def _read(opened: OpenWindows, clock: Clock) -> CampaignStatus:
    now = clock.now().timestamp()
    tasks = opened.read_tasks()
    names = {window.task_id: window.name for window in opened.windows}
    shards = opened.read_shards(tasks)
    windows = tuple(
        _describe(window, tasks.get(window.task_id), now, shards.get(window.task_id, ())) for window in opened.windows
    )
    divided = [record for records in shards.values() for record in records]
    for task_id, records in shards.items():
        names |= {record.task_id: f"{names[task_id]} ({_name_shard(record)})" for record in records}
    counts: dict[str, int] = {}
    for window in windows:
        state = "missing" if window.status is None else window.status.value
        counts[state] = counts.get(state, 0) + 1
    running = [task for task in (*tasks.values(), *divided) if task.status is Status.RUNNING]
    paused = opened.store is not None and opened.store.stat(opened.record.name).paused
    failures = tuple(_group(opened, tasks, names))
    report = results_folder(opened.settings, opened.record.name) / REPORT_FILE
    finished = bool(windows) and counts.get(Status.DONE.value) == len(windows)
    return CampaignStatus(
        name=opened.record.name,
        file=opened.record.file,
        windows=windows,
        counts=counts,
        holders=tuple(make_holders(running, now, names=names)),
        failures=failures,
        paused=paused,
        unserved=() if paused else tuple(_find_unserved(opened.record.name, [*tasks.values(), *divided])),
        seconds_left=_estimate_rest(windows),
        report=report if finished and report.is_file() else None,
        command=_find_command(
            opened.record.name,
            failures,
            paused=paused,
            made=finished and report.is_file(),
            works=bool(running),
        ),
        others=tuple(path.stem for path in list_records(opened.settings) if path.stem != opened.record.name),
    )


def _find_unserved(pool: str, tasks: Collection[TaskRecord]) -> Iterator[Unserved]:
    """Return the needs of tasks that wait while none with the same needs runs."""
    running = {task.needs for task in tasks if task.status is Status.RUNNING}
    waiting = Counter(task.needs for task in tasks if task.status in CLAIMABLE and task.needs)
    for needs, count in sorted(waiting.items(), key=lambda item: item[0].text):
        if needs not in running:
            yield Unserved(pool=pool, needs=needs, tasks=count)


def _name_shard(record: TaskRecord) -> str:
    shard = (read_plain(record) or {}).get(SHARD)
    return str(shard.get("name", record.task_id)) if isinstance(shard, Mapping) else record.task_id


def _describe(
    window: SubmittedWindow, task: TaskRecord | None, now: float, shards: Sequence[TaskRecord]
) -> WindowStatus:
    if task is None:
        return WindowStatus(name=window.name, variant=window.variant, status=None)
    end = now if task.status is Status.RUNNING else task.ended
    timed = task.status in (Status.RUNNING, Status.DONE) and task.started is not None and end is not None
    return WindowStatus(
        name=window.name,
        variant=window.variant,
        status=task.status,
        attempts=task.attempts,
        max_attempts=task.max_attempts,
        owner=task.owner if task.status is Status.RUNNING else None,
        seconds=max(0.0, end - task.started) if timed and end is not None and task.started is not None else None,
        error=last_line(task.error) if task.error else None,
        shards=(sum(one.status is Status.DONE for one in shards), len(shards)) if shards else (),
    )


def _group(opened: OpenWindows, tasks: Mapping[str, TaskRecord], names: Mapping[str, str]) -> Iterator[FailureGroup]:
    failed = {names[one.task_id]: one.error or "" for one in tasks.values() if one.status is Status.FAILED}
    for cause, windows in group_failures((name, last_line(error)) for name, error in sorted(failed.items())):
        yield FailureGroup(
            cause=cause,
            hint=last_hint(failed[windows[0]]),
            windows=windows,
            command=f"rollwright logs {opened.record.name} {windows[0]}",
        )


def _estimate_rest(windows: tuple[WindowStatus, ...]) -> float | None:
    """Return how long the rest takes at the present pace; None while nobody works or none has ended."""
    ended = [window.seconds for window in windows if window.status is Status.DONE and window.seconds is not None]
    working = [window.seconds or 0.0 for window in windows if window.status is Status.RUNNING]
    waiting = sum(window.status in (Status.WAITING, Status.PART_DONE) for window in windows)
    if not ended or not working:
        return None
    usual = statistics.median(ended)
    rest = sum(max(0.0, usual - seconds) for seconds in working) + usual * waiting
    return rest / len(working)


def _find_command(
    name: str,
    failures: tuple[FailureGroup, ...],
    *,
    paused: bool,
    made: bool,
    works: bool,
) -> str | None:
    """Return the one command that goes on from here."""
    if paused:
        return f"rollwright pool resume {name}"
    if works:
        return f"rollwright status {name} --watch"
    if failures:
        return failures[0].command
    return None if made else f"rollwright resume {name}"
