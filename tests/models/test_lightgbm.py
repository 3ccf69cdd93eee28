from __future__ import annotations

import logging

import lightgbm
import numpy as np
import pandas as pd
import pytest

from rollwright.errors import ConfigError, ModelError
from rollwright.models.base import Model
from rollwright.models.lightgbm import LGBModel

SMALL = {"num_leaves": 7, "num_boost_round": 30, "early_stopping_rounds": 5}


def text_of(model):
    return model.model.model_to_string()


def test_the_constructor_has_the_defaults_of_the_name_it_carries():
    model = LGBModel()
    assert (model.loss, model.early_stopping_rounds, model.num_boost_round) == ("mse", 50, 1000)
    assert model.params["objective"] == "mse"
    assert isinstance(model, Model)


def test_a_loss_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="`mae` is none of mse, binary"):
        LGBModel(loss="mae")


def test_parameters_pass_to_lightgbm_and_aliases_are_not_given_twice():
    model = LGBModel(colsample_bytree=0.9, n_jobs=2, random_state=7, verbose=0, force_col_wise=True, n_estimators=12)
    assert model.params["colsample_bytree"] == 0.9
    assert not {"num_threads", "seed", "verbosity", "force_row_wise"} & set(model.params)
    assert model.num_boost_round == 12


def test_two_fits_of_the_same_data_give_the_same_bytes(dataset):
    first, second = LGBModel(**SMALL, subsample=0.7, bagging_freq=1), LGBModel(**SMALL, subsample=0.7, bagging_freq=1)
    first.fit(dataset)
    second.fit(dataset)
    assert text_of(first) == text_of(second)
    assert first.predict(dataset).equals(second.predict(dataset))


def test_the_number_of_threads_does_not_change_the_scores(new_dataset, new_fold):
    data = new_dataset(train=new_fold(1, days=200, stocks=50), test=new_fold(3))
    one, two = LGBModel(**SMALL), LGBModel(**SMALL, num_threads=2)
    one.fit(data)
    two.fit(data)
    assert one.predict(data).equals(two.predict(data))


def test_another_seed_gives_another_model(dataset):
    first, second = (
        LGBModel(**SMALL, subsample=0.5, bagging_freq=1),
        LGBModel(**SMALL, subsample=0.5, bagging_freq=1, seed=1),
    )
    first.fit(dataset)
    second.fit(dataset)
    assert not first.predict(dataset).equals(second.predict(dataset))


def test_without_a_seed_the_scores_are_those_of_the_plain_library(dataset):
    drawn = {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5, "learning_rate": 0.3}
    ours = LGBModel(num_boost_round=20, early_stopping_rounds=None, **drawn)
    assert not {"seed", "random_state"} & ours.params.keys()
    ours.fit(dataset)
    train = dataset.folds["train"]
    plain = lightgbm.train(
        {"objective": "mse", "verbosity": -1, **drawn}, lightgbm.Dataset(train.features, label=train.label), 20
    )
    wanted = plain.predict(dataset.folds["test"].features)
    np.testing.assert_allclose(ours.predict(dataset).to_numpy(), wanted, rtol=1e-9, atol=1e-12)
    assert LGBModel(seed=0).params["seed"] == 0


def test_learning_reads_the_learn_view_and_scoring_the_infer_view(dataset):
    model = LGBModel(**SMALL)
    model.fit(dataset)
    model.predict(dataset)
    assert dataset.asked == [("train", "learn"), ("valid", "learn"), ("test", "infer")]


def test_scores_stand_on_the_inference_index_in_its_order(dataset):
    model = LGBModel(**SMALL)
    model.fit(dataset)
    scores = model.predict(dataset)
    assert scores.name == "score"
    assert scores.dtype == np.float64
    assert scores.index.equals(dataset.inference_index("test"))
    label = pd.Series(dataset.folds["test"].label, index=scores.index)
    assert scores.corr(label) > 0.3


def test_early_stopping_watches_valid_only_where_there_is_one(dataset, new_dataset):
    stopped = LGBModel(
        num_leaves=31, min_data_in_leaf=1, learning_rate=0.5, num_boost_round=200, early_stopping_rounds=3
    )
    stopped.fit(dataset)
    assert stopped.best_iteration_ < 200
    assert stopped.model.num_trees() == stopped.best_iteration_
    assert len(stopped.evals_result_["valid"]["l2"]) == stopped.best_iteration_ + 3
    whole = LGBModel(num_boost_round=20)
    whole.fit(new_dataset(train=dataset.folds["train"], test=dataset.folds["test"]))
    assert whole.best_iteration_ == 20
    assert set(whole.evals_result_) == {"train"}


def test_nothing_is_printed(dataset, capfd):
    model = LGBModel(**SMALL)
    model.fit(dataset)
    model.predict(dataset)
    assert capfd.readouterr() == ("", "")


def test_features_are_taken_without_a_copy(dataset, monkeypatch):
    given = []
    real = lightgbm.Dataset

    def spy(data, **kwargs):
        given.append(data)
        return real(data, **kwargs)

    monkeypatch.setattr(lightgbm, "Dataset", spy)
    dataset.folds["train"].features.flags.writeable = False
    LGBModel(**SMALL).fit(dataset)
    assert given[0] is dataset.folds["train"].features


def test_infinite_features_are_refused_by_name(dataset):
    dataset.folds["train"].features[3, 1] = np.inf
    dataset.folds["train"].features[5, 3] = -np.inf
    with pytest.raises(ModelError, match="segment `train` has infinite values in b, d"):
        LGBModel(**SMALL).fit(dataset)


def test_infinite_labels_are_refused(dataset):
    dataset.folds["valid"].label[3] = np.inf
    with pytest.raises(ModelError, match="segment `valid` has 1 infinite labels"):
        LGBModel(**SMALL).fit(dataset)


def test_an_empty_segment_is_refused(dataset, new_fold):
    dataset.folds["train"] = new_fold(1, days=0)
    with pytest.raises(ModelError, match="`train` has no rows"):
        LGBModel(**SMALL).fit(dataset)


def test_a_segment_without_labels_is_refused(dataset):
    dataset.folds["train"].label[:] = np.nan
    with pytest.raises(ModelError, match="all 800 labels of segment `train` are NaN"):
        LGBModel(**SMALL).fit(dataset)
    dataset.folds["train"].label = None
    with pytest.raises(ModelError, match="no label"):
        LGBModel(**SMALL).fit(dataset)


def test_rows_without_a_label_teach_nothing(dataset, new_dataset, caplog):
    train = dataset.folds["train"]
    train.label[::3] = np.nan
    with caplog.at_level(logging.WARNING, logger="rollwright.models"):
        holes = LGBModel(**SMALL)
        holes.fit(dataset)
    assert "segment=train dropped=267 rows=800" in caplog.text
    keep = ~np.isnan(train.label)
    train.features, train.label, train.index = train.features[keep], train.label[keep], train.index[keep]
    dropped = LGBModel(**SMALL)
    dropped.fit(dataset)
    assert text_of(holes) == text_of(dropped)


def test_a_dataset_without_train_is_refused(new_dataset, new_fold):
    with pytest.raises(ModelError, match="no segment `train`"):
        LGBModel(**SMALL).fit(new_dataset(valid=new_fold(1)))


def test_parameters_lightgbm_refuses_become_our_error(dataset):
    with pytest.raises(ModelError, match="LightGBM refuses to learn"):
        LGBModel(**SMALL, objective="nonsense").fit(dataset)


def test_scoring_before_fitting_is_refused(dataset):
    with pytest.raises(ModelError, match="not fitted"):
        LGBModel().predict(dataset)


def test_scoring_other_features_is_refused(dataset, new_fold):
    model = LGBModel(**SMALL)
    model.fit(dataset)
    dataset.folds["test"] = new_fold(3, names=("a", "b", "d", "c"))
    with pytest.raises(ModelError, match="another order"):
        model.predict(dataset)


def test_a_fold_of_other_rows_than_the_index_is_refused(dataset):
    model = LGBModel(**SMALL)
    model.fit(dataset)
    dataset.folds["test"].features = dataset.folds["test"].features[:-1]
    with pytest.raises(ModelError, match="799 rows of features for 800 rows to score"):
        model.predict(dataset)


def test_scores_that_are_not_finite_are_refused(dataset, monkeypatch):
    model = LGBModel(**SMALL)
    model.fit(dataset)
    rows = len(dataset.inference_index("test"))
    monkeypatch.setattr(model.model, "predict", lambda *_, **__: np.full(rows, np.nan))
    with pytest.raises(ModelError, match="800 of 800 scores of segment `test` are NaN"):
        model.predict(dataset)


def test_an_empty_segment_has_no_scores(dataset, new_fold):
    model = LGBModel(**SMALL)
    model.fit(dataset)
    dataset.folds["test"] = new_fold(3, days=0)
    assert model.predict(dataset).empty


def test_weights_come_from_the_reweighter(dataset):
    class Late:
        def reweight(self, frame):
            assert {"feature", "label"} == set(frame.columns.get_level_values(0))
            return np.linspace(0.0, 1.0, len(frame))

    plain, weighted = LGBModel(**SMALL), LGBModel(**SMALL)
    plain.fit(dataset)
    weighted.fit(dataset, reweighter=Late())
    assert text_of(plain) != text_of(weighted)


def test_a_reweighter_that_was_not_built_is_refused(dataset):
    with pytest.raises(ConfigError, match="needs a method `reweight`"):
        LGBModel(**SMALL).fit(dataset, reweighter={"class": "Reweighter"})


def test_a_binary_loss_gives_probabilities(dataset):
    for fold in dataset.folds.values():
        fold.label = (fold.label > 0).astype(np.float32)
    model = LGBModel(loss="binary", **SMALL)
    model.fit(dataset)
    assert model.predict(dataset).between(0, 1).all()


def test_finetuning_adds_trees_to_those_that_stand(dataset):
    model = LGBModel(num_boost_round=10, num_leaves=7)
    with pytest.raises(ModelError, match="not fitted"):
        model.finetune(dataset)
    model.fit(dataset)
    kept = model.best_iteration_
    model.finetune(dataset, num_boost_round=4)
    assert model.best_iteration_ == kept + 4
    assert model.model.num_trees() == kept + 4


def test_names_lightgbm_cannot_hold_are_kept_by_us(dataset, new_fold):
    names = ("Ref($close, 1)/$close", "b:[x]", "收盘", "d")
    dataset.folds = {key: new_fold(place, names=names) for place, key in enumerate(("train", "valid", "test"))}
    model = LGBModel(**SMALL)
    model.fit(dataset)
    assert model.predict(dataset).notna().all()
    importance = model.get_feature_importance("gain")
    assert set(importance.index) == set(names)
    assert importance.is_monotonic_decreasing


def test_two_features_of_one_name_are_two_features(dataset, new_fold):
    names = ("a", "b", "a", "d")
    dataset.folds = {key: new_fold(place, names=names) for place, key in enumerate(("train", "valid", "test"))}
    model = LGBModel(**SMALL)
    model.fit(dataset)
    assert model.predict(dataset).notna().all()
    assert sorted(model.get_feature_importance().index) == ["a", "a", "b", "d"]
