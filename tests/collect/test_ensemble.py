"""Ensembles and groups: nothing lost, nothing invented, no order of dictionaries."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from rollwright.collect.ensemble import AverageEnsemble, RankEnsemble, RollingEnsemble, SingleKeyEnsemble, flatten_keys
from rollwright.collect.group import Group, RollingGroup
from rollwright.config.context import C, using
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, CoverageError, DataError


def prediction(days, names, values) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([pd.to_datetime(days), names], names=["datetime", "instrument"])
    return pd.DataFrame({"score": np.asarray(values, dtype="float32")}, index=index)


def test_rolling_joins_windows_in_order_of_time():
    late = prediction(["2020-01-03"], ["A", "B"], [3, 4])
    early = prediction(["2020-01-02"], ["A", "B"], [1, 2])
    joined = RollingEnsemble()({"z": early, "a": late})
    assert joined["score"].tolist() == [1, 2, 3, 4]
    assert joined.index.is_monotonic_increasing


def test_c2_a_later_nan_never_replaces_a_good_value():
    first = prediction(["2020-01-02", "2020-01-03"], ["A", "B"], [1, 2, 3, 4])
    second = prediction(["2020-01-03"], ["A", "B"], [np.nan, 9])
    assert RollingEnsemble()({1: first, 2: second})["score"].tolist() == [1, 2, 3, 9]


def test_c2_equal_starts_are_ordered_by_key_not_by_dictionary():
    one = prediction(["2020-01-02"], ["A"], [1])
    two = prediction(["2020-01-02"], ["A"], [2])
    assert RollingEnsemble()({"a": one, "b": two}).equals(RollingEnsemble()({"b": two, "a": one}))


def test_an_overlap_can_be_an_error():
    frame = prediction(["2020-01-02"], ["A"], [1])
    with pytest.raises(CoverageError, match="more than one window"):
        RollingEnsemble(overlap="error")({"a": frame, "b": frame})


def test_windows_of_other_columns_or_levels_are_refused_since_they_would_leave_holes_in_each_other():
    first, second = prediction(["2020-01-02"], ["A"], [1]), prediction(["2020-01-03"], ["A"], [2])
    for other in (second.rename(columns={"score": "s"}), second.swaplevel(), second["score"].rename("s")):
        with pytest.raises(DataError, match="window w2 has"):
            RollingEnsemble()({"w1": first, "w2": other})
    assert len(RollingEnsemble()({"w1": first, "w2": second["score"]})) == 2
    assert len(RollingEnsemble()({"w1": first["score"].rename("a"), "w2": second["score"]})) == 2


@pytest.mark.parametrize(
    "reduce", [RollingEnsemble(), AverageEnsemble(), RankEnsemble(), RollingGroup(), AverageEnsemble().explain]
)
@pytest.mark.parametrize("given", [[prediction(["2020-01-02"], ["A"], [1])], None, 5])
def test_what_is_no_dictionary_of_predictions_is_refused(reduce, given):
    more = (("2020-01-02", "A"),) if reduce.__class__.__name__ == "method" else ()
    with pytest.raises(ConfigError, match="takes a dictionary of predictions") as caught:
        reduce(given, *more)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("ensemble", [RollingEnsemble(), AverageEnsemble()])
def test_a_window_that_is_no_prediction_is_named(ensemble):
    good = prediction(["2020-01-02"], ["A"], [1])
    with pytest.raises(DataError, match=r"prediction.* w2 is of type NoneType"):
        ensemble({"w1": good, "w2": None})
    with pytest.raises(DataError, match=r"prediction.* w2 has the levels .*datetime"):
        ensemble({"w1": good, "w2": good.reset_index(drop=True)})


def test_scores_that_are_text_are_refused():
    good = prediction(["2020-01-02"], ["A"], [1])
    with pytest.raises(DataError, match="prediction w2 holds what is no number"):
        AverageEnsemble()({"w1": good, "w2": good.astype(str) + "x"})


def test_a_group_of_what_is_no_function_is_refused():
    with pytest.raises(ConfigError, match=r"Group\(ens=5\): no function"):
        Group(ens=5)


def test_no_window_or_an_empty_one_is_an_error():
    with pytest.raises(CoverageError, match="no window"):
        RollingEnsemble()({})
    with pytest.raises(CoverageError, match="no prediction"):
        RollingEnsemble()({"w1": prediction([], [], [])})


def test_average_standardises_each_day_before_it_averages():
    one = prediction(["2020-01-02"], ["A", "B", "C"], [1, 2, 3])
    two = prediction(["2020-01-02"], ["A", "B", "C"], [10, 30, 20])
    expected = (np.array([-1.0, 0, 1]) + np.array([-1.0, 1, 0])) / 2
    np.testing.assert_allclose(AverageEnsemble()({"m1": one, "m2": two}).to_numpy(), expected)


def test_c3_a_day_of_one_instrument_is_no_nan():
    one = prediction(["2020-01-02"], ["A"], [5])
    assert AverageEnsemble()({"m1": one, "m2": one}).tolist() == [0.0]


def test_c3_a_day_on_which_a_model_scores_all_alike_is_no_nan():
    alike = prediction(["2020-01-02"], ["A", "B"], [5, 5])
    two = prediction(["2020-01-02"], ["A", "B"], [1, 3])
    half = np.sqrt(0.5) / 2
    np.testing.assert_allclose(AverageEnsemble()({"m1": alike, "m2": two}).to_numpy(), [-half, half])


def test_c3_a_model_that_lacks_a_row_is_counted_or_refused():
    one = prediction(["2020-01-02"], ["A", "B"], [1, 2])
    two = prediction(["2020-01-02"], ["A"], [1])
    with pytest.raises(CoverageError, match="1 scores are missing between 2 models"):
        AverageEnsemble()({"m1": one, "m2": two})
    assert AverageEnsemble(missing="skip")({"m1": one, "m2": two}).notna().all()


def test_models_that_have_the_same_rows_are_averaged_where_a_missing_row_is_an_error():
    one = prediction(["2020-01-02"], ["A", "B"], [1, 2])
    assert AverageEnsemble()({"m1": one, "m2": one}).equals(AverageEnsemble(missing="skip")({"m1": one, "m2": one}))


def test_c4_nested_keys_are_flattened_whole():
    assert flatten_keys({("a", "b"): {"c": 1}, 0: {"d": {"e": 2}}}) == {("a", "b", "c"): 1, (0, "d", "e"): 2}


def test_two_members_whose_keys_are_one_when_flattened_are_refused():
    nested = {("a", "b"): prediction(["2020-01-02"], ["A"], [1]), "a": {"b": prediction(["2020-01-02"], ["A"], [2])}}
    with pytest.raises(CoverageError, match="a b"):
        AverageEnsemble()(nested)


def test_an_empty_group_of_members_is_a_hole():
    with pytest.raises(CoverageError, match="lgb"):
        AverageEnsemble()({"linear": prediction(["2020-01-02"], ["A"], [1]), "lgb": {}})


def test_a_single_key_is_unwrapped():
    assert SingleKeyEnsemble()({"a": {"b": 1}}) == 1
    assert SingleKeyEnsemble()({"a": {"b": 1, "c": 2}}) == {"b": 1, "c": 2}
    assert SingleKeyEnsemble()({"a": {"b": 1}}, recursion=False) == {"b": 1}


def test_rolling_group_splits_off_the_window():
    first, second = prediction(["2020-01-02"], ["A"], [1]), prediction(["2020-01-03"], ["A"], [2])
    grouped = RollingGroup()({("lgb", "w1"): first, ("lgb", "w2"): second, ("a", "b", "w1"): first})
    assert list(grouped) == [("lgb",), ("a", "b")]
    assert grouped[("lgb",)]["score"].tolist() == [1, 2]
    assert list(RollingGroup()({("w1",): first})) == [()]


def test_c5_a_key_without_a_window_is_refused():
    for key in ("lgb", ()):
        with pytest.raises(ConfigError, match="no window"):
            RollingGroup()({key: prediction(["2020-01-02"], ["A"], [1])})


def test_a_group_reduces_in_threads_to_the_same_answer():
    group = Group(lambda d: {key: {key: value} for key, value in d.items()}, lambda part: sum(part.values()))
    data = {name: number for number, name in enumerate("abcdef")}
    assert group(data, n_jobs=3) == group(data) == data
    assert list(group(data, n_jobs=3)) == list(data)


@pytest.mark.parametrize(("n_jobs", "cores", "threads"), [(-1, 3, 3), (-2, 3, 2), (-9, 3, 1), (-1, None, 1), (2, 8, 2)])
def test_negative_threads_count_from_the_processors_and_verbose_says_how_many(
    monkeypatch, caplog, n_jobs, cores, threads
):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    caplog.set_level(logging.INFO, logger="rollwright.collect")
    group = Group(lambda d: {key: {key: value} for key, value in d.items()}, lambda part: sum(part.values()))
    data = {name: number for number, name in enumerate("abcdef")}
    assert group(data, n_jobs) == data
    assert caplog.records == []
    assert group(data, n_jobs, 1) == data
    assert [record.getMessage() for record in caplog.records] == [f"collect.reduce parts=6 threads={threads}"]


def test_no_thread_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"n_jobs = 0(.|\n)*hint: .*-1"):
        Group(lambda d: d, len)({"a": {}}, n_jobs=0)


def test_further_arguments_reach_the_grouping_function():
    group = Group(lambda d, size, *, prefix: {prefix + key[:size]: {key: value} for key, value in d.items()}, len)
    assert group({"abc": 1, "xyz": 2}, 1, 0, 2, prefix="_") == {"_ab": 1, "_xy": 1}
    assert group(ungrouped_dict={"abc": 1}, size=1, prefix="") == {"a": 1}
    with pytest.raises(TypeError, match="positional argument"):
        RollingGroup()({("a", "w"): 1}, 1, 0, "unknown")


def test_a_group_without_its_functions_says_so():
    with pytest.raises(ConfigError, match="group_func"):
        Group()({"a": 1})
    with pytest.raises(ConfigError, match="ensemble"):
        Group(lambda d: d)({"a": 1})


def test_the_threads_that_reduce_see_the_context_of_their_caller():
    with using(load_settings({"data.region": "tw"})):
        found = RollingGroup(ens=lambda _part: C.region)({(name, 0): name for name in "abcd"}, n_jobs=2)
    assert found == {(name,): "tw" for name in "abcd"}
    assert C.region == "cn"
