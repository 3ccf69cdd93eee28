"""One suite over every model: see `rollwright.testing.model`."""

from __future__ import annotations

import pytest

from rollwright.testing.model import ModelContract, ModelTraits

ROUNDS = {"num_boost_round": 12, "early_stopping_rounds": 5}


def of(name: str, module: str, **kwargs) -> dict:
    return {"class": name, "module_path": module, "kwargs": kwargs}


class TestLightGBM(ModelContract):
    @pytest.fixture
    def config(self):
        return of("LGBModel", "qlib.contrib.model.gbdt", num_leaves=7, subsample=0.7, bagging_freq=1, **ROUNDS)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=True, finetunes=True, package="lightgbm", extra="lightgbm")


class TestDoubleEnsemble(ModelContract):
    @pytest.fixture
    def config(self):
        kwargs = {"num_leaves": 7, "num_models": 3, "epochs": 12, "early_stopping_rounds": 5, "learning_rate": 0.1}
        return of("DEnsembleModel", "qlib.contrib.model.double_ensemble", **kwargs)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=True, package="lightgbm", extra="lightgbm")


class TestXGBoost(ModelContract):
    @pytest.fixture
    def config(self):
        return of("XGBModel", "qlib.contrib.model.xgboost", max_depth=3, subsample=0.7, **ROUNDS)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=True, finetunes=True, package="xgboost", extra="xgboost")


class TestCatBoost(ModelContract):
    @pytest.fixture
    def config(self):
        return of("CatBoostModel", "qlib.contrib.model.catboost_model", depth=3, **ROUNDS)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=True, finetunes=True, package="catboost", extra="catboost")


class TestLinear(ModelContract):
    @pytest.fixture(
        params=[
            {"estimator": "ols"},
            {"estimator": "ridge", "alpha": 0.5, "fit_intercept": True},
            {"estimator": "lasso", "alpha": 0.01},
            {"estimator": "nnls", "fit_intercept": True},
        ],
        ids=lambda kwargs: kwargs["estimator"],
    )
    def config(self, request):
        return of("LinearModel", "qlib.contrib.model.linear", **request.param)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=False)


class TestGradientBoostingOfScikitLearn(ModelContract):
    @pytest.fixture
    def config(self):
        return of("HistGradientBoostingRegressor", "sklearn.ensemble", max_iter=10, max_leaf_nodes=7)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=True, package="sklearn", extra="sklearn")


class TestForestOfScikitLearn(ModelContract):
    @pytest.fixture
    def config(self):
        inner = of("ExtraTreesRegressor", "sklearn.ensemble", n_estimators=4, max_features=0.5, max_depth=5)
        return of("SklearnModel", "rollwright.models.sklearn", estimator=inner)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=True, package="sklearn", extra="sklearn")


class TestPerceptron(ModelContract):
    @pytest.fixture
    def config(self):
        network = {"input_dim": 5, "layers": [16]}
        steps = {"max_steps": 60, "eval_steps": 10, "batch_size": 100, "early_stop_rounds": 3}
        return of("DNNModelPytorch", "qlib.contrib.model.pytorch_nn", lr=0.05, pt_model_kwargs=network, **steps)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=False, package="torch", extra="torch")


class TestAnyNetwork(ModelContract):
    @pytest.fixture
    def config(self):
        network = {"pt_model_uri": "qlib.contrib.model.pytorch_nn.Net", "pt_model_kwargs": {"input_dim": 5}}
        return of(
            "GeneralPTNN", "qlib.contrib.model.pytorch_general_nn", n_epochs=12, batch_size=60, lr=0.01, **network
        )

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=False, package="torch", extra="torch")


SMALL = {"n_epochs": 30, "batch_size": 60, "lr": 0.03, "early_stop": 10}
SEQUENCES = {
    "lstm": ("LSTM", {"hidden_size": 8, "num_layers": 1, "dropout": 0.1}),
    "gru": ("GRU", {"hidden_size": 8, "num_layers": 2, "dropout": 0.1}),
    "alstm": ("ALSTM", {"hidden_size": 8, "num_layers": 1}),
    "tcn": ("TCN", {"n_chans": 8, "kernel_size": 2, "num_layers": 2, "dropout": 0.1}),
    "transformer": ("TransformerModel", {"d_model": 8, "num_layers": 1, "dropout": 0.1}),
}


def every(*fast: str) -> list:
    """Return the networks: those of `fast` in each run, the others, which learn by the same code, slow."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in SEQUENCES]


class TestSequencesAsRows(ModelContract):
    @pytest.fixture(params=every("lstm", "tcn"))
    def config(self, request):
        name, small = SEQUENCES[request.param]
        width = 5 if name == "TCN" else 1  # five sessions of one feature, but for convolutions, which see too little
        return of(name, f"qlib.contrib.model.pytorch_{request.param}", d_feat=width, **small, **SMALL)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=False, package="torch", extra="torch")


class TestSequencesAsWindows(ModelContract):
    @pytest.fixture(params=every("gru", "alstm", "transformer"))
    def config(self, request):
        name, small = SEQUENCES[request.param]
        return of(name, f"qlib.contrib.model.pytorch_{request.param}_ts", d_feat=5, **small, **SMALL)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=False, step_len=3, package="torch", extra="torch")


class TestAnyNetworkOverWindows(ModelContract):
    @pytest.fixture
    def config(self):
        network = {"d_feat": 5, "hidden_size": 8, "num_layers": 1}
        return of("GeneralPTNN", "qlib.contrib.model.pytorch_general_nn", pt_model_kwargs=network, **SMALL)

    @pytest.fixture
    def traits(self):
        return ModelTraits(takes_missing=False, step_len=3, package="torch", extra="torch")
