"""Short names of a campaign's members, made of what differs between them: ``LGBModel-seed=1``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from rollwright.core.canonical import fingerprint
from rollwright.core.text import NAME_RULE, is_name
from rollwright.tasks.generate import find_horizon

__all__ = ["COMBINED", "MEMBER_NAME_RULE", "is_member_name", "name_members"]

COMBINED: Final = "combined"
"""The name of the signal that is made of the members; no member has it."""
RESERVED: Final = frozenset({COMBINED, "main"})
MEMBER_NAME_RULE: Final = f"{NAME_RULE}, and `=`; {' and '.join(sorted(RESERVED))} are taken"

_LONGEST: Final = 60
_LONGEST_VALUE: Final = 24
_UNFIT: Final = re.compile(r"[^\w.\-]+")
_ABSENT: Final = object()

Path: TypeAlias = tuple[str, ...]
Part: TypeAlias = tuple[Path, Any]


def is_member_name(name: object) -> bool:
    """Return whether a member may have this name: it is that of a folder and a part of a window's name."""
    return isinstance(name, str) and is_name(name.replace("=", "-")) and name.casefold() not in RESERVED


def name_members(tasks: Sequence[Mapping[str, Any]], given: Sequence[str | None] = ()) -> list[str]:
    """Return a name for each task, made of what tells it from the others; the same tasks give the same names.

    Classes stand for themselves, other values behind the shortest end of their path that is clear: ``seed=1``. No two
    names are equal, not even where file names ignore case.

    Parameters
    ----------
    tasks : sequence of mapping
        No two of them alike.
    given : sequence of str or None, optional
        A name that stands for a task in place of one that is made.
    """
    parts = _find_differences(tasks)
    label = _make_labels({path for each in parts for path, value in each if not _is_class(value)})
    made = ["-".join(_show(path, value, label) for path, value in each) or "base" for each in parts]
    wanted = [*given, *[None] * (len(tasks) - len(given))]
    names = [one if one is not None else _fit(name, task) for one, name, task in zip(wanted, made, tasks, strict=True)]
    taken = [name.casefold() for name in names]
    return [
        name
        if wanted[place] is not None or (taken.count(name.casefold()) == 1 and name.casefold() not in RESERVED)
        else f"{name}-{_digest(tasks[place])}"
        for place, name in enumerate(names)
    ]


def _fit(name: str, task: Mapping[str, Any]) -> str:
    """Return a name that a folder may have; what a long one loses is stood for by a digest."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST].rstrip('-.=')}-{_digest(task)}"


def _digest(value: Any) -> str:
    return fingerprint({"": value}, typed=True)[:6]


def _find_differences(tasks: Sequence[Mapping[str, Any]]) -> list[list[Part]]:
    """Return for each task the values that not all tasks have, with their paths, in the order of the tasks' keys."""
    found: list[list[Part]] = [[] for _ in tasks]
    for path, values in _walk((), list(enumerate(tasks))):
        for place, value in values:
            found[place].append((path, value))
    return found


def _walk(path: Path, members: list[tuple[int, Any]]) -> Iterator[tuple[Path, list[tuple[int, Any]]]]:
    """Yield each path beneath which `members` differ, with what they have there."""
    present = [(place, value) for place, value in members if value is not _ABSENT]
    if len({fingerprint({"": value}, typed=True) for _, value in present}) + (len(present) < len(members)) < 2:
        return
    if not all(isinstance(value, Mapping) for _, value in present):
        yield path, present
        return
    groups: dict[str, list[tuple[int, Any]]] = {}
    for place, value in present:
        groups.setdefault(str(value.get("class")), []).append((place, value))
    if len(groups) > 1 or (len(present) < len(members) and "class" in present[0][1]):
        yield path, present
    # Arguments are compared among objects of one class: those of another class have others anyway.
    for group in groups.values():
        keys = dict.fromkeys(key for _, value in group for key in value if key not in ("class", "module_path"))
        for key in keys:
            yield from _walk((*path, key), [(place, value.get(key, _ABSENT)) for place, value in group])


def _is_class(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("class"), str)


def _make_labels(paths: set[Path]) -> Callable[[Path], str]:
    """Return what gives each path its shortest end that no other path has, without ``kwargs``."""
    bare = {path: tuple(key for key in path if key != "kwargs") or path for path in paths}

    def label(path: Path) -> str:
        own = bare[path]
        others = [other for one, other in bare.items() if one != path]
        for length in range(1, len(own)):
            if all(other[-length:] != own[-length:] for other in others):
                return ".".join(own[-length:])
        return ".".join(own)

    return label


def _show(path: Path, value: Any, label: Callable[[Path], str]) -> str:
    if _is_class(value):
        return _clean(str(value["class"]).rpartition(".")[2])
    horizon = find_horizon(value) if path[-1] == "label" else None
    if horizon is not None:
        return f"horizon={horizon}"
    return f"{_clean(label(path))}={_show_value(value)}"


def _show_value(value: Any) -> str:
    text = {True: "true", False: "false", None: "none"}.get(value) if value is None or isinstance(value, bool) else None
    if text is None and isinstance(value, str | int | float):
        text = _clean(str(value))
    if text is None or not text or len(text) > _LONGEST_VALUE:
        return f"{(text or '')[:_LONGEST_VALUE].rstrip('-._')}.{_digest(value)}".lstrip(".")
    return text


def _clean(text: str) -> str:
    return _UNFIT.sub("_", text).strip("_")
