"""Putting one YAML graph over another: a file over its base, and overrides of the command line over both.

An override of what an anchor names reaches every alias of it (defect Q1), and an override of one alias that place only.
"""

from __future__ import annotations

from typing import Final

from rollwright.campaign.yaml.nodes import DROP, Entry, ListNode, MapNode, Node, Place, ScalarNode, every_slot, is_drop
from rollwright.errors import ConfigError

__all__ = ["MAX_BASES", "assign", "merge", "stray_drops"]

MAX_BASES: Final = 16


def merge(base: MapNode, child: MapNode) -> list[str]:
    """Put `child` over `base`, which changes: mappings are merged, anything else is replaced, ``__DROP__`` deletes.

    Returns
    -------
    list of str
        What is wrong, with its place: a ``__DROP__`` of what is not there.
    """
    return _Merge(base).mapping(base, child)


def stray_drops(root: Node) -> list[str]:
    """Return a problem for each ``__DROP__`` beneath `root`: nothing is underneath that it could delete."""
    mappings = [root, *(slot.value for slot in every_slot(root))]
    return [
        _nothing_to_drop(entry)
        for mapping in mappings
        if isinstance(mapping, MapNode)
        for entry in mapping.entries.values()
        if is_drop(entry.value) and mapping.taken_in(entry.key) is None
    ]


def assign(root: MapNode, dotted: str, value: Node) -> None:
    """Set the place ``a.b.0`` of the graph to `value`; mappings on the way that are missing are made.

    Raises
    ------
    ConfigError
        When the way leads through what is no mapping or list, past the end of a list, or nothing is there to drop.
    """
    work = _Merge(root)
    keys = dotted.split(".")
    place: Node = root
    for key in keys[:-1]:
        slot = _opened(_slot(place, key, dotted, value.place), value.place)
        work.own(slot)
        place = slot.value
    if is_drop(value):
        known = isinstance(place, MapNode) and place.find(keys[-1]) is not None
        if not known or not isinstance(place, MapNode):
            raise ConfigError(f"the override `{dotted}` drops nothing: there is no `{keys[-1]}`")
        _drop(place, keys[-1], value)
        return
    slot = _slot(place, keys[-1], dotted, value.place)
    slot.place = value.place
    work.replace(slot, value, owned=True)


class _Merge:
    """One graph that is being changed."""

    def __init__(self, root: MapNode) -> None:
        self.root = root

    def mapping(self, base: MapNode, child: MapNode) -> list[str]:
        """Put the entries of `child` over those of `base`."""
        problems: list[str] = []
        dropped = [entry for entry in child.entries.values() if is_drop(entry.value)]
        for entry in dropped:
            if base.find(entry.key) is not None:
                _drop(base, entry.key, entry.value)
            elif child.taken_in(entry.key) is None:
                problems.append(_nothing_to_drop(entry))
        for key, entry in child.visible().items():
            found = base.find(key)
            if found is None:
                problems += stray_drops(entry.value)
                own = child.entries.get(key)
                base.entries[key] = own or _shared(Entry(key, entry.place, entry.value))
            else:
                slot = base.entries.get(key) or _shared(Entry(key, entry.place, found.value))
                base.entries[key] = slot
                problems += self.put(slot, entry)
        return problems

    def put(self, slot: Entry, entry: Entry) -> list[str]:
        """Put the value of the child's `entry` over that of the base's `slot`."""
        slot.place = entry.place
        old, new = slot.value, entry.value
        if isinstance(old, MapNode) and isinstance(new, MapNode):
            self.own(slot)
            return self.mapping(slot.value, new) if isinstance(slot.value, MapNode) else []
        self.replace(slot, new, owned=new.home is entry)
        return stray_drops(new)

    def replace(self, slot: Entry, new: Node, *, owned: bool) -> None:
        """Let `slot`, and when its value was written there every alias of it, hold `new`."""
        old = slot.value
        if old.home is slot and old.shared:
            for other in [other for other in every_slot(self.root) if other.value is old]:
                other.value = new
                new.shared = True
        slot.value = new
        if owned:
            new.home = slot

    def own(self, slot: Entry) -> None:
        """Make what `slot` holds its own: over an alias a mapping is laid that takes in what the alias names."""
        value = slot.value
        if value.home is slot:
            return
        layer: Node
        if isinstance(value, MapNode):
            layer = MapNode(value.place, merges=[Entry("<<", value.place, value)])
        elif isinstance(value, ListNode):
            layer = ListNode(value.place, items=[_shared(Entry("", item.place, item.value)) for item in value.items])
        else:
            return
        layer.home = slot
        slot.value = layer


def _slot(place: Node, key: str, dotted: str, origin: Place) -> Entry:
    if isinstance(place, ListNode) and key.isdecimal() and int(key) < len(place.items):
        return place.items[int(key)]
    if isinstance(place, ListNode):
        length = len(place.items)
        raise ConfigError(f"the override `{dotted}` leads nowhere: `{key}` is no position of a list of {length}")
    if not isinstance(place, MapNode):
        raise ConfigError(f"the override `{dotted}` leads nowhere: there is no place for `{key}`")
    found = place.find(key)
    own = place.entries.get(key)
    if own is not None and found is not None:
        return own
    slot = Entry(key, origin, found.value if found is not None else MapNode(origin))
    if found is None:
        slot.value.home = slot
    place.entries[key] = _shared(slot)
    return slot


def _opened(slot: Entry, origin: Place) -> Entry:
    """Return `slot`, an empty place of which (``rolling:``) becomes an empty mapping."""
    if isinstance(slot.value, ScalarNode) and slot.value.value is None:
        slot.value = MapNode(origin, home=slot)
    return slot


def _drop(mapping: MapNode, key: str, marker: Node) -> None:
    mapping.entries.pop(key, None)
    if mapping.taken_in(key) is not None:  # only a mark can hide it
        mapping.entries[key] = Entry(key, marker.place, ScalarNode(marker.place, DROP))


def _shared(slot: Entry) -> Entry:
    """Return `slot`, its value marked as one that stands elsewhere too."""
    slot.value.shared = True
    return slot


def _nothing_to_drop(entry: Entry) -> str:
    return f"{entry.place}: `{entry.key}: {DROP}` deletes nothing: the base has no such key"
