"""Settings, the current context, and the objects a configuration names.

``C``, ``REG_CN``, ``REG_US`` and ``REG_TW`` are here too, as scripts that were written for Qlib have them.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = ["REG_CN", "REG_TW", "REG_US", "C"]

REG_CN: Final = "cn"
REG_US: Final = "us"
REG_TW: Final = "tw"


def __getattr__(name: str) -> Any:
    # Looked up when it is asked for: this package is imported by all that asks for one of its modules.
    if name == "C":
        return importlib.import_module("rollwright.config.context").C
    raise AttributeError(f"module `rollwright.config` has no attribute `{name}`")
