"""What a distinct trial is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_trials import make_series, make_trial
from rollwright.errors import DataError
from rollwright.trials.return_series import ReturnSeries
from rollwright.trials.trial import Trial, merge_trials


def test_looking_twice_is_one_trial():
    assert len(merge_trials([make_trial(1), make_trial(1, name="under another name")])) == 1


def test_a_further_day_is_no_new_trial_and_the_longest_stands():
    merged = merge_trials([make_trial(1, count=60), make_trial(2), make_trial(1, count=61)])
    assert [(one.series.digest, len(one.series.units)) for one in merged] == [
        (make_series(1, count=61).digest, 61),
        (make_series(2).digest, 60),
    ]


def test_another_beginning_is_another_trial():
    late = Trial(data="market", source="member", name="late", settings={}, series=make_series(1, skip=10, count=50))
    assert len(merge_trials([make_trial(1), late])) == 2


@pytest.mark.parametrize("fields", [{"data": "other"}, {"synthetic": True}, {"holdout": True}])
def test_other_data_and_the_unsealed_holdout_are_trials_of_their_own(fields):
    one, other = make_trial(1), make_trial(1, count=61, **fields)
    assert not one.is_same(other)
    assert len(merge_trials([one, other])) == 2


def test_strategies_that_part_after_the_start_are_two():
    values = np.random.default_rng(5).normal(0, 0.01, 60)
    other = values.copy()
    other[50:] += 0.001
    days = np.datetime64("2020-01-01") + np.arange(60)
    made = [
        Trial(data="m", source="cell", name=name, settings={}, series=ReturnSeries.of(days, returns))
        for name, returns in (("a", values), ("b", other))
    ]
    assert len(merge_trials(made)) == 2


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(3, 60)), min_size=1, max_size=30), st.randoms())
def test_the_number_of_trials_is_that_of_strategies_in_any_order(looks, random):
    trials = [make_trial(seed, count=count) for seed, count in looks]
    random.shuffle(trials)
    merged = merge_trials(trials)
    longest = {seed: max(count for one, count in looks if one == seed) for seed, _ in looks}
    assert sorted((one.name, len(one.series.units)) for one in merged) == sorted(
        (f"trial {seed}", count) for seed, count in longest.items()
    )


def test_a_trial_comes_back_from_its_json_as_it_was():
    trial = make_trial(3, holdout=True)
    again = Trial.from_json(trial.to_json())
    assert again.identity == trial.identity
    assert again.to_json() == trial.to_json()


@pytest.mark.parametrize("fields", [{"source": "luck"}, {"name": ""}, {"name": "x" * 300}, {"data": ""}])
def test_a_trial_without_a_known_source_or_name_is_refused(fields):
    with pytest.raises(DataError):
        make_trial(1, **fields)


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"source": "luck"},
        {"source": None},
        {"holdout": 1},
        {"synthetic": "no"},
        {"name": 5},
        {"name": "x" * 300},
        {"settings": []},
        {"series": {"first": "2020-01-01"}},
    ],
)
def test_stored_text_that_is_no_trial_is_a_value_error(change):
    with pytest.raises(ValueError, match=r".+"):
        Trial.from_json({**make_trial(1).to_json(), **change})
