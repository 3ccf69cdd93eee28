"""Read a YAML file with its variables and bases, keeping the position of every value for error messages.

YAML 1.2: ``no`` is a text and ``1e-3`` a number. A duplicate key, a tab, an alias bomb or a tag that would build an
object is an error with its line. Values are made last, when bases and overrides are in place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from rollwright.campaign.yaml.inherit import MAX_BASES, assign, find_unmatched_drops, merge
from rollwright.campaign.yaml.nodes import (
    Entry,
    FilePosition,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    check_size,
    compose,
    to_value,
)
from rollwright.campaign.yaml.template import Rendered, render
from rollwright.core.bounded_read import read_whole
from rollwright.errors import ConfigError

__all__ = ["BASE_KEY", "KeyPath", "YamlDocument", "combine_problems", "find_origin", "read_document"]

MAX_BYTES: Final = 1 << 16
MAX_TOLD: Final = 50
MAX_PROBLEM: Final = 1000  # characters
BASE_KEY: Final = "BASE_CONFIG_PATH"

_PLACE: Final = re.compile(r"(.*?):(\d+):(\d+): ")

KeyPath: TypeAlias = "tuple[str | int, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """A YAML mapping, its text, and the position of every value.

    Attributes
    ----------
    path : Path
    text : str
        As the file has it, with the names of its variables and not their values; followed by that of each base.
    rendered : str
        The same with the values of the variables: what tells whether anything of it changed.
    data : dict
        Plain dictionaries, lists, dates, numbers and texts, bases and overrides in place.
    root : MapNode
    origins : mapping of tuple to tuple
        Where values stand that another part of the file puts into a place; see `with_value`.
    """

    path: Path
    text: str
    rendered: str
    data: dict[str, Any]
    root: MapNode
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)

    def with_value(self, key: str, value: Any, origins: Mapping[KeyPath, KeyPath]) -> YamlDocument:
        """Return the same document with another value under a key of its top.

        Parameters
        ----------
        key : str
        value
        origins : mapping of tuple to tuple
            For each part of the value that another place of the file says, that place.
        """
        return replace(self, data={**self.data, key: value}, origins=origins)

    def locate(self, keys: KeyPath) -> str:
        """Return ``file:line:column`` of the value at `keys`, or of its nearest parent that exists.

        It is the file that the value was written in: this one, one of its bases, or an override.
        """
        node: Node = self.root
        for key in find_origin(self.origins, keys):
            entry = _find_child(node, key)
            if entry is None:
                break
            node = entry.value
        return str(node.position)

    def locate_key(self, keys: KeyPath) -> str:
        """Return ``file:line:column`` of the key that ends `keys`."""
        keys = find_origin(self.origins, keys)
        node: Node = self.root
        for key in keys[:-1]:
            entry = _find_child(node, key)
            if entry is None:
                return self.locate(keys)
            node = entry.value
        entry = _find_child(node, keys[-1])
        return str(entry.position) if entry is not None else self.locate(keys)

    def list_anchored(self) -> set[str]:
        """Return the top-level keys that define an anchor for use elsewhere in their file."""
        return {entry.key for entry in self.root.entries.values() if entry.anchored}


def find_origin(origins: Mapping[KeyPath, KeyPath], keys: KeyPath) -> KeyPath:
    """Return where the value at `keys` is written, if it lies at or beneath a key of `origins`; else `keys`."""
    keys = tuple(keys)
    for length in range(len(keys), 0, -1):
        if keys[:length] in origins:
            return (*origins[keys[:length]], *keys[length:])
    return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadedFile:
    """One file of a chain of bases, with its own bases already beneath it."""

    root: MapNode
    text: str
    rendered: str
    changed: bool


def read_document(
    path: Path, overrides: Sequence[str] = (), *, environ: Mapping[str, str] | None = None
) -> YamlDocument:
    """Read the YAML file `path` over its bases, and put `overrides` over it.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``dotted.key=value`` each; the value is read as YAML. One that sets what an anchor names reaches its aliases.
    environ : mapping, optional
        Where ``{{ NAME }}`` finds its value; the process's environment if not given.

    Raises
    ------
    ConfigError
        When there is no such file, it is no YAML mapping, larger than 64 KiB, nested deeper than 64, or expands to
        more than 20,000 values; for a name nothing defines, a base that is missing, its own ancestor or the 17th, and
        an override that leads nowhere; with file, line and column.
    """
    part = _read(path, environ, ())
    for override in overrides:
        dotted, value = _parse_override(override)
        assign(part.root, dotted, value)
    check_size(part.root)
    return YamlDocument(path=path, text=part.text, rendered=part.rendered, data=to_value(part.root), root=part.root)


def combine_problems(path: Path, problems: Sequence[str]) -> ConfigError:
    """Return one error that lists all `problems`, each once, file by file in the order of their lines."""
    told = [
        problem if len(problem) <= MAX_PROBLEM else f"{problem[:MAX_PROBLEM]}…"
        for problem in sorted(dict.fromkeys(problems), key=_order)
    ]
    if len(told) == 1:
        return ConfigError(told[0])
    lines = "".join(f"\n  {problem}" for problem in told[:MAX_TOLD])
    if len(told) > MAX_TOLD:
        lines += f"\n  and {len(told) - MAX_TOLD} more"
    return ConfigError(f"{len(told)} problem(s) in {path}:{lines}")


def _order(problem: str) -> tuple[str, int, int]:
    place = _PLACE.match(problem)
    return (place.group(1), int(place.group(2)), int(place.group(3))) if place else (problem, 0, 0)


def _read(path: Path, environ: Mapping[str, str] | None, above: tuple[Path, ...]) -> _LoadedFile:
    # 1. Render the variables. 2. Compose the graph, with every problem of its keys and tags. 3. Limit its size before
    # values are made. 4. Read the base the same way, if there is one. 5. Merge this file over it.
    raw = _read_text(path)
    rendered = render(raw, name=str(path), environ=environ)
    root, problems = compose(rendered, name=str(path))
    if not isinstance(root, MapNode):
        kind = {ListNode: "list", type(None): "NoneType"}.get(type(root), "text")
        raise ConfigError(f"{path}: a mapping of keys is needed, this is {kind}")
    if problems:
        raise combine_problems(path, problems)
    check_size(root)
    entry = root.entries.pop(BASE_KEY, None)
    if entry is None:
        if problems := find_unmatched_drops(root):
            raise combine_problems(path, problems)
        return _LoadedFile(root=root, text=raw, rendered=rendered.text, changed=rendered.lines is not None)
    base = _read(_find_base(entry, path, (*above, path)), environ, (*above, path))
    if problems := merge(base.root, root):
        raise combine_problems(path, problems)
    base.root.position = root.position
    text, whole = (
        f"{own.rstrip()}\n\n# base of the above:\n{inherited}"
        for own, inherited in ((raw, base.text), (rendered.text, base.rendered))
    )
    return _LoadedFile(root=base.root, text=text, rendered=whole, changed=True)


def _find_base(entry: Entry, path: Path, chain: tuple[Path, ...]) -> Path:
    """Return the file that the entry means: taken from the working directory, then from the folder of its file."""
    value = to_value(entry.value)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{entry.value.position}: {BASE_KEY} is the path of a file, not {value!r}")
    candidates = (Path(value).expanduser(), path.parent / value)
    base = next((found for found in candidates if found.is_file()), None)
    shown = " → ".join(str(step) for step in chain)
    if base is None:
        tried = " or ".join(dict.fromkeys(str(candidate) for candidate in candidates))
        raise ConfigError(f"{entry.value.position}: there is no base {tried} (of {shown})")
    if base.resolve() in [step.resolve() for step in chain]:
        raise ConfigError(f"{entry.value.position}: the bases go in a circle: {shown} → {base}")
    if len(chain) > MAX_BASES:
        raise ConfigError(f"{entry.value.position}: more than {MAX_BASES} bases: {shown} → {base}")
    return base


def _parse_override(override: str) -> tuple[str, Node]:
    dotted, equals, text = override.partition("=")
    dotted = dotted.strip()
    if not equals or not all(dotted.split(".")):
        raise ConfigError(f"`{override}` is not an override", hint="write dotted.key=value")
    name = f"override `{override}`"
    node, problems = compose(Rendered(text=text, lines=(0,)), name=name)
    if problems:
        raise ConfigError(problems[0])
    return dotted, node if node is not None else ScalarNode(FilePosition(file=name), None)


def _read_text(path: Path) -> str:
    try:
        raw = read_whole(path, limit=MAX_BYTES)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        files = sorted(one for pattern in ("*.yaml", "*.yml") for one in path.glob(pattern))
        near = f"name a file in it: {files[0]}" if files else "it has no YAML file; name one"
        raise ConfigError(f"{path} is a folder, and a campaign is a file", hint=near) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error


def _find_child(node: Node, key: str | int) -> Entry | None:
    if isinstance(node, MapNode):
        return node.find(str(key))
    if isinstance(node, ListNode) and isinstance(key, int) and key < len(node.items):
        return node.items[key]
    return None
