from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.linear_model import Lars, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from rollwright.codecs.registry import codecs
from rollwright.config.context import current_settings, install
from rollwright.errors import (
    ConfigError,
    CorruptArtifactError,
    ModelError,
    UntrustedArtifactError,
    UntrustedModuleError,
)
from rollwright.models.sklearn import SklearnModel, as_model
from rollwright.models.sklearn_codec import SkopsCodec, _checksum  # as who makes a model up would sign it


@pytest.fixture
def filled(dataset):
    for fold in dataset.folds.values():
        fold.features = np.nan_to_num(fold.features)
    return dataset


@pytest.fixture
def tree(filled, tmp_path):
    model = SklearnModel(DecisionTreeRegressor(max_depth=3))
    model.fit(filled)
    SkopsCodec().write(model, tmp_path / "tree.skops")
    return tmp_path / "tree.skops"


@pytest.fixture
def boosted(dataset, tmp_path):
    model = SklearnModel(HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=5))
    model.fit(dataset)
    SkopsCodec().write(model, tmp_path / "boosted.skops")
    return tmp_path / "boosted.skops"


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(path, members, *, compression=zipfile.ZIP_STORED):
    """Write `members` with the checksum they should have, as somebody who made them up would."""
    state = json.loads(members.pop("rollwright.json"))
    state["sha256"] = _checksum(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {**members, "rollwright.json": json.dumps(state).encode()}.items():
            archive.writestr(name, content)


def change_array(path, field, value, *, where=0):
    members = members_of(path)
    for name, content in members.items():
        if name.endswith(".npy"):
            found = np.load(io.BytesIO(content))
            if found.dtype.names and field in found.dtype.names:
                found[field][where] = value
                buffer = io.BytesIO()
                np.save(buffer, found)
                members[name] = buffer.getvalue()
    repack(path, members)


def test_an_estimator_becomes_a_model_and_a_model_stays_one():
    assert type(as_model(Ridge())) is SklearnModel
    model = SklearnModel("sklearn.linear_model.Ridge")
    assert as_model(model) is model
    with pytest.raises(ConfigError, match="StandardScaler is not an estimator"):
        SklearnModel(StandardScaler())
    with pytest.raises(UntrustedModuleError, match=r"`sklearn\.decomposition` is not trusted"):
        SklearnModel({"class": "PCA", "module_path": "sklearn.decomposition"})


def test_every_random_state_that_is_not_set_gets_the_seed(filled):
    inner = RandomForestRegressor(n_estimators=2, max_depth=2)
    stack = StackingRegressor([("a", inner), ("b", ExtraTreesRegressor(2, random_state=5))], Ridge(), cv=2)
    model = SklearnModel(stack, seed=11)
    model.fit(filled)
    found = model.model.get_params()
    assert (found["a__random_state"], found["b__random_state"]) == (11, 5)
    assert inner.random_state is None


def test_two_classes_are_scored_by_the_probability_of_the_larger(dataset, filled):
    for fold in dataset.folds.values():
        fold.label = (fold.label > 0).astype(np.float32)
    for estimator in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=5)):
        model = SklearnModel(estimator)
        model.fit(filled)
        scores = model.predict(filled)
        assert scores.between(0, 1).all()
        assert scores.nunique() > 10
    svm = SklearnModel(LinearSVC())
    svm.fit(filled)
    assert svm.predict(filled).min() < 0 < svm.predict(filled).max()


def test_a_classifier_refuses_labels_that_are_no_classes(filled):
    with pytest.raises(ModelError, match="learns two classes here, and the labels are 800 values"):
        SklearnModel(LogisticRegression()).fit(filled)


def test_a_pipeline_gives_the_weights_to_its_last_step(filled):
    class Rising:
        def reweight(self, frame):
            return np.linspace(0.01, 3, len(frame))

    plain, weighted = (SklearnModel(make_pipeline(StandardScaler(), Ridge())) for _ in range(2))
    plain.fit(filled)
    weighted.fit(filled, Rising())
    assert not plain.predict(filled).equals(weighted.predict(filled))


def test_weights_are_refused_where_the_estimator_takes_none(filled):
    class Ones:
        def reweight(self, frame):
            return np.ones(len(frame))

    with pytest.raises(ModelError, match="Lars does not support sample weights"):
        SklearnModel(Lars()).fit(filled, Ones())


def test_missing_values_are_refused_by_name_where_the_estimator_takes_none(dataset):
    with pytest.raises(ModelError, match=r"Ridge does not support NaN, .* in a, b, c, d") as caught:
        SklearnModel(Ridge()).fit(dataset)
    assert "Fillna" in str(caught.value)


def test_what_the_estimator_refuses_becomes_our_error(filled):
    with pytest.raises(ModelError, match="Ridge refuses to learn: "):
        SklearnModel(Ridge(alpha=-1)).fit(filled)


KEPT = {
    "boosting": GradientBoostingRegressor(n_estimators=3, subsample=0.5),
    "voting": VotingRegressor([("a", RandomForestRegressor(2, max_depth=3)), ("b", Ridge())]),
    "polynomial": make_pipeline(PolynomialFeatures(), RandomForestRegressor(2, max_depth=3)),
    "scaled": make_pipeline(StandardScaler(), Ridge()),
}


@pytest.mark.parametrize("estimator", KEPT.values(), ids=KEPT.keys())
def test_estimators_of_estimators_are_kept_whole(filled, estimator, tmp_path):
    one, two = SklearnModel(estimator, seed=3), SklearnModel(estimator, seed=3)
    one.fit(filled)
    two.fit(filled)
    SkopsCodec().write(one, tmp_path / "one")
    SkopsCodec().write(two, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = SkopsCodec().read(tmp_path / "one")
    assert found.predict(filled).equals(one.predict(filled))
    found.fit(filled)
    assert found.predict(filled).equals(one.predict(filled))


def test_skops_itself_opens_the_file(tree, filled):
    trusted = skops.io.get_untrusted_types(file=tree)
    features = filled.folds["test"].features
    np.testing.assert_array_equal(
        skops.io.load(tree, trusted=trusted).predict(features), SkopsCodec().read(tree).predict(filled)
    )


def test_a_type_nobody_trusts_is_neither_written_nor_read(filled, tmp_path):
    model = SklearnModel(KNeighborsRegressor())
    model.fit(filled)
    path = tmp_path / "model.skops"
    with pytest.raises(UntrustedArtifactError) as caught:
        SkopsCodec().write(model, path)
    assert not path.exists()
    assert "[trust]\nmodules = [" in str(caught.value)
    wanted = ["sklearn.metrics._dist_metrics", "sklearn.neighbors._kd_tree.KDTree"]
    before = current_settings()
    install(before.with_values({"trust.modules": wanted}, origin="test"))
    SkopsCodec().write(model, path)
    assert SkopsCodec().read(path).predict(filled).equals(model.predict(filled))
    install(before)
    with pytest.raises(UntrustedArtifactError, match="KDTree"):
        SkopsCodec().read(path)


TREE_LIES = {
    "child beyond": ("left_child", 99),
    "negative child": ("right_child", -9),
    "cycle": ("left_child", 0),
    "feature": ("feature", 77),
    "negative feature": ("feature", -5),
}


@pytest.mark.parametrize(("field", "value"), TREE_LIES.values(), ids=TREE_LIES.keys())
def test_a_tree_that_lies_is_refused_before_it_is_used(tree, field, value):
    change_array(tree, field, value)
    with pytest.raises(CorruptArtifactError, match=r"tree\.skops is not an estimator: it has an inconsistent tree"):
        SkopsCodec().read(tree)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 4_000_000_000), ("right", 0), ("feature_idx", 77), ("feature_idx", -1), ("value", np.nan)],
)
def test_a_boosted_tree_that_lies_is_refused_before_it_is_used(boosted, field, value):
    change_array(boosted, field, value)
    with pytest.raises(CorruptArtifactError, match="it has an inconsistent tree"):
        SkopsCodec().read(boosted)


def schema_change(old, new):
    def change(members):
        text = members["schema.json"].decode()
        assert old in text
        members["schema.json"] = text.replace(old, new, 1).encode()

    return change


def first_array(members):
    return next(name for name in members if name.endswith(".npy"))


def put(name, content):
    return lambda members: members.update({name: content})


HOSTILE = {
    "a function of the system": schema_change('"sklearn.tree._classes"', '"posix"'),
    "a method": schema_change('"ObjectNode"', '"MethodNode"'),
    "an operator": schema_change('"ObjectNode"', '"OperatorFuncNode"'),
    "a tree built as an object": schema_change('"TreeNode"', '"ObjectNode"'),
    "more features": schema_change('"content":"4"', '"content":"2"'),
    "an unknown protocol": schema_change('"ObjectNode"', "7"),
    "one number twice": schema_change('"__id__":1', '"__id__":0'),
    "no schema": lambda members: members.pop("schema.json"),
    "no array": lambda members: members.pop(first_array(members)),
    "deep": put("schema.json", b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "nesting": put("schema.json", b"[" * 100_000),
    "no JSON": put("schema.json", b"{"),
    "a strange member": put("evil.pkl", b"\x80\x04."),
    "a path": put("../x.npy", b""),
    "an absolute path": put("/x.npy", b""),
    "a cut array": lambda members: members.update({first_array(members): members[first_array(members)][:-3]}),
    "a header cut short": lambda members: members.update({first_array(members): header("{'descr': (")}),
    "an estimator without its parameters": schema_change('"max_depth"', '"max_deep"'),
    "an array of objects": lambda members: members.update({first_array(members): object_array()}),
    "a huge array": lambda members: members.update({first_array(members): huge_array()}),
}


def object_array():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def huge_array():
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    return buffer.getvalue()


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_file_made_up_is_refused_and_nothing_of_it_runs(tree, change):
    members = members_of(tree)
    change(members)
    repack(tree, members)
    with pytest.raises((CorruptArtifactError, UntrustedArtifactError), match=r"tree\.skops"):
        SkopsCodec().read(tree)


def test_a_file_that_is_compressed_is_refused(tree):
    repack(tree, members_of(tree), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CorruptArtifactError, match="is compressed"):
        SkopsCodec().read(tree)


def test_a_file_of_another_version_says_so_when_it_cannot_be_read(tree):
    members = members_of(tree)
    state = json.loads(members["rollwright.json"])
    members["rollwright.json"] = json.dumps({**state, "scikit_learn": "0.1"}).encode()
    members["schema.json"] = members["schema.json"].replace(b'"content":"4"', b'"content":"2"', 1)
    repack(tree, members)
    with pytest.raises(CorruptArtifactError, match=r"written with \{'scikit-learn': '0\.1'"):
        SkopsCodec().read(tree)


def test_the_checksum_covers_every_member(tree):
    members = members_of(tree)
    name = first_array(members)
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])
    with zipfile.ZipFile(tree, "w") as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    with pytest.raises(CorruptArtifactError, match="sha256 differs"):
        SkopsCodec().read(tree)


def test_the_codec_is_found_by_the_class_and_leaves_others_alone(filled):
    class Mine(SklearnModel):
        pass

    assert codecs.for_object(SklearnModel(Ridge())).kind == "skops"
    assert codecs.for_object(Mine(Ridge())).kind == "envelope"
