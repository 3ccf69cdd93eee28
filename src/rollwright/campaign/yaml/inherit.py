"""Merge YAML graphs: a file over its base, and overrides of the command line over both.

An override of what an anchor names reaches every alias of it (defect Q1), and an override of one alias that place only.
"""

from __future__ import annotations

from typing import Final

from rollwright.campaign.yaml.nodes import (
    DROP,
    Entry,
    FilePosition,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    is_drop,
    walk_entries,
)
from rollwright.errors import ConfigError

__all__ = ["MAX_BASES", "assign", "find_unmatched_drops", "merge"]

MAX_BASES: Final = 16


def merge(base: MapNode, child: MapNode) -> list[str]:
    """Put `child` over `base`, which changes: mappings are merged, anything else is replaced, ``__DROP__`` deletes.

    Returns
    -------
    list of str
        A problem, with its position, for each ``__DROP__`` of a key that does not exist.
    """
    return _Merge(base).merge_mapping(base, child)


def find_unmatched_drops(root: Node) -> list[str]:
    """Return a problem for each ``__DROP__`` beneath `root`: there is no base below it from which to delete a key."""
    mappings = [root, *(slot.value for slot in walk_entries(root))]
    return [
        _describe_unmatched_drop(entry)
        for mapping in mappings
        if isinstance(mapping, MapNode)
        for entry in mapping.entries.values()
        if is_drop(entry.value) and mapping.find_merged(entry.key) is None
    ]


def assign(root: MapNode, dotted: str, value: Node) -> None:
    """Set the place ``a.b.0`` of the graph to `value`; mappings on the way that are missing are made.

    Raises
    ------
    ConfigError
        When the path leads through neither a mapping nor a list, past the end of a list, or there is nothing to drop.
    """
    work = _Merge(root)
    keys = dotted.split(".")
    place: Node = root
    for key in keys[:-1]:
        slot = _fill_empty(_make_entry(place, key, dotted, value.position), value.position)
        work.detach(slot)
        place = slot.value
    if is_drop(value):
        known = isinstance(place, MapNode) and place.find(keys[-1]) is not None
        if not known or not isinstance(place, MapNode):
            raise ConfigError(f"the override `{dotted}` drops nothing: there is no `{keys[-1]}`")
        _drop(place, keys[-1], value)
        return
    slot = _make_entry(place, keys[-1], dotted, value.position)
    slot.position = value.position
    work.replace(slot, value, owned=True)


class _Merge:
    """One graph that is being changed."""

    def __init__(self, root: MapNode) -> None:
        self.root = root
        self._holders: dict[int, tuple[Node, list[Entry]]] = {}  # by the node's id; the node, so that no other gets it
        self._indexed = False

    def _find_holders(self, node: Node) -> list[Entry]:
        """Return the entries that hold a shared node; all are looked up once, not for each node anew."""
        if not self._indexed:
            self._indexed = True
            for entry in walk_entries(self.root):
                self._add_holder(entry)
        return self._holders.get(id(node), (node, []))[1]

    def _add_holder(self, entry: Entry) -> Entry:
        """Return `entry`, which the graph has gained, after noting what it holds."""
        if self._indexed:
            self._holders.setdefault(id(entry.value), (entry.value, []))[1].append(entry)
        return entry

    def merge_mapping(self, base: MapNode, child: MapNode) -> list[str]:
        """Put the entries of `child` over those of `base`."""
        # 1. Delete what the child drops. 2. Take keys that only the child has. 3. Merge or replace the others; a key
        # that the base only takes in by ``<<`` gets an entry of its own first.
        problems: list[str] = []
        dropped = [entry for entry in child.entries.values() if is_drop(entry.value)]
        for entry in dropped:
            if base.find(entry.key) is not None:
                _drop(base, entry.key, entry.value)
            elif child.find_merged(entry.key) is None:
                problems.append(_describe_unmatched_drop(entry))
        for key, entry in child.resolve_entries().items():
            found = base.find(key)
            if found is None:
                problems += find_unmatched_drops(entry.value)
                own = child.entries.get(key)
                base.entries[key] = own or self._add_holder(_mark_shared(Entry(key, entry.position, entry.value)))
            else:
                slot = base.entries.get(key) or self._add_holder(_mark_shared(Entry(key, entry.position, found.value)))
                base.entries[key] = slot
                problems += self.put(slot, entry)
        return problems

    def put(self, slot: Entry, entry: Entry) -> list[str]:
        """Put the value of the child's `entry` over that of the base's `slot`."""
        slot.position = entry.position
        old, new = slot.value, entry.value
        if isinstance(old, MapNode) and isinstance(new, MapNode):
            self.detach(slot)
            return self.merge_mapping(slot.value, new) if isinstance(slot.value, MapNode) else []
        self.replace(slot, new, owned=new.home is entry)
        return find_unmatched_drops(new)

    def replace(self, slot: Entry, new: Node, *, owned: bool) -> None:
        """Let `slot`, and when its value was written there every alias of it, hold `new`."""
        old = slot.value
        if old.home is slot and old.shared:
            for other in [other for other in self._find_holders(old) if other.value is old and other is not slot]:
                other.value = new
                new.shared = True
                self._add_holder(other)
        slot.value = new
        if owned:
            new.home = slot

    def detach(self, slot: Entry) -> None:
        """Give `slot` a value of its own: an alias is replaced by a mapping or list that includes what it names."""
        value = slot.value
        if value.home is slot:
            return
        layer: Node
        if isinstance(value, MapNode):
            layer = MapNode(value.position, merges=[self._add_holder(Entry("<<", value.position, value))])
        elif isinstance(value, ListNode):
            layer = ListNode(
                value.position,
                items=[self._add_holder(_mark_shared(Entry("", item.position, item.value))) for item in value.items],
            )
        else:
            return
        layer.home = slot
        slot.value = layer


def _make_entry(place: Node, key: str, dotted: str, origin: FilePosition) -> Entry:
    if isinstance(place, ListNode) and key.isdecimal() and int(key) < len(place.items):
        return place.items[int(key)]
    if isinstance(place, ListNode):
        length = len(place.items)
        raise ConfigError(f"the override `{dotted}` leads nowhere: `{key}` is not a position of a list of {length}")
    if not isinstance(place, MapNode):
        raise ConfigError(f"the override `{dotted}` leads nowhere: a plain value has no `{key}`")
    found = place.find(key)
    own = place.entries.get(key)
    if own is not None and found is not None:
        return own
    slot = Entry(key, origin, found.value if found is not None else MapNode(origin))
    if found is None:
        slot.value.home = slot
    place.entries[key] = _mark_shared(slot)
    return slot


def _fill_empty(slot: Entry, origin: FilePosition) -> Entry:
    """Return `slot`; an empty value (``rolling:``) becomes an empty mapping."""
    if isinstance(slot.value, ScalarNode) and slot.value.value is None:
        slot.value = MapNode(origin, home=slot)
    return slot


def _drop(mapping: MapNode, key: str, marker: Node) -> None:
    mapping.entries.pop(key, None)
    if mapping.find_merged(key) is not None:  # only a mark can hide it
        mapping.entries[key] = Entry(key, marker.position, ScalarNode(marker.position, DROP))


def _mark_shared(slot: Entry) -> Entry:
    """Return `slot` after marking its value as shared with another entry."""
    slot.value.shared = True
    return slot


def _describe_unmatched_drop(entry: Entry) -> str:
    return f"{entry.position}: `{entry.key}: {DROP}` deletes nothing: the base has no such key"
