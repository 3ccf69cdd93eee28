"""Importing MLflow: silent, without telemetry, and leaving the user's logging as it is."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["import_mlflow", "load_mlflow", "quiet_mlflow"]

_TELEMETRY_OFF: Final = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
_CHATTY: Final = ("alembic", "mlflow.store.db.utils")


def load_mlflow(*, databases: bool = False) -> None:
    """Import MLflow as the adapter does, and open nothing.

    Parameters
    ----------
    databases : bool
        Import what serves an embedded database too, which is another second.
    """
    import_mlflow()
    if databases:
        with quiet_mlflow():
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def import_mlflow() -> Any:
    """Return the module MLflow, imported silently and without telemetry: it would start a thread that reports usage."""
    loaded = sys.modules.get("mlflow.entities")
    if loaded is not None and all(os.environ.get(name) == "true" for name in _TELEMETRY_OFF):
        return sys.modules["mlflow"]
    early = "mlflow" in sys.modules  # imported by the user before us, telemetry and all
    for name in _TELEMETRY_OFF:
        os.environ[name] = "true"  # workers inherit it
    configure = os.environ.get("MLFLOW_CONFIGURE_LOGGING")
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"  # the user's logging is the user's
    try:
        module = importlib.import_module("mlflow")
        importlib.import_module("mlflow.entities")
    finally:
        if configure is None:
            del os.environ["MLFLOW_CONFIGURE_LOGGING"]
        else:
            os.environ["MLFLOW_CONFIGURE_LOGGING"] = configure
    if early:
        importlib.import_module("mlflow.telemetry.client").set_telemetry_client()
    return module


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Let MLflow load its tables, and make them, without what it says to its own developers.

    That is a deprecation warning about its models and a hundred INFO lines; levels the user has set stay.
    """
    loggers = [logging.getLogger(name) for name in _CHATTY]
    unset = [logger for logger in loggers if logger.level == logging.NOTSET]
    for logger in unset:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger in unset:
            logger.setLevel(logging.NOTSET)
