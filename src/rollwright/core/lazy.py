"""Optional dependencies and lazily imported names."""

from __future__ import annotations

import importlib
from types import ModuleType

from rollwright.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or say how to install it.

    Raises
    ------
    MissingExtraError
        When the package itself is absent. An import error inside an installed package is passed on as it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] == package:
            raise MissingExtraError(package, extra) from error
        raise
