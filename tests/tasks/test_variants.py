"""Generators of models, losses and seeds."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.trading import TradingCalendar
from rollwright.core.canonical import fingerprint
from rollwright.errors import ConfigError
from rollwright.tasks.generate import MultiHorizonGen, TaskGen, task_generator
from rollwright.tasks.rolling import RollingGen
from rollwright.tasks.variants import LossGen, ModelGen, SeedGen

SESSIONS = np.arange("2020-01-01", "2020-07-01", dtype="datetime64[D]")
CALENDAR = TradingCalendar(SESSIONS)
LINEAR = {"class": "LinearModel", "module_path": "rollwright.models.linear", "kwargs": {"estimator": "ridge"}}


def template() -> dict[str, Any]:
    return {
        "model": {
            "class": "LGBModel",
            "module_path": "rollwright.models.lightgbm",
            "kwargs": {"loss": "mse", "max_depth": 4},
        },
        "dataset": {
            "class": "DatasetH",
            "kwargs": {
                "handler": {"class": "Alpha158", "kwargs": {"instruments": "all"}},
                "segments": {"train": ("2020-01-01", "2020-03-01"), "test": ("2020-04-01", "2020-05-20")},
            },
        },
    }


def test_each_model_takes_the_place_of_the_template_s():
    models = [LINEAR, "LGBModel"]
    made = ModelGen(models).generate(template())
    assert [task["model"] for task in made] == models
    assert all(task["dataset"] == template()["dataset"] for task in made)


def test_each_loss_is_written_beside_the_other_arguments():
    made = LossGen(["mse", "mae"]).generate(template())
    assert [task["model"]["kwargs"] for task in made] == [
        {"loss": "mse", "max_depth": 4},
        {"loss": "mae", "max_depth": 4},
    ]


def test_a_loss_goes_where_the_model_takes_it():
    made = LossGen(["reg:squarederror"], key="objective").generate({**template(), "model": "XGBModel"})
    assert made[0]["model"] == {"class": "XGBModel", "kwargs": {"objective": "reg:squarederror"}}


@pytest.mark.parametrize("seeds", [3, [0, 1, 2], range(3), np.arange(3)])
def test_seeds_are_a_list_or_how_many(seeds):
    made = SeedGen(seeds).generate(template())
    assert [task["model"]["kwargs"]["seed"] for task in made] == [0, 1, 2]


def test_they_multiply_with_windows_and_horizons_and_no_two_tasks_are_the_same():
    gens: list[TaskGen] = [
        ModelGen([LINEAR, template()["model"]]),
        SeedGen(3),
        MultiHorizonGen([1, 5], calendar=CALENDAR),
        RollingGen(step=20, trunc_days=8, calendar=CALENDAR),
    ]
    made = task_generator(template(), gens)
    assert len(made) == 2 * 3 * 2 * 3
    assert len({fingerprint(task) for task in made}) == len(made)


@given(
    seeds=st.lists(st.integers(0, 2**31), min_size=1, max_size=5, unique=True),
    losses=st.lists(st.sampled_from(["mse", "mae", "huber", "quantile"]), min_size=1, unique=True),
)
def test_law_order_does_not_matter_but_for_the_order_and_nothing_else_differs(seeds, losses):
    before = template()
    kept = deepcopy(before)
    one = task_generator(before, [SeedGen(seeds), LossGen(losses)])
    other = task_generator(before, [LossGen(losses), SeedGen(seeds)])
    assert before == kept
    assert {fingerprint(task) for task in one} == {fingerprint(task) for task in other}
    for task in one:
        del task["model"]["kwargs"]["seed"]
        task["model"]["kwargs"]["loss"] = "mse"
        assert task == kept


def test_tasks_share_nothing_with_each_other_or_the_generator():
    gen = ModelGen([LINEAR])
    first = gen.generate(template())[0]
    first["model"]["kwargs"]["estimator"] = "lasso"
    first["dataset"]["kwargs"]["segments"]["train"] = ()
    assert gen.generate(template())[0]["model"] == LINEAR
    assert LINEAR["kwargs"] == {"estimator": "ridge"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ModelGen([]), "no list of models"),
        (lambda: ModelGen(LINEAR), "no list of models"),
        (lambda: ModelGen([{"kwargs": {}}]), r"models\[0\] .* names no class"),
        (lambda: ModelGen([LINEAR, dict(reversed(LINEAR.items()))]), r"models\[0\] and models\[1\] are the same"),
        (lambda: LossGen("mse"), "no list of names"),
        (lambda: LossGen([]), "no list of names"),
        (lambda: LossGen(["mse", "mse"]), "are the same"),
        (lambda: SeedGen(0), "no list of seeds"),
        (lambda: SeedGen("12"), "no list of seeds"),
        (lambda: SeedGen(True), "no list of seeds"),
        (lambda: SeedGen([1, -1]), "no whole number from 0"),
        (lambda: SeedGen([1.5]), "no whole number"),
        (lambda: SeedGen([1, 2, 1]), r"seeds\[0\] and seeds\[2\] are the same"),
    ],
)
def test_what_makes_no_variants_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(("model", "said"), [(None, "has no model"), (7, "has int as its model")])
def test_a_model_without_arguments_cannot_be_varied(model, said):
    with pytest.raises(ConfigError, match=said):
        SeedGen(2).generate({**template(), "model": model})
