"""A leak that a file asks for is refused before anything is trained, unless the file declares it with its reason."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import make_plan, plan_once
from rollwright.config.context import init
from rollwright.errors import LookAheadError, SegmentError
from rollwright.market.demo import make_demo_market

CALENDAR = TradingCalendar(pd.bdate_range("2020-01-01", periods=80))
WEEK = "Ref($close,-6)/Ref($close,-1)-1"
WHY = "a published baseline left no gap"


@pytest.fixture(autouse=True)
def _market(tmp_path):
    make_demo_market(tmp_path / "market", instruments=20, sessions=80, seed=1)
    init(provider_uri=str(tmp_path / "market"))


def config(train=("2020-01-01", "2020-01-29"), test=("2020-03-02", "2020-04-10"), valid=None, *, label=WEEK, **more):
    fields = {"feature": [["$close/Ref($close,1)-1"], ["A"]], "label": [[label], ["L"]]}
    handler = {
        "instruments": "all",
        "data_loader": {"class": "QlibDataLoader", "kwargs": {"config": fields}},
        **more.pop("handler", {}),
    }
    segments = {"train": list(train), **({"valid": list(valid)} if valid else {}), "test": list(test)}
    dataset = {
        "class": "DatasetH",
        "module_path": "rollwright.dataset.dataset",
        "kwargs": {
            "handler": {"class": "DataHandlerLP", "module_path": "rollwright.dataset.handler", "kwargs": handler},
            "segments": segments,
            **more.pop("dataset", {}),
        },
    }
    task = {
        "model": {"class": "LinearModel", "module_path": "rollwright.models.linear"},
        "dataset": dataset,
        "record": {"class": "SignalRecord", "module_path": "rollwright.analysis.records"},
    }
    return CampaignConfig.model_validate({"task": task, **more})


def roll(**more):
    return make_plan(config(**more), name="p", calendar=CALENDAR)


def once(**more):
    return plan_once(config(**more), calendar=CALENDAR)


ADJACENT = {"train": ("2020-01-01", "2020-02-28")}
IN_A_ROW = {"train": ("2020-01-01", "2020-01-31"), "valid": ("2020-02-03", "2020-02-28")}


@pytest.mark.parametrize("days", [0, 1, 6])
def test_a_gap_narrower_than_the_label_is_refused_with_label_sessions_and_the_way_out(days):
    with pytest.raises(LookAheadError) as caught:
        roll(**ADJACENT, rolling={"step": 10, "trunc_days": days})
    said = str(caught.value)
    assert f"the labels of the last {7 - max(days, 1)} session(s) of `train` read prices of `test`" in said
    assert "the return over 5 sessions, which reads 6 sessions ahead" in said
    assert "`rolling.trunc_days: auto`, or 7 at least" in said
    assert "allow_leak: {label: why}" in said
    assert caught.value.exit_code == 4


def test_a_gap_as_wide_as_the_label_needs_is_none():
    assert roll(**ADJACENT, rolling={"step": 10, "trunc_days": 7}).leaks == ()
    assert roll(rolling={"step": 10, "trunc_days": 0}).leaks == ()  # the dates leave the gap


def test_a_declared_leak_is_let_through_and_stands_in_the_plan_with_its_reason():
    plan = roll(**ADJACENT, rolling={"step": 10, "trunc_days": 0}, allow_leak={"label": WHY})
    assert [leak.kind for leak in plan.leaks] == ["label"]
    assert plan.leaks[0].text.endswith(f"declared: {WHY}")
    assert plan.windows[0].segments["train"][1] == pd.Timestamp("2020-02-28")


def test_the_place_of_the_leak_is_said():
    with pytest.raises(LookAheadError, match="task/dataset/kwargs/handler: `RobustZScoreNorm`"):
        plan_once(config(handler=norm("2020-03-31")), calendar=CALENDAR, locate=lambda keys: "/".join(map(str, keys)))


def test_overlap_that_the_dataset_allows_is_declared_by_it():
    overlapping = {"train": ("2020-01-01", "2020-02-14"), "valid": ("2020-02-03", "2020-02-20")}
    plan = roll(**overlapping, dataset={"allow_overlap": True}, rolling={"step": 10}, allow_leak={"label": WHY})
    assert [(leak.kind, leak.reason) for leak in plan.leaks] == [("overlap", "`allow_overlap: true`")]
    assert "`train` and `valid` share 10 session(s), from 2020-02-03" in plan.leaks[0].message


def test_train_ends_as_far_before_valid_as_the_label_needs_in_every_window():
    plan = roll(**IN_A_ROW, rolling={"step": 10})
    assert [cut.text for cut in plan.cuts] == [
        "`train` ends 2020-01-23 instead of 2020-01-31: the labels of its last 6 sessions read prices of `valid`"
    ]
    for window in plan.windows:
        assert CALENDAR.distance(window.segments["train"][1], window.segments["valid"][0]) == 7
        assert CALENDAR.distance(window.segments["valid"][1], window.test[0]) == 7


def test_a_single_run_cuts_each_segment_before_the_next_and_says_so():
    plan = once(**IN_A_ROW)
    segments = plan.task["dataset"]["kwargs"]["segments"]
    assert [segments[role][1] for role in ("train", "valid", "test")] == ["2020-01-23", "2020-02-20", "2020-04-10"]
    assert [(cut.segment, cut.before, cut.sessions) for cut in plan.cuts] == [
        ("train", "valid", 6),
        ("valid", "test", 6),
    ]


def test_a_single_run_trains_on_the_dates_as_they_are_where_the_leak_is_declared():
    plan = once(**IN_A_ROW, allow_leak={"label": WHY})
    assert plan.cuts == ()
    assert plan.task["dataset"]["kwargs"]["segments"]["train"] == ["2020-01-01", "2020-01-31"]
    assert [leak.keys[-1] for leak in plan.leaks] == ["train", "valid"]


def test_segments_that_share_their_boundary_day_are_cut_there_too():
    plan = once(train=("2020-01-01", "2020-03-02"))
    assert plan.task["dataset"]["kwargs"]["segments"]["train"][1] == "2020-02-20"


def test_a_cut_that_leaves_nothing_is_an_error():
    with pytest.raises(SegmentError, match="purging `train` 7 sessions before `test`"):
        once(train=("2020-02-25", "2020-02-28"))


NORM = {"class": "RobustZScoreNorm", "kwargs": {"fields_group": "feature", "fit_start_time": "2020-01-01"}}


def norm(end):
    return {"infer_processors": [{**NORM, "kwargs": {**NORM["kwargs"], "fit_end_time": end}}]}


def test_a_processor_that_learns_from_what_is_judged_is_refused():
    with pytest.raises(LookAheadError) as caught:
        once(valid=("2020-02-10", "2020-02-14"), handler=norm("2020-03-31"))
    said = str(caught.value)
    assert "`RobustZScoreNorm` learns up to 2020-03-31, and so from `valid` (from 2020-02-10) and `test` (from" in said
    assert "fit_end_time: <dataset.kwargs.segments.train.1>" in said
    assert "allow_leak: {processors: why}" in said


def test_nor_may_it_learn_from_all_there_is():
    with pytest.raises(LookAheadError, match="learns from all the data there are"):
        once(handler=norm(None))
    with pytest.raises(LookAheadError, match="learns up to 2020-04-20"):
        once(handler={**norm(None), "end_time": "2020-04-20"})
    assert once(handler=norm(None), allow_leak={"processors": WHY}).leaks[0].reason == WHY


def test_a_fit_range_that_ended_with_train_ends_with_it_when_it_is_cut():
    plan = once(**IN_A_ROW, handler=norm("2020-01-31"))
    assert plan.leaks == ()
    processors = plan.task["dataset"]["kwargs"]["handler"]["kwargs"]["infer_processors"]
    assert processors[0]["kwargs"]["fit_end_time"] == "2020-01-23"


def test_a_rolling_fit_range_follows_train_and_is_no_leak():
    assert roll(handler=norm("2020-03-31"), rolling={"step": 10}).leaks == ()


def test_a_processor_inside_another_handler_is_found():
    inner = {
        "class": "DataHandlerLP",
        "module_path": "rollwright.dataset.handler",
        "kwargs": config(handler=norm("2020-03-31")).task.dataset.kwargs["handler"]["kwargs"],
    }
    loader = {"class": "DataLoaderDH", "kwargs": {"handler_config": inner}}
    with pytest.raises(LookAheadError, match="learns up to 2020-03-31"):
        roll(handler={"data_loader": loader, "instruments": None}, rolling={"step": 10})


@pytest.mark.parametrize("given", [True, ["label"], "label", {"lable": WHY}, {"label": ""}, {"label": "  "}])
def test_a_leak_is_declared_by_its_kind_and_a_reason(given):
    with pytest.raises(ValueError, match="allow_leak"):
        config(allow_leak=given)


def test_learning_from_sessions_after_test_is_refused_or_declared():
    later = {"train": ("2020-03-16", "2020-04-10"), "test": ("2020-02-03", "2020-02-28")}
    with pytest.raises(LookAheadError, match="`train` begins on 2020-03-16, after `test`, which begins on 2020-02-03"):
        once(**later)
    assert [leak.kind for leak in once(**later, allow_leak={"order": WHY}).leaks] == ["order"]


def test_choosing_a_model_by_sessions_after_test_is_refused():
    with pytest.raises(LookAheadError, match=r"`valid` begins on 2020-03-23, after `test`.*"):
        once(test=("2020-03-02", "2020-03-20"), valid=("2020-03-23", "2020-04-10"))


def test_labels_of_no_future_need_no_gap():
    assert once(**ADJACENT, label="$close/Ref($close,1)-1").cuts == ()
