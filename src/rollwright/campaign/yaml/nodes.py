"""YAML as a graph: an alias and its anchor are one node, and every node knows its position in the file.

Values are made from the graph at the very end, so that what changes a node changes every place that uses it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml import nodes as yaml_nodes
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError

from rollwright.campaign.yaml.template import Rendered
from rollwright.errors import ConfigError

__all__ = [
    "DROP",
    "Entry",
    "FilePosition",
    "ListNode",
    "MapNode",
    "Node",
    "ScalarNode",
    "check_size",
    "compose",
    "to_value",
]

MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 64
MAX_SHOWN: Final = 80
MAX_BITS: Final = 1024  # beyond which no float goes either
DROP: Final = "__DROP__"
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePosition:
    """A line and column of a file, both from 1; line 0 for a value that is in no file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(slots=True, eq=False)
class Node:
    """A value.

    Attributes
    ----------
    position : FilePosition
    home : Entry or None
        The entry under which it was written; any other that holds it is an alias.
    shared : bool
        Whether another entry may hold it too.
    """

    position: FilePosition
    home: Entry | None = field(default=None, kw_only=True)
    shared: bool = field(default=False, kw_only=True)


@dataclass(slots=True, eq=False)
class Entry:
    """Holds a node: a key of a mapping (including ``<<``), or an item of a list, whose key is empty."""

    key: str
    position: FilePosition
    value: Node
    anchored: bool = False


@dataclass(slots=True, eq=False)
class ScalarNode(Node):
    """A text, number, truth value, date or nothing."""

    value: Any


@dataclass(slots=True, eq=False)
class ListNode(Node):
    """A list."""

    items: list[Entry] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class MapNode(Node):
    """A mapping: its own entries, and the mappings that ``<<`` takes in, the first of which wins."""

    entries: dict[str, Entry] = field(default_factory=dict)
    merges: list[Entry] = field(default_factory=list)

    def find(self, key: str) -> Entry | None:
        """Return the entry of `key`, written here or taken in; None when there is none, or it was dropped."""
        own = self.entries.get(key)
        if own is not None:
            return None if is_drop(own.value) else own
        return self.find_merged(key)

    def find_merged(self, key: str) -> Entry | None:
        """Return the entry of `key` that ``<<`` takes in."""
        mappings = (merge.value for merge in self.merges)
        found = (mapping.find(key) for mapping in mappings if isinstance(mapping, MapNode))
        return next((entry for entry in found if entry is not None), None)

    def resolve_entries(self) -> dict[str, Entry]:
        """Return the effective entries: every key once, merged in, without dropped ones."""
        found: dict[str, Entry] = {}
        for merge in reversed(self.merges):
            if isinstance(merge.value, MapNode):
                found.update(merge.value.resolve_entries())
        found.update(self.entries)
        return {key: entry for key, entry in found.items() if not is_drop(entry.value)}


def is_drop(node: Node) -> bool:
    """Tell whether a child's file says that the key is to go."""
    return isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value == DROP


def list_entries(node: Node) -> list[Entry]:
    """Return the entries of `node`."""
    if isinstance(node, MapNode):
        return [*node.entries.values(), *node.merges]
    return list(node.items) if isinstance(node, ListNode) else []


def walk_entries(root: Node) -> Iterator[Entry]:
    """Yield every entry of the graph once."""
    seen = {id(root)}
    pending = [root]
    while pending:
        for slot in list_entries(pending.pop()):
            yield slot
            if id(slot.value) not in seen:
                seen.add(id(slot.value))
                pending.append(slot.value)


def to_value(node: Node) -> Any:
    """Return the plain value of a node; aliases become values of their own."""
    if isinstance(node, MapNode):
        return {key: to_value(entry.value) for key, entry in node.resolve_entries().items()}
    if isinstance(node, ListNode):
        return [to_value(item.value) for item in node.items]
    return node.value if isinstance(node, ScalarNode) else None


def check_size(root: Node) -> None:
    """Count the values as they will be, aliases expanded, before anything is built from them.

    Raises
    ------
    ConfigError
        For more than 20,000 values, or nesting deeper than 64.
    """
    sizes: dict[int, int] = {}

    def measure(node: Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise ConfigError(f"{node.position}: nested deeper than {MAX_DEPTH}")
        if id(node) not in sizes:
            sizes[id(node)] = 1 + sum(1 + measure(slot.value, depth + 1) for slot in list_entries(node))
        return sizes[id(node)]

    if measure(root, 0) > MAX_NODES:
        raise ConfigError(f"{root.position.file}: its aliases expand to more than {MAX_NODES:,} values")


def compose(rendered: Rendered, *, name: str) -> tuple[Node | None, list[str]]:
    """Return the graph of one YAML text and what is wrong with its keys, tags and dates.

    Raises
    ------
    ConfigError
        When it is not YAML at all, with its line and column.
    """
    stream = io.StringIO(rendered.text)
    try:
        yaml = YAML(typ="safe", pure=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # one for each: the last anchor of a name counts
            root = yaml.compose(stream)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f"{name}:{rendered.line(mark.line)}:{mark.column + 1}" if mark is not None else name
        said = _shorten(str(error.problem or error.context or error).splitlines()[0])
        raise ConfigError(f"{position}: this is not YAML: {said}", hint=_suggest(rendered.text, said)) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: this is not YAML: {error}") from error
    if root is None:
        return None, []
    reader = _Reader(rendered, name)
    node = reader.read_node(root)
    return node, reader.problems


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _suggest(text: str, said: str) -> str | None:
    if "undefined alias" in said:
        return "an anchor is known in its own file only; a key of the base is overridden by its name"
    return "indent with spaces" if "\t" in text else None


class _Reader:
    """Converts ruamel's graph into ours, and collects the problems."""

    def __init__(self, rendered: Rendered, name: str) -> None:
        self.rendered = rendered
        self.name = name
        self.problems: list[str] = []
        self._made: dict[int, Node | None] = {}
        self._scalars = YAML(typ="safe", pure=True).constructor

    def read_node(self, source: yaml_nodes.Node) -> Node:
        """Return the node of `source`; the same one each time an alias leads to it."""
        position = self._locate(source)
        if id(source) in self._made:
            found = self._made[id(source)]
            if found is None:
                self.problems.append(f"{position}: an alias stands inside what it names")
                return ScalarNode(position, None)
            found.shared = True
            return found
        self._made[id(source)] = None
        made = self._make(source, position)
        self._made[id(source)] = made
        return made

    def _make(self, source: yaml_nodes.Node, position: FilePosition) -> Node:
        if isinstance(source, yaml_nodes.MappingNode) and source.tag == f"{_TAG}map":
            return self._make_mapping(source, position)
        if isinstance(source, yaml_nodes.SequenceNode) and source.tag == f"{_TAG}seq":
            made = ListNode(position)
            made.items = [self._make_entry("", item) for item in source.value]
            return made
        if isinstance(source, yaml_nodes.ScalarNode) and source.tag in _SCALARS:
            try:
                value = self._scalars.construct_object(source)
                if isinstance(value, int) and value.bit_length() > MAX_BITS:
                    raise ValueError(f"a number of more than {MAX_BITS} bits")
                return ScalarNode(position, value)
            except (ValueError, YAMLError) as error:
                self.problems.append(
                    f"{position}: `{_shorten(source.value)}` is no {source.tag.removeprefix(_TAG)}: {error}"
                )
                return ScalarNode(position, None)
        tag = _shorten(str(source.tag).replace(_TAG, "!!"))
        self.problems.append(f"{position}: the tag `{tag}` is refused: a tag builds objects, and nothing here does")
        return ScalarNode(position, None)

    def _make_mapping(self, source: yaml_nodes.MappingNode, position: FilePosition) -> MapNode:
        made = MapNode(position)
        for key, value in source.value:
            if key.tag == f"{_TAG}merge":
                made.merges += self._read_merges(value)
                continue
            name = self._read_key(key)
            if name is None:
                continue
            if name in made.entries:
                self.problems.append(f"{self._locate(key)}: key `{_shorten(name)}` stands twice; keep one of the two")
                continue
            entry = self._make_entry(name, value)
            entry.position = self._locate(key)
            made.entries[name] = entry
        return made

    def _read_key(self, key: yaml_nodes.Node) -> str | None:
        if isinstance(key, yaml_nodes.ScalarNode) and key.tag == f"{_TAG}str":
            return str(key.value)
        kind = str(key.tag).removeprefix(_TAG)
        shown = _shorten(key.value) if isinstance(key, yaml_nodes.ScalarNode) else "…"
        self.problems.append(f"{self._locate(key)}: key `{shown}` is {kind}, not text; write it in quotes")
        return None

    def _read_merges(self, source: yaml_nodes.Node) -> list[Entry]:
        parts = source.value if isinstance(source, yaml_nodes.SequenceNode) else [source]
        merges = [self._make_entry("<<", part) for part in parts]
        for merge in merges:
            if not isinstance(merge.value, MapNode):
                self.problems.append(f"{merge.position}: `<<` takes in a mapping, not this")
        return [merge for merge in merges if isinstance(merge.value, MapNode)]

    def _make_entry(self, key: str, source: yaml_nodes.Node) -> Entry:
        first = id(source) not in self._made
        value = self.read_node(source)
        entry = Entry(key, self._locate(source), value, anchored=source.anchor is not None)
        if first:
            value.home = entry
        return entry

    def _locate(self, source: yaml_nodes.Node) -> FilePosition:
        mark = source.start_mark
        return FilePosition(file=self.name, line=self.rendered.line(mark.line), column=mark.column + 1)
