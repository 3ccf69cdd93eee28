"""Columns without any value: named once, when they are computed, and by no window after that."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from rollwright.dataset.handler import DataHandler
from rollwright.dataset.loader import QlibDataLoader
from rollwright.errors import DataError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import ArraySource, random_source

HALF_EMPTY = {"feature": (["$close/$open", "$vwap/$close"], ["KMID", "VWAP0"])}
EMPTY = {"feature": (["$vwap/$close"], ["VWAP0"])}


@pytest.fixture
def source() -> ArraySource:
    made = random_source(np.random.default_rng(3), sessions=40, instruments=3)
    fields = tuple(field for field in made.fields if field != "vwap")
    values = made.load(fields, made.instruments(), 0, 40)
    return ArraySource(dict(zip(fields, values, strict=True)), made.instruments())


def told(source: ArraySource, store: FeatureStore, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Open a handler's data and return what was said about empty columns, with its level."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="rollwright.features"):
        assert DataHandler("all", data_loader=QlibDataLoader(HALF_EMPTY), source=source, store=store).panel.dates.size
    records = [record for record in caplog.records if record.getMessage().startswith("features.all_nan")]
    return [(record.levelname, record.getMessage().split("columns=")[1]) for record in records]


def test_one_warning_names_them_and_later_windows_and_processes_are_silent(
    source: ArraySource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(tmp_path)
    assert told(source, store, caplog) == [("WARNING", "VWAP0")]
    assert told(source, store, caplog) == [("DEBUG", "VWAP0")]
    assert told(source, FeatureStore(tmp_path), caplog) == [("DEBUG", "VWAP0")]


def test_nothing_but_empty_columns_is_an_error_however_often(source: ArraySource, tmp_path: Path) -> None:
    for _ in range(2):
        handler = DataHandler("all", data_loader=QlibDataLoader(EMPTY), source=source, store=FeatureStore(tmp_path))
        with pytest.raises(DataError, match="every column of the group `feature` has only NaN values: VWAP0"):
            assert handler.panel
