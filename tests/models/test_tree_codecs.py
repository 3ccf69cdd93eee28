"""XGBoost's and CatBoost's models made up by somebody who knows their format: refused before C++ sees them."""

from __future__ import annotations

import json

import catboost
import numpy as np
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollwright.codecs.registry import codecs
from rollwright.core.canonical import sha256_hex
from rollwright.errors import CorruptArtifactError, RollwrightError, UnsupportedArtifactError
from rollwright.models.catboost import CatBoostJsonCodec, CatBoostModel
from rollwright.models.xgboost import XGBModel, XGBoostJsonCodec

ROUNDS = {"num_boost_round": 6, "early_stopping_rounds": None}


def written(model, dataset, path):
    model.fit(dataset)
    codecs.for_object(model).write(model, path)
    return path


@pytest.fixture
def xgb(dataset, tmp_path):
    return written(XGBModel(max_depth=3, **ROUNDS), dataset, tmp_path / "xgb.json")


@pytest.fixture
def cat(dataset, tmp_path):
    return written(CatBoostModel(depth=3, **ROUNDS), dataset, tmp_path / "cat.json")


@pytest.fixture
def lossguide(dataset, tmp_path):
    return written(CatBoostModel(grow_policy="Lossguide", max_leaves=6, **ROUNDS), dataset, tmp_path / "loss.json")


def resign(path, change):
    """Change the parts of the file and give it the checksum of its trees, as somebody who made them up would."""
    model = json.loads(path.read_text())
    state = model.pop("rollwright")
    model = change(model) or model
    text = json.dumps(model, separators=(",", ":"))
    state["sha256"] = sha256_hex(text.encode())
    path.write_text(f'{text[:-1]},"rollwright":{json.dumps(state)}}}\n')


def trees(model):
    return model["learner"]["gradient_booster"]["model"]


def set_in(*keys, value):
    def change(model):
        found = model
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return change


GB = ("learner", "gradient_booster", "model")
TREE = (*GB, "trees", 0)
XGB = {
    "child beyond": set_in(*TREE, "left_children", 0, value=999),
    "child negative": set_in(*TREE, "left_children", 0, value=-7),
    "huge child": set_in(*TREE, "left_children", 0, value=10**30),
    "cycle": set_in(*TREE, "left_children", 0, value=0),
    "two parents": set_in(*TREE, "left_children", 0, value=2),
    "feature": set_in(*TREE, "split_indices", 0, value=99),
    "short list": set_in(*TREE, "split_conditions", value=[0.5]),
    "no number": set_in(*TREE, "split_conditions", 0, value="x"),
    "huge number": set_in(*TREE, "base_weights", 0, value=1e300),
    "categories": set_in(*TREE, "categories", value=[1]),
    "split kind": set_in(*TREE, "split_type", 0, value=1),
    "nodes": set_in(*TREE, "tree_param", "num_nodes", value="4000000000"),
    "leaf vector": set_in(*TREE, "tree_param", "size_leaf_vector", value="100000000"),
    "tree features": set_in(*TREE, "tree_param", "num_feature", value="9"),
    "parents": set_in(*TREE, "parents", value=[0]),
    "no tree": set_in(*GB, "trees", value=[1, 2, 3, 4, 5, 6]),
    "tree count": set_in(*GB, "gbtree_model_param", "num_trees", value="7"),
    "parallel": set_in(*GB, "gbtree_model_param", "num_parallel_tree", value="4"),
    "outputs": set_in(*GB, "tree_info", 0, value=5),
    "rounds": set_in(*GB, "iteration_indptr", value=[0, 900]),
    "features": set_in("learner", "learner_model_param", "num_feature", value="2147483647"),
    "classes": set_in("learner", "learner_model_param", "num_class", value="90"),
    "base score": set_in("learner", "learner_model_param", "base_score", value="nan"),
    "booster": set_in("learner", "gradient_booster", "name", value="forest"),
    "objective": set_in("learner", "objective", "name", value="reg:mystery\0"),
    "unknown objective": set_in("learner", "objective", "name", value="reg:mystery"),
    "version": set_in("version", value=[99, 0, 0]),
    "names": set_in("learner", "feature_names", value=["a"]),
    "more": set_in("learner", "surprise", value=1),
    "learner": set_in("learner", value=None),
    "a list": lambda model: [model],
}


@pytest.mark.parametrize("change", XGB.values(), ids=XGB.keys())
def test_an_xgboost_model_that_lies_is_refused_before_it_is_used(xgb, change):
    resign(xgb, change)
    with pytest.raises(CorruptArtifactError, match=r"xgb\.json"):
        XGBoostJsonCodec().read(xgb)


OBLIVIOUS = ("oblivious_trees", 0)
FEATURE = ("features_info", "float_features", 0)
CAT = {
    "leaves": set_in(*OBLIVIOUS, "leaf_values", value=[1.0]),
    "weights": set_in(*OBLIVIOUS, "leaf_weights", value=[1.0]),
    "infinite leaf": set_in(*OBLIVIOUS, "leaf_values", 0, value=10**400),
    "text leaf": set_in(*OBLIVIOUS, "leaf_values", 0, value="1"),
    "feature": set_in(*OBLIVIOUS, "splits", 0, "float_feature_index", value=77),
    "negative feature": set_in(*OBLIVIOUS, "splits", 0, "float_feature_index", value=-1),
    "border": set_in(*OBLIVIOUS, "splits", 0, "border", value=123.0),
    "split place": set_in(*OBLIVIOUS, "splits", 0, "split_index", value=100_000),
    "split kind": set_in(*OBLIVIOUS, "splits", 0, "split_type", value="OnlineCtr"),
    "deep": set_in(*OBLIVIOUS, "splits", value=[{}] * 40),
    "borders fall": set_in(*FEATURE, "borders", value=[2.0, 1.0]),
    "borders": set_in(*FEATURE, "borders", value="x"),
    "place": set_in(*FEATURE, "flat_feature_index", value=1 << 30),
    "missing": set_in(*FEATURE, "nan_value_treatment", value="AsYouLike"),
    "categories": set_in("features_info", "categorical_features", value=[]),
    "scale": set_in("scale_and_bias", value=[1, [0.1, 0.2]]),
    "info": set_in("model_info", value={"params": "{"}),
    "both": set_in("trees", value=[]),
    "no trees": set_in("oblivious_trees", value=None),
    "not one tree": set_in("oblivious_trees", value=[]),
    "a list": lambda model: [model],
}


@pytest.mark.parametrize("change", CAT.values(), ids=CAT.keys())
def test_a_catboost_model_that_lies_is_refused_before_it_is_used(cat, change):
    resign(cat, change)
    with pytest.raises(CorruptArtifactError, match=r"cat\.json"):
        CatBoostJsonCodec().read(cat)


def bottomless(depth):
    node = {"value": 1.0, "weight": 1}
    for _ in range(depth):
        node = {"left": node, "right": {"value": 0.0, "weight": 1}, "split": None}
    return node


@pytest.mark.parametrize(
    "node",
    [bottomless(200), {"value": 1.0}, {"value": "x", "weight": 1}, {"left": 1, "right": 2, "split": {}}, 7],
    ids=["deep", "no weight", "text", "no nodes", "number"],
)
def test_a_catboost_tree_of_nodes_that_lies_is_refused(lossguide, node):
    resign(lossguide, set_in("trees", 0, value=node))
    with pytest.raises(CorruptArtifactError, match=r"loss\.json"):
        CatBoostJsonCodec().read(lossguide)


@pytest.mark.parametrize("codec", [XGBoostJsonCodec(), CatBoostJsonCodec()], ids=["xgboost", "catboost"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b',"rollwright":{}}',
        b',"rollwright":[}',
        b'{"a":1,"rollwright":{"version":1}}',
        b"[" * 9999,
    ],
)
def test_garbage_is_refused(tmp_path, codec, content):
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"model\.json|state of rollwright"):
        codec.read(path)


def paths_of(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths_of(item, (*path, key))


STRANGE = [None, True, -1, 0, 3, 10**12, 0.5, -1e39, "", "x", "9" * 30, [], {}, [[]], {"a": 1}]


@pytest.mark.parametrize("kind", ["xgb", "cat", "lossguide"])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_part_replaced_is_refused_or_harmless(kind, request, dataset, data):
    path = request.getfixturevalue(kind)
    whole = path.read_text()
    try:
        model = json.loads(whole)
        model.pop("rollwright")
        places = [place for place in paths_of(model) if place]
        place = places[data.draw(st.integers(0, len(places) - 1))]
        resign(path, set_in(*place, value=data.draw(st.sampled_from(STRANGE))))
        codec = CatBoostJsonCodec() if kind != "xgb" else XGBoostJsonCodec()
        try:
            scores = codec.read(path).predict(dataset)
        except RollwrightError:
            return
        assert len(scores) == len(dataset.inference_index("test"))
    finally:
        path.write_text(whole)


def test_the_libraries_themselves_open_the_files(xgb, cat, dataset):
    features = dataset.folds["test"].features
    mine = XGBoostJsonCodec().read(xgb).predict(dataset).to_numpy()
    np.testing.assert_array_equal(xgboost.Booster(model_file=str(xgb)).inplace_predict(features), mine)
    mine = CatBoostJsonCodec().read(cat).predict(dataset).to_numpy()
    theirs = catboost.CatBoost().load_model(str(cat), format="json")
    np.testing.assert_array_equal(theirs.predict(features), mine)


def test_the_files_tell_no_time_and_no_machine(xgb, cat):
    for path in (xgb, cat):
        text = path.read_text()
        assert not any(word in text for word in ("guid", "time", "version_info", "Commit", str(path.parent)))


def test_what_the_file_could_not_bring_back_goes_into_the_envelope(dataset, tmp_path):
    class Mine(XGBModel):
        pass

    mine, other = Mine(), CatBoostModel()
    other.scale_ = 2.0
    for model, codec, word in ((mine, XGBoostJsonCodec(), "Mine"), (other, CatBoostJsonCodec(), "scale_")):
        assert codecs.for_object(model).kind == "envelope"
        with pytest.raises(UnsupportedArtifactError, match=word):
            codec.write(model, tmp_path / "x.json")
