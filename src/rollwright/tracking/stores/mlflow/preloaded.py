"""Importing this module imports MLflow: it is named where a process server loads what its children will share.

The one module whose import does something, on purpose: a server is told names of modules, nothing else. MLflow costs
seconds, and a child that is forked from a server that has it pays nothing. No store is opened and no thread starts.
"""

from __future__ import annotations

from rollwright.tracking.stores.mlflow.importing import load_mlflow

__all__: list[str] = []

load_mlflow(databases=True)
