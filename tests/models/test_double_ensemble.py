"""DoubleEnsemble: its formulas, what it is for on planted data, and its file."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rollwright.codecs.registry import codecs
from rollwright.core.canonical import sha256_hex
from rollwright.core.fit_rounds import listen_to_rounds
from rollwright.errors import ConfigError, CorruptArtifactError, ModelError, UnsupportedArtifactError
from rollwright.models.double_ensemble import DEnsembleModel
from rollwright.models.double_ensemble_codec import DoubleEnsembleCodec
from rollwright.models.lightgbm import LGBModel
from rollwright.models.shuffled_features import draw_features, shuffle_gains
from rollwright.models.trajectory_weights import bin_equally, trajectory_rounds, trajectory_weights

SMALL = {"num_leaves": 7, "learning_rate": 0.2, "epochs": 12}


def small(**kwargs):
    return DEnsembleModel(**{"num_models": 3, **SMALL, **kwargs})


class Rising:
    def reweight(self, frame):
        return np.linspace(0.1, 2.0, len(frame))


@pytest.fixture
def planted(new_fold):
    """Four features that matter and sixteen that are noise; a third of the labels of `train` is noise, too."""
    rng = np.random.default_rng(7)
    names = tuple(f"f{place:02d}" for place in range(20))
    folds = {}
    for number, key in enumerate(("train", "valid", "test")):
        fold = new_fold(number, days=60, stocks=40, names=names)
        features = rng.normal(size=fold.features.shape).astype(np.float32)
        signal = features[:, 0] - features[:, 5] + features[:, 10] - features[:, 15]
        folds[key] = replace(fold, features=features, label=(signal + 0.3 * rng.normal(size=len(signal))).astype("f4"))
    noisy = rng.random(len(folds["train"].label)) < 1 / 3
    label = folds["train"].label.copy()
    label[noisy] = 3.0 * rng.normal(size=noisy.sum()).astype("f4")
    folds["train"] = replace(folds["train"], label=label)
    return folds, noisy


# -- the formulas ---------------------------------------------------------------------------------------------------


def test_weights_are_those_of_the_published_formula():
    rng = np.random.default_rng(3)
    start, end, losses = rng.random(500) + 0.1, rng.random(500) + 0.1, rng.random(500)
    h = 0.7 * pd.Series(-losses).rank(pct=True) + 1.3 * pd.Series(end / start).rank(pct=True)
    bins = pd.cut(h, 10)
    mean = h.groupby(bins, observed=True).transform("mean")
    wanted = 1.0 / (0.25 * mean + 0.1)
    found = trajectory_weights(start, end, losses, alpha1=0.7, alpha2=1.3, bins=10, decay=0.25)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_trajectory_starts_and_ends_with_a_tenth_of_the_rounds():
    assert trajectory_rounds(100) == (range(1, 11), range(91, 101))
    assert trajectory_rounds(28) == (range(1, 3), range(27, 29))
    assert trajectory_rounds(1) == (range(1, 2), range(1, 2))


def test_bins_are_of_equal_width_and_closed_above():
    values = np.array([0.0, 1.0, 2.0, 2.1, 4.0, 10.0])
    assert bin_equally(values, 5).tolist() == pd.cut(values, 5, labels=False).tolist() == [0, 0, 0, 1, 1, 4]
    assert bin_equally(np.ones(3), 5).tolist() == [4, 4, 4]


def test_a_gain_is_mean_over_deviation_of_what_shuffling_adds_to_the_loss():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40_000, 20)).astype(np.float32)  # more rows and columns than are read at a time
    features.flags.writeable = False
    label = 2.0 * features[:, 1] + features[:, 18]
    asked = [place for place in range(20) if place != 5]

    def loss_of(block, feature, rows):
        assert feature in asked
        return (label[rows] - 2.0 * block[:, 1] - block[:, 18]) ** 2.0

    found = shuffle_gains(features, asked, loss_of, np.zeros(40_000), rng=np.random.default_rng(5))
    again = np.random.default_rng(5)
    wanted = np.zeros(20)
    for feature in asked:
        changed = features.copy()
        changed[:, feature] = again.permutation(features[:, feature])
        added = (label - 2.0 * changed[:, 1] - changed[:, 18]) ** 2.0
        wanted[feature] = added.mean() / (added.std() + 1e-7)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert found.round(1).tolist() == [0.7 if place in (1, 18) else 0.0 for place in range(20)]


def test_each_bin_of_features_gives_its_own_share():
    gains = np.concatenate([np.full(10, 1.0), np.full(10, 0.5), np.zeros(100)])  # two of five bins are empty
    drawn = draw_features(gains, ratios=[0.8, 0.7, 0.6, 0.5, 0.4], rng=np.random.default_rng(1))
    assert np.array_equal(drawn, np.unique(drawn))
    assert [int(np.isin(drawn, np.arange(first, last)).sum()) for first, last in ((0, 10), (10, 20), (20, 120))] == [
        8, 6, 40,
    ]  # fmt: skip
    assert len(draw_features(np.zeros(100), ratios=[0.55, 0.1], rng=np.random.default_rng(1))) == 55
    assert draw_features(np.array([3.0, 1.0]), ratios=[0.1, 0.0], rng=np.random.default_rng(1)).tolist() == [0]


# -- what it is for -------------------------------------------------------------------------------------------------


@pytest.fixture
def weights_seen(monkeypatch):
    """The weights of the training samples that each sub-model was given."""
    seen = []
    learn = LGBModel.learn_folds

    def watch(self, folds, weights, **kwargs):
        seen.append(weights)
        return learn(self, folds, weights, **kwargs)

    monkeypatch.setattr(LGBModel, "learn_folds", watch)
    return seen


def test_features_that_are_noise_are_dropped(planted, new_dataset):
    folds, _ = planted
    model = small(num_models=4, sample_ratios=[1.0, 1.0, 1.0, 1.0, 0.25])
    model.fit(new_dataset(**folds))
    assert model.sub_features[0] == tuple(folds["train"].names)
    for names in model.sub_features[1:]:
        assert {"f00", "f05", "f10", "f15"} <= set(names)
        assert len(names) <= 10, "a quarter of the sixteen that are noise, and those that look useful by chance"
        assert list(names) == sorted(names)


@pytest.mark.parametrize(("alphas", "least", "most"), [((0, 1), 0.5, 0.8), ((1, 0), 1.5, 2.5), ((1, 1), 0.8, 1.3)])
def test_losses_that_do_not_fall_weigh_less_and_large_ones_more(
    planted, new_dataset, weights_seen, alphas, least, most
):
    folds, noisy = planted
    small(num_models=2, alpha1=alphas[0], alpha2=alphas[1]).fit(new_dataset(**folds))
    assert weights_seen[0]["train"] is None
    found = weights_seen[1]["train"]
    assert least < found[noisy].mean() / found[~noisy].mean() < most


def test_it_learns_more_from_noisy_data_than_one_model_does(planted, new_dataset):
    data = new_dataset(**planted[0])
    label = planted[0]["test"].label
    found = {}
    for number in (1, 4):
        model = small(num_models=number, epochs=40)
        model.fit(data)
        found[number] = np.corrcoef(model.predict(data), label)[0, 1]
    assert found[4] > found[1] + 0.003


def test_one_sub_model_is_lightgbm_bit_for_bit(dataset):
    for reweighter in (None, Rising()):
        for extra in ({}, {"seed": 5, "subsample": 0.7, "bagging_freq": 1}, {"early_stopping_rounds": 3}):
            mine = small(num_models=1, **extra)
            plain = LGBModel(
                num_leaves=7, learning_rate=0.2, num_boost_round=12, **{"early_stopping_rounds": None, **extra}
            )
            mine.fit(dataset, reweighter)
            plain.fit(dataset, reweighter=reweighter)
            assert mine.model[0].trees.to_text() == plain.to_text()
            assert mine.predict(dataset).equals(plain.predict(dataset))
            np.testing.assert_array_equal(
                mine.contributions(dataset.folds["test"].features), plain.contributions(dataset.folds["test"].features)
            )
            assert mine.get_feature_importance().to_dict() == plain.get_feature_importance().to_dict()


def test_the_seed_decides_what_is_drawn(dataset):
    def features(seed):
        model = small(seed=seed, num_models=4)
        model.fit(dataset)
        return model.sub_features

    assert features(1) == features(1)
    assert len({str(features(seed)) for seed in range(6)}) > 1
    other = DEnsembleModel(num_models=4, random_state=1, **SMALL)
    other.fit(dataset)
    assert other.sub_features == features(1)


def test_the_numbers_that_anybody_draws_elsewhere_change_nothing(dataset):
    def scores():
        model = small()
        model.fit(dataset)
        return model.predict(dataset)

    before = scores()
    np.random.seed(1)  # noqa: NPY002 - as somebody else does, and Qlib's model depends on
    assert scores().equals(before)


@pytest.mark.parametrize("off", ["enable_sr", "enable_fs"])
def test_either_half_can_be_switched_off(dataset, off):
    model = small(**{off: False})
    model.fit(dataset)
    names = dataset.folds["train"].names
    whole = [len(found) == len(names) for found in model.sub_features]
    assert all(whole) is (off == "enable_fs")
    texts = {member.trees.to_text() for member in model.model}
    assert len(texts) > 1
    both = small(enable_sr=False, enable_fs=False)
    both.fit(dataset)
    assert len({member.trees.to_text() for member in both.model}) == 1


def test_the_score_is_the_weighted_mean(dataset):
    model = small(sub_weights=[1, 0.2, 0.5])
    model.fit(dataset)
    features = dataset.folds["test"].features
    parts = [
        booster.predict(features[:, list(member.columns)])
        for booster, member in zip(model.ensemble, model.model, strict=True)
    ]
    np.testing.assert_allclose(model.predict(dataset), np.average(parts, axis=0, weights=[1, 0.2, 0.5]), rtol=1e-12)
    told = model.contributions(features)
    np.testing.assert_allclose(told.sum(axis=1), model.predict(dataset), rtol=1e-9)
    gain = sum(
        weight * member.trees.get_feature_importance("gain").reindex(names, fill_value=0.0)
        for weight, member, names in zip(
            (1, 0.2, 0.5), model.model, [list(dataset.folds["train"].names)] * 3, strict=True
        )
    )
    assert model.get_feature_importance("gain").to_dict() == pytest.approx(gain.to_dict())


def test_given_weights_multiply_those_that_are_found(dataset, weights_seen):
    small(enable_fs=False).fit(dataset, Rising())
    first, second, third = weights_seen
    assert first["valid"] is second["valid"] is third["valid"]
    found = second["train"] / first["train"]
    assert 1 < len(np.unique(found.round(4))) <= 10


def test_classes_are_learnt_by_their_log_loss(dataset, new_dataset):
    folds = {key: replace(fold, label=(fold.label > 0).astype(np.float32)) for key, fold in dataset.folds.items()}
    model = small(loss="binary")
    model.fit(new_dataset(**folds))
    scores = model.predict(new_dataset(**folds))
    assert scores.between(0, 1).all()
    assert scores[folds["test"].label == 1].mean() > scores[folds["test"].label == 0].mean() + 0.05
    with pytest.raises(ModelError, match="no sums of what features add"):
        model.contributions(folds["test"].features)


def test_how_it_learnt_is_told_by_sub_model(dataset):
    model = small(early_stopping_rounds=5)
    assert model.tell_learning() is None
    model.fit(dataset)
    told = model.tell_learning()
    assert [curve.segment for curve in told.curves] == [
        f"{segment}, sub-model {number}" for number in (1, 2, 3) for segment in ("train", "valid")
    ]
    assert told.basis == "gain"
    assert math.isclose(sum(told.importance.values()), 1)
    assert next(iter(told.importance)) == "a"


def test_the_rounds_of_all_sub_models_count_as_one_fit(dataset):
    heard = []
    with listen_to_rounds(lambda done, of: heard.append((done, of))):
        small().fit(dataset)
    assert heard == [(done, 36) for done in range(1, 37)]


def test_without_a_valid_segment_it_learns_all_rounds(dataset, new_dataset):
    model = small(early_stopping_rounds=1)
    model.fit(new_dataset(train=dataset.folds["train"], test=dataset.folds["test"]))
    assert [member.trees.best_iteration_ for member in model.model] == [12, 12, 12]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base_model": "mlp"}, "and not `mlp`"),
        ({"loss": "mae"}, "loss `mae`"),
        ({"num_models": 0}, "num_models = 0"),
        ({"num_models": True}, "num_models = True"),
        ({"bins_sr": 2.5}, "bins_sr = 2.5"),
        ({"bins_fs": 3}, "3 bins of features"),
        ({"sample_ratios": [0.5]}, "bins_fs = 5, and sample_ratios"),
        ({"sample_ratios": [1.5, 1, 1, 1, 1]}, "none above 1"),
        ({"sample_ratios": [0.0, 1, 1, 1, 1]}, "above 0"),
        ({"sub_weights": [1, 1]}, "num_models = 6, and sub_weights"),
        ({"sub_weights": [0, 1, 1, 1, 1, 1]}, "above 0"),
        ({"sub_weights": [1, 1, 1, 1, 1, -1]}, "sub_weights = -1"),
        ({"decay": 0}, "decay = 0"),
        ({"alpha1": float("nan")}, "alpha1 = nan"),
        ({"alpha2": -1}, "alpha2 = -1"),
        ({"machines": "a:1"}, "open a file or an address"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        DEnsembleModel(**given)


def test_a_misspelled_parameter_is_found_as_with_lightgbm():
    assert DEnsembleModel.unknown_parameters(["num_leavs", "num_leaves"]) == {"num_leavs": "num_leaves"}


# -- its file -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fitted(dataset):
    model = small(seed=3, decay=0.9, sub_weights=[1, 0.5, 0.25], early_stopping_rounds=4)
    model.fit(dataset)
    return model


@pytest.fixture
def stored(fitted, tmp_path):
    path = tmp_path / "model.json"
    DoubleEnsembleCodec().write(fitted, path)
    return path


def forge(path, change):
    """Write what `change` makes of the file's content, with a checksum that fits."""
    content = json.loads(path.read_text("utf-8").splitlines()[1])
    change(content)
    body = json.dumps(content, sort_keys=True, separators=(",", ":"))
    path.write_text(f'{{"sha256":"{sha256_hex(body.encode())}","version":1}}\n{body}\n', "utf-8")


def test_the_registry_finds_the_codec():
    assert codecs.for_object(DEnsembleModel()).kind == "double_ensemble"
    assert codecs.for_kind("double_ensemble").suffix == ".json"


def test_everything_learnt_survives(fitted, stored):
    found = DoubleEnsembleCodec().read(stored)
    for name, value in vars(fitted).items():
        if name != "model":
            assert vars(found)[name] == value, name
    assert [member.columns for member in found.model] == [member.columns for member in fitted.model]


def test_a_derived_class_goes_into_an_envelope(dataset, tmp_path):
    class Mine(DEnsembleModel):
        pass

    with pytest.raises(UnsupportedArtifactError, match="Mine"):
        DoubleEnsembleCodec().write(Mine(), tmp_path / "x")
    assert codecs.for_object(Mine()).kind == "envelope"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["members"].pop(), "has 2 sub-models, and says 3"),
        (lambda c: c.update(num_models=10**9), "sub_weights"),
        (lambda c: c["params"].update(machines="h:1"), "open a file or an address"),
        (lambda c: c.update(loss="x"), "loss `x`"),
        (lambda c: c["members"][1].update(columns=[]), "does not say which"),
        (lambda c: c["members"][1].update(columns=[2, 1]), "does not say which"),
        (lambda c: c["members"][1].update(columns=[0, 99]), "does not say which"),
        (lambda c: c["members"][1].update(columns=[False, True]), "does not say which"),
        (lambda c: c["members"][0].update(columns=[0, 1]), "other features"),
        (lambda c: c["members"].__setitem__(1, 5), "missing or not of version"),
        (lambda c: c["members"][1].update(file="tree\n"), "does not end with rollwright's state"),
        (
            lambda c: c["members"][1].update(file=c["members"][1]["file"].replace("num_leaves=7", "num_leaves=9")),
            "sha256",
        ),
        (lambda c: c.pop("decay"), "no usable `decay`"),
        (lambda c: c.update(sub_weights=["1", 1, 1]), "sub_weights"),
    ],
)
def test_a_file_that_somebody_made_up_is_refused(stored, change, said):
    forge(stored, lambda content: None)
    DoubleEnsembleCodec().read(stored)  # the forging itself is sound
    forge(stored, change)
    with pytest.raises(CorruptArtifactError, match=said):
        DoubleEnsembleCodec().read(stored)


def test_trees_that_are_no_trees_do_not_reach_lightgbm(stored):
    """Somebody who knows the format puts right both checksums; the structure of the trees is checked all the same."""

    def cycle(content):
        text, mark, state = content["members"][1]["file"].rpartition("\nrollwright:")
        bad = text.replace("left_child=1 ", "left_child=0 ", 1) + "\n"
        assert bad != text + "\n"
        told = json.loads(state)
        told["sha256"] = sha256_hex(bad.encode())
        content["members"][1]["file"] = bad.removesuffix("\n") + mark + json.dumps(told) + "\n"

    forge(stored, cycle)
    with pytest.raises(CorruptArtifactError, match="form no tree"):
        DoubleEnsembleCodec().read(stored)
