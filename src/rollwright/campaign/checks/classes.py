"""Whether the classes of a task are there and have what they need, before anything is computed or trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rollwright.campaign.checks.location import put_place
from rollwright.campaign.yaml.document import KeyPath
from rollwright.config.construct import SAVED, get_class
from rollwright.config.slots import find_default_module
from rollwright.core.optional import require_installed
from rollwright.errors import RollwrightError
from rollwright.models.boosted import BoostedTrees
from rollwright.models.torch.network_model import NetworkModel

__all__ = ["check_classes"]


def check_classes(task: Mapping[str, Any], *, locate: Callable[[KeyPath], str] | None = None) -> None:
    """Import the classes of the model, the reweighter and the records of a task; nothing is built.

    Parameters
    ----------
    task : mapping
    locate : callable, optional
        Returns file, line and column of a key of the configuration, for errors.

    Raises
    ------
    ConstructError
        When a class is not there, or its module cannot be imported.
    MissingExtraError
        When the library of a model is not installed.
    """
    for role, keys, config in _list_objects(task):
        try:
            target, _ = get_class(config, find_default_module(role), slot=role)
            if issubclass(target, BoostedTrees):
                package = target.library.lower()
                require_installed(package, extra=package)
            elif issubclass(target, NetworkModel):
                require_installed("torch", extra="torch")
        except RollwrightError as error:
            if locate is not None:
                put_place(error, locate(("task", *keys, "class")))
            raise


def _list_objects(task: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath, Any]]:
    records = task.get("record") or []
    records = [records] if isinstance(records, Mapping | str) else records
    found = [(role, (role,), task.get(role)) for role in ("model", "reweighter")]
    for role, keys, config in [*found, *(("record", ("record", place), item) for place, item in enumerate(records))]:
        name = config.get("class") if isinstance(config, Mapping) else config
        if isinstance(name, str) and not name.startswith(SAVED):
            yield role, keys, config
