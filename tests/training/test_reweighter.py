"""A reweighter named by a task is built and weighs every sample it learns from (census R4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright import Alpha158, DatasetH, LGBModel, Reweighter
from rollwright.config.context import current_settings, install
from rollwright.errors import ModelError
from rollwright.market.demo import make_demo_market
from rollwright.training.execute import task_train

OWN = """\
from rollwright import Reweighter


class Recent(Reweighter):
    def __init__(self, halflife):
        self.halflife = halflife

    def reweight(self, data):
        dates = data.index.get_level_values("datetime")
        age = (dates.max() - dates).days
        return 0.5 ** (age / self.halflife)


class Negative(Reweighter):
    def reweight(self, data):
        return [-1.0] * len(data)


class Short(Reweighter):
    def reweight(self, data):
        return [1.0]
"""


class Recent(Reweighter):
    def reweight(self, data):
        dates = data.index.get_level_values("datetime")
        return 0.5 ** ((dates.max() - dates).days / 10)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "market"
    make_demo_market(folder, instruments=20, sessions=130, seed=5)
    return folder


@pytest.fixture
def task(project, demo: Path, tmp_path: Path) -> dict:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.py").write_text(OWN)
    values = {"trust.folder": str(tmp_path / "own"), "data.provider_uri": str(demo)}
    install(current_settings().with_values(values, origin="test"))
    sessions = Alpha158("all").panel.dates.strftime("%Y-%m-%d")
    segments = {"train": (sessions[61], sessions[90]), "test": (sessions[100], sessions[120])}
    handler = {"class": "Alpha158", "module_path": "rollwright.dataset.alpha", "kwargs": {"instruments": "all"}}
    model = {"num_boost_round": 5, "num_leaves": 7, "seed": 1}
    return {
        "model": {"class": "LGBModel", "module_path": "rollwright.models.lightgbm", "kwargs": model},
        "dataset": {
            "class": "DatasetH",
            "module_path": "rollwright.dataset.dataset",
            "kwargs": {"handler": handler, "segments": segments},
        },
    }


def with_weights(task: dict, name: str, **kwargs) -> dict:
    return {**task, "reweighter": {"class": name, "module_path": "own.py", "kwargs": kwargs}}


def scores(task: dict) -> pd.Series:
    recorder = task_train(task, "weights")
    return recorder.load_object("params.pkl").predict(recorder.load_object("dataset"))


def test_r4_a_configured_reweighter_is_what_an_instance_is(task: dict) -> None:
    weighted = scores(with_weights(task, "Recent", halflife=10))
    dataset = DatasetH(Alpha158("all"), task["dataset"]["kwargs"]["segments"])
    model = LGBModel(**task["model"]["kwargs"])
    model.fit(dataset, reweighter=Recent())
    pd.testing.assert_series_equal(weighted, model.predict(dataset))
    assert not np.allclose(weighted, scores(task))


def test_a_huge_halflife_weighs_all_alike(task: dict) -> None:
    np.testing.assert_allclose(scores(with_weights(task, "Recent", halflife=1e12)), scores(task), atol=1e-7)


@pytest.mark.parametrize("name", ["Negative", "Short"])
def test_weights_that_fit_no_samples_fail_the_task(task: dict, name: str) -> None:
    with pytest.raises(ModelError, match="weights"):
        task_train(with_weights(task, name), "weights")
