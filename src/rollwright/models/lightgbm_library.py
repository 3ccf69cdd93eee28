"""Importing LightGBM without scikit-learn, which it has for classes of another style and which takes 1.4 CPU-seconds.

LightGBM imports scikit-learn where that is installed, then SciPy's statistics with it, before anybody asks for
``LGBMRegressor``. What a fit and a prediction need are three of its modules. `load_lightgbm` imports these; the package
becomes whole as soon as anything else of it is asked for, by whomever.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import platform
import sys
import threading
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from rollwright.core.optional import require

__all__ = ["load_lightgbm"]

_PACKAGE: Final = "lightgbm"
_OTHERS: Final = ("sklearn", "dask")
_PARTS: Final = ("basic", "callback", "engine")
_NAMES: Final = {
    "basic": ("Booster", "Dataset"),
    "callback": ("early_stopping", "record_evaluation"),
    "engine": ("train",),
}
"""What `rollwright.models.lightgbm` takes from the package."""
_COMPAT: Final = f"{_PACKAGE}.compat"
"""The part that looks for scikit-learn."""
_ENGINE: Final = "engine"
"""The part that asks it, and is imported anew when the package becomes whole. Callbacks import it while they work."""
_mutex: Final = threading.RLock()


def load_lightgbm() -> ModuleType:
    """Return LightGBM; where nothing has imported it or scikit-learn yet, without the latter.

    Guarantees: ``lightgbm`` in ``sys.modules`` is this module, and has everything that it has where it was imported the
    plain way; classes are the same before and after it became whole.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    with _mutex:
        if _PACKAGE not in sys.modules and "sklearn" not in sys.modules and _may_come_first():
            spec = importlib.util.find_spec(_PACKAGE)
            if spec is not None and spec.loader is not None:
                return _load_parts(spec, spec.loader)
    return require(_PACKAGE, extra="lightgbm")


def _may_come_first() -> bool:
    """Tell whether LightGBM's shared library may be loaded before scikit-learn's.

    Elsewhere either brings an OpenMP of its own that does not bear the other before it.
    """
    return (
        sys.platform == "linux" and platform.machine() == "x86_64" and importlib.util.find_spec("sklearn") is not None
    )


def _load_parts(spec: ModuleSpec, loader: Loader) -> ModuleType:
    """Import the parts, with the package as a module that becomes whole when it is asked for more."""
    package = importlib.util.module_from_spec(spec)

    def complete(name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
        with _mutex:
            if vars(package).get("__getattr__") is complete:
                for known in ("__getattr__", _ENGINE):
                    package.__dict__.pop(known, None)
                sys.modules.pop(f"{_PACKAGE}.{_ENGINE}", None)
                loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = complete
    sys.modules[_PACKAGE] = package
    try:
        _load_compat()
        for part in _PARTS:
            module = importlib.import_module(f"{_PACKAGE}.{part}")
            package.__dict__.update({name: getattr(module, name) for name in _NAMES[part]})
    except (ImportError, AttributeError):  # of a version that is cut otherwise: the plain way tells
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]
        return require(_PACKAGE, extra="lightgbm")
    del sys.modules[_COMPAT]  # whoever else imports it finds what is there
    package.__dict__.pop("compat", None)
    return package


def _load_compat() -> None:
    """Import the part that looks for scikit-learn, which it does not find; nobody else's imports are touched."""
    spec = importlib.util.find_spec(_COMPAT)
    if spec is None or spec.loader is None:
        raise ImportError(f"{_PACKAGE} has no part compat")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import_without}
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def _import_without(name: str, *arguments: Any, **kwargs: Any) -> Any:
    if name.partition(".")[0] in _OTHERS:
        raise ImportError(f"{name} is left out here")
    return builtins.__import__(name, *arguments, **kwargs)
