"""What is tried next is a function of seed and results, and learns from them."""

from __future__ import annotations

import statistics
from math import log10

import pytest

from rollwright.campaign.search_section import SearchSection
from rollwright.search.sampling import ask_generation
from rollwright.search.trial import ToldTrial, find_best

SPACE = {
    "task.model.kwargs.a": {"low": 1e-4, "high": 1.0, "log": True},
    "task.model.kwargs.b": {"low": 1, "high": 64, "int": True},
    "task.model.kwargs.c": {"choices": ["x", 1, True, [1, 2]]},
}


def tell(trial, value):
    return ToldTrial(
        number=trial.number,
        params=trial.params,
        state="complete",
        value=value,
        metrics={},
        curve=(),
        windows=1,
        planned=1,
    )


def worth(params):
    """A planted optimum at a = 0.01, b = 20 and the list."""
    a, b, c = params.values()
    return -abs(log10(a) + 2) - abs(b - 20) / 20 + (1.0 if c == [1, 2] else 0.0)


def search(sampler, seed, *, trials=40):
    section = SearchSection.model_validate({"trials": trials, "sampler": sampler, "seed": seed, "space": SPACE})
    told = []
    while asked := ask_generation(section, told):
        told += [tell(one, worth(one.params)) for one in asked]
    return told


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_asks_the_same_and_another_something_else(sampler):
    first = search(sampler, 1, trials=16)
    assert search(sampler, 1, trials=16) == first
    assert [one.params for one in search(sampler, 2, trials=16)] != [one.params for one in first]


def test_values_keep_their_kinds():
    for one in search("tpe", 3, trials=16):
        a, b, c = one.params.values()
        assert type(a) is float
        assert type(b) is int
        assert any(type(c) is type(other) and c == other for other in ("x", 1, True, [1, 2]))


def test_the_last_generation_has_as_many_as_are_left():
    assert [one.number for one in search("random", 1, trials=6)] == [0, 1, 2, 3, 4, 5]


def test_it_finds_a_planted_optimum_better_than_chance_at_equal_trials():
    found = {
        sampler: statistics.median(find_best(search(sampler, seed)).value for seed in range(9))
        for sampler in ("tpe", "random")
    }
    assert found["tpe"] > found["random"]
