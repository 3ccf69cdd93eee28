"""Building the objects a configuration names: ``{class, module_path, kwargs}``.

Only classes that fit their slot are built (decision D10), from rollwright's own modules, those of the packages it
adapts, ``.py`` files beside the configuration, and what ``[trust] modules`` lists. A module that none of these covers
is not imported; what is no such class is not called.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, cast

from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.config.slots import allows_module, check_class
from rollwright.core.bounded_read import SMALL, read_whole
from rollwright.core.optional import require
from rollwright.core.registry import ALIASES, OPENERS, load_target
from rollwright.errors import ArtifactNotFoundError, ConstructError, UntrustedModuleError, nearest

__all__ = ["SAVED", "Trust", "get_class", "init_instance_by_config", "load_function", "saved_file", "translate_module"]

# What rollwright adapts: a missing one is told with the extra that installs it.
ADAPTED_PACKAGES: Final = ("lightgbm", "sklearn", "xgboost", "catboost")
SAVED: Final = "file://"
"""What the name of an object starts with that was saved to a file, by `Serializable.to_pickle`."""
# A module made of a `.py` file beside the configuration is called this and the hash of its path and text.
FILE_ALIAS: Final = "_rollwright_user_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a configuration may name.

    Attributes
    ----------
    modules : tuple of str
        Modules and packages (with everything beneath) beyond the built-in ones.
    folder : Path or None
        ``.py`` files in it, or beneath it, may be named as ``module_path: x.py``.
    """

    modules: tuple[str, ...] = ()
    folder: Path | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Trust:
        """Return what the settings trust."""
        folder = settings.trust.folder
        return cls(modules=settings.trust.modules, folder=settings.resolve(folder) if folder else None)

    def covers(self, module: str) -> bool:
        """Tell whether the user trusts `module`: it is listed, or lies beneath a listed one."""
        return any(module == name or module.startswith(f"{name}.") for name in self.modules)

    def allows_class(self, module: str, slot: str | None = None) -> bool:
        """Tell whether classes of `module`, no file, may be built in `slot`, or in some slot."""
        return self.covers(module) or allows_module(module, slot)

    def allows_function(self, module: str) -> bool:
        """Tell whether a program may run a function of `module` by its name; see `load_function`."""
        return module.endswith(".py") or module.partition(".")[0] == "rollwright" or self.covers(module)


def init_instance_by_config(
    config: object,
    default_module: str | None = None,
    accept_types: type | tuple[type, ...] = (),
    try_kwargs: Mapping[str, object] | None = None,
    *,
    trust: Trust | None = None,
    slot: str | None = None,
    **kwargs: object,
) -> Any:
    """Build the object that `config` names.

    Parameters
    ----------
    config : dict, str or an object
        ``{"class": "LGBModel", "module_path": "rollwright.models.lightgbm", "kwargs": {...}}``, the dotted name of a
        class, ``file://PATH`` of an object saved by `Serializable.to_pickle` (a relative path counts from the folder of
        the configuration), or an instance of `accept_types`, which is returned as it is.
    default_module : str, optional
        Where the class is looked for when `config` names no module.
    accept_types : type or tuple of types
    try_kwargs : mapping, optional
        Given too, but only those the constructor has a parameter for.
    trust : Trust, optional
        The current settings' if not given.
    slot : str, optional
        Where the object stands (``model``, ``dataset``, ``record`` …): its class must fit there. Without one the class
        must fit some slot, unless its module is the user's own.
    **kwargs
        Given too; they win over those of `config`.

    Raises
    ------
    UntrustedModuleError
        When the module is neither the user's own nor holds what may stand in the slot, and nothing has been imported
        then; or when what it names was itself imported from such a module.
    UntrustedArtifactError, CorruptArtifactError
        When nobody this machine trusts signed a saved object; nothing of it was read then. When it is none.
    ConstructError
        When there is no such module, class or file, what is named is no class or fits no slot, a saved object is none
        of `accept_types`, or a constructor refuses the arguments. What a constructor raises by itself is passed on,
        never taken for a mismatch of arguments.
    """
    if accept_types and isinstance(config, accept_types):
        return config
    path = saved_file(config, trust)
    if path is not None:
        return _open_saved(path, accept_types, kwargs)
    target, arguments = get_class(config, default_module, trust=trust, slot=slot)
    arguments = {**arguments, **kwargs}
    extra = {name: value for name, value in (try_kwargs or {}).items() if name not in arguments}
    arguments.update({name: value for name, value in extra.items() if _has_parameter(target, name)})
    _check_arguments(target, arguments)
    return target(**arguments)


def translate_module(module: str) -> tuple[str, ...]:
    """Return the modules here that stand for `module` of another program; one without an alias stands for itself."""
    entry = ALIASES.get(module)
    return (module,) if entry is None else entry.targets


def saved_file(config: object, trust: Trust | None = None) -> Path | None:
    """Return the file of the saved object that `config` names, None when it names none."""
    name = config.get("class") if isinstance(config, Mapping) else config
    if not isinstance(name, str) or not name.startswith(SAVED):
        return None
    if isinstance(config, Mapping) and (config.get("module_path") or config.get("kwargs")):
        raise ConstructError(f"`{name}` is a saved object, which takes neither module_path nor kwargs")
    folder = (trust if trust is not None else Trust.from_settings(current_settings())).folder
    return (folder or Path()) / name.removeprefix(SAVED)


def _open_saved(path: Path, accept_types: type | tuple[type, ...], kwargs: Mapping[str, object]) -> Any:
    if kwargs:
        raise ConstructError(f"{path.name} is a saved object, which takes no arguments: {', '.join(kwargs)}")
    opener = OPENERS.get("saved_object")
    if opener is None:
        raise ConstructError(
            f"nothing is registered that opens {path.name}", hint="import rollwright, which registers it"
        )
    try:
        found = load_target(opener.targets[0])(path)
    except ArtifactNotFoundError as error:
        raise ConstructError(f"the saved object {path} cannot be read: there is no such file") from error
    if accept_types and not isinstance(found, accept_types):
        wanted = " or ".join(
            each.__name__ for each in (accept_types if isinstance(accept_types, tuple) else (accept_types,))
        )
        raise ConstructError(f"{path.name} holds a {type(found).__qualname__}, not a {wanted}")
    return found


def get_class(
    config: object, default_module: str | None = None, *, trust: Trust | None = None, slot: str | None = None
) -> tuple[type, dict[str, Any]]:
    """Return the class that `config` names and the keyword arguments it gives.

    Parameters
    ----------
    config, default_module, trust, slot
        As `init_instance_by_config` takes them.

    Raises
    ------
    UntrustedModuleError, ConstructError
    """
    name, module_path, kwargs = _read(config, default_module)
    trusted = trust if trust is not None else Trust.from_settings(current_settings())
    tried: list[str] = []
    modules = translate_module(module_path)
    # of several modules that one of another program means, only some may hold what stands here
    for candidate in [each for each in modules if trusted.allows_class(each, slot)] or modules:
        module = _load_module(candidate, trusted, slot=slot)
        if hasattr(module, name):
            return _check_found(getattr(module, name), name, module, trusted, slot=slot), kwargs
        public = [item for item in dir(module) if not item.startswith("_")]
        tried += [item for item in public if isinstance(vars(module).get(item, type), type)]  # no modules, no functions
    suggestion = nearest(name, tried)
    raise ConstructError(
        f"module `{module_path}` has no `{name}`", hint=f"did you mean `{suggestion}`?" if suggestion else None
    )


def load_function(name: str, module_path: str, *, trust: Trust | None = None) -> Callable[..., Any]:
    """Return a function by its name, for a program that chose it: never for what a configuration or a row says.

    Raises
    ------
    UntrustedModuleError
        When the module is neither rollwright's nor the user's own.
    ConstructError
        When there is no such module or function.
    """
    trusted = trust if trust is not None else Trust.from_settings(current_settings())
    if not trusted.allows_function(module_path):
        raise UntrustedModuleError(module_path)
    module = _load_file(module_path, trusted) if module_path.endswith(".py") else _import(module_path)
    found = getattr(module, name, None)
    if not callable(found):
        raise ConstructError(f"module `{module_path}` has no function `{name}`")
    return cast("Callable[..., Any]", found)


def _check_found(found: Any, name: str, module: ModuleType, trust: Trust, *, slot: str | None) -> type:
    """Return `found` when it may be built; what a module merely imported is as trusted as its own home."""
    home = getattr(found, "__module__", None) or ""
    if (
        isinstance(found, type)
        and home != module.__name__
        and not (_same_package(home, module.__name__) or _may_hold(home, trust, slot=slot))
    ):
        raise UntrustedModuleError(home)
    own = trust.covers(module.__name__) or module.__name__.startswith(FILE_ALIAS)
    return check_class(found, name, module.__name__, slot=slot, own=own and (trust.covers(home) or _is_file(home)))


def _may_hold(home: str, trust: Trust, *, slot: str | None) -> bool:
    return _is_file(home) or trust.allows_class(home, slot)


def _same_package(home: str, module: str) -> bool:
    """Tell whether a module hands on a class of its own package, as sklearn.linear_model does with Ridge."""
    return home.partition(".")[0] == module.partition(".")[0]


def _is_file(module: str) -> bool:
    return module.startswith(FILE_ALIAS)


def _read(config: object, default_module: str | None) -> tuple[str, str, dict[str, Any]]:
    if isinstance(config, str):
        config = {"class": config}
    if not isinstance(config, Mapping):
        raise ConstructError(
            f"{type(config).__name__} names nothing to build", hint="write {class: …, module_path: …, kwargs: {…}}"
        )
    unknown = sorted(set(config) - {"class", "func", "module_path", "kwargs"}, key=str)
    if unknown:
        suggestion = nearest(str(unknown[0]), ("class", "func", "module_path", "kwargs"))
        raise ConstructError(
            f"unknown key `{unknown[0]}` beside class, module_path and kwargs",
            hint=f"did you mean `{suggestion}`?" if suggestion else None,
        )
    name = config.get("class", config.get("func"))
    if not isinstance(name, str) or not name:
        raise ConstructError("the configuration of an object has no `class`")
    kwargs = config.get("kwargs") or {}
    if not isinstance(kwargs, Mapping):
        raise ConstructError(f"`kwargs` of `{name}` is {type(kwargs).__name__}, not a mapping")
    for key in kwargs:
        if not isinstance(key, str):
            raise ConstructError(f"key {key!r} in `kwargs` of `{name}` is {type(key).__name__}, not text")
    module = config.get("module_path")
    if not module and "." in name:
        module, _, name = name.rpartition(".")
    module = module or default_module
    if not isinstance(module, str) or not module:
        raise ConstructError(f"no module_path says where `{name}` is")
    return name, module, dict(kwargs)


def _load_module(name: str, trust: Trust, *, slot: str | None) -> ModuleType:
    if name.endswith(".py"):
        return _load_file(name, trust)
    if name == "qlib" or name.startswith("qlib."):
        raise ConstructError(
            f"`{name}` has no counterpart in rollwright", hint="see docs/qlib-names.md for the names that have"
        )
    if not trust.allows_class(name, slot):
        if name.partition(".")[0] == "rollwright":  # no matter of trust: it holds something else
            wanted = "an object of a task" if slot is None else f"`{slot}`"
            raise ConstructError(f"nothing is built of `{name}`: what it holds cannot stand as {wanted}")
        raise UntrustedModuleError(name)
    return _import(name)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if package in ADAPTED_PACKAGES:
            require(package, extra=package)  # each has an extra of its own name, which the error tells
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConstructError(f"there is no module `{name}`") from error
        raise


def _load_file(name: str, trust: Trust) -> ModuleType:
    if trust.folder is None:
        raise UntrustedModuleError(name)
    path = (trust.folder / name).resolve()
    if not path.is_relative_to(trust.folder.resolve()):
        raise UntrustedModuleError(name)
    if not path.is_file():
        raise ConstructError(f"there is no file {path}")
    try:
        text = read_whole(path, limit=SMALL)
    except OSError as error:
        raise ConstructError(f"{path} cannot be read: {error.strerror}") from error
    alias = FILE_ALIAS + hashlib.sha256(str(path).encode() + b"\0" + text).hexdigest()[:16]
    if alias in sys.modules:
        return sys.modules[alias]
    loader = _SourceLoader(alias, str(path))
    spec = importlib.util.spec_from_loader(alias, loader, origin=str(path))
    if spec is None:
        raise ConstructError(f"{path} cannot be loaded as a module")
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


class _SourceLoader(SourceFileLoader):
    """Compiles the text that is there, and leaves no bytecode beside it: a cached one may be of an older text."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(read_whole(Path(path), limit=SMALL), path)
        return code


def _signature(target: Any) -> inspect.Signature | None:
    return _signature_of_class(target) if isinstance(target, type) else _read_signature(target)


@lru_cache(maxsize=512)
def _signature_of_class(target: type) -> inspect.Signature | None:
    return _read_signature(target)


def _read_signature(target: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(target)
    except ValueError:  # a class whose constructor is a built-in's does not tell; calling it will
        return None


def _has_parameter(target: Any, name: str) -> bool:
    signature = _signature(target)
    return signature is not None and name in signature.parameters


def _check_arguments(target: Any, arguments: Mapping[str, object]) -> None:
    signature = _signature(target)
    if signature is None:
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        suggestion = None
        for given in arguments:
            if given not in signature.parameters:
                suggestion = nearest(given, signature.parameters)
        raise ConstructError(
            f"`{getattr(target, '__name__', target)}` cannot be built: {error}",
            hint=f"did you mean `{suggestion}`?" if suggestion else None,
        ) from error
