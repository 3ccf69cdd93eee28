"""Handlers, datasets, loaders and processors in files: rules reach into them, and data are read anew."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.config.context import init
from rollwright.dataset.alpha import Alpha158
from rollwright.dataset.codec import DatasetCodec
from rollwright.dataset.dataset import DatasetH
from rollwright.dataset.handler import DataHandler, DataHandlerLP
from rollwright.dataset.loader import NestedDataLoader, QlibDataLoader, StaticDataLoader
from rollwright.dataset.processors import ZScoreNorm
from rollwright.errors import UnknownSettingError
from rollwright.market.demo import make_demo_market
from rollwright.signing.serializable import Serializable
from rollwright.tasks.rolling import RollingGen

FIT = ("2020-01-01", "2020-03-31")


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    """Return a small demo market."""
    folder = tmp_path_factory.mktemp("market")
    make_demo_market(folder, instruments=60, sessions=160, start="2020-01-02")
    return folder


def made(market: Path, **kwargs) -> DatasetH:
    init(provider_uri=str(market))
    handler = Alpha158(
        "all", start_time="2020-01-02", end_time="2020-07-31", fit_start_time=FIT[0], fit_end_time=FIT[1],
        infer_processors=[{"class": "RobustZScoreNorm", "kwargs": {"fields_group": "feature"}}], **kwargs,
    )  # fmt: skip
    return DatasetH(handler, {"train": FIT, "test": ("2020-05-01", "2020-06-30")})


def test_a_dataset_comes_back_without_its_data_and_reads_them_again(market, tmp_path):
    dataset = made(market)
    expected = dataset.prepare("test", col_set="feature", data_key="infer")
    dataset.to_pickle(tmp_path / "dataset.pkl")
    assert (tmp_path / "dataset.pkl").stat().st_size < 200_000
    loaded = DatasetH.load(tmp_path / "dataset.pkl")
    assert loaded.handler._opened is None
    assert loaded.handler._whole == {}
    assert loaded.handler._fitted == dataset.handler._fitted != set()  # S10: what was learnt is not learnt again
    pd.testing.assert_frame_equal(loaded.prepare("test", col_set="feature", data_key="infer"), expected)
    assert loaded.describe() == dataset.describe()


def test_a_configuration_comes_back_with_its_nan_and_its_pair(market, tmp_path):
    init(provider_uri=str(market))
    fill = {"class": "Fillna", "kwargs": {"fields_group": "feature", "fill_value": float("nan")}}
    handler = {
        "class": "DataHandlerLP", "module_path": "rollwright.dataset.handler",
        "kwargs": {
            "instruments": "all", "start_time": "2020-01-02", "end_time": "2020-07-31", "infer_processors": [fill],
            "data_loader": {"class": "QlibDataLoader", "kwargs": {"config": {"feature": (["$close"], ["C"])}}},
        },
    }  # fmt: skip
    dataset = DatasetH(handler, {"train": FIT, "test": ("2020-05-01", "2020-06-30")})
    path = tmp_path / "dataset.json"
    DatasetCodec().write(dataset, path)
    back = DatasetCodec().read(path)
    processor = back.describe()["kwargs"]["handler"]["kwargs"]["infer_processors"][0]
    assert math.isnan(processor["kwargs"]["fill_value"])
    pd.testing.assert_frame_equal(back.prepare("test"), dataset.prepare("test"))


def test_a_pickled_handler_sees_the_days_that_were_added_since(market, tmp_path):
    grown = tmp_path / "grown"
    make_demo_market(grown, instruments=60, sessions=130, start="2020-01-02")
    init(provider_uri=str(grown))
    handler = DataHandler("all", "2020-06-01", None, data_loader=QlibDataLoader({"feature": ["$close"]}))
    before = handler.fetch()
    handler.to_pickle(tmp_path / "handler.pkl", dump_all=True)
    init(provider_uri=str(market))
    loaded = DataHandler.load(tmp_path / "handler.pkl")
    assert len(loaded.fetch()) > len(before)
    assert loaded.fetch().index.get_level_values("datetime").max() > before.index.get_level_values("datetime").max()


def test_a_pickled_generator_plans_the_windows_of_the_days_added_since(market, tmp_path):
    """G7: a calendar is asked for, never carried along."""
    grown = tmp_path / "grown"
    make_demo_market(grown, instruments=60, sessions=100, start="2020-01-02")
    init(provider_uri=str(grown))
    segments = {"train": ("2020-01-02", "2020-02-28"), "test": ("2020-03-16", None)}
    task = {"dataset": {"class": "DatasetH", "kwargs": {"handler": {"class": "H", "kwargs": {}}, "segments": segments}}}
    Serializable.general_dump(RollingGen(step=20, ds_extra_mod_func=None), tmp_path / "gen.pkl")
    before = len(RollingGen(step=20, ds_extra_mod_func=None).generate(task))
    init(provider_uri=str(market))
    loaded = Serializable.get_backend().loads((tmp_path / "gen.pkl").read_bytes())
    assert len(loaded.generate(task)) == len(RollingGen(step=20, ds_extra_mod_func=None).generate(task)) > before


def test_s2_rules_reach_the_loaders_and_processors_of_a_dataset():
    frame = pd.DataFrame(
        {("feature", "x"): np.arange(4.0)},
        index=pd.MultiIndex.from_product(
            [pd.date_range("2020-01-01", periods=2), ["A", "B"]], names=["datetime", "instrument"]
        ),
    )
    loaders = [StaticDataLoader(frame), StaticDataLoader(frame)]
    handler = DataHandlerLP(
        data_loader=NestedDataLoader(loaders), infer_processors=[ZScoreNorm(*FIT, fields_group="feature")]
    )
    dataset = DatasetH(handler, {"test": ("2020-01-01", "2020-01-02")})
    dataset.config(dump_all=True, recursive=True)
    within = [dataset, handler, handler.data_loader, *handler.data_loader.data_loader_l, *handler.infer_processors]
    assert [item.dump_all for item in within] == [True] * 6
    dataset.config(dump_all=False)
    assert [item.dump_all for item in within] == [False, *[True] * 5]
    with pytest.raises(UnknownSettingError, match="segmants"):
        dataset.config(segmants={}, dump_all=True)
    handler.infer_processors[0].config(dump_all=False, fit_end_time="2020-01-02")
    assert (handler.infer_processors[0].dump_all, handler.infer_processors[0].fit_end_time) == (False, "2020-01-02")


def test_s8_a_static_loader_comes_back_with_its_frame(tmp_path):
    index = pd.MultiIndex.from_product(
        [pd.date_range("2020-01-01", periods=2), ["A"]], names=["datetime", "instrument"]
    )
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=index)
    handler = DataHandler(data_loader=StaticDataLoader(frame))
    expected = handler.fetch()
    handler.to_pickle(tmp_path / "h.pkl")
    pd.testing.assert_frame_equal(DataHandler.load(tmp_path / "h.pkl").fetch(), expected)
