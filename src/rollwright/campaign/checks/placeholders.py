"""Checks of a task's placeholders, with file, line and column, before anything is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rollwright.campaign.yaml.document import KeyPath, YamlDocument
from rollwright.config.placeholders import fill_paths
from rollwright.errors import ConfigError, nearest

__all__ = ["RUNTIME_NAMES", "fill_task"]

RUNTIME_NAMES: Final = ("MODEL", "DATASET", "PRED")
_PLACEHOLDER: Final = re.compile(r"<([A-Za-z_][\w.]*)>")


def fill_task(task: Mapping[str, Any], document: YamlDocument) -> tuple[dict[str, Any], list[str]]:
    """Return `task` with its paths ``<a.b.0>`` filled, and the problems of its placeholders.

    ``<MODEL>``, ``<DATASET>`` and ``<PRED>`` stay: they are filled when there is something to fill them with, which is
    in ``record`` only. A task with a problem is returned as it is.
    """
    problems: list[str] = []
    for keys, text in _walk_texts(task, ()):
        match = _PLACEHOLDER.fullmatch(text)
        if match is None:
            continue
        said = _check_path(task, match.group(1)) if "." in match.group(1) else _check_runtime_name(match.group(1), keys)
        if said:
            problems.append(f"{document.locate(('task', *keys))}: {said}")
    if problems:
        return dict(task), problems
    try:
        return fill_paths(task), []
    except ConfigError as error:
        return dict(task), [f"{document.locate(('task',))}: {error.message}"]


def _walk_texts(value: object, keys: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk_texts(item, (*keys, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _walk_texts(item, (*keys, position))


def _check_runtime_name(name: str, keys: KeyPath) -> str | None:
    if keys[:1] == ("record",):
        if name in RUNTIME_NAMES:
            return None
        near = nearest(name, RUNTIME_NAMES)
        known = f"did you mean <{near}>?" if near else f"known: {', '.join(RUNTIME_NAMES)}, and paths as <model.class>"
        return f"nothing fills the placeholder <{name}>; {known}"
    return f"nothing fills the placeholder <{name}> here: {', '.join(RUNTIME_NAMES)} exist in `record` only"


def _check_path(task: Mapping[str, Any], path: str) -> str | None:
    place: Any = task
    for part in path.split("."):
        if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, Mapping) and part in place:
            place = place[part]
        elif isinstance(place, str) and _PLACEHOLDER.fullmatch(place):
            return None  # a chain; filling follows it
        else:
            near = nearest(part, place) if isinstance(place, Mapping) else None
            return f"the placeholder <{path}> leads nowhere: there is no `{part}`" + (
                f"; did you mean `{near}`?" if near else ""
            )
    return None
