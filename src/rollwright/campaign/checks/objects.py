"""Checks of the objects a task names against the signatures of their classes, before anything is built.

Only rollwright's own modules are imported for it: what else may be named is a matter of trust, and of its own errors.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from pydantic import TypeAdapter, ValidationError

from rollwright.campaign.checks.segments import check_handler, check_segments
from rollwright.campaign.yaml.document import KeyPath, YamlDocument
from rollwright.config.construct import SAVED, Trust, get_class, translate_module
from rollwright.config.slots import find_default_module, find_slot
from rollwright.errors import ConstructError, MissingExtraError, RollwrightError, UntrustedModuleError, nearest

__all__ = ["ChecksArguments", "KnowsParameters", "ObjectCheck", "check_object", "check_task"]


OBJECT_KEYS: Final = ("class", "func", "module_path", "kwargs")
# What the run, or the handler around a processor, gives to the constructors.
_FIT_RANGE: Final = ("fit_start_time", "fit_end_time")
SUPPLIED: Final = {
    "model": ("seed",),
    "record": ("recorder", "model", "dataset"),
    "infer_processors": _FIT_RANGE,
    "learn_processors": _FIT_RANGE,
    "shared_processors": _FIT_RANGE,
}
_PLAIN: Final = (int, float, bool, str, type(None))


@runtime_checkable
class KnowsParameters(Protocol):
    """A class whose constructor hands ``**kwargs`` to a library, and that can tell which of them the library knows."""

    @staticmethod
    def unknown_parameters(names: Iterable[str]) -> Mapping[str, str | None]:
        """Return those of `names` that are not known, each with the nearest name that is, or None."""


@runtime_checkable
class ChecksArguments(Protocol):
    """A class that can tell, without reading data, whether it takes what a configuration gives it."""

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Find out whether it takes the arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCheck:
    """Document and trust that the object checks use.

    Attributes
    ----------
    document : YamlDocument or None
        None where what is checked stands in no file.
    trust : Trust or None
        Modules and the folder that may be named; None leaves that check to whoever builds the object.
    above : tuple
        The section of the file beneath which the objects stand.
    """

    document: YamlDocument | None
    trust: Trust | None = None
    above: KeyPath = ("task",)

    @property
    def folder(self) -> Path:
        """The folder that paths of files count from."""
        if self.document is not None:
            return self.document.path.resolve().parent
        return self.trust.folder if self.trust is not None and self.trust.folder is not None else Path()

    def describe(self, keys: KeyPath, said: str, *, key: bool = False) -> str:
        """Return the problem with file, line and column of the value, or of its key when `key` is set."""
        if self.document is None:
            return f"`{'.'.join(str(part) for part in keys)}`: {said}"
        where = self.document.locate_key if key else self.document.locate
        return f"{where((*self.above, *keys))}: {said}"


def check_task(task: Mapping[str, Any], check: ObjectCheck) -> list[str]:
    """Return the problems of the objects of `task`, whose placeholders are filled."""
    problems: list[str] = []
    for role in ("model", "dataset", "reweighter"):
        if task.get(role) is not None:
            problems += check_object(task[role], (role,), role, check)
    records = task.get("record")
    for position, record in enumerate(records if isinstance(records, list) else []):
        problems += check_object(record, ("record", position), "record", check)
    if isinstance(records, Mapping | str):
        problems += check_object(records, ("record",), "record", check)
    return problems


def check_object(config: Any, keys: KeyPath, role: str, check: ObjectCheck) -> list[str]:
    """Return the problems of one object, which stands as `role`, and of the objects within its arguments."""
    saved = config.get("class") if isinstance(config, Mapping) else config
    if isinstance(saved, str) and saved.startswith(SAVED):
        return _check_saved(config, saved, keys, check)
    if isinstance(config, str):
        config = {"class": config} if not config.startswith("<") else None  # such a placeholder has been told
    name = config.get("class", config.get("func")) if isinstance(config, Mapping) else None
    if not isinstance(name, str):
        return []  # what is not an object is reported by the models of the file, or by its user
    problems = []
    for key in config:
        if key not in OBJECT_KEYS and "kwargs" in keys:  # those of the task itself are told with its other keys
            near = nearest(str(key), OBJECT_KEYS)
            meant = f"; did you mean `{near}`?" if near else " beside class, module_path and kwargs"
            problems.append(check.describe((*keys, key), f"unknown key `{key}`{meant}", key=True))
    kwargs = config.get("kwargs") or {}
    if not isinstance(kwargs, Mapping):
        return [*problems, check.describe((*keys, "kwargs"), f"`kwargs` of `{name}` is not a mapping")]
    target, wrong = _find_class(config, name, role, check)
    if wrong:
        place = "module_path" if "module_path" in config and f"`{name}`" not in wrong else "class"
        problems.append(check.describe((*keys, place), wrong))
    if target is not None:
        problems += _check_arguments(target, kwargs, keys, role, check)
        problems += [check.describe((*keys, "kwargs", *at), said) for at, said in check_segments(target, kwargs)]
        problems += [check.describe((*keys, "kwargs", *at), said) for at, said in check_handler(target, kwargs)]
        if not problems and _checks_arguments(target):
            problems += _check_record(target, kwargs, (*keys, "kwargs"), check)
    return problems + _check_nested(kwargs, (*keys, "kwargs"), check)


def _check_saved(config: Any, name: str, keys: KeyPath, check: ObjectCheck) -> list[str]:
    """Check an object saved in a file; its signature is checked when it is opened."""
    if isinstance(config, Mapping) and (config.get("module_path") or config.get("kwargs")):
        return [check.describe(keys, f"`{name}` is a saved object, which takes neither module_path nor kwargs")]
    path = check.folder / name.removeprefix(SAVED)
    return [] if path.is_file() else [check.describe(keys, f"`{name}`: there is no file {path}")]


def _check_record(
    target: type[ChecksArguments], kwargs: Mapping[str, Any], keys: KeyPath, check: ObjectCheck
) -> list[str]:
    """Check what a record says of itself, and the strategy that it is to trade."""
    config = kwargs.get("config")
    strategy = config.get("strategy") if isinstance(config, Mapping) else None
    problems = check_object(strategy, (*keys, "config", "strategy"), "strategy", check)
    if not problems:
        try:
            target.check_arguments(kwargs)
        except RollwrightError as error:
            at = (*keys, "config") if config is not None else keys
            problems.append(check.describe(at, error.message + (f"; {error.hint}" if error.hint else "")))
    return problems


def _check_nested(kwargs: Mapping[str, Any], keys: KeyPath, check: ObjectCheck) -> list[str]:
    """Check the objects inside the arguments of another."""
    problems: list[str] = []
    for key, value in kwargs.items():
        if find_default_module(key) and isinstance(value, list):
            for position, item in enumerate(value):
                problems += check_object(item, (*keys, key, position), key, check)
        elif find_default_module(key) or (isinstance(value, Mapping) and "class" in value and "module_path" in value):
            problems += check_object(value, (*keys, key), key, check)
    return problems


def _find_class(config: Mapping[str, Any], name: str, role: str, check: ObjectCheck) -> tuple[Any, str | None]:
    """Return rollwright's class that `config` means, None for another's, and what is wrong with the name."""
    found = find_slot(role)
    default, slot = (found.default_module or None, found.name) if found is not None else (None, None)
    module = config.get("module_path") or (name.rpartition(".")[0] or default)
    if module is None:
        return None, f"no module_path says where `{name}` is"
    if not isinstance(module, str):
        return None, None  # told by the models of the file, or by who builds it
    if module.split(".")[0] != "qlib" and not all(m.split(".")[0] == "rollwright" for m in translate_module(module)):
        return None, _check_trust(module, slot, check.trust)
    try:
        target, _ = get_class(
            {"class": name, "module_path": config.get("module_path")}, default, trust=Trust(), slot=slot
        )
    except MissingExtraError:
        return None, None  # the one who builds it says what to install
    except (ConstructError, UntrustedModuleError) as error:
        return None, error.message + (f"; {error.hint}" if error.hint else "")
    return target, None


def _check_trust(module: str, slot: str | None, trust: Trust | None) -> str | None:
    if trust is None:
        return None
    if module.endswith(".py"):
        path = (trust.folder / module).resolve() if trust.folder else None
        if path is None or trust.folder is None or not path.is_relative_to(trust.folder.resolve()):
            return f"`{module}` lies outside the folder of the file, {trust.folder}"
        return None if path.is_file() else f"there is no file {path}"
    if trust.allows_class(module, slot):
        return None
    error = UntrustedModuleError(module)
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _check_arguments(target: Any, kwargs: Mapping[str, Any], keys: KeyPath, role: str, check: ObjectCheck) -> list[str]:
    parameters, is_open = _list_parameters(target)
    supplied = SUPPLIED.get(role, ())
    label = getattr(target, "__name__", str(target))
    problems = []
    for name, value in kwargs.items():
        if name in parameters and (said := _check_type(parameters[name], value)):
            problems.append(check.describe((*keys, "kwargs", name), f"`{name}` of `{label}` {said}"))
    unknown = [name for name in kwargs if name not in parameters]
    for name, near in (_find_unknown(target, unknown) if is_open else _find_nearest(unknown, parameters)).items():
        meant = f"did you mean `{near}`?" if near else f"known: {', '.join(sorted(parameters))}"
        at = (*keys, "kwargs", name)
        problems.append(check.describe(at, f"`{label}` has no parameter `{name}`; {meant}", key=True))
    first = inspect.signature(target).parameters.values()
    problems += [
        check.describe(keys, f"`{label}` needs `{parameter.name}`")
        for parameter in first
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in kwargs
        and parameter.name not in supplied
    ]
    return problems


def _find_nearest(names: Collection[str], known: Collection[str]) -> dict[str, str | None]:
    return {name: nearest(name, known) for name in names}


def _find_unknown(target: Any, names: Collection[str]) -> dict[str, str | None]:
    """Return the unknown ones of `names` for a class that takes any keyword and can tell which it knows."""
    if not _knows_parameters(target):
        return {}
    try:
        return dict(target.unknown_parameters(names))
    except MissingExtraError:
        return {}  # told by the one who builds it


def _knows_parameters(target: Any) -> TypeGuard[type[KnowsParameters]]:
    return isinstance(target, type) and issubclass(target, KnowsParameters)


def _checks_arguments(target: Any) -> TypeGuard[type[ChecksArguments]]:
    return isinstance(target, type) and issubclass(target, ChecksArguments)


def _list_parameters(target: Any) -> tuple[dict[str, Any], bool]:
    """Return the keyword parameters with their types, and whether further keywords are accepted.

    A constructor that takes ``**kwargs`` hands them to the next one up, whose parameters are then known here too; one
    whose class has ``unknown_parameters`` hands them to a library instead.
    """
    found: dict[str, Any] = {}
    makers = [target]
    if isinstance(target, type):
        makers = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls)]
    for maker in makers:
        if maker is object.__init__:
            return found, True
        signature = inspect.signature(maker)
        hints = _read_hints(maker)
        named = [
            name
            for name, parameter in signature.parameters.items()
            if name != "self" and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        found = {**{name: hints.get(name, Any) for name in named}, **found}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
            return found, False
        if _knows_parameters(target):
            return found, True
    return found, True


def _read_hints(maker: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(maker)
    except (NameError, TypeError):
        return {}


def _check_type(hint: Any, value: object) -> str | None:
    if not _is_plain(hint):
        return None
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        wanted = " or ".join(getattr(part, "__name__", str(part)) for part in _split_union(hint))
        return f"is {value!r}, {type(value).__name__}; it takes {wanted.replace('NoneType', 'null')}"
    return None


def _split_union(hint: Any) -> Collection[Any]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _is_plain(hint: Any) -> bool:
    return all(part in _PLAIN for part in _split_union(hint))
