"""rollwright: walk-forward machine-learning research that survives a crash.

Names are imported when they are first used, so that ``import rollwright`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rollwright.core.construct import init_instance_by_config as init_instance_by_config
    from rollwright.core.context import C as C
    from rollwright.core.context import init as init
    from rollwright.core.timing import TimeInspector as TimeInspector

__version__: Final = "0.1.0"

_PUBLIC: Final[dict[str, str]] = {
    "C": "rollwright.core.context",
    "TimeInspector": "rollwright.core.timing",
    "init": "rollwright.core.context",
    "init_instance_by_config": "rollwright.core.construct",
}

__all__ = sorted([*_PUBLIC, "__version__"])  # noqa: PLE0605 - sorted by construction, pinned by a test


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module `rollwright` has no attribute `{name}`")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
