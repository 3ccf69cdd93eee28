"""Each model by its Qlib name, from a task's configuration to a prediction read back, on the demo market."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rollwright import Alpha158
from rollwright.codecs.registry import codecs
from rollwright.config.context import current_settings, install
from rollwright.errors import UntrustedArtifactError
from rollwright.market.demo import make_demo_market
from rollwright.tasks.identity import task_seed
from rollwright.training.execute import task_train

FILLED = [{"class": "RobustZScoreNorm", "kwargs": {"clip_outlier": True}}, {"class": "Fillna"}]
LEARN = [{"class": "DropnaLabel"}, {"class": "CSRankNorm", "kwargs": {"fields_group": "label"}}]
ROUNDS = {"num_boost_round": 8}

# As in Qlib's own benchmark files, but for the number of rounds.
MODELS = {
    "lightgbm": ("LGBModel", "qlib.contrib.model.gbdt", {"loss": "mse", "colsample_bytree": 0.8879, "max_depth": 8}),
    "double ensemble": (
        "DEnsembleModel",
        "qlib.contrib.model.double_ensemble",
        {"base_model": "gbm", "loss": "mse", "num_models": 3, "enable_sr": True, "enable_fs": True, "alpha1": 1}
        | {"alpha2": 1, "bins_sr": 10, "bins_fs": 5, "decay": 0.5, "sample_ratios": [0.8, 0.7, 0.6, 0.5, 0.4]}
        | {"sub_weights": [1, 0.2, 0.2], "epochs": 8, "num_leaves": 31, "verbosity": -1},
    ),
    "linear": ("LinearModel", "qlib.contrib.model.linear", {"estimator": "ridge", "alpha": 0.05}),
    "xgboost": (
        "XGBModel",
        "qlib.contrib.model.xgboost",
        {"eval_metric": "rmse", "colsample_bytree": 0.8879, "eta": 0.0421, "max_depth": 8, "subsample": 0.8789}
        | {"n_estimators": 8, "nthread": 2},
    ),
    "catboost": (
        "CatBoostModel",
        "qlib.contrib.model.catboost_model",
        {"loss": "RMSE", "learning_rate": 0.0421, "subsample": 0.8789, "max_depth": 6, "num_leaves": 100}
        | {"thread_count": 2, "grow_policy": "Lossguide", "bootstrap_type": "Poisson"},
    ),
    "scikit-learn": ("HistGradientBoostingRegressor", "sklearn.ensemble", {"max_iter": 8}),
    "by its path": ("sklearn.linear_model.Ridge", None, {}),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "market"
    make_demo_market(folder, instruments=20, sessions=130, seed=5)
    return folder


@pytest.fixture
def new_task(project, demo: Path):
    install(current_settings().with_values({"data.provider_uri": str(demo)}, origin="test"))

    def build(name: str, module: str | None, kwargs: dict) -> dict:
        sessions = Alpha158("all").panel.dates.strftime("%Y-%m-%d")
        handler = {"instruments": "all", "fit_start_time": sessions[61], "fit_end_time": sessions[90]}
        handler |= {"infer_processors": FILLED, "learn_processors": LEARN}
        segments = {"train": [sessions[61], sessions[90]], "valid": [sessions[91], sessions[99]]}
        rounds = ROUNDS if name in ("LGBModel", "CatBoostModel") else {}
        model = {"class": name, "kwargs": {**kwargs, **rounds}} | ({"module_path": module} if module else {})
        return {
            "model": model,
            "dataset": {
                "class": "DatasetH",
                "module_path": "qlib.data.dataset",
                "kwargs": {
                    "handler": {"class": "Alpha158", "module_path": "qlib.contrib.data.handler", "kwargs": handler},
                    "segments": {**segments, "test": [sessions[100], sessions[120]]},
                },
            },
            "record": {"class": "SignalRecord", "module_path": "qlib.workflow.record_temp"},
        }

    return build


@pytest.mark.parametrize(("name", "module", "kwargs"), MODELS.values(), ids=MODELS.keys())
def test_a_model_of_qlibs_files_learns_and_is_read_back(new_task, name: str, module: str | None, kwargs: dict) -> None:
    task = new_task(name, module, kwargs)
    recorder = task_train(task, "models")
    model, pred = recorder.load_object("params.pkl"), recorder.load_object("pred.pkl")
    assert codecs.for_object(model).kind != "envelope"
    assert model.params  # what its provenance tells
    scores = model.predict(recorder.load_object("dataset"))
    assert len(pred) > 200
    np.testing.assert_array_equal(pred["score"], scores)


def test_the_seed_of_a_task_reaches_the_model(new_task) -> None:
    for name, module, kwargs, read in (
        ("LGBModel", "qlib.contrib.model.gbdt", {"bagging_fraction": 0.5}, lambda model: model.params["seed"]),
        ("XGBModel", "qlib.contrib.model.xgboost", {"n_estimators": 2}, lambda model: model.params["seed"]),
        ("CatBoostModel", "qlib.contrib.model.catboost_model", {}, lambda model: model.params["random_seed"]),
        (
            "DEnsembleModel",
            "qlib.contrib.model.double_ensemble",
            {"num_models": 1, "epochs": 2},
            lambda model: model.params["seed"],
        ),
        ("Ridge", "sklearn.linear_model", {}, lambda model: model.model.random_state),
    ):
        task = new_task(name, module, kwargs)
        assert read(task_train(task, "models").load_object("params.pkl")) == task_seed(task)
    given = new_task("XGBModel", "qlib.contrib.model.xgboost", {"n_estimators": 2, "random_state": 3})
    assert "seed" not in task_train(given, "models").load_object("params.pkl").params


def test_an_estimator_that_could_not_be_read_back_is_refused_before_it_learns(new_task) -> None:
    kernel = {"kernel": None}
    task = new_task("GaussianProcessRegressor", "sklearn.gaussian_process", kernel)
    with pytest.raises(UntrustedArtifactError) as caught:
        task_train(task, "models")
    assert '[trust]\nmodules = ["sklearn.gaussian_process.kernels' in str(caught.value)
