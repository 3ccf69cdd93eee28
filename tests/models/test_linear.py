from __future__ import annotations

import json
import logging
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.linear_model import Lasso, LinearRegression, Ridge

from rollwright.errors import ConfigError, CorruptArtifactError, ModelError
from rollwright.models.linear import LinearModel
from rollwright.models.linear_codec import LinearCodec, _checksum  # as who makes numbers up would sign them

NAMES = tuple(f"f{place}" for place in range(12))
WEIGHTS = np.random.default_rng(7).random(2000).astype(np.float32)


class Weighted:
    def reweight(self, frame):
        return WEIGHTS[: len(frame)]


@pytest.fixture
def data(new_dataset, new_fold):
    """2,000 rows with a copy, an offset, another scale and a constant among the features."""
    folds = {key: new_fold(place, days=100, names=NAMES) for place, key in enumerate(("train", "valid", "test"))}
    for fold in folds.values():
        features = np.nan_to_num(fold.features)
        features[:, 3] = 2 * features[:, 2]
        features[:, 4] += 100
        features[:, 5] *= 1e4
        features[:, 6] = 0
        fold.features = features
    return new_dataset(**folds)


def arrays(data, *segments):
    folds = [data.folds[segment] for segment in segments]
    features = np.concatenate([fold.features for fold in folds]).astype(np.float64)
    return features, np.concatenate([fold.label for fold in folds]).astype(np.float64)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("intercept", [False, True], ids=["through zero", "intercept"])
@pytest.mark.parametrize(
    ("estimator", "alpha", "peer"),
    [
        ("ols", 0.0, LinearRegression()),
        ("ridge", 3.0, Ridge(alpha=3.0, solver="svd")),
        ("ridge", 0.0, LinearRegression()),
        ("lasso", 0.02, Lasso(alpha=0.02, tol=1e-12, max_iter=100_000)),
        ("lasso", 0.0, LinearRegression()),
    ],
)
def test_the_coefficients_are_those_of_the_whole_matrix(data, estimator, alpha, peer, intercept, weighted):
    features, label = arrays(data, "train")
    model = LinearModel(estimator, alpha, intercept)
    model.fit(data, Weighted() if weighted else None)
    peer.set_params(fit_intercept=intercept)
    peer.fit(features, label, sample_weight=WEIGHTS.astype(np.float64) if weighted else None)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-8, rtol=1e-6)
    np.testing.assert_allclose(model.predict(data, "train"), peer.predict(features), atol=1e-7)


@pytest.mark.parametrize("intercept", [False, True], ids=["through zero", "intercept"])
def test_no_coefficient_of_nnls_is_negative_and_none_is_worse_than_the_peers(data, intercept):
    features, label = arrays(data, "train")
    table = np.c_[features, np.ones(len(features))] if intercept else features
    best, residual = nnls(table, label)
    model = LinearModel("nnls", fit_intercept=intercept)
    model.fit(data)
    found = np.r_[model.coef_, model.intercept_] if intercept else model.coef_
    assert (found >= 0).all()
    assert np.linalg.norm(table @ found - label) <= residual * (1 + 1e-12)
    np.testing.assert_allclose(table @ found, table @ best, atol=1e-8)


def test_valid_is_learnt_from_when_asked(data):
    both, one = LinearModel(include_valid=True), LinearModel()
    both.fit(data)
    one.fit(data)
    features, label = arrays(data, "train", "valid")
    np.testing.assert_allclose(both.coef_, np.linalg.lstsq(features, label)[0], atol=1e-8)
    assert not np.allclose(both.coef_, one.coef_)
    del data.folds["valid"]
    both.fit(data)
    assert both.coef_.tobytes() == one.coef_.tobytes()


def test_rows_with_a_missing_feature_are_left_out_and_told(data, caplog):
    train = data.folds["train"]
    whole = LinearModel()
    train.features[::4, 1] = np.nan
    with caplog.at_level(logging.WARNING, logger="rollwright.models"):
        whole.fit(data)
    assert "model.rows_with_missing_features dropped=500 rows=2000 names=f1" in caplog.text
    keep = ~np.isnan(train.features).any(axis=1)
    train.features, train.label, train.index = train.features[keep], train.label[keep], train.index[keep]
    left = LinearModel()
    left.fit(data)
    np.testing.assert_allclose(whole.coef_, left.coef_, atol=1e-12)


def test_what_leaves_no_row_is_named(data):
    data.folds["train"].features[:, 2] = np.nan
    with pytest.raises(ModelError, match=r"none of 2000 rows of segment `train` has all its features: .* in f2"):
        LinearModel().fit(data)
    data.folds["train"].features[::2, 2] = 0
    data.folds["train"].features[1::2, 2] = 0
    data.folds["train"].features[::2, 7] = np.nan
    data.folds["train"].features[1::2, 8] = np.nan
    with pytest.raises(ModelError, match="they are NaN in f7, f8"):
        LinearModel().fit(data)


def test_weights_of_zero_teach_nothing(data):
    class Zero:
        def reweight(self, frame):
            return np.zeros(len(frame))

    with pytest.raises(ModelError, match="weights of all rows are zero"):
        LinearModel().fit(data, Zero())


def test_learning_takes_no_copy_of_the_features(new_dataset, new_fold):
    fold = new_fold(1, days=1000, stocks=100, names=tuple(f"f{place}" for place in range(40)))
    fold.features = np.nan_to_num(fold.features)
    fold.features.flags.writeable = False
    data = new_dataset(train=fold, test=fold)
    tracemalloc.start()
    model = LinearModel()
    model.fit(data)
    model.predict(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < fold.features.nbytes, "a copy in float64 would be twice as large"


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"estimator": "elastic"}, "`elastic` is none of ols, ridge, lasso, nnls"),
        ({"alpha": 0.5}, "alpha is 0.5 and `ols` has none"),
        ({"estimator": "nnls", "alpha": 1.0}, "`nnls` has none"),
        ({"estimator": "ridge", "alpha": -1.0}, "it is 0 or more"),
        ({"estimator": "ridge", "alpha": float("nan")}, "it is 0 or more"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(kwargs, said):
    with pytest.raises(ConfigError, match=said):
        LinearModel(**kwargs)


def test_a_person_can_read_the_file(data, tmp_path):
    model = LinearModel("ridge", alpha=0.1, fit_intercept=True)
    model.fit(data)
    LinearCodec().write(model, tmp_path / "model.json")
    found = json.loads((tmp_path / "model.json").read_text())
    assert found["estimator"] == "ridge"
    assert dict(zip(found["feature_names"], found["coefficients"], strict=True))["f0"] == model.coef_[0]


CORRUPTIONS = {
    "no object": lambda state: [],
    "version": lambda state: {**state, "version": 2},
    "fewer": lambda state: {**state, "coefficients": state["coefficients"][:-1]},
    "text": lambda state: {**state, "coefficients": ["1"] * 12},
    "infinite": lambda state: {**state, "coefficients": [1e999] * 12},
    "estimator": lambda state: {**state, "estimator": "magic"},
    "alpha": lambda state: {**state, "alpha": "1"},
    "huge alpha": lambda state: {**state, "alpha": 10**400},
    "flag": lambda state: {**state, "fit_intercept": 1},
    "missing": lambda state: {key: value for key, value in state.items() if key != "intercept"},
    "names": lambda state: {**state, "feature_names": [1] * 12},
    "checksum": lambda state: {**state, "alpha": 0.25},
}


@pytest.mark.parametrize("change", CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
def test_a_file_that_lies_is_refused(data, tmp_path, change):
    model = LinearModel("ridge", alpha=0.1)
    model.fit(data)
    path = tmp_path / "model.json"
    LinearCodec().write(model, path)
    state = json.loads(path.read_text())
    del state["sha256"]
    changed = change(state)
    if isinstance(changed, dict):
        changed["sha256"] = _checksum(state if changed.get("alpha") == 0.25 else changed)
    path.write_text(json.dumps(changed))
    with pytest.raises(CorruptArtifactError, match=r"model\.json"):
        LinearCodec().read(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"NaN"])
def test_garbage_is_refused(tmp_path, content):
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"model\.json"):
        LinearCodec().read(path)
