"""The universe that a task studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["name_universe"]


def name_universe(task: Mapping[str, Any]) -> str | None:
    """Return the name of the universe that the handler of a task studies; None when it has none."""
    handler = ((task.get("dataset") or {}).get("kwargs") or {}).get("handler")
    kwargs = handler.get("kwargs") or {} if isinstance(handler, Mapping) else {}
    instruments = kwargs.get("instruments")
    return instruments if isinstance(instruments, str) else None
