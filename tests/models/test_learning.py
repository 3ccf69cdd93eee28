"""How a model learnt: what is kept of its history and its importances, and that what is read again is checked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rollwright.config.construct import init_instance_by_config
from rollwright.errors import DataError
from rollwright.models.base import TellsLearning
from rollwright.models.learning import Learning
from rollwright.testing.model import NAMES, sample_dataset

ROUNDS = {"num_boost_round": 12, "early_stopping_rounds": 5}


def build(name, module, **kwargs):
    return init_instance_by_config({"class": name, "module_path": module, "kwargs": kwargs}, slot="model")


@pytest.mark.parametrize(
    ("name", "module", "basis"),
    [
        ("LGBModel", "qlib.contrib.model.gbdt", "gain"),
        ("XGBModel", "qlib.contrib.model.xgboost", "gain"),
        ("CatBoostModel", "qlib.contrib.model.catboost_model", "prediction_change"),
    ],
)
def test_boosted_trees_tell_curves_and_the_shares_of_features(name, module, basis):
    model = build(name, module, **ROUNDS)
    assert isinstance(model, TellsLearning)
    assert model.tell_learning() is None
    model.fit(sample_dataset())
    told = model.tell_learning()
    assert {curve.segment for curve in told.curves} == {"train", "valid"}
    for curve in told.curves:
        assert list(curve.values) == model.evals_result_[curve.segment][curve.metric]
        assert curve.rounds[0] == 1
    assert told.basis == basis
    assert math.isclose(sum(told.importance.values()), 1)
    assert [*told.importance][:2] == [*NAMES[:2]], "the label depends on the first two features"
    assert Learning.from_json(told.to_json()).importance == pytest.approx(told.importance, rel=1e-5)


def test_a_linear_model_tells_the_sizes_of_its_coefficients():
    model = build("LinearModel", "qlib.contrib.model.linear", estimator="ols")
    assert model.tell_learning() is None
    model.fit(sample_dataset())
    told = model.tell_learning()
    assert (told.curves, told.basis) == ((), "coefficient")
    sizes = np.abs(model.coef_)
    assert told.importance[NAMES[0]] == pytest.approx(sizes[0] / sizes.sum())


def test_a_booster_without_trees_tells_no_importance():
    model = build("XGBModel", "qlib.contrib.model.xgboost", booster="gblinear", num_boost_round=3)
    model.fit(sample_dataset())
    told = model.tell_learning()
    assert told.curves
    assert (told.importance, told.basis) == ({}, "")


def test_of_a_long_history_the_ends_and_the_best_round_are_kept():
    values = [1 / (1 + number) for number in range(1000)]
    (curve,) = Learning.of({"valid": {"l2": values}}, best=417).curves
    assert len(curve.rounds) <= 60
    assert {1, 417, 1000} <= set(curve.rounds)
    assert list(curve.rounds) == sorted(curve.rounds)
    assert list(curve.values) == [values[number - 1] for number in curve.rounds]


def test_values_that_are_not_finite_are_left_out():
    told = Learning.of(
        {"train": {"l2": [math.nan, 2.0, math.inf]}, "valid": {"l2": []}},
        basis="gain",
        weights=[("a", math.nan), ("b", -3.0), ("c", 1.0), ("d", 0.0)],
    )
    assert [(curve.rounds, curve.values) for curve in told.curves] == [((2,), (2.0,))]
    assert told.importance == {"b": 0.75, "c": 0.25}


def test_what_was_written_is_read_again():
    told = Learning.of({"valid": {"l2": [3.0, 2.0]}}, basis="gain", weights=[("特征", 3.0), ("b", 1.0)])
    assert Learning.from_json(told.to_json()) == told


UNEVEN = {"segment": "a", "metric": "b", "rounds": [1], "values": []}


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"version": 2},
        {"version": 1, "curves": [], "basis": "", "importance": []},
        {"version": 1, "curves": [], "basis": "", "importance": {"a": math.nan}},
        {"version": 1, "curves": [UNEVEN], "basis": "", "importance": {}},
    ],
)
def test_what_somebody_else_wrote_is_refused(content):
    with pytest.raises(DataError, match="does not tell how a model learnt"):
        Learning.from_json(content)
