from __future__ import annotations

import hashlib
import json
import re

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollwright.codecs.registry import codecs
from rollwright.errors import CorruptArtifactError, ModelError, RollwrightError, UnsupportedArtifactError
from rollwright.models.lightgbm import LGBModel, LightGBMTextCodec


@pytest.fixture
def fitted(dataset):
    model = LGBModel(num_leaves=7, num_boost_round=12, early_stopping_rounds=5, lambda_l1=0.1)
    model.fit(dataset)
    return model


@pytest.fixture
def stored(fitted, tmp_path):
    path = tmp_path / "params.txt"
    LightGBMTextCodec().write(fitted, path)
    return path


def test_the_registry_finds_the_codec_of_a_model():
    assert codecs.for_object(LGBModel()).kind == "lightgbm"
    assert codecs.for_kind("lightgbm").suffix == ".txt"


class Mine(LGBModel):
    pass


def test_nothing_is_lost_without_a_word(fitted, dataset, tmp_path):
    """S10: what the text could not bring back goes into an envelope, and never into the text."""
    mine = Mine(num_boost_round=3)
    mine.fit(dataset)
    mine._fitted_on, fitted._scale = "today", 2.0
    for model, word in ((mine, "Mine"), (fitted, "_scale")):
        with pytest.raises(UnsupportedArtifactError, match=word):
            LightGBMTextCodec().write(model, tmp_path / "x.txt")
        codec = codecs.for_object(model)
        codec.write(model, tmp_path / "x.sealed")
        loaded = codec.read(tmp_path / "x.sealed")
        assert (codec.kind, type(loaded)) == ("envelope", type(model))
        assert vars(loaded).keys() == vars(model).keys()
        pd.testing.assert_series_equal(loaded.predict(dataset), model.predict(dataset))


def test_a_history_with_undefined_values_survives(fitted, tmp_path):
    fitted.evals_result_ = {"valid": {"auc": [0.5, float("nan")]}}
    path = tmp_path / "x.txt"
    LightGBMTextCodec().write(fitted, path)
    first, second = LightGBMTextCodec().read(path).evals_result_["valid"]["auc"]
    assert first == 0.5
    assert np.isnan(second)


def test_a_model_read_back_predicts_and_saves_the_same_bytes(fitted, stored, dataset, tmp_path):
    found = LightGBMTextCodec().read(stored)
    assert found.predict(dataset).equals(fitted.predict(dataset))
    again = tmp_path / "again.txt"
    LightGBMTextCodec().write(found, again)
    assert again.read_bytes() == stored.read_bytes()


def test_everything_learnt_survives(fitted, stored):
    found = LightGBMTextCodec().read(stored)
    for name, value in vars(fitted).items():
        if name != "model":
            assert vars(found)[name] == value, name


def test_a_model_read_back_can_learn_on(fitted, stored, dataset):
    found = LightGBMTextCodec().read(stored)
    found.finetune(dataset, num_boost_round=3)
    fitted.finetune(dataset, num_boost_round=3)
    assert found.predict(dataset).equals(fitted.predict(dataset))


def test_lightgbm_itself_opens_the_file(fitted, stored, dataset):
    booster = lightgbm.Booster(model_file=str(stored))
    features = dataset.folds["test"].features
    np.testing.assert_array_equal(booster.predict(features), fitted.model.predict(features))


def test_a_model_that_is_not_fitted_is_not_stored(tmp_path):
    with pytest.raises(ModelError, match="not fitted"):
        LightGBMTextCodec().write(LGBModel(), tmp_path / "x.txt")


def test_a_tree_of_one_leaf_survives(new_dataset, new_fold, tmp_path):
    data = new_dataset(train=new_fold(1, days=1, stocks=5), test=new_fold(2))
    model = LGBModel(num_boost_round=3)
    model.fit(data)
    path = tmp_path / "x.txt"
    LightGBMTextCodec().write(model, path)
    assert LightGBMTextCodec().read(path).predict(data).equals(model.predict(data))


def test_categorical_splits_survive(new_dataset, new_fold, tmp_path):
    fold = new_fold(1)
    fold.features[:, 2] = np.random.default_rng(0).integers(0, 40, len(fold.features))
    fold.label += (fold.features[:, 2] % 3 == 0).astype(np.float32) * 3
    data = new_dataset(train=fold, test=fold)
    model = LGBModel(num_boost_round=5, categorical_feature=[2])
    model.fit(data)
    assert "num_cat=0" not in model.model.model_to_string().split("Tree=1")[0]
    path = tmp_path / "x.txt"
    LightGBMTextCodec().write(model, path)
    assert LightGBMTextCodec().read(path).predict(data).equals(model.predict(data))


VARIANTS = {
    "random forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "dart": {"boosting": "dart", "early_stopping_rounds": None},
    "quantile": {"objective": "quantile", "alpha": 0.3},
    "huber": {"objective": "huber"},
    "monotone": {"monotone_constraints": [1, 0, 0, -1]},
    "interaction": {"interaction_constraints": [[0, 1], [2, 3]]},
    "linear": {"linear_tree": True},
    "no metric": {"metric": "None", "early_stopping_rounds": None},
    "missing values alone in a split": {"num_leaves": 200, "min_data_in_leaf": 1, "early_stopping_rounds": None},
}


@pytest.mark.parametrize("parameters", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_kind_of_model_survives(parameters, dataset, tmp_path):
    model = LGBModel(**{"num_boost_round": 15, **parameters})
    model.fit(dataset)
    path = tmp_path / "x.txt"
    LightGBMTextCodec().write(model, path)
    found = LightGBMTextCodec().read(path)
    assert found.predict(dataset).equals(model.predict(dataset))


def test_what_could_not_be_read_again_is_not_written(fitted, tmp_path, monkeypatch):
    text = fitted.model.model_to_string()
    monkeypatch.setattr(fitted.model, "model_to_string", lambda: text.replace("num_leaves=7", "num_leaves=8", 1))
    path = tmp_path / "x.txt"
    with pytest.raises(UnsupportedArtifactError, match="cannot be stored"):
        LightGBMTextCodec().write(fitted, path)
    assert not path.exists()


def signed(content: bytes) -> bytes:
    """Return `content` with the checksum of its trees, as somebody who made the trees up would."""
    trees, mark, line = content.rpartition(b"\nrollwright:")
    checksum = hashlib.sha256(trees + b"\n").hexdigest().encode()
    return trees + mark + re.sub(rb'"sha256":"[0-9a-f]{64}"', b'"sha256":"' + checksum + b'"', line)


def test_one_changed_digit_is_found(stored):
    text = stored.read_text()
    place = text.index("leaf_value=") + len("leaf_value=-0.0")
    stored.write_text(text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :])
    with pytest.raises(CorruptArtifactError, match="sha256 differs"):
        LightGBMTextCodec().read(stored)


CORRUPTIONS = {
    "no label index": ("label_index=0\n", ""),
    "no objective": ("objective=regression\n", ""),
    "second count": ("max_feature_idx=3\n", "max_feature_idx=3\nmax_feature_idx=3\n"),
    "no shrinkage": ("shrinkage=", "shrinkages="),
    "no end": ("end of trees", "end of treez"),
    "parameters": ("[boosting: gbdt]", "[boosting: gbdt"),
    "negative leaves": ("num_leaves=7", "num_leaves=-7"),
    "huge leaves": ("num_leaves=7", "num_leaves=999999999"),
    "fewer leaves": ("num_leaves=7", "num_leaves=6"),
    "negative features": ("max_feature_idx=3", "max_feature_idx=-2"),
    "more features": ("max_feature_idx=3", "max_feature_idx=9"),
    "huge classes": ("num_class=1", "num_class=99999999"),
    "no trees per round": ("num_tree_per_iteration=1", "num_tree_per_iteration=0"),
    "huge tree": ("tree_sizes=", "tree_sizes=999999999999999 "),
    "overflowing tree": ("tree_sizes=", f"tree_sizes={10**30} "),
    "negative tree": ("tree_sizes=", "tree_sizes=-5 "),
    "moved tree": ("tree_sizes=", "tree_sizes=1"),
    "strange feature": ("split_feature=", "split_feature=99 "),
    "no number": ("threshold=", "threshold=x "),
    "infinite leaf": ("leaf_value=", "leaf_value=inf "),
    "first line": ("tree\n", "forest\n"),
    "linear": ("is_linear=0", "is_linear=1"),
    "categories": ("num_cat=0", "num_cat=3"),
    "cycle": ("left_child=1", "left_child=0"),
    "no features": ("feature_names=a b c d", "feature_names="),
    "objective": ("objective=regression", "objective=mystery"),
    "state": ('"version":1', '"version":2'),
    "loss": ('"loss":"mse"', '"loss":"mae"'),
    "names": ('"feature_names":["a",', '"feature_names":['),
    "name kinds": ('"feature_names":["a",', '"feature_names":[1,'),
}


@pytest.mark.parametrize(("old", "new"), CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
def test_a_text_that_lies_is_refused_before_it_is_used(stored, old, new):
    text = stored.read_text()
    assert old in text
    stored.write_bytes(signed(text.replace(old, new, 1).encode()))
    with pytest.raises(CorruptArtifactError, match=r"params\.txt"):
        LightGBMTextCodec().read(stored)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"tree\n", b"rollwright:{}\n", b"\nrollwright:{}\n", b"\nrollwright:[\n"]
)
def test_garbage_is_refused(tmp_path, content):
    path = tmp_path / "params.txt"
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"params\.txt"):
        LightGBMTextCodec().read(path)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_the_trees_is_refused_or_harmless(stored, dataset, data):
    """Cut the file, or replace some bytes: the answer is a model that scores, or our error; never a crash."""
    whole = bytearray(stored.read_bytes())
    changed = stored.with_name("changed.txt")
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[place:]
    else:
        whole[place : place + 3] = data.draw(st.binary(min_size=0, max_size=6))
    changed.write_bytes(signed(bytes(whole)))
    try:
        found = LightGBMTextCodec().read(changed)
    except RollwrightError:
        return
    try:
        scores = found.predict(dataset)
    except RollwrightError:
        return
    assert len(scores) == len(dataset.inference_index("test"))


def test_the_last_line_is_ours_and_is_json(stored):
    line = stored.read_text().splitlines()[-1]
    state = json.loads(line.removeprefix("rollwright:"))
    assert state["feature_names"] == ["a", "b", "c", "d"]
    assert state["params"]["lambda_l1"] == 0.1
