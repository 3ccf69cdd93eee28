"""What a worker runs, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rollwright.core.canonical import JSON, canonical_json
from rollwright.errors import ConfigError
from rollwright.pool.types import encode_result

__all__ = ["EVENT_OF", "EventKind", "TaskFunction", "TaskResult", "WorkerEvent", "WorkerReport", "encode_returned"]

EventKind = Literal[
    "started", "round", "done", "part_done", "retry", "failed", "released", "lost",
    "slot died", "stopping", "waiting", "store away", "store back",
]  # fmt: skip
"""What an event is about: a task, or, from ``slot died`` on, itself.

``round`` comes a few times a second while a model tells how far its fit is, with ``120/1000`` as its detail;
``waiting`` comes once when nothing is left but what others have in hand.
"""

EVENT_OF: Final[Mapping[str, EventKind]] = {
    "done": "done",
    "part_done": "part_done",
    "failed": "failed",
    "released": "released",
}
"""The event of each kind of outcome that was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFunction:
    """A function by name, since a worker's slots are processes of their own and nothing is pickled.

    Attributes
    ----------
    entry : str
        ``module:function``, called as ``function(definition, **kwargs)``; the module must be trusted.
    kwargs : mapping
        JSON values.
    """

    entry: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        module, separator, name = self.entry.partition(":")
        if not separator or not module or not name.isidentifier():
            raise ConfigError(f"`{self.entry}` names no function", hint="write package.module:function")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """A result with what it depends on beside the definition (decision D16); a task function may return it.

    Attributes
    ----------
    value : object
        JSON, or an object with a reference.
    validity : JSON
        Recorded beside the result; who asks again compares it.
    """

    value: object
    validity: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEvent:
    """What happened to a task, for a live table.

    Attributes
    ----------
    kind : EventKind
    task_id : str or None
    slot : int or None
    detail : str
        The last line of an error, or empty.
    """

    kind: EventKind
    task_id: str | None = None
    slot: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker did.

    Attributes
    ----------
    started, done, failed, released : int
        Attempts it began, tasks it committed, tasks it saw out of attempts, tasks it gave back when it was told
        to stop.
    seconds : float
    interrupted : bool
        Whether it was told to stop before it found nothing more to do.
    """

    done: int
    failed: int
    released: int
    seconds: float
    interrupted: bool = False
    started: int = 0


def encode_returned(value: object) -> tuple[str, str | None]:
    """Return the texts of the result and the validity of what a task function returned."""
    result = value if isinstance(value, TaskResult) else TaskResult(value=value)
    validity = canonical_json(result.validity) if result.validity is not None else None
    return encode_result(result.value), validity
