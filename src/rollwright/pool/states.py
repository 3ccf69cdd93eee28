"""The states of a task and the one table of changes between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from rollwright.core.text import escape_text
from rollwright.errors import DamagedTaskError, IllegalTransitionError, QueryError, nearest

__all__ = [
    "AMENDABLE",
    "CLAIMABLE",
    "OPEN_STATES",
    "TRANSITIONS",
    "Status",
    "amend_sources",
    "parse_status",
    "read_status",
]


class Status(StrEnum):
    """Where a task stands; the values are Qlib's words, and two of our own."""

    WAITING = "waiting"
    RUNNING = "running"
    PART_DONE = "part_done"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.WAITING: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED}),
        Status.RUNNING: frozenset(
            {Status.WAITING, Status.PART_DONE, Status.DONE, Status.FAILED, Status.CANCELLED},
        ),
        Status.PART_DONE: frozenset({Status.RUNNING, Status.WAITING, Status.FAILED, Status.CANCELLED}),
        Status.DONE: frozenset({Status.WAITING}),
        Status.FAILED: frozenset({Status.WAITING, Status.PART_DONE}),
        Status.CANCELLED: frozenset({Status.WAITING, Status.PART_DONE}),
    }
)
"""For each state, the states that may follow it, whoever brings the change about."""

CLAIMABLE: Final = frozenset({Status.WAITING, Status.PART_DONE})
"""States a worker may take a task from."""

OPEN_STATES: Final = frozenset({Status.WAITING, Status.RUNNING, Status.PART_DONE})
"""States of tasks that are not finished."""

AMENDABLE: Final = frozenset({Status.WAITING, Status.PART_DONE, Status.FAILED, Status.CANCELLED})
"""States a person may put a task into; running and done are only reached by a worker."""


def amend_sources(target: Status) -> frozenset[Status]:
    """Return the states from which a person may put a task into `target`.

    Guarantees: ``part_done`` is only reached again by a task that has an intermediate result; the store checks that.

    Raises
    ------
    IllegalTransitionError
        For ``running`` and ``done``, which only a claim and a commit bring about.
    """
    if target not in AMENDABLE:
        raise IllegalTransitionError(
            f"no task is put into `{target.value}` by hand",
            hint="a task becomes running by fetch_task and done by commit_task_res",
        )
    # A running task goes back to part_done by its worker alone: by hand that would invent a result.
    hidden = {Status.RUNNING} if target is Status.PART_DONE else set()
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets) - hidden


def parse_status(value: object) -> Status:
    """Return the state that `value` names.

    Raises
    ------
    QueryError
        When there is none of that name.
    """
    names = [status.value for status in Status]
    if isinstance(value, str) and value in names:
        return Status(value)
    suggestion = nearest(value, names) if isinstance(value, str) else None
    hint = f"did you mean `{suggestion}`?" if suggestion else f"states are: {', '.join(names)}"
    raise QueryError(f"{value!r} is no state of a task", hint=hint)


def read_status(value: str, *, pool: str, task_id: str) -> Status:
    """Return the state that a stored task has.

    Raises
    ------
    DamagedTaskError
        When it is none: somebody wrote it into the database.
    """
    try:
        return Status(value)
    except ValueError as error:
        states = ", ".join(status.value for status in Status)
        raise DamagedTaskError(
            pool,
            task_id,
            f"is {escape_text(repr(value), longest=60)}, which somebody wrote into the database",
            part="state",
            hint=f"write one of {states} in its place, with the client of the database, and see who writes to it",
        ) from error
