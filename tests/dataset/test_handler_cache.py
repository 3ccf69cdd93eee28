"""The handler cache is a reference to the feature store: no pickle, no stale copy, the same result."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright import replace_task_handler_with_cache
from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import C, init
from rollwright.core.canonical import fingerprint
from rollwright.dataset.alpha import Alpha158
from rollwright.errors import ConfigError, UnknownInstrumentError
from rollwright.market.demo import make_demo_market
from rollwright.market.ingest.importer import import_market


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    make_demo_market(folder / "market", instruments=20, sessions=130, seed=5)
    return folder / "market"


@pytest.fixture
def task(demo: Path) -> dict:
    init(provider_uri=str(demo), tracking__uri="memory:handler-cache")
    sessions = Alpha158("all").panel.dates.strftime("%Y-%m-%d")
    segments = {"train": (sessions[60], sessions[90]), "test": (sessions[100], sessions[120])}
    handler = {"class": "Alpha158", "module_path": "qlib.contrib.data.handler", "kwargs": {"instruments": "all"}}
    model = {
        "class": "LGBModel",
        "module_path": "qlib.contrib.model.gbdt",
        "kwargs": {"num_boost_round": 5, "num_leaves": 7},
    }
    dataset = {"class": "DatasetH", "module_path": "qlib.data.dataset", "kwargs": {"segments": segments}}
    dataset["kwargs"]["handler"] = handler
    return {"model": model, "dataset": dataset}


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_the_features_are_in_the_store_and_nothing_else_is_written(
    task: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    C["store.path"] = str(tmp_path / "store")
    before, given = files(tmp_path), copy.deepcopy(task)
    with caplog.at_level(logging.INFO, logger="rollwright"):
        made = replace_task_handler_with_cache(task, ".")
    written = files(tmp_path) - before
    assert written
    assert all(path.is_relative_to(tmp_path / "store") for path in written)
    assert {path.suffix for path in written} <= {".f32", ".json", ".list", ""}
    assert made == task == given
    assert made["dataset"] is not task["dataset"]
    assert fingerprint(made) == fingerprint(task)

    caplog.clear()
    with caplog.at_level(logging.INFO, logger="rollwright"):
        dataset = init_instance_by_config(made["dataset"])
        assert len(dataset.prepare("train"))
    assert "features.built" not in caplog.text


def test_another_folder_for_the_cache_is_refused_before_anything_is_computed(task: dict, tmp_path: Path) -> None:
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=r"would have no effect(.|\n)*hint: .*store\.path"):
        replace_task_handler_with_cache(task, cache_dir=tmp_path / "cache")
    assert files(tmp_path) == before


def test_the_model_learns_the_same_with_it_and_without(task: dict, tmp_path: Path) -> None:
    scores = []
    for number, definition in enumerate((lambda: task, lambda: replace_task_handler_with_cache(task))):
        C["store.path"] = str(tmp_path / str(number))
        ready = definition()
        model, dataset = init_instance_by_config(ready["model"]), init_instance_by_config(ready["dataset"])
        model.fit(dataset)
        scores.append(model.predict(dataset))
    pd.testing.assert_series_equal(*scores)


def test_s3_s4_new_data_are_never_hidden_by_what_was_cached(tmp_path: Path) -> None:
    days = pd.bdate_range("2021-01-04", periods=40)

    def rows(close: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"symbol": "A", "date": days, "close": close, "open": close})

    prices = np.linspace(10, 20, len(days))
    import_market(rows(prices), tmp_path / "market")
    init(provider_uri=str(tmp_path / "market"))
    loader = {"class": "QlibDataLoader", "kwargs": {"config": ["$close"]}}
    task = {"dataset": {"kwargs": {"handler": {"class": "DataHandler", "kwargs": {"data_loader": loader}}}}}
    loader["module_path"] = "rollwright.dataset.loader"
    replace_task_handler_with_cache(task)
    import_market(rows(prices + 1), tmp_path / "market", revise=True)
    handler = init_instance_by_config(
        replace_task_handler_with_cache(task)["dataset"]["kwargs"]["handler"], "rollwright.dataset.handler"
    )
    np.testing.assert_array_equal(handler.fetch()["$close"], (prices + 1).astype(np.float32))


def test_what_cannot_be_computed_is_told_now(task: dict) -> None:
    task["dataset"]["kwargs"]["handler"]["kwargs"]["instruments"] = "alll"
    with pytest.raises(UnknownInstrumentError, match="alll"):
        replace_task_handler_with_cache(task)


@pytest.mark.parametrize(
    ("broken", "told"),
    [({}, "`dataset`"), ({"dataset": {"kwargs": {}}}, "`dataset.kwargs.handler`"), ({"dataset": 3}, "dataset.kwargs")],
)
def test_a_task_without_a_handler_is_an_error(broken: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        replace_task_handler_with_cache(broken)
