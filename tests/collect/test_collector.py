"""Collectors: everything there is, in an order that nothing but keys decides; a hole is an error."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.collect.collector import MergeCollector, RecorderCollector
from rollwright.collect.ensemble import AverageEnsemble
from rollwright.collect.group import RollingGroup
from rollwright.errors import ConfigError, CoverageError
from rollwright.tracking.r import R


def prediction(day: str, value: float) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples([(pd.Timestamp(day), "A")], names=["datetime", "instrument"])
    return pd.DataFrame({"score": [value]}, index=index)


def record(key: str, *, pred: pd.DataFrame | None, fail: bool = False) -> str:
    try:
        with R.start(experiment_name="exp"):
            R.set_tags(key=key)
            if pred is not None:
                R.save_objects(**{"pred.pkl": pred})
            identity = R.get_recorder().id
            if fail:
                raise RuntimeError("on purpose")
    except RuntimeError:
        pass
    return identity


def key_of(recorder) -> str:
    return recorder.list_tags()["key"]


def test_artifacts_come_by_key_in_the_order_of_keys():
    record("b", pred=prediction("2020-01-03", 2))
    record("a", pred=prediction("2020-01-02", 1))
    collected = RecorderCollector("exp", rec_key_func=key_of)()
    assert list(collected["pred"]) == ["a", "b"]
    assert collected["pred"]["b"]["score"].tolist() == [2]


def test_only_finished_recorders_count_unless_asked():
    record("good", pred=prediction("2020-01-02", 1))
    record("bad", pred=prediction("2020-01-03", 1), fail=True)
    assert list(RecorderCollector("exp", rec_key_func=key_of).collect()["pred"]) == ["good"]
    every = RecorderCollector("exp", rec_key_func=key_of, status=["FINISHED", "FAILED"]).collect()["pred"]
    assert list(every) == ["bad", "good"]
    assert list(RecorderCollector("exp", rec_key_func=key_of, status="FAILED").collect()["pred"]) == ["bad"]
    assert list(RecorderCollector("exp", rec_key_func=key_of, status=None).collect()["pred"]) == ["bad", "good"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RecorderCollector(5), "experiment = 5 is neither a name"),
        (lambda: RecorderCollector(["x"] * 1000), "neither a name"),
        (lambda: RecorderCollector("exp", process_list=5), "process_list = 5 is neither"),
        (lambda: RecorderCollector("exp", process_list=[len, 5]), r"process_list\[1\] = 5 is no function"),
        (lambda: RecorderCollector.process_collect({"a": {}}, 5), "process_list = 5"),
        (lambda: RecorderCollector("exp", rec_key_func="key"), "rec_key_func = 'key' is no function"),
        (lambda: RecorderCollector("exp", rec_filter_func=5), "rec_filter_func = 5"),
        (
            lambda: RecorderCollector("exp", rec_key_func=lambda _: ["a"]).collect(),
            r"recorder \w+ gives the key \['a'\]",
        ),
        (lambda: RecorderCollector(lambda: 5).collect(), r"<lambda>\(\) returns 5"),
        (lambda: MergeCollector([RecorderCollector("exp")]), "collector_dict = "),
        (lambda: MergeCollector({"a": 5}), "collector_dict = "),
        (lambda: MergeCollector({"a": RecorderCollector("exp")}, merge_func=lambda *_: []).collect(), "gives the key"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_named_with_its_value(make, said):
    record("a", pred=prediction("2020-01-02", 1))
    with pytest.raises(ConfigError, match=said) as caught:
        make()
    assert len(caught.value.message) < 400


def test_a_state_or_an_artifact_that_nobody_knows_is_named():
    record("a", pred=prediction("2020-01-02", 1))
    with pytest.raises(ConfigError, match=r"DONE.*\n.*FINISHED"):
        RecorderCollector("exp", status=["DONE"])
    with pytest.raises(ConfigError, match=r"`perd`.*\n.*`pred`"):
        RecorderCollector("exp", artifacts_key="perd").collect()
    with pytest.raises(ConfigError, match=r"`label`.*\n.*it has pred, __raw"):
        RecorderCollector("exp").collect(artifacts_key=["pred", "label"])


def test_c1_a_missing_artifact_is_a_hole_that_is_named():
    record("a", pred=prediction("2020-01-02", 1))
    identity = record("b", pred=None)
    with pytest.raises(CoverageError) as caught:
        RecorderCollector("exp", rec_key_func=key_of).collect()
    assert len(caught.value.problems) == 1
    assert identity in caught.value.problems[0]
    assert "pred.pkl" in caught.value.problems[0]


def test_only_exist_leaves_out_what_was_never_saved():
    record("a", pred=prediction("2020-01-02", 1))
    record("b", pred=None)
    assert list(RecorderCollector("exp", rec_key_func=key_of).collect(only_exist=True)["pred"]) == ["a"]


def test_c1_a_damaged_artifact_is_never_skipped(project):
    identity = record("a", pred=prediction("2020-01-02", 1))
    (path,) = project.resolve(project.tracking.artifacts).rglob("pred.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CoverageError, match=identity):
        RecorderCollector("exp", rec_key_func=key_of).collect(only_exist=True)


def test_m8_a_mistyped_experiment_gives_nothing_is_told_and_is_not_created(caplog):
    record("a", pred=prediction("2020-01-02", 1))
    with caplog.at_level("WARNING", logger="rollwright.collect"):
        assert RecorderCollector("expp", process_list=RollingGroup())() == {}
    assert "collect.empty experiment='expp' reason=absent hint=did you mean 'exp'?" in caplog.text
    assert "expp" not in R.list_experiments()


def test_an_experiment_without_recorders_gives_nothing():
    for steps in ([], RollingGroup(), [RollingGroup(), AverageEnsemble()]):
        assert RecorderCollector(R.get_exp(experiment_name="new"), process_list=steps)() == {}
        assert RecorderCollector("new", steps, artifacts_path={"pred": "pred.pkl", "IC": "sig_analysis/ic.pkl"})() == {}
    assert MergeCollector({"a": RecorderCollector("new")})() == {}


def test_of_two_recorders_with_one_key_the_newest_stays():
    record("a", pred=prediction("2020-01-02", 1))
    record("a", pred=prediction("2020-01-02", 2))
    assert RecorderCollector("exp", rec_key_func=key_of)()["pred"]["a"]["score"].tolist() == [2]


def test_a_filter_and_the_recorder_itself():
    record("a", pred=prediction("2020-01-02", 1))
    record("b", pred=prediction("2020-01-03", 2))
    collector = RecorderCollector(
        "exp",
        rec_key_func=key_of,
        rec_filter_func=lambda recorder: key_of(recorder) == "b",
        artifacts_key=[RecorderCollector.ART_KEY_RAW],
    )
    assert [recorder.list_tags()["key"] for recorder in collector.collect()["__raw"].values()] == ["b"]


def test_c8_the_experiment_has_a_name_whatever_it_is():
    record("a", pred=prediction("2020-01-02", 1))

    def recorders():
        return R.list_recorders(experiment_name="exp").values()

    assert RecorderCollector("exp").get_exp_name() == "exp"
    assert RecorderCollector(R.get_exp(experiment_name="exp")).get_exp_name() == "exp"
    assert RecorderCollector(recorders).get_exp_name() == "recorders"
    assert len(RecorderCollector(recorders).collect()["pred"]) == 1
    assert len(RecorderCollector(lambda: R.list_recorders(experiment_name="exp")).collect()["pred"]) == 1


def test_collectors_merge_under_both_keys():
    record("a", pred=prediction("2020-01-02", 1))
    one = RecorderCollector("exp", rec_key_func=key_of)
    assert list(MergeCollector({"x": one, "y": one}).collect()) == [("x", "pred"), ("y", "pred")]
    merged = MergeCollector({"x": one}, merge_func=lambda collector, key: f"{collector}.{key}").collect()
    assert list(merged) == ["x.pred"]


def test_two_results_that_would_have_one_key_are_refused_when_collectors_merge():
    record("a", pred=prediction("2020-01-02", 1))
    one = RecorderCollector("exp", rec_key_func=key_of)
    with pytest.raises(CoverageError, match=r"'pred'.*x.*y"):
        MergeCollector({"x": one, "y": one}, merge_func=lambda collector, key: key).collect()


def test_steps_are_applied_in_order_and_leave_the_collected_alone():
    collected = {"pred": {"a": 1}}
    steps = [lambda part: {**part, "b": 2}, lambda part: sum(part.values())]
    assert RecorderCollector.process_collect(collected_dict=collected, process_list=steps) == {"pred": 3}
    assert collected == {"pred": {"a": 1}}


def test_further_arguments_reach_every_step():
    record("a", pred=prediction("2020-01-02", 1))
    steps = [lambda part, times, *, add: len(part) * times + add, lambda number, times, *, add: number * times + add]
    assert RecorderCollector.process_collect({"x": {1: 2}}, steps, 10, add=1) == {"x": 111}
    assert RecorderCollector("exp", steps)(10, add=1) == {"pred": 111}
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'times'"):
        RecorderCollector("exp", steps)()
