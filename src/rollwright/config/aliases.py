"""Modules of other programs' configurations, and the modules here that stand for them."""

from __future__ import annotations

from rollwright.core.registry import ALIASES

__all__ = ["translate_module"]


def translate_module(module: str) -> tuple[str, ...]:
    """Return the modules here that stand for `module`; a module without an alias stands for itself."""
    found = ALIASES.get(module)
    return (module,) if found is None else found.targets
