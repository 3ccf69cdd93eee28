"""Where a model comes from: its task, the data, the code and the libraries it was made with.

Written beside each model as the artifact ``provenance``, and nowhere else: predictions hold no such thing, so that the
same task gives the same bytes (decision D18).
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from rollwright.config.construct import FILE_ALIAS, Trust
from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.canonical import JSON, normalise
from rollwright.core.masking import mask_secrets, mask_value
from rollwright.errors import TaskValueError
from rollwright.expression.label_reach import LabelReach
from rollwright.training.user_code import hash_of_code

__all__ = ["PROVENANCE_ARTIFACT", "PROVENANCE_FORMAT", "Process", "differences", "made_with", "provenance"]

PROVENANCE_ARTIFACT: Final = "provenance"
PROVENANCE_FORMAT: Final = 1

Process = Literal["slot", "own"]
"""Whether a worker's slot made it, where numerical libraries have one thread, or a process of the user's own."""

_DISTRIBUTIONS: Final = {
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "catboost": "catboost",
    "torch": "torch",
    "skops": "skops",
    "cloudpickle": "cloudpickle",
}
_SEEDS: Final = ("seed", "random_seed", "random_state")
_THREADS: Final = ("num_threads", "nthread", "thread_count", "n_jobs")


def provenance(
    task_config: Mapping[str, Any],
    *,
    fingerprint: str,
    generation: str,
    code: Mapping[str, str],
    label: LabelReach | None = None,
    model: object = None,
    process: Process = "own",
    packages: Iterable[str] = (),
) -> dict[str, JSON]:
    """Return what a model of `task_config` comes from, when it is made here and now.

    Parameters
    ----------
    task_config : mapping
    fingerprint : str
        The task's identity.
    generation : str
        Of the market data.
    code : mapping of str to str
        The user's own files and their hashes, as `code_files` tells them.
    label : LabelReach, optional
        Of the dataset: how far ahead the label reads, and the horizon of the return it is.
    model : object, optional
        The model, before or after its fit; its parameters say seed and threads.
    process : str
    packages : iterable of str
        Distributions to tell the version of, beside those that this process has imported.

    Returns
    -------
    dict
        ``format``, ``fingerprint``, ``data``, ``label``, ``code``, ``model``, ``process``, ``versions`` and
        ``platform``. No time, no host name and no id of a run. Paths in the project folder are relative to it.
    """
    settings = current_settings()
    folder = Trust.from_settings(settings).folder
    # A file beside the configuration is named by its path, a module's by module and file.
    roots = [name.partition(":")[0].partition(".")[0] for name in code if ":" in name]
    return {
        "format": PROVENANCE_FORMAT,
        "fingerprint": fingerprint,
        "data": {
            "generation": generation,
            "provider_uri": _portable(settings.data.provider_uri, settings),
            "freq": settings.data.freq,
            "region": settings.data.region,
        },
        "label": None if label is None else label.to_json(),
        "code": {
            "hash": hash_of_code(code),
            "folder": _portable(None if folder is None else str(folder), settings),
            "files": dict(code),
        },
        "model": _parameters(model, task_config),
        "process": process,
        "versions": made_with([*packages, *_imported(), *roots]),
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "implementation": platform.python_implementation(),
        },
    }


def renew_provenance(origin: Mapping[str, Any], *, fingerprint: str, code: Mapping[str, str]) -> dict[str, JSON]:
    """Return the provenance of a model as it stands with another task, which has not trained it.

    Parameters
    ----------
    origin : mapping
        What was stored with the model: data, parameters, versions and platform stay those of the fit.
    fingerprint : str
        The identity of the task it stands with.
    code : mapping of str to str
        As in `provenance`; the task's records may name other files.
    """
    named = {**origin["code"], "hash": hash_of_code(code), "files": dict(code)}
    return {**origin, "fingerprint": fingerprint, "code": named}


def made_with(packages: Iterable[str]) -> dict[str, JSON]:
    """Return the versions of Python, rollwright and those of `packages` that are installed, by name."""
    found: dict[str, JSON] = {"python": platform.python_version()}
    for name in sorted({"rollwright", *packages}):
        version = _version(name)
        if version is not None:
            found[name] = version
    return found


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return what differs between two provenances as (dotted name, then, now), an absent value as an empty text."""
    before, after = dict(_leaves(then)), dict(_leaves(now))
    return [
        (name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name, "") != after.get(name, "")
    ]


def _leaves(value: Mapping[str, Any], head: str = "") -> Iterable[tuple[str, str]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{head}{key}.")
        else:
            yield f"{head}{key}", "" if item is None else str(item)


def _imported() -> list[str]:
    return [distribution for module, distribution in _DISTRIBUTIONS.items() if module in sys.modules]


@functools.lru_cache(maxsize=256)
def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _parameters(model: object, task_config: Mapping[str, Any]) -> dict[str, JSON]:
    """Return class, parameters, seed and threads of a model, as far as it tells them in values that JSON has."""
    if model is None:
        return {}
    told = getattr(model, "params", None)
    given = {str(key): value for key, value in told.items()} if isinstance(told, Mapping) else {}
    home = type(model).__module__
    if home.startswith(FILE_ALIAS):  # which has the hash of the file in it; that stands under `code`
        home = str(task_config["model"].get("module_path"))
    found: dict[str, JSON] = {"class": f"{home}.{type(model).__qualname__}"}
    for name, aliases in (("seed", _SEEDS), ("threads", _THREADS)):
        values = [given.get(alias, getattr(model, alias, None)) for alias in aliases]
        known = [value for value in values if isinstance(value, int)]
        found[name] = known[0] if known else None
    plain: dict[str, JSON] = {}
    for key, value in given.items():
        try:
            plain[key] = mask_value(key, value) if isinstance(value, str) else normalise(value)
        except TaskValueError:  # an objective that is a function, say
            plain[key] = f"{type(value).__module__}.{type(value).__qualname__}"
    found["params"] = plain
    return found


def _portable(text: str | None, settings: Settings) -> str | None:
    """Return a path or URI as it may be stored: relative to the project folder when it lies there, no password."""
    if text is None or "://" in text:
        return text if text is None else mask_secrets(text)
    path = Path(text).expanduser()
    if path.is_absolute() and path.resolve().is_relative_to(settings.root.resolve()):
        return path.resolve().relative_to(settings.root.resolve()).as_posix()
    return text
