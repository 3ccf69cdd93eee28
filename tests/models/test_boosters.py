"""What XGBoost's and CatBoost's models do beyond the suite they share."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from rollwright.core.fit_rounds import listen_to_rounds
from rollwright.errors import ConfigError, ModelError
from rollwright.models.catboost import CatBoostJsonCodec, CatBoostModel
from rollwright.models.lightgbm import LGBModel
from rollwright.models.xgboost import XGBModel, XGBoostJsonCodec

FEW = {"num_boost_round": 8, "early_stopping_rounds": 4}


def test_the_names_of_one_parameter_mean_the_same():
    assert XGBModel(n_estimators=12).num_boost_round == 12
    assert CatBoostModel(iterations=12).num_boost_round == 12
    with pytest.raises(ConfigError, match="`iterations` and `num_trees` are names of the same parameter"):
        CatBoostModel(iterations=12, num_trees=5)
    assert XGBModel(seed=4).params["seed"] == 4
    assert "seed" not in XGBModel(seed=4, random_state=5).params
    assert "random_seed" not in CatBoostModel(seed=4, random_state=5).params
    assert XGBModel().params == {"verbosity": 0, "nthread": 1, "seed": 0}
    assert "nthread" not in XGBModel(n_jobs=2).params


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: XGBModel(objective="multi:softprob", num_class=3), "does not give one score per sample"),
        (lambda: CatBoostModel(loss="MAE"), "`MAE` is none of RMSE, Logloss"),
        (lambda: CatBoostModel(loss_function="MultiClass"), "does not give one score per sample"),
        (lambda: CatBoostModel(cat_features=[0]), "every feature of a dataset is a number"),
    ],
)
def test_what_gives_no_score_is_refused(build, said):
    with pytest.raises(ConfigError, match=said):
        build()


@pytest.mark.parametrize("model", [XGBModel(max_depth="deep"), CatBoostModel(depth=99)], ids=["xgboost", "catboost"])
def test_parameters_the_library_refuses_become_our_error(dataset, model):
    with pytest.raises(ModelError, match=r"refuses to learn: [^\[]") as caught:
        model.fit(dataset)
    assert "Stack trace" not in str(caught.value)


def test_a_misspelled_parameter_is_found_before_anything_runs():
    asked = ["learing_rate", "max_depth", "num_leaves", "verbose_eval"]
    assert CatBoostModel.unknown_parameters(asked) == {"learing_rate": "learning_rate"}
    assert XGBModel.unknown_parameters(["learing_rate", "eta", "gamma"]) == {"learing_rate": "learning_rate"}


@pytest.mark.parametrize("cls", [LGBModel, XGBModel, CatBoostModel])
def test_early_stopping_watches_valid_only_where_there_is_one(cls, dataset, new_dataset):
    model = cls(num_boost_round=200, early_stopping_rounds=3, learning_rate=0.9)
    result: dict = {}
    model.fit(dataset, evals_result=result)
    assert model.best_iteration_ < 200
    assert set(result) == {"train", "valid"}
    assert result == model.evals_result_
    (metric,) = result["valid"]
    assert len(result["valid"][metric]) >= model.best_iteration_
    assert int(np.argmin(result["valid"][metric])) + 1 == model.best_iteration_
    whole = cls(num_boost_round=20)
    whole.fit(new_dataset(train=dataset.folds["train"], test=dataset.folds["test"]))
    assert whole.best_iteration_ == 20
    assert set(whole.evals_result_) == {"train"}


@pytest.mark.parametrize("cls", [LGBModel, XGBModel, CatBoostModel])
def test_each_round_of_a_fit_is_told_to_whoever_listens_and_changes_nothing(cls, dataset):
    told: list[tuple[int, int]] = []
    alone = cls(num_boost_round=4, early_stopping_rounds=None)
    alone.fit(dataset)
    with listen_to_rounds(lambda done, of: told.append((done, of))):
        heard = cls(num_boost_round=4, early_stopping_rounds=None)
        heard.fit(dataset)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert heard.to_text() == alone.to_text()


@pytest.mark.parametrize("cls", [LGBModel, XGBModel, CatBoostModel])
def test_the_evaluation_is_logged_and_not_printed(cls, dataset, caplog, capfd):
    with caplog.at_level(logging.INFO, logger="rollwright.models"):
        cls(num_boost_round=5).fit(dataset, verbose_eval=2)
    rounds = [record.args[0] for record in caplog.records if record.msg.startswith("model.round ")]
    assert len(rounds) >= 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("verbose", "logs"), [((), True), ((20,), True), ((None,), False), ((0,), False)])
@pytest.mark.parametrize("cls", [LGBModel, XGBModel, CatBoostModel])
def test_arguments_stand_where_qlib_has_them(cls, dataset, caplog, verbose, logs):
    given, result = (verbose, {}) if verbose else ((20,), {})
    with caplog.at_level(logging.INFO, logger="rollwright.models"):
        model = cls(num_boost_round=5)
        model.fit(dataset, 21, 0, *given, result)
        assert model.best_iteration_ == 21
        assert result == model.evals_result_
        if not verbose:
            caplog.clear()
            model.fit(dataset, 21, 0)
    rounds = {record.args[0] for record in caplog.records if record.msg.startswith("model.round ")}
    assert rounds - {0} == ({20} if logs else set())  # CatBoost counts from 1
    pd.testing.assert_series_equal(model(dataset, "valid"), model.predict(dataset, segment="valid"))


@pytest.mark.parametrize("cls", [LGBModel, XGBModel, CatBoostModel])
def test_the_importance_of_every_feature_is_told_by_its_name(cls, dataset, new_fold):
    names = ("Ref($close, 1)/$close", "b:[x]", "收盘", "d<1")
    dataset.folds = {key: new_fold(place, names=names) for place, key in enumerate(("train", "valid", "test"))}
    model = cls(**FEW)
    model.fit(dataset)
    importance = model.get_feature_importance()
    assert set(importance.index) == set(names)
    assert importance.is_monotonic_decreasing
    assert importance.index[0] in names[:2]


VARIANTS = {
    "dart": XGBModel(booster="dart", rate_drop=0.3, **FEW),
    "linear booster": XGBModel(booster="gblinear", **FEW),
    "pruned": XGBModel(tree_method="exact", gamma=5, **FEW),
    "approx": XGBModel(tree_method="approx", **FEW),
    "quantile": XGBModel(objective="reg:quantileerror", quantile_alpha=0.4, **FEW),
    "parallel trees": XGBModel(num_parallel_tree=3, subsample=0.5, colsample_bynode=0.5, **FEW),
    "leaf-wise": XGBModel(max_leaves=10, grow_policy="lossguide", **FEW),
    "monotone": XGBModel(monotone_constraints="(1,0,0,0)", **FEW),
    "no split": XGBModel(gamma=1e9, **FEW),
    "lossguide": CatBoostModel(grow_policy="Lossguide", num_leaves=10, **FEW),
    "depthwise": CatBoostModel(grow_policy="Depthwise", **FEW),
    "ordered": CatBoostModel(boosting_type="Ordered", **FEW),
    "absolute": CatBoostModel(loss_function="MAE", **FEW),
    "monotone cat": CatBoostModel(monotone_constraints=[1, 0, 0, 0], **FEW),
    "bayesian": CatBoostModel(bootstrap_type="Bayesian", bagging_temperature=2.0, **FEW),
    "no split cat": CatBoostModel(min_data_in_leaf=10**6, grow_policy="Lossguide", **FEW),
}


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_kind_of_model_survives_and_learns_on(model, dataset, tmp_path):
    codec = XGBoostJsonCodec() if isinstance(model, XGBModel) else CatBoostJsonCodec()
    model.fit(dataset)
    codec.write(model, tmp_path / "one.json")
    found = codec.read(tmp_path / "one.json")
    assert found.predict(dataset).equals(model.predict(dataset))
    model.finetune(dataset, 3)
    found.finetune(dataset, 3)  # right after another one: what is drawn must not depend on what ran before
    assert found.predict(dataset).equals(model.predict(dataset))


@pytest.mark.parametrize("cls", [XGBModel, CatBoostModel])
def test_the_number_of_threads_does_not_change_the_scores(cls, new_dataset, new_fold):
    data = new_dataset(train=new_fold(1, days=200, stocks=50), test=new_fold(3))
    threads = "nthread" if cls is XGBModel else "thread_count"
    one, two = cls(**FEW), cls(**FEW, **{threads: 2})
    one.fit(data)
    two.fit(data)
    np.testing.assert_allclose(one.predict(data), two.predict(data), rtol=1e-6)


def test_labels_of_two_classes_give_scores_that_part_them(dataset):
    for fold in dataset.folds.values():
        fold.label = (fold.label > 0).astype(np.float32)
    for model in (XGBModel(objective="binary:logistic", **FEW), CatBoostModel(loss="Logloss", **FEW)):
        model.fit(dataset)
        scores = model.predict(dataset)
        label = dataset.folds["test"].label > 0
        assert scores[label].mean() > scores[~label].mean()


def test_a_bootstrap_only_a_gpu_can_is_replaced_and_told(dataset, caplog):
    model = CatBoostModel(bootstrap_type="Poisson", subsample=0.8, **FEW)
    with caplog.at_level(logging.WARNING, logger="rollwright.models"):
        model.fit(dataset)
    assert "name=bootstrap_type given=Poisson used=Bernoulli" in caplog.text
    assert model.params["bootstrap_type"] == "Poisson"


def test_catboost_leaves_nothing_in_the_working_folder(dataset, tmp_path, monkeypatch):
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    model = CatBoostModel(**FEW)
    model.fit(dataset)
    model.predict(dataset)
    assert not list(folder.iterdir())


def test_labels_that_are_all_equal_are_refused_where_the_library_does(dataset):
    dataset.folds["train"].label[:] = 1.0
    with pytest.raises(ModelError, match="CatBoost refuses to learn"):
        CatBoostModel(**FEW).fit(dataset)


SHRINKING = {
    "dart": (XGBModel, {"booster": "dart", "rate_drop": 0.5, "eta": 0.3, "max_depth": 3}),
    "dart, one always": (XGBModel, {"booster": "dart", "one_drop": 1, "eta": 0.3, "subsample": 0.7}),
    "trees": (XGBModel, {"eta": 0.5, "max_depth": 3}),
    "shrink": (CatBoostModel, {"model_shrink_rate": 0.1, "depth": 3}),
    "shrink less and less": (
        CatBoostModel, {"model_shrink_rate": 0.1, "model_shrink_mode": "Decreasing", "learning_rate": 0.4},
    ),
    "langevin": (CatBoostModel, {"langevin": True, "learning_rate": 0.4}),
    "posterior": (CatBoostModel, {"posterior_sampling": True, "learning_rate": 0.4}),
    "dart of LightGBM": (LGBModel, {"boosting": "dart", "drop_rate": 0.5, "learning_rate": 0.4, "metric": "rmse"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHRINKING)
def test_the_model_that_is_kept_is_the_one_that_was_evaluated(kind, dataset, tmp_path):
    cls, given = SHRINKING[kind]
    model = cls(num_boost_round=60, early_stopping_rounds=8, **given)
    model.fit(dataset)
    told = {name.lower(): values for name, values in model.evals_result_["valid"].items()}["rmse"]
    error = model.predict(dataset, "valid").to_numpy() - dataset.folds["valid"].label
    assert np.sqrt((error**2).mean()) == pytest.approx(told[model.best_iteration_ - 1], rel=1e-6)
    if cls is not LGBModel:
        assert model.best_iteration_ < len(told)
        assert told[model.best_iteration_ - 1] == min(told)


def test_a_model_that_does_not_come_out_twice_is_refused(dataset, monkeypatch):
    grow = XGBModel._grow

    def drift(self, *args, like=None, **kwargs):
        other = XGBModel(booster="dart", rate_drop=0.5, eta=0.1)
        return grow(self if like is None else other, *args, like=like, **kwargs)

    monkeypatch.setattr(XGBModel, "_grow", drift)
    with pytest.raises(ModelError, match="a second time"):
        XGBModel(num_boost_round=60, early_stopping_rounds=8, booster="dart", rate_drop=0.5, eta=0.3).fit(dataset)


def test_early_stopping_that_lightgbm_leaves_out_is_said(dataset, caplog):
    LGBModel(num_boost_round=4, early_stopping_rounds=2, boosting_type="dart").fit(dataset)
    assert "model.no_early_stopping library=LightGBM boosting=dart rounds=4" in caplog.text


@pytest.mark.parametrize("cls", [LGBModel, XGBModel, CatBoostModel])
@pytest.mark.parametrize("rounds", [0, -1, 2.5, "20", True])
def test_a_number_of_rounds_that_is_none_is_refused_alike(cls, rounds, dataset):
    for fit in (
        lambda: cls(num_boost_round=rounds).fit(dataset),
        lambda: cls(num_boost_round=2).fit(dataset, num_boost_round=rounds),
    ):
        with pytest.raises(ModelError, match=f"cannot learn with num_boost_round = {rounds!r}"):
            fit()
    with pytest.raises(ModelError, match="early_stopping_rounds = -3"):
        cls(num_boost_round=2, early_stopping_rounds=-3).fit(dataset)
    model = cls(num_boost_round=2)
    model.fit(dataset)
    with pytest.raises(ModelError, match="num_boost_round"):
        model.finetune(dataset, num_boost_round=rounds)
