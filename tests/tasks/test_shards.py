"""What a definition's shards are, and what is refused."""

from __future__ import annotations

import itertools

import hypothesis
import pandas as pd
import pytest
from hypothesis import strategies as st

from rollwright.calendar.date_ranges import cut_range, read_months
from rollwright.errors import CalendarError, ConfigError
from rollwright.tasks.shards import part_of_instrument, read_sharding

GROUPS = {"bank": ["B", "A"], "energy": ["C"]}


def task(shards, model=None, test=("2020-01-15", "2020-04-20"), **parts):
    dataset = {"class": "DatasetH", "kwargs": {"segments": {"train": ("2019-01-01", "2019-12-31"), "test": test}}}
    return {"model": model or {"class": "LGBModel"}, "dataset": dataset, "shards": shards, **parts}


def names(shards, **terms):
    return [name for name, _ in read_sharding(task(shards, **terms)).shards]


def test_each_kind_names_its_shards():
    assert names({"by": "seeds", "count": 3}, seed=4) == ["seed 4", "seed 5", "seed 6"]
    assert names({"by": "seeds", "seeds": [9, 2]}) == ["seed 9", "seed 2"]
    assert names({"by": "dates", "every": "2M"}) == ["2020-01-15..2020-03-14", "2020-03-15..2020-04-20"]
    assert names({"by": "instruments", "count": 2}) == ["part 1 of 2", "part 2 of 2"]
    assert names({"by": "instruments", "groups": GROUPS}) == ["group bank", "group energy"]


@pytest.mark.parametrize(
    ("shards", "tasks", "apart"),
    [
        ({"by": "seeds", "count": 3}, 3, True),
        ({"by": "dates", "every": "2M"}, 3, False),
        ({"by": "instruments", "count": 3}, 4, False),
        ({"by": "instruments", "count": 3, "mode": "fit"}, 3, True),
        ({"by": "instruments", "groups": GROUPS}, 2, True),
        ({"by": "instruments", "groups": GROUPS, "mode": "predict"}, 3, False),
    ],
)
def test_one_model_for_all_is_a_task_of_its_own(shards, tasks, apart):
    sharding = read_sharding(task(shards))
    assert (sharding.count, sharding.fits_each) == (tasks, apart)
    stages = sharding.stages(task(shards), fingerprint="f")
    assert sum(len(stage) for stage in stages) == tasks
    assert all("shards" not in shard.definition for stage in stages for shard in stage)


def test_the_definition_is_not_changed():
    given = task({"by": "dates", "every": "1M"}, record=["SignalRecord"])
    before = repr(given)
    read_sharding(given).stages(given, fingerprint="f")
    assert repr(given) == before


def test_what_is_no_task_to_be_learnt_has_no_shards():
    assert read_sharding({"shards": {"by": "seeds", "count": 3}}) is None
    assert read_sharding(task(None)) is None


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        (3, "cannot be made by 3"),
        ({"by": "seed"}, "cannot be made by 'seed'"),
        ({"by": "seeds"}, "either `count` or `seeds`"),
        ({"by": "seeds", "count": 2, "seeds": [1, 2]}, "either `count` or `seeds`"),
        ({"by": "seeds", "count": 1}, "1 is no whole number from 2"),
        ({"by": "seeds", "count": True}, "True is no whole number"),
        ({"by": "seeds", "count": 1001}, "1,001; 1,000 shards"),
        ({"by": "seeds", "seeds": [1, 1]}, "differing seeds"),
        ({"by": "seeds", "seeds": [1, -1]}, "-1 is no whole number from 0"),
        ({"by": "seeds", "every": "3M"}, "have no `every`"),
        ({"by": "dates", "every": "3W"}, "`shards.every`: '3W' is no length of dates"),
        ({"by": "dates"}, "None is no length of dates"),
        ({"by": "instruments"}, "either `count` or `groups`"),
        ({"by": "instruments", "count": 2, "mode": "both"}, "'both' is none"),
        ({"by": "instruments", "groups": {"bank": ["A"]}}, "no 2 to 1,000 groups"),
        ({"by": "instruments", "groups": {"bank": ["A"], "energy": []}}, "no 2 to 1,000 groups"),
        ({"by": "instruments", "groups": {"bank": ["A"], "energy": ["B", "A"]}}, "A stands in `shards.groups` twice"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_given(shards, said):
    with pytest.raises(ConfigError, match=said):
        read_sharding(task(shards))


def test_a_model_with_a_seed_of_its_own_would_learn_the_same_in_all_shards():
    model = {"class": "LGBModel", "kwargs": {"seed": 3}}
    with pytest.raises(ConfigError, match="has `seed: 3` of its own"):
        read_sharding(task({"by": "seeds", "count": 3}, model=model))


def test_a_test_segment_without_an_end_has_no_ranges():
    with pytest.raises(ConfigError, match="both ends"):
        read_sharding(task({"by": "dates", "every": "1M"}, test=("2020-01-15", None)))


def test_more_ranges_than_anybody_means_are_refused():
    with pytest.raises(ConfigError, match="1,201 shards"):
        read_sharding(task({"by": "dates", "every": "1M"}, test=("1900-01-01", "2000-01-01")))


DATES = st.dates(min_value=pd.Timestamp("1990-01-01").date(), max_value=pd.Timestamp("2030-01-01").date())


@hypothesis.given(DATES, st.integers(0, 3000), st.integers(1, 30))
def test_ranges_follow_each_other_and_are_the_whole(start, days, months):
    end = start + pd.Timedelta(days=days)
    ranges = cut_range(start, end, months=months)
    assert ranges[0][0] == pd.Timestamp(start)
    assert ranges[-1][1] == pd.Timestamp(end)
    for (first, last), (following, _) in itertools.pairwise(ranges):
        assert first <= last
        assert following - last == pd.Timedelta(days=1)


def test_a_length_is_written_in_months_or_years():
    assert [read_months(text) for text in ("1M", "18M", "2Y")] == [1, 18, 24]
    for text in ("0M", "M", "3m", "3", "1000M", 3, None):
        with pytest.raises(CalendarError, match="no length of dates"):
            read_months(text)


def test_an_empty_range_is_refused():
    with pytest.raises(CalendarError, match="is empty"):
        cut_range("2020-02-01", "2020-01-01", months=1)


@hypothesis.given(st.text(min_size=1, max_size=12), st.integers(2, 50))
def test_an_instrument_is_in_one_part_whatever_others_there_are(name, count):
    assert part_of_instrument(name, count) in range(count)
    assert part_of_instrument(name, count) == part_of_instrument(name, count)


def test_parts_are_about_equal():
    sizes = pd.Series([part_of_instrument(f"SH{number:06d}", 4) for number in range(4000)]).value_counts()
    assert sizes.min() > 900
