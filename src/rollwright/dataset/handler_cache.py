"""`replace_task_handler_with_cache`: a task's features computed ahead of it, into the feature store."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rollwright.config.construct import init_instance_by_config
from rollwright.dataset.handler import DataHandler
from rollwright.errors import ConfigError

__all__ = ["replace_task_handler_with_cache"]

_logger: Final = logging.getLogger("rollwright.dataset")


def replace_task_handler_with_cache(task: Mapping[str, Any], cache_dir: str | Path = ".") -> dict[str, Any]:
    """Compute what the task's handler reads, and return a copy of the task that finds it there.

    Qlib pickles the handler with all its data into a file and puts the file's name into the task: the file is read
    whole by each process, is not made anew when the market data change, and cannot be built where pickles are
    refused. Here the data go into the feature store, whose key knows expressions, frequency and data generation; the
    handler's configuration is the reference to them and stays as it is. So the task keeps its fingerprint, and its
    result is the same with and without this call.

    Parameters
    ----------
    task : mapping
        Has ``dataset.kwargs.handler``; it is not changed.
    cache_dir : "."
        Only Qlib's default: nothing is written there. The setting ``store.path`` says where the store is.

    Raises
    ------
    ConfigError
        When the task has no handler, or one that is neither a configuration nor a handler; for another `cache_dir`.
    DataError, ExpressionError
        When its data cannot be computed: now, instead of in every window.
    """
    if Path(cache_dir) != Path():
        raise ConfigError(
            f"cache_dir = {str(cache_dir)!r} would have no effect: the data go into the feature store",
            hint="leave it out, and set `store.path`: C['store.path'] = …",
        )
    made = copy.deepcopy(dict(task))
    handler = _handler_of(made)
    built = init_instance_by_config(handler, "rollwright.dataset.handler", accept_types=DataHandler, slot="handler")
    if not isinstance(built, DataHandler):
        raise ConfigError(f"`dataset.kwargs.handler` builds a {type(built).__name__}, which is no handler")
    panel = built.panel
    _logger.info("features.ready handler=%s generation=%s", type(built).__name__, panel.generation)
    return made


def _handler_of(task: Mapping[str, Any]) -> Any:
    found: Any = task
    for depth, name in enumerate(("dataset", "kwargs", "handler")):
        if not isinstance(found, Mapping) or name not in found:
            path = ".".join(("dataset", "kwargs", "handler")[: depth + 1])
            raise ConfigError(f"the task has no `{path}`", hint="its dataset names no handler whose data to compute")
        found = found[name]
    return found
