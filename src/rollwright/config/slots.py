"""Slots: the places of a configuration where an object may stand, and which classes fit there (decision D10).

Trusting a package is not trusting all it can do: its functions write files, run programs, open connections. So what a
configuration names is built only when it is a class that fits the slot it stands in. The slots are registered by
`rollwright.registrations`; this module only knows how to ask.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from rollwright.core.registry import SLOTS, ObjectSlot, load_target
from rollwright.errors import ConstructError

__all__ = [
    "allows_module",
    "check_class",
    "find_default_module",
    "find_slot",
]


def find_slot(argument: str) -> ObjectSlot | None:
    """Return the slot of the objects that stand under the key `argument` of a configuration, None for other keys."""
    return next((slot for slot in SLOTS.values() if argument in slot.arguments), None)


def find_default_module(argument: str) -> str:
    """Return where a class is looked for that `argument` names without a module; empty when it must name one."""
    return _default_modules(len(SLOTS)).get(argument, "")


@lru_cache(maxsize=2)
def _default_modules(count: int) -> Mapping[str, str]:
    """Return the default module by argument; asked for each key of a task, so it is made again only with new slots."""
    del count
    found: dict[str, str] = {}
    for slot in SLOTS.values():
        for argument in slot.arguments:
            found.setdefault(argument, slot.default_module)
    return found


def allows_module(module: str, slot: str | None) -> bool:
    """Tell, by the name alone, whether classes of `module` may be built in `slot`; None stands for any slot."""
    return any(candidate.allows(module) for candidate in _candidates(slot))


def check_class(found: Any, name: str, module: str, *, slot: str | None, own: bool) -> type:
    """Return `found` when it is a class that fits.

    Parameters
    ----------
    found : object
        What `module` has under `name`.
    name, module : str
        As the configuration says them.
    slot : str or None
        None stands for any slot.
    own : bool
        Whether the module is the user's own: a file beside the configuration, or in ``[trust] modules``. Without a
        slot any class of such a module may be built, since whoever asks is a program of the user's.

    Raises
    ------
    ConstructError
        When it is no class, or fits no slot it might stand in.
    """
    if not isinstance(found, type):
        what = "a function" if inspect.isroutine(found) else f"a {type(found).__name__}"
        raise ConstructError(
            f"`{name}` of `{module}` is {what}, and a configuration builds classes only",
            hint="name a class; a function can be given from Python, where nothing is looked up by name",
        )
    if own and slot is None:
        return found
    if any(_fits(found, candidate, module, own=own) for candidate in _candidates(slot)):
        return found
    wanted = f"`{slot}`" if slot is not None else "any object of a task"
    raise ConstructError(
        f"`{name}` of `{module}` is a class that cannot stand as {wanted}", hint=_remedy(slot, own=own)
    )


def _candidates(slot: str | None) -> Iterable[ObjectSlot]:
    return SLOTS.values() if slot is None else (SLOTS[slot],)


def _fits(found: type, slot: ObjectSlot, module: str, *, own: bool) -> bool:
    if not own and inspect.isabstract(found):
        return False
    for package, base in slot.packages:
        # A module of the user's own is asked against each base, without importing a package that it does not use.
        if (module == package or (own and _derives_by_name(found, base))) and issubclass(found, load_target(base)):
            return True
    if not own and module not in slot.modules:
        return False
    if issubclass(found, load_target(slot.base)):
        return True
    if not own or slot.methods is None:
        return own
    return bool(slot.methods) and all(callable(getattr(found, method, None)) for method in slot.methods)


def _derives_by_name(found: type, base: str) -> bool:
    return any(f"{parent.__module__}:{parent.__qualname__}" == base for parent in found.__mro__)


def _remedy(slot: str | None, *, own: bool) -> str:
    if slot is None:
        return f"known places are {', '.join(SLOTS)}; a class stands in one when it derives from its base"
    found = SLOTS[slot]
    base = found.base.replace(":", ".")
    if own and found.methods:
        return f"derive it from {base}, or give it {', '.join(found.methods)}"
    return f"derive it from {base}" if own else f"name a class that derives from {base}"
