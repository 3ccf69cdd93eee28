"""Importing optional dependencies."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from rollwright.errors import MissingExtraError

__all__ = ["require", "require_installed"]


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or raise an error that says how to install it.

    Raises
    ------
    MissingExtraError
        When the package itself is absent. An import error inside an installed package is passed on as it is, and so
        is the lack of a module in it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name == package and importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, extra) from error
        raise


def require_installed(package: str, *, extra: str) -> None:
    """Refuse to go on without an optional package, which is looked for and not imported.

    Raises
    ------
    MissingExtraError
        With the line that installs it.
    """
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # somebody blocked it in sys.modules
        found = None
    if found is None:
        raise MissingExtraError(package, extra)
