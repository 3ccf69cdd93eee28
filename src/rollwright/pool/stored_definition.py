"""The definition that stands in the database: read it, check that nobody changed it there, put it back.

A task is stored under the fingerprint of its definition. A definition that has another one was changed by somebody
who wrote to the database beside rollwright: running it would give one task's result the name of another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from rollwright.core.canonical import normalise, parse_json
from rollwright.core.stored_text import plain_of, restore_definition
from rollwright.errors import DamagedTaskError, RollwrightError, TaskValueError
from rollwright.pool.query import In, both
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, NewTask, TaskEditor, TaskReader, TaskRecord
from rollwright.tasks.identity import task_fingerprint

__all__ = [
    "UNREADABLE",
    "check_definition",
    "is_readable",
    "parse_definition",
    "read_plain",
    "restore_definitions",
]

_logger: Final = logging.getLogger("rollwright.pool")

UNREADABLE: Final = "(unreadable definition)"
_REMEDY: Final = (
    "submit the task again (rollwright roll), which puts its definition back, or remove it (rollwright pool rm); "
    "find out who writes to the database"
)


def parse_definition(canonical: str, *, pool: str, task_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a stored definition as it was given, and as plain JSON.

    Raises
    ------
    DamagedTaskError
        When it is no JSON object, or its types cannot be read.
    """
    try:
        parsed = parse_json(canonical)
        plain, definition = plain_of(parsed), restore_definition(parsed)
    except TaskValueError as error:
        raise DamagedTaskError(
            pool, task_id, f"cannot be read: {error.message.removeprefix('$: ')}", hint=_REMEDY
        ) from error
    if not isinstance(plain, dict) or not isinstance(definition, dict):
        raise DamagedTaskError(pool, task_id, "cannot be read: it is no JSON object", hint=_REMEDY)
    return definition, plain


def read_plain(record: TaskRecord) -> dict[str, Any] | None:
    """Return a stored task's definition as plain JSON, its dates as text; None when it is no JSON object.

    Nothing of it is made, so that looking into a pool needs neither NumPy nor pandas.
    """
    try:
        plain = plain_of(parse_json(record.canonical))
    except TaskValueError:
        return None
    return plain if isinstance(plain, dict) else None


def is_readable(record: TaskRecord) -> bool:
    """Tell whether a stored task's definition is a JSON object."""
    try:
        parse_definition(record.canonical, pool=record.pool, task_id=record.task_id)
    except DamagedTaskError:
        return False
    return True


def check_definition(canonical: str, *, fingerprint: str, pool: str, task_id: str) -> dict[str, Any]:
    """Return the definition of a claimed task when it is the one the task was put with.

    Raises
    ------
    DamagedTaskError
        When it cannot be read, or has another fingerprint than the one it is stored under.
    """
    definition, plain = parse_definition(canonical, pool=pool, task_id=task_id)
    if task_fingerprint(definition) != fingerprint or normalise(definition, typed=True) != plain:
        problem = "was changed in the database: it is not the one the task was put with, so nothing was run"
        raise DamagedTaskError(pool, task_id, problem, hint=_REMEDY)
    return definition


class _Store(TaskReader, TaskEditor, Protocol):
    """What putting definitions back needs."""


def restore_definitions(store: _Store, pool: str, tasks: Mapping[str, NewTask]) -> list[str]:
    """Put back the definitions that were changed in the database; return the ids of those tasks.

    1. A text that is ours needs no look; another spelling of the same task has the same fingerprint and stays.
    2. A task that somebody holds is left to its worker, which checks what it runs.
    3. The others get our definition, unless their state changed meanwhile; one that failed may be taken again, since
       what failed was another definition. What became of a finished one is for the caller to judge.
    """
    restored: list[str] = []
    for record in store.get(pool, [*tasks]):
        new = tasks[record.task_id]
        fault = _find_fault(record, new)
        if fault is None:
            continue
        _logger.warning("task.damaged pool=%s task=%s reason=%s", pool, record.task_id, fault)
        if record.status is Status.RUNNING:
            continue
        seen = both(In(path=("_id",), values=(record.task_id,)), In(path=("status",), values=(record.status.value,)))
        again = Status.WAITING if record.status is Status.FAILED else None
        restored += store.amend(pool, seen, Amendment(replacement=new, status=again))
    if restored:
        _logger.warning("tasks.restored pool=%s tasks=%s", pool, ",".join(restored))
    return restored


def _find_fault(record: TaskRecord, new: NewTask) -> str | None:
    if record.canonical == new.canonical:
        return None
    try:
        check_definition(record.canonical, fingerprint=record.fingerprint, pool=record.pool, task_id=record.task_id)
    except RollwrightError as error:  # ours has a fingerprint here, so one that has none is another
        return error.message
    return None
