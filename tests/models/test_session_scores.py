"""A session that is scored alone has the very bits that it has among others: what is served equals what was tested."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset.contract import Fold
from rollwright.models.catboost import CatBoostModel
from rollwright.models.double_ensemble import DEnsembleModel
from rollwright.models.lightgbm import LGBModel
from rollwright.models.linear import LinearModel
from rollwright.models.sklearn import SklearnModel
from rollwright.models.xgboost import XGBModel

SIZES = (1, 2, 3, 500, 1, 499, 64, 65, 127, 333, 7, 32)
SESSIONS = np.repeat(np.arange(len(SIZES)), SIZES)
MODELS = {
    "ols": lambda: LinearModel("ols"),
    "ridge": lambda: LinearModel("ridge", alpha=0.1),
    "nnls": lambda: LinearModel("nnls"),
    "lasso": lambda: LinearModel("lasso", alpha=0.001),
    "lightgbm": lambda: LGBModel(num_boost_round=10, early_stopping_rounds=0),
    "double ensemble": lambda: DEnsembleModel(num_models=3, epochs=5),
    "xgboost": lambda: XGBModel(num_boost_round=10),
    "xgboost-linear": lambda: XGBModel(num_boost_round=10, booster="gblinear", tree_method=None),
    "catboost": lambda: CatBoostModel(num_boost_round=10),
}
ESTIMATORS = {
    "linear_model.LinearRegression": {},
    "linear_model.HuberRegressor": {"max_iter": 20},
    "linear_model.LogisticRegression": {},
    "cross_decomposition.PLSRegression": {"n_components": 3},
    "ensemble.RandomForestRegressor": {"n_estimators": 5, "max_depth": 4},
    "ensemble.ExtraTreesRegressor": {"n_estimators": 5, "max_depth": 4},
    "ensemble.HistGradientBoostingRegressor": {"max_iter": 5},
    "ensemble.GradientBoostingRegressor": {"n_estimators": 5},
    "kernel_ridge.KernelRidge": {"kernel": "rbf"},
    "neighbors.KNeighborsRegressor": {},
    "svm.SVR": {"max_iter": -1},
}


class Samples:
    """Random samples as a dataset."""

    def __init__(self, number: int, sessions: np.ndarray, places: np.ndarray | None = None) -> None:
        random = np.random.default_rng(number)
        features = random.normal(size=(len(sessions), 37)).astype(np.float32)
        label = (features[:, 0] + random.normal(size=len(features)) > 0).astype(np.float32)
        keep = np.arange(len(sessions)) if places is None else places
        stocks = np.concatenate([np.arange(count) for count in np.bincount(sessions)])
        levels = [pd.bdate_range("2020-01-01", periods=200), [f"S{stock:03d}" for stock in range(600)]]
        index = pd.MultiIndex(levels=levels, codes=[sessions, stocks], names=["datetime", "instrument"])[keep]
        names = tuple(f"f{place}" for place in range(features.shape[1]))
        self.segments = {"train": None, "test": None}
        self._fold = Fold(features=features[keep].copy(), label=label[keep], index=index, names=names)

    def fold(self, segment, *, data_key):
        return self._fold

    def inference_index(self, segment):
        return self._fold.index


def make(name):
    if name in MODELS:
        return MODELS[name]()
    module, _, kind = name.rpartition(".")
    config = {"class": kind, "module_path": f"sklearn.{module}", "kwargs": ESTIMATORS[name]}
    return SklearnModel(config, seed=1)


@pytest.mark.parametrize("name", [*MODELS, *ESTIMATORS])
@pytest.mark.filterwarnings("ignore")  # of solvers that stop early
def test_a_session_alone_has_the_bits_that_it_has_among_others(name):
    if name in ESTIMATORS:
        pytest.importorskip("sklearn")
    model = make(name)
    model.fit(Samples(1, np.repeat(np.arange(60), 5)))
    whole = model.predict(Samples(2, SESSIONS))
    for session in range(len(SIZES)):
        places = np.flatnonzero(session == SESSIONS)
        alone = model.predict(Samples(2, SESSIONS, places))
        pd.testing.assert_series_equal(alone, whole.iloc[places], check_exact=True)
        assert alone.to_numpy().tobytes() == whole.to_numpy()[places].tobytes()
