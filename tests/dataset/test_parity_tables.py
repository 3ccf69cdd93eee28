"""Handlers and processors against small tables of Qlib's own values, from `benchmarks/parity/handler_tables.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.dataset import alpha as features
from rollwright.dataset import processors
from rollwright.dataset.dataset import DatasetH
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import ArraySource

FOLDER = Path(__file__).with_name("parity")
CASES = json.loads((FOLDER / "cases.json").read_text())
RESIDUE = ("STD", "VSTD", "WVMA")  # Qlib's running sums leave 1e-8 where a window is flat


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return dict(list(pd.read_parquet(FOLDER / "tables.parquet").groupby("table")))


@pytest.fixture(scope="module")
def source() -> ArraySource:
    rows = pd.read_parquet(FOLDER / "market.parquet")
    wide = rows.set_index(["date", "symbol"]).sort_index().unstack("symbol")
    names = sorted(rows["symbol"].unique())
    sessions = pd.DatetimeIndex(wide.index)
    spans = rows.groupby("symbol")["date"].agg(["min", "max"]).loc[names]
    bounds = np.stack([sessions.get_indexer(spans["min"]), sessions.get_indexer(spans["max"]) + 1], axis=1)
    fields = {field: wide[field][names].to_numpy() for field in wide.columns.levels[0]}
    return ArraySource(fields, names, calendar=TradingCalendar(sessions), bounds=bounds)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return FeatureStore(tmp_path_factory.mktemp("store"))


def expected(table: pd.DataFrame) -> tuple[pd.MultiIndex, list[str], np.ndarray]:
    columns = list(dict.fromkeys(table["column"]))
    first = table.iloc[:: len(columns)]
    index = pd.MultiIndex.from_arrays([first["datetime"], first["instrument"]], names=["datetime", "instrument"])
    return index, columns, table["value"].to_numpy(dtype=np.float64).reshape(len(first), len(columns))


def assert_equal(frame: pd.DataFrame, table: pd.DataFrame, tolerance: np.ndarray) -> None:
    index, columns, values = expected(table)
    assert ["/".join(name) if isinstance(name, tuple) else name for name in frame.columns] == columns
    assert list(frame.index) == list(index)
    ours = frame.to_numpy(dtype=np.float64)
    assert (np.isnan(ours) == np.isnan(values)).all(axis=0).all(), "missing values differ"
    infinite = np.isinf(values)
    assert (ours[infinite] == values[infinite]).all()
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        distance = np.where(finite, np.abs(ours - values), 0.0)
    allowed = tolerance[:, 0] + tolerance[:, 1] * np.where(finite, np.abs(values), 0.0)
    flat = np.array([name.split("/")[-1].startswith(RESIDUE) for name in columns]) & (ours == 0.0)
    beyond = (distance > allowed) & ~(flat & (np.abs(np.where(finite, values, 0.0)) < 1e-3))
    worst = [name for name, bad in zip(columns, beyond.any(axis=0), strict=True) if bad]
    assert not worst, f"further from Qlib's than rounding explains: {worst[:5]}"


@pytest.mark.parametrize("case", [case for case in CASES if case["kind"] == "handler"], ids=lambda case: case["name"])
def test_a_handlers_frames_are_those_of_qlib(
    case: dict[str, Any], tables: dict[str, pd.DataFrame], source: ArraySource, store: FeatureStore
) -> None:
    handler = getattr(features, case["handler"])(**case["kwargs"], source=source, store=store)
    dataset = DatasetH(handler, {name: tuple(pair) for name, pair in case["segments"].items()})
    for place, ((segment, columns, key), tolerance) in enumerate(zip(case["fetches"], case["tolerances"], strict=True)):
        if segment is not None:
            frame = dataset.prepare(segment, col_set=columns, data_key=key)
            assert_equal(frame, tables[f"{case['name']}-{place}"], np.array(tolerance))


def processor_cases() -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in CASES if case["kind"] == "processor"]


@pytest.mark.parametrize("case", processor_cases())
def test_a_processors_frame_is_that_of_qlib(case: dict[str, Any], tables: dict[str, pd.DataFrame]) -> None:
    frame = pd.read_parquet(FOLDER / "frame.parquet").set_index(["datetime", "instrument"])
    frame.columns = pd.MultiIndex.from_tuples([tuple(name.split("/")) for name in frame.columns])
    before = frame.copy()
    processor = getattr(processors, case["class"])(**case["kwargs"])
    processor.fit(frame)
    found = processor(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert_equal(found, tables[case["name"]], np.full((found.shape[1], 2), 4e-6))
