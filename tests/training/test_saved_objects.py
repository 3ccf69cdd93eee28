"""Objects that a configuration names by the file they were saved to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright import Alpha158, DatasetH, LGBModel
from rollwright.config.construct import Trust, init_instance_by_config
from rollwright.config.context import current_settings, install
from rollwright.dataset.handler import DataHandler
from rollwright.errors import ArtifactTypeError, ConstructError, CorruptArtifactError, UntrustedArtifactError
from rollwright.market.demo import make_demo_market
from rollwright.training.execute import task_train
from rollwright.training.user_code import code_hash


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "market"
    make_demo_market(folder, instruments=20, sessions=130, seed=5)
    return folder


@pytest.fixture
def folder(project, market: Path, tmp_path: Path) -> Path:
    here = tmp_path / "configuration"
    here.mkdir()
    given = {"data.provider_uri": str(market), "trust.folder": str(here)}
    install(current_settings().with_values(given, origin="test"))
    return here


@pytest.fixture
def task(folder: Path) -> dict:
    handler = Alpha158("all")
    sessions = handler.panel.dates.strftime("%Y-%m-%d")
    handler.to_pickle(folder / "handler.pkl")
    LGBModel(num_boost_round=3).to_pickle(folder / "model.pkl")
    segments = {"train": (sessions[61], sessions[100]), "test": (sessions[105], sessions[115])}
    return {
        "model": "file://model.pkl",
        "dataset": {"class": "DatasetH", "module_path": "rollwright.dataset.dataset"}
        | {"kwargs": {"handler": "file://handler.pkl", "segments": segments}},
        "record": [{"class": "SignalRecord"}],
    }


def test_a_saved_handler_and_a_saved_model_train_as_the_ones_they_were(folder, task) -> None:
    found = task_train(task, "saved").load_object("pred.pkl")
    plain = {**task, "model": {"class": "LGBModel", "module_path": "rollwright.models.lightgbm"}}
    plain["model"]["kwargs"] = {"num_boost_round": 3, "seed": 0}
    named = {"class": "Alpha158", "module_path": "rollwright.dataset.alpha", "kwargs": {"instruments": "all"}}
    plain["dataset"] = {**task["dataset"], "kwargs": {**task["dataset"]["kwargs"], "handler": named}}
    pd.testing.assert_frame_equal(found, task_train(plain, "saved").load_object("pred.pkl"))


def test_the_path_counts_from_the_configuration_or_is_absolute(folder, task, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    by_name = init_instance_by_config("file://model.pkl")
    by_path = init_instance_by_config({"class": f"file://{folder}/model.pkl"}, trust=Trust(folder=tmp_path))
    assert by_name.params == by_path.params


def test_what_nobody_signed_is_never_unpickled(folder, task) -> None:
    path = folder / "handler.pkl"
    raw = bytearray(path.read_bytes())
    raw[-7] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UntrustedArtifactError, match=r"handler\.pkl"):
        DatasetH("file://handler.pkl", task["dataset"]["kwargs"]["segments"])
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(CorruptArtifactError, match=r"handler\.pkl"):
        DatasetH("file://handler.pkl", task["dataset"]["kwargs"]["segments"])


def test_an_object_of_another_kind_is_refused(folder, task) -> None:
    with pytest.raises((ConstructError, ArtifactTypeError), match="holds a LGBModel, not a DataHandler"):
        init_instance_by_config("file://model.pkl", accept_types=DataHandler)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("file://nothing.pkl", "cannot be read"),
        ({"class": "file://model.pkl", "kwargs": {"loss": "mse"}}, "takes neither module_path nor kwargs"),
        ({"class": "file://model.pkl", "module_path": "rollwright"}, "takes neither module_path nor kwargs"),
    ],
)
def test_what_names_no_saved_object_is_refused(folder, task, config, said) -> None:
    with pytest.raises(ConstructError, match=said):
        init_instance_by_config(config)


def test_another_file_of_that_name_makes_results_stale(folder, task) -> None:
    trust = Trust.from_settings(current_settings())
    before = code_hash(task, trust)
    assert before
    LGBModel(num_boost_round=4).to_pickle(folder / "model.pkl")
    changed = code_hash(task, trust)
    (folder / "model.pkl").unlink()
    assert len({before, changed, code_hash(task, trust)}) == len(np.unique([before, changed])) + 1
