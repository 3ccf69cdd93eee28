"""The model confidence set, the draws it is made of, and intervals of ranks."""

import math

import numpy as np
import pytest

from rollwright.analysis.honesty.block_draws import BlockDraws, choose_common_block
from rollwright.analysis.honesty.confidence_set import find_confidence_set
from rollwright.analysis.honesty.rank_intervals import bound_ranks
from rollwright.errors import DataError


def make_values(days=400, edges=(0.3, 0.1, 0.0, -0.2), seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(days, len(edges))) + rng.normal(size=(days, 1)) + np.array(edges)


def draw(values, *, block=10, draws=800, seed=0):
    made = BlockDraws.make(len(values), block, draws=draws, rng=np.random.default_rng(seed))
    return made.means(values)


@pytest.mark.parametrize(("days", "block"), [(100, 10), (103, 10), (7, 7), (20, 1), (11, 6)])
def test_the_means_of_draws_are_those_of_the_days_drawn(days, block):
    values = np.random.default_rng(3).normal(size=(days, 3)) + 5
    draws = BlockDraws.make(days, block, draws=40, rng=np.random.default_rng(4))
    places = draws.indices()
    assert places.shape == (40, days)
    np.testing.assert_allclose(draws.means(values), values[places].mean(axis=1), rtol=1e-12)
    steps = np.diff(places[:, :block], axis=1) % days
    assert (steps == 1).all()


def test_the_mean_of_a_series_does_not_depend_on_the_others_beside_it():
    values = np.random.default_rng(3).normal(size=(300, 40))
    draws = BlockDraws.make(300, 7, draws=500, rng=np.random.default_rng(4))
    order = np.random.default_rng(5).permutation(40)
    np.testing.assert_array_equal(draws.means(values)[:, order], draws.means(values[:, order]))


def test_draws_need_days_of_their_number():
    draws = BlockDraws.make(30, 5, draws=2, rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="values of 29 days"):
        draws.means(np.ones((29, 2)))
    with pytest.raises(DataError, match="not finite"):
        draws.means(np.full((30, 2), math.nan))
    with pytest.raises(DataError, match="from 1 to all days"):
        BlockDraws.make(30, 31, draws=2, rng=np.random.default_rng(0))


def test_a_common_block_leaves_out_what_all_share():
    rng = np.random.default_rng(2)
    shared = np.convolve(rng.normal(size=1049), np.ones(50), "valid")
    values = shared[:, None] + rng.normal(size=(1000, 6))
    assert choose_common_block(values) <= 6
    assert choose_common_block(values[:, :1]) > 50
    assert choose_common_block(values, label_span=20) >= 40
    assert choose_common_block(values[:15]) is None
    assert choose_common_block(values[:60], label_span=20) is None


@pytest.mark.parametrize("statistic", ["range", "max"])
@pytest.mark.parametrize("blocks", [None, 40])
def test_the_best_stays_and_the_worst_goes_first(statistic, blocks):
    values = make_values()
    found = find_confidence_set(values.mean(axis=0), draw(values), statistic=statistic, blocks=blocks)
    assert found.order == ((3,), (2,), (1,), (0,))
    assert found.p_values[0] == 1
    assert (np.diff(found.p_values) <= 0).all()
    assert found.members(0.9).tolist() == [True, False, False, False]
    assert found.statistic == statistic


@pytest.mark.parametrize("statistic", ["range", "max"])
def test_models_that_cannot_be_told_apart_all_stay(statistic):
    values = make_values(edges=(0.0,) * 5)
    found = find_confidence_set(values.mean(axis=0), draw(values), statistic=statistic, blocks=40)
    assert found.members(0.9).all()


@pytest.mark.parametrize("statistic", ["range", "max"])
def test_fewer_blocks_make_the_set_no_smaller(statistic):
    values = make_values(edges=(0.12, 0.05, 0.0, -0.05))
    means, draws = values.mean(axis=0), draw(values)
    few, many, known = (
        find_confidence_set(means, draws, statistic=statistic, blocks=blocks).p_values for blocks in (5, 500, None)
    )
    assert (few >= known).all()
    assert (few > known).any()
    np.testing.assert_allclose(many, known, atol=0.01)


@pytest.mark.parametrize("statistic", ["range", "max"])
def test_models_that_are_the_same_have_the_same_p_value(statistic):
    values = make_values()[:, [0, 1, 1, 2, 2, 2]]
    found = find_confidence_set(values.mean(axis=0), draw(values), statistic=statistic, blocks=40)
    assert found.p_values[1] == found.p_values[2]
    assert found.p_values[3] == found.p_values[4] == found.p_values[5]
    assert found.order == ((3, 4, 5), (1, 2), (0,))


@pytest.mark.parametrize("statistic", ["range", "max"])
@pytest.mark.parametrize("column", [[0, 0, 0], [0]])
def test_all_the_same_or_a_single_model_are_the_whole_set(statistic, column):
    values = make_values()[:, column]
    found = find_confidence_set(values.mean(axis=0), draw(values), statistic=statistic, blocks=40)
    assert found.p_values.tolist() == [1.0] * len(column)
    constant = find_confidence_set([2.0, 2.0], np.full((10, 2), 2.0), statistic=statistic, blocks=40)
    assert constant.p_values.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("statistic", ["range", "max"])
def test_what_never_varies_and_is_worse_is_left_out(statistic):
    found = find_confidence_set([2.0, 1.0], np.tile([2.0, 1.0], (10, 1)), statistic=statistic, blocks=40)
    assert found.p_values.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("statistic", ["range", "max"])
def test_the_order_of_the_models_changes_nothing(statistic):
    values = make_values(edges=(0.1, 0.08, 0.05, 0.0, -0.05))
    order = np.array([3, 1, 4, 0, 2])
    first = find_confidence_set(values.mean(axis=0), draw(values), statistic=statistic, blocks=40)
    other = find_confidence_set(values.mean(axis=0)[order], draw(values)[:, order], statistic=statistic, blocks=40)
    np.testing.assert_allclose(first.p_values[order], other.p_values, atol=0.002)


def test_odd_arguments_are_refused():
    draws = np.zeros((10, 2))
    for find in (find_confidence_set, bound_ranks):
        with pytest.raises(DataError, match="one finite mean"):
            find([1.0], draws)
        with pytest.raises(DataError, match="one finite mean"):
            find([1.0, math.nan], draws)
        with pytest.raises(DataError, match="not finite"):
            find([1.0, 2.0], np.full((10, 2), math.inf))
        with pytest.raises(DataError, match="at least 4"):
            find([1.0, 2.0], draws, blocks=3)
    with pytest.raises(DataError, match="`range` or `max`"):
        find_confidence_set([1.0, 2.0], draws, statistic="mean")
    with pytest.raises(DataError, match="level 90"):
        find_confidence_set([1.0, 2.0], draws).members(90)
    with pytest.raises(DataError, match=r"level 1\.0"):
        bound_ranks([1.0, 2.0], draws, level=1.0)


def test_ranks_of_models_far_apart_are_sure_and_those_of_alike_ones_are_not():
    values = make_values(edges=(3.0, 0.0, 0.0, -3.0))
    found = bound_ranks(values.mean(axis=0), draw(values), blocks=40)
    assert found[0] == (1, 1, 1)
    assert found[3] == (4, 4, 4)
    assert {found[1][1:], found[2][1:]} == {(2, 3)}
    assert {found[1].rank, found[2].rank} == {2, 3}


def test_models_that_are_the_same_share_a_rank_and_its_ends():
    values = make_values(edges=(3.0, 0.0, -3.0))[:, [0, 1, 1, 2]]
    assert bound_ranks(values.mean(axis=0), draw(values)) == [(1, 1, 1), (2, 2, 3), (2, 2, 3), (4, 4, 4)]


def test_a_higher_level_and_fewer_blocks_make_ranks_no_surer():
    values = make_values(edges=(0.1, 0.05, 0.0, -0.05))
    means, draws = values.mean(axis=0), draw(values)
    widths = [
        sum(each.upper - each.lower for each in bound_ranks(means, draws, **terms))
        for terms in ({"level": 0.5}, {"level": 0.9}, {"level": 0.9, "blocks": 5})
    ]
    assert widths[0] < widths[1] < widths[2]


def test_the_ends_leave_at_most_half_of_the_rest_beyond_each():
    draws = np.column_stack([np.zeros(1000), np.r_[np.full(50, -1.0), np.full(950, 1.0)]])
    assert bound_ranks([0.0, 1.0], draws, level=0.9)[1] == (1, 1, 1)
    draws[50, 1] = -1.0
    assert bound_ranks([0.0, 1.0], draws, level=0.9)[1] == (1, 1, 2)
