"""Reading the places of a task's dictionary that generators change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rollwright.codecs.described import Described
from rollwright.core.allowance import MAX_DEPTH
from rollwright.errors import ConfigError, TaskValueError, UnsupportedArtifactError, nearest

if TYPE_CHECKING:  # a look at a pool needs no pandas
    from rollwright.calendar.trading import Session

__all__ = [
    "SegmentTuple",
    "Task",
    "dataset_kwargs",
    "describe_objects",
    "segments_of",
    "set_dataset_kwarg",
    "set_segments",
]

Task: TypeAlias = dict[str, Any]
"""A task's dictionary: model, dataset, record …"""

_LEAVES: Final = frozenset({str, int, float, bool, type(None)})

SegmentTuple: TypeAlias = "tuple[Session | None, Session | None]"


def describe_objects(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a definition in which handlers, datasets, loaders and processors stand as their configurations.

    Qlib's users put such an object into a task where a configuration may stand. It is recorded as what makes an equal
    one; a definition without objects is returned as it is.

    Raises
    ------
    TaskValueError
        When an object holds data that exist in memory only, and so nothing could make an equal one.
    """
    if not _has_object(definition, 0, set()):
        return definition
    try:
        known: dict[int, Any] = {}
        return {key: _described(value, known) for key, value in definition.items()}
    except UnsupportedArtifactError as error:
        raise TaskValueError("$", error.message, hint=error.hint) from error


def _described(value: Any, known: dict[int, Any]) -> Any:
    """Return `value` with configurations for objects; a part that stands several times is described once."""
    if id(value) not in known:
        known[id(value)] = _describe_part(value, known)
    return known[id(value)]


def _describe_part(value: Any, known: dict[int, Any]) -> Any:
    if isinstance(value, Described):
        return value.describe()
    if isinstance(value, Mapping):
        return {key: _described(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_described(item, known) for item in value)
    return value


def _has_object(value: Any, depth: int, seen: set[int]) -> bool:
    if isinstance(value, Described):
        return True
    if depth > MAX_DEPTH or id(value) in seen or not isinstance(value, Mapping | list | tuple):
        return False
    seen.add(id(value))
    parts = value.values() if isinstance(value, Mapping) else value
    return any(_has_object(part, depth + 1, seen) for part in parts if type(part) not in _LEAVES)


def dataset_kwargs(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``task["dataset"]["kwargs"]``.

    Raises
    ------
    ConfigError
        When it is not there, naming the first missing part.
    """
    value: Any = task
    path = "task"
    for key in ("dataset", "kwargs"):
        if not isinstance(value, Mapping) or key not in value:
            raise ConfigError(f"{path} has no `{key}`", hint="a task template has dataset.kwargs.segments")
        value, path = value[key], f"{path}.{key}"
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path} is {type(value).__name__}, not a dictionary")
    return value


def segments_of(task: Mapping[str, Any], *, test_key: str) -> Mapping[str, Any]:
    """Return the segments of `task`, which must have one named `test_key`.

    Raises
    ------
    ConfigError
        When there are none, or none of that name.
    """
    segments = dataset_kwargs(task).get("segments")
    if not isinstance(segments, Mapping):
        raise ConfigError(
            "task.dataset.kwargs has no dictionary `segments`",
            hint="write segments: {train: [start, end], valid: [start, end], test: [start, end]}",
        )
    if test_key not in segments:
        near = nearest(test_key, segments)
        raise ConfigError(
            f"the task has no segment `{test_key}`, only {', '.join(segments) or 'none at all'}",
            hint=f"did you mean test_key={near!r}?" if near else "name the test segment with test_key",
        )
    return segments


def set_dataset_kwarg(task: Task, key: str, value: object) -> None:
    """Set ``task["dataset"]["kwargs"][key]`` on new dictionaries, so that whoever shares the old ones keeps them."""
    dataset = task["dataset"]
    task["dataset"] = {**dataset, "kwargs": {**dataset_kwargs(task), key: value}}


def set_segments(task: Task, segments: Mapping[str, SegmentTuple]) -> None:
    """Replace the segments of `task`, which alone is changed."""
    set_dataset_kwarg(task, "segments", dict(segments))
