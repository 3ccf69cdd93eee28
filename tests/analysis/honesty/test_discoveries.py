"""p-values adjusted for their number."""

import numpy as np
import pytest

from rollwright.analysis.honesty.discoveries import adjust_benjamini_hochberg
from rollwright.errors import DataError


def test_the_worked_example_of_the_definition():
    found = adjust_benjamini_hochberg([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.02, 0.04, 0.04, 0.02])


def test_an_adjusted_value_is_never_below_its_own_nor_above_one():
    values = np.random.default_rng(1).random(200)
    found = adjust_benjamini_hochberg(values)
    assert (found >= values).all()
    assert (found <= 1).all()
    assert (np.diff(found[values.argsort()]) >= 0).all()


def test_none_gives_none():
    assert adjust_benjamini_hochberg([]).shape == (0,)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_is_named_with_its_place(value):
    with pytest.raises(DataError, match="place 1"):
        adjust_benjamini_hochberg([0.5, value])
