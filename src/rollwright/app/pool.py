"""Query and change task pools on behalf of a user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from rollwright.config.context import current_settings
from rollwright.core.canonical import canonical_json
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.masking import mask_secrets
from rollwright.core.sqlite_urls import SQLITE, sqlite_path
from rollwright.errors import ConfigError, PoolError, QueryError, nearest
from rollwright.pool.document import last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import parse as parse_query
from rollwright.pool.states import Status, parse_status
from rollwright.pool.store import Amendment, HistoryRow, PoolStat, PoolStore, TaskReader, TaskRecord
from rollwright.pool.stored_definition import UNREADABLE, read_plain
from rollwright.pool.urls import store_from_url
from rollwright.pool.waiting import WaitProgress
from rollwright.tasks.shards import SHARD
from rollwright.tasks.window import name_window

__all__ = [
    "Holder",
    "Selection",
    "WindowNames",
    "count_selected",
    "describe_task",
    "explain",
    "list_pools",
    "list_workers",
    "make_holders",
    "open_pool",
    "open_store",
    "open_target",
    "prioritise",
    "read_task",
    "read_tasks",
    "retry_tasks",
    "watch_pool",
]


_VOLATILE: Final = ("memory:", "memory://", f"{SQLITE}:memory:")
_CONDITION: Final = re.compile(r"([^=<>!]+)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_ORDERS: Final = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte", "!=": "$ne"}
_LONGEST_LABEL: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tasks of a pool are meant; everything that is given must hold.

    Attributes
    ----------
    where : tuple of str
        ``key=value`` with ``=``, ``!=``, ``>``, ``>=``, ``<`` or ``<=``, or a whole query as a JSON object. A value is
        JSON, or else text.
    status : tuple of str
        One of these states.
    ids : tuple of str
        One of these ids.
    everything : bool
        Whether leaving all of them out means every task.
    """

    where: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    everything: bool = True

    def query(self) -> dict[str, Any]:
        """Return the query in the pool's one language.

        Raises
        ------
        QueryError
            For what is outside of it, and when nothing is selected that must be.
        """
        parts = [_parse_condition(text) for text in self.where]
        if self.status:
            parts.append({"status": {"$in": [parse_status(name).value for name in self.status]}})
        if self.ids:
            parts.append({"_id": {"$in": [*self.ids]}})
        if not parts and not self.everything:
            raise QueryError(
                "nothing says which tasks are meant", hint="give --where, --status or --id, or --all for every one"
            )
        query = {"$and": parts} if parts else {}
        parse_query(query)  # says now what it does not understand
        return query


def _parse_condition(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        try:
            query = json.loads(text)
        except ValueError as error:
            raise QueryError(f"{text[:200]!r} is no JSON object: {error}") from error
        if not query:
            raise QueryError("{} selects everything", hint="write --all when that is meant")
        return dict(query)
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise QueryError(
            f"{text[:200]!r} is not a condition", hint="write key=value, as def.model.class=LGBModel, or a JSON query"
        )
    name, sign, value = found[1].strip(), found[2], _parse_value(found[3].strip())
    return {name: value if sign == "=" else {_ORDERS[sign]: value}}


def _parse_value(text: str) -> Any:
    """Return the JSON value that `text` spells, or the text itself."""

    def refuse(name: str) -> Any:
        raise ValueError(name)

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


# -- opening -----------------------------------------------------------------------------------------------------


@contextmanager
def open_store(url: str | None = None, *, create: bool = False) -> Iterator[PoolStore | None]:
    """Open the store of a URL (the settings' ``pool.url`` if not given) for the block.

    None when it is a file that does not exist and shall not be made (`create`): asking makes nothing.
    """
    absolute = _resolve_url(url)
    path = sqlite_path(absolute)
    if not create and path is not None and not path.exists():
        yield None
        return
    store = store_from_url(absolute)
    try:
        yield store
    finally:
        store.close()


def _resolve_url(url: str | None) -> str:
    settings = current_settings()
    return settings.resolve_url(url if url is not None else settings.pool.url)


@contextmanager
def open_pool(pool: str, url: str | None = None) -> Iterator[TaskManager]:
    """Open a pool that exists.

    Raises
    ------
    ConfigError
        When the store has no pool of that name.
    """
    with open_store(url) as store:
        if store is None or pool not in (known := store.list_pools()):
            names = [] if store is None else known
            suggestion = nearest(pool, names)
            listed = f"there are: {', '.join(names[:20])}" if names else "it has none yet: rollwright roll makes one"
            raise ConfigError(
                f"there is no pool {pool!r} in {mask_secrets(_resolve_url(url))}",
                hint=f"did you mean {suggestion!r}?" if suggestion else listed,
            )
        yield TaskManager(pool, store=store)


@contextmanager
def open_target(url: str, *, source: str | None) -> Iterator[PoolStore]:
    """Open the store that a pool is to be moved to, which is made when it does not exist.

    Raises
    ------
    ConfigError
        When it is the one that the pool is in.
    """
    if _resolve_url(url) == _resolve_url(source):
        raise ConfigError(
            f"the pool is in {mask_secrets(_resolve_url(url))} already", hint="name another store with --to"
        )
    if _resolve_url(url) in _VOLATILE:
        raise ConfigError(f"`{url}` ends with this command, and the tasks with it", hint="name a store that lasts")
    with open_store(url, create=True) as store:
        if store is not None:
            yield store


# -- asking ------------------------------------------------------------------------------------------------------


def list_pools(url: str | None = None, *, empty: bool = False) -> list[PoolStat]:
    """Return how every pool stands, by name; those without tasks only with `empty` or while they are paused."""
    with open_store(url) as store:
        stats = [] if store is None else [store.stat(name) for name in store.list_pools()]
    return [stat for stat in stats if empty or stat.paused or any(stat.counts.values())]


def count_selected(manager: TaskManager, selection: Selection) -> dict[Status, int]:
    """Return how many tasks are selected, by state; every state is a key."""
    return manager.store.count(manager.task_pool, parse_query(selection.query()))


def read_tasks(manager: TaskManager, selection: Selection, *, limit: int | None) -> tuple[list[TaskRecord], int]:
    """Return the selected tasks, oldest first and at most `limit`, and how many there are in all."""
    tree = parse_query(selection.query())
    found = manager.store.find(manager.task_pool, tree)
    total = sum(manager.store.count(manager.task_pool, tree).values())
    return [*islice(found, limit)], total


def read_task(manager: TaskManager, task_id: str) -> tuple[TaskRecord, list[HistoryRow]]:
    """Return a task with its history.

    Raises
    ------
    TaskNotFoundError
    """
    (record,) = manager.store.get(manager.task_pool, [task_id])
    return record, manager.store.read_history(manager.task_pool, [task_id])


def describe_task(record: TaskRecord) -> str:
    """Return a few words by which a person knows a task: its model and test window, or how its definition begins.

    `UNREADABLE` when the definition that stands in the database is no JSON object.
    """
    definition = read_plain(record)
    if definition is None:
        return UNREADABLE
    window = name_window(definition)
    model = definition.get("model")
    words = [str(model["class"])] if isinstance(model, Mapping) and "class" in model else []
    if window is not None:
        words.append(window)
    if words:
        return " ".join(words)
    text = canonical_json(definition)
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


class WindowNames:
    """The windows of a pool's tasks by their ids, each looked up once."""

    def __init__(self, store: TaskReader, pool: str) -> None:
        self._store = store
        self._pool = pool
        self._known: dict[str, str | None] = {}

    def find(self, task_id: str | None) -> str | None:
        """Return the window of a task, or None when it has none or is gone."""
        if task_id is None:
            return None
        if task_id not in self._known:
            try:
                (record,) = self._store.get(self._pool, [task_id])
            except PoolError:
                return None
            definition = read_plain(record)
            self._known[task_id] = None if definition is None else _name(definition)
        return self._known[task_id]


def _name(definition: Mapping[str, Any]) -> str | None:
    """Return the window of a task, and which shard of it it is."""
    window, shard = name_window(definition), definition.get(SHARD)
    named = shard.get("name") if isinstance(shard, Mapping) else None
    return window if named is None else f"{window or 'task'} ({named})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A worker that holds tasks.

    Attributes
    ----------
    owner : str
        Host, process id and a random part.
    tasks, labels : tuple of str
        Ids of its tasks, and what they are.
    since, until : float
        When it took the longest held of them, and when the first of its leases ends unless renewed; seconds since
        1970 UTC.
    busy, left : float
        The same as seconds from now.
    """

    owner: str
    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    since: float
    until: float
    busy: float
    left: float


def list_workers(manager: TaskManager, *, clock: Clock | None = None) -> list[Holder]:
    """Return the workers that hold tasks, those whose lease ends first before the others."""
    now = (clock if clock is not None else SystemClock()).now().timestamp()
    return make_holders(manager.store.find(manager.task_pool, parse_query({"status": Status.RUNNING.value})), now)


def make_holders(running: Iterable[TaskRecord], now: float, *, names: Mapping[str, str] | None = None) -> list[Holder]:
    """Return who holds these tasks, those whose lease ends first before the others.

    Parameters
    ----------
    running : iterable of TaskRecord
    now : float
        Seconds since 1970 UTC.
    names : mapping of str to str, optional
        What tasks are called, by their ids; `describe_task` says it of the others.
    """
    names = names if names is not None else {}
    held: dict[str, list[TaskRecord]] = {}
    for record in running:
        held.setdefault(record.owner or "", []).append(record)
    holders = [_make_holder(owner, records, now, names) for owner, records in held.items()]
    return sorted(holders, key=lambda holder: (holder.until, holder.owner))


def _make_holder(owner: str, records: Sequence[TaskRecord], now: float, names: Mapping[str, str]) -> Holder:
    since = min(record.started or now for record in records)
    until = min(record.lease_until or now for record in records)
    return Holder(
        owner=owner,
        tasks=tuple(record.task_id for record in records),
        labels=tuple(names.get(record.task_id) or describe_task(record) for record in records),
        since=since,
        until=until,
        busy=now - since,
        left=until - now,
    )


def explain(record: TaskRecord) -> str:
    """Return the last line of a task's error, or an empty text."""
    return last_line(record.error) if record.error else ""


def watch_pool(
    manager: TaskManager, *, interval: float, seconds: float | None = None, clock: Clock | None = None
) -> Iterator[WaitProgress]:
    """Yield how a pool stands, and again at each change, until `seconds` have passed; for ever if not given."""
    clock = clock if clock is not None else SystemClock()
    start = clock.monotonic()
    told: WaitProgress | None = None
    while True:
        stat = manager.store.stat(manager.task_pool)
        now = WaitProgress(counts=stat.counts, seconds=clock.monotonic() - start, paused=stat.paused)
        if told is None or (told.counts, told.paused) != (now.counts, now.paused):
            yield now
            told = now
        left = interval if seconds is None else min(interval, seconds - (clock.monotonic() - start))
        if left <= 0:
            return
        clock.sleep(left)


# -- changing ----------------------------------------------------------------------------------------------------


def retry_tasks(manager: TaskManager, selection: Selection, *, cancelled: bool = False) -> int:
    """Let failed tasks be tried again from where they stood, with new attempts; return how many.

    One that failed at a later stage goes on from its intermediate result. With `cancelled` cancelled ones too.
    """
    states = ["failed", "cancelled"] if cancelled else ["failed"]
    chosen = {"$and": [selection.query(), {"status": {"$in": states}}]}
    staged = manager.reset_status({"$and": [chosen, {"res": {"$exists": True}}]}, "part_done")
    return staged + manager.reset_status(chosen, "waiting")


def prioritise(manager: TaskManager, selection: Selection, priority: int) -> int:
    """Give the selected tasks another priority; return how many."""
    query = parse_query(selection.query())
    return len(manager.store.amend(manager.task_pool, query, Amendment(priority=priority)))
