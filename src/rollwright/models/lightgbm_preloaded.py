"""Importing this module imports LightGBM: it is named where a process server loads what its children will share.

As `rollwright.tracking.stores.mlflow.preloaded`: on purpose the import does something. No thread starts.
"""

from __future__ import annotations

from rollwright.models.lightgbm_library import load_lightgbm

__all__: list[str] = []

load_lightgbm()
