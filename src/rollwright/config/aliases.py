"""Modules of other programs' configurations, and the modules here that stand for them."""

from __future__ import annotations

from rollwright.core.registry import ALIASES, SLOT_MODULES

__all__ = ["find_slot_module", "translate_module"]


def translate_module(module: str) -> tuple[str, ...]:
    """Return the modules here that stand for `module`; a module without an alias stands for itself."""
    found = ALIASES.get(module)
    return (module,) if found is None else found.targets


def find_slot_module(slot: str) -> str | None:
    """Return the module in which the classes of a slot, such as `processor`, are named without one."""
    found = SLOT_MODULES.get(slot)
    return None if found is None else found.targets[0]
