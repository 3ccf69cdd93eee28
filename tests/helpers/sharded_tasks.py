"""Tasks in shards over a small market, trained in this process by a model that draws from its seed."""

from __future__ import annotations

import uuid
from copy import deepcopy
from pathlib import Path
from typing import Any

from rolling_project import CODES, DAYS, HANDLER, rows
from rollwright.config.context import install
from rollwright.config.settings import Settings, load_settings
from rollwright.market.ingest.importer import import_market

MODEL: dict[str, Any] = {
    "class": "LGBModel",
    "module_path": "rollwright.models.lightgbm",
    "kwargs": {
        "num_boost_round": 4,
        "min_data_in_leaf": 5,
        "early_stopping_rounds": 0,
        "bagging_fraction": 0.5,
        "bagging_freq": 1,
    },
}
GROUPS = {"few": CODES[:3], "many": CODES[3:]}


def task(shards: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """Return a task; its test segment is half a year."""
    segments = {"train": ["2020-01-08", "2020-04-30"], "test": ["2020-05-11", "2020-09-30"]}
    made: dict[str, Any] = {
        "model": deepcopy(MODEL),
        "dataset": {
            "class": "DatasetH",
            "module_path": "rollwright.dataset.dataset",
            "kwargs": {"handler": deepcopy(HANDLER), "segments": segments},
        },
        "record": [{"class": "SignalRecord", "module_path": "rollwright.analysis.records"}],
        **parts,
    }
    return made if shards is None else {**made, "shards": shards}


def build_market(folder: Path, codes: list[str] = CODES) -> Path:
    """Build the market in a new folder, and return it."""
    import_market(rows(DAYS[:200], codes), folder)
    return folder


def use_project(folder: Path, market: Path, **terms: str) -> Settings:
    """Make a project over the market the ambient one."""
    folder.mkdir(exist_ok=True)
    values = {
        "tracking.uri": f"memory:{uuid.uuid4().hex}",
        "pool.url": f"sqlite:///{folder / 'pool.db'}",
        "data.provider_uri": str(market),
        **terms,
    }
    settings = load_settings(values, start=folder, environ={})
    install(settings)
    return settings
