"""Checks of ``qlib_init`` and ``sys``: settings, and folders of modules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from rollwright.campaign.yaml.document import YamlDocument
from rollwright.config.construct import ADAPTED_PACKAGES
from rollwright.config.context import QLIB_NAMES, translate
from rollwright.config.settings import Settings, known_names, with_folders_by_frequency
from rollwright.errors import ConfigError, UnknownSettingError, nearest

__all__ = ["check_qlib_init", "find_sys_folders", "replace_modules_with_files"]

_NAMES: Final = (*QLIB_NAMES, "exp_manager", "mongo")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def check_qlib_init(values: object, document: YamlDocument) -> list[str]:
    """Return the problems of ``qlib_init``: unknown settings, and values that a setting refuses."""
    problems: list[str] = []
    for name, value in values.items() if isinstance(values, Mapping) else ():
        said: str | None
        try:
            said = _check_setting(with_folders_by_frequency(translate({name: value})))
        except ConfigError as error:
            if isinstance(error, UnknownSettingError) and name not in _NAMES:
                near = nearest(name, (*_NAMES, *known_names()))
                meant = f"did you mean `{near}`?" if near else "known: " + ", ".join(_NAMES)
                problems.append(f"{document.locate_key(('qlib_init', name))}: unknown key `qlib_init.{name}`; {meant}")
                continue
            said = f"{error.message}; {error.hint}" if error.hint else error.message
        if name.replace("__", ".").startswith("trust."):
            said = "which modules are trusted is decided in rollwright.toml, not in a file that names their classes"
        if name.replace("__", ".") == "data.holdout":
            said = "what is sealed is decided in rollwright.toml, not in a file that reads the data"
        if name.replace("__", ".").startswith("point_in_time."):
            said = "it has a place of its own in the file: `as_of: 2019-12-31`, `point_in_time: {lag_days: 1}`"
        if said:
            problems.append(f"{document.locate(('qlib_init', name))}: `qlib_init.{name}`: {said}")
    return problems


def _check_setting(values: Mapping[str, object]) -> str | None:
    for dotted, value in values.items():
        section, _, field = dotted.partition(".")
        if dotted not in known_names():
            near = nearest(dotted, known_names())
            return f"there is no setting `{dotted}`" + (f"; did you mean `{near}`?" if near else "")
        try:
            Settings.model_validate({"root": Path(), section: {field: value}})
        except ValidationError as error:
            message = str(error.errors()[0]["msg"])
            return f"{message[:1].lower()}{message[1:]}, not {value!r}"
    return None


def find_sys_folders(sys: object, folder: Path, document: YamlDocument) -> tuple[list[Path], list[str]]:
    """Return the folders of ``sys`` and their problems.

    Qlib appends them to ``sys.path``; here nothing becomes importable. A module may be named without its folder when
    its ``.py`` file is in one of them, and they lie beneath `folder`, the file's own, whose files are trusted.
    """
    folders: list[Path] = []
    problems: list[str] = []
    for key in ("path", "rel_path"):
        given = sys.get(key) if isinstance(sys, Mapping) else None
        names: Sequence[Any] = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        for name in names:
            if not isinstance(name, str):
                continue  # the models of the file tell it
            base = folder if key == "rel_path" else Path.cwd()
            found = (base / Path(name).expanduser()).resolve()
            place = document.locate(("sys", key))
            if not found.is_relative_to(folder):
                problems.append(
                    f"{place}: `sys.{key}: {name}` lies outside the folder of the file, {folder}, so its modules are "
                    "not trusted; put them beneath it, or install them and add to rollwright.toml: "
                    '[trust] modules = ["NAME"]'
                )
            elif not found.is_dir():
                problems.append(f"{place}: there is no folder {found}")
            else:
                folders.append(found)
    return folders, problems


def replace_modules_with_files(value: Any, folders: Sequence[Path], folder: Path) -> Any:
    """Return a copy of `value` in which each ``module_path: name`` found in `folders` names its ``.py`` file."""
    if isinstance(value, list):
        return [replace_modules_with_files(item, folders, folder) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: replace_modules_with_files(item, folders, folder) for key, item in value.items()}
    module = made.get("module_path")
    if (
        isinstance(module, str)
        and _DOTTED.fullmatch(module)
        and module.split(".")[0] not in ("rollwright", "qlib", *ADAPTED_PACKAGES)
    ):
        for place in folders:
            file = place.joinpath(*module.split(".")).with_suffix(".py")
            if file.is_file() and file.resolve().is_relative_to(folder):
                made["module_path"] = str(file.relative_to(folder))
                break
    return made
