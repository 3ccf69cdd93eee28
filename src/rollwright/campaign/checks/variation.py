"""Checks of ``vary`` and ``combine``: their form, and whether what they name is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rollwright.campaign.members import VARY
from rollwright.campaign.yaml.document import KeyPath, YamlDocument
from rollwright.errors import nearest

__all__ = ["check_combine", "check_vary", "find_combine_problems"]

_FORMS: Final = (
    "a grid `{model.kwargs.seed: [0, 1]}`, a list of members `[{model.kwargs.seed: 0}, …]`, or a generator by class"
)


def check_vary(vary: object, document: YamlDocument) -> list[str]:
    """Return the problems of the form of ``vary``; those of its keys and values are found where they are set."""
    if vary is None or (isinstance(vary, Mapping) and "class" in vary):
        return []
    if not isinstance(vary, Mapping | list) or not vary:
        return [f"{document.locate((VARY,))}: `vary` is {_FORMS}"]
    return _check_grid(vary, document) if isinstance(vary, Mapping) else _check_list(vary, document)


def _check_grid(grid: Mapping[str, object], document: YamlDocument) -> list[str]:
    problems = []
    for key, values in grid.items():
        if not isinstance(values, list):
            said = f"`{key}` of `vary` takes the list of its values, as `{key}: [{_show(values)}, …]`"
            if key in ("grid", "list"):
                said = f"`vary` has no `{key}`: it is {_FORMS} itself"
            problems.append(f"{document.locate((VARY, key))}: {said}")
        elif not values:
            problems.append(f"{document.locate((VARY, key))}: `{key}` of `vary` has no values")
    return problems


def _check_list(members: Sequence[object], document: YamlDocument) -> list[str]:
    problems = []
    for place, member in enumerate(members):
        if not isinstance(member, Mapping) or not member:  # with a name alone, it is the task as it stands
            said = f"`vary[{place}]` is a mapping of dotted keys to values, as `{{model.kwargs.seed: 0}}`"
            problems.append(f"{document.locate((VARY, place))}: {said}")
    return problems


def _show(value: object) -> str:
    return "…" if isinstance(value, Mapping | list) else str(value)


def check_combine(combine: object, names: Sequence[str] | None, document: YamlDocument, *, varies: bool) -> list[str]:
    """Return the problems of ``combine``: members that are not there, and what does not go together.

    Parameters
    ----------
    combine : object
        As the file has it; its keys and types are checked elsewhere.
    names : sequence of str or None
        Of the members; None where only a generator can tell them.
    document : YamlDocument
    varies : bool
        Whether the file has members to combine.
    """
    if combine is None:
        return []
    if not varies:
        return [f"{document.locate_key(('combine',))}: there is nothing to combine without `vary`"]
    if not isinstance(combine, Mapping):
        return []
    method = combine.get("method", "average")
    unused = [key for key in ("members", "label", "missing") if method == "none" and key in combine]
    problems = [
        f"{document.locate_key(('combine', key))}: `combine.{key}` has no effect with `method: none`" for key in unused
    ]
    if names is None:
        return problems
    members, label = combine.get("members"), combine.get("label")
    wanted = members if isinstance(members, list) and all(isinstance(name, str) for name in members) else None
    found = find_combine_problems(wanted, label if isinstance(label, str) else None, names)
    return problems + [f"{document.locate(('combine', *keys))}: {said}" for keys, said in found]


def find_combine_problems(
    members: Sequence[str] | None, label: str | None, names: Sequence[str]
) -> list[tuple[KeyPath, str]]:
    """Return what is wrong with the names that ``combine`` says, each with its place beneath it."""
    asked: list[tuple[KeyPath, str]] = [(("members", place), name) for place, name in enumerate(members or ())]
    problems = [(keys, _describe_unknown(name, names)) for keys, name in asked if name not in names]
    seen: set[str] = set()
    for keys, name in asked:
        if name in seen:
            problems.append((keys, f"the member `{name}` is named twice"))
        seen.add(name)
    if label is not None and label not in names:
        problems.append((("label",), _describe_unknown(label, names)))
    return problems


def _describe_unknown(name: str, names: Sequence[str]) -> str:
    near = nearest(name, names)
    known = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"there is no member `{name}`; " + (f"did you mean `{near}`?" if near else f"the members are {known}")
