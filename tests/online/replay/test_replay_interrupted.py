"""Serving that is ended at random steps, or meets another at one, gives the bytes of one that nobody disturbed."""

from __future__ import annotations

import random

import pytest

from replay_harness import Plan, Replay, read_outcome, verify_from_outside


@pytest.fixture(scope="module")
def plan():
    return Plan.draw(10, random.Random(3))


@pytest.fixture(scope="module")
def undisturbed(plan, tmp_path_factory):
    replay = Replay(tmp_path_factory.mktemp("undisturbed") / "project", plan, in_memory=True)
    replay.run_undisturbed()
    return read_outcome(replay)


def test_the_plan_has_what_feeds_do(plan, undisturbed):
    assert plan.restated
    assert plan.inserted
    assert len(plan.chunks) < plan.days  # some sessions are made up for
    assert any("late" in made["scores"] for made in undisturbed.values())
    assert len({str(made["models"]) for made in undisturbed.values()}) > 1
    assert len(undisturbed) == plan.days - len(plan.withheld)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_serving_that_is_interrupted_at_random_steps_ends_with_the_same_bytes(plan, undisturbed, tmp_path, seed):
    replay = Replay(tmp_path / "project", plan, in_memory=True)
    told = replay.run_interrupted(random.Random(seed), share=0.85)
    assert sum(told.killed.values()) >= 4
    assert read_outcome(replay) == undisturbed
    assert verify_from_outside(replay.folder) > 5 * len(undisturbed)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_serving_that_meets_another_at_random_steps_ends_with_the_same_bytes(plan, undisturbed, tmp_path, seed):
    replay = Replay(tmp_path / "project", plan, in_memory=True)
    told = replay.run_interleaved(random.Random(seed))
    assert sum(told.killed.values()) >= 3
    assert read_outcome(replay) == undisturbed
