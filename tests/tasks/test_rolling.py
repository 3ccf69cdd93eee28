"""RollingGen: the window law, hand-written folds, and none of the seeds' defects."""

import logging
from copy import deepcopy
from datetime import date
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import current_settings, install, using
from rollwright.config.settings import load_settings
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.errors import CalendarRangeError, ConfigError, SegmentError, TaskValueError
from rollwright.tasks.generate import task_generator
from rollwright.tasks.rolling import RollingGen, handler_mod
from rollwright.tasks.spec import TaskSpec
from rollwright.tasks.variants import SeedGen

CAL = TradingCalendar(pd.bdate_range("2020-01-01", periods=20))
# position: 0 = Wed 01-01, 3 = Mon 01-06, 8 = Mon 01-13, 13 = Mon 01-20, 18 = Mon 01-27, 19 = Tue 01-28
DAY = [day.strftime("%Y-%m-%d") for day in CAL]


def at(place):
    return None if place is None else CAL[place]


def template(train=(0, 5), valid=(6, 8), test=(9, 17), *, spell=lambda place: DAY[place], **handler):
    pairs = {"train": train, "valid": valid, "test": test}
    return {
        "model": {"class": "LGBModel", "kwargs": {"seed": 1}},
        "dataset": {
            "class": "DatasetH",
            "kwargs": {
                "handler": {"class": "Alpha158", "kwargs": {"instruments": "all", **handler}},
                "segments": {
                    key: None if pair is None else tuple(None if end is None else spell(end) for end in pair)
                    for key, pair in pairs.items()
                },
            },
        },
    }


def folds(tasks):
    """The segments of tasks by calendar position."""
    return [
        {
            key: tuple(None if end is None else CAL.index(end) for end in pair)
            for key, pair in task["dataset"]["kwargs"]["segments"].items()
        }
        for task in tasks
    ]


def handler_kwargs(task):
    return task["dataset"]["kwargs"]["handler"]["kwargs"]


def gen(step=3, **kwargs):
    return RollingGen(step=step, calendar=kwargs.pop("calendar", CAL), **kwargs)


def test_expanding_folds_written_out():
    assert folds(gen().generate(template())) == [
        {"train": (0, 5), "valid": (6, 8), "test": (9, 11)},
        {"train": (0, 8), "valid": (9, 11), "test": (12, 14)},
        {"train": (0, 11), "valid": (12, 14), "test": (15, 17)},
    ]


def test_sliding_folds_written_out():
    assert folds(gen(4, rtype=RollingGen.ROLL_SD)(template())) == [
        {"train": (0, 5), "valid": (6, 8), "test": (9, 12)},
        {"train": (4, 9), "valid": (10, 12), "test": (13, 16)},
        {"train": (8, 13), "valid": (14, 16), "test": (17, 17)},
    ]


def test_purged_folds_written_out():
    assert folds(gen(4, trunc_days=3).generate(template())) == [
        {"train": (0, 5), "valid": (6, 6), "test": (9, 12)},
        {"train": (0, 9), "valid": (10, 10), "test": (13, 16)},
        {"train": (0, 13), "valid": (14, 14), "test": (17, 17)},
    ]


def test_the_segments_are_tuples_of_timestamps():
    segments = gen().generate(template())[1]["dataset"]["kwargs"]["segments"]
    assert segments["test"] == (pd.Timestamp("2020-01-17"), pd.Timestamp("2020-01-21"))
    assert all(type(pair) is tuple for pair in segments.values())


@pytest.mark.parametrize(
    "spell",
    [lambda place: DAY[place], lambda place: date.fromisoformat(DAY[place]), at],
    ids=["text", "date", "timestamp"],
)
def test_dates_of_every_spelling_give_the_same_tasks(spell):
    task = template(spell=spell)
    before = deepcopy(task)
    assert folds(gen().generate(task)) == folds(gen().generate(template()))
    assert task == before


def test_dates_that_are_no_sessions_align_inwards():
    task = template()
    # the Saturday after session 7, and the Sunday before session 18
    task["dataset"]["kwargs"]["segments"]["test"] = ["2020-01-11", "2020-01-26"]
    assert [fold["test"] for fold in folds(gen(5).generate(task))] == [(8, 12), (13, 17)]


def test_other_names_of_the_segments():
    task = template()
    segments = task["dataset"]["kwargs"]["segments"]
    task["dataset"]["kwargs"]["segments"] = {"learn": segments["train"], "live": segments["test"]}
    made = folds(gen(test_key="live", train_key="learn").generate(task))
    assert made[1] == {"learn": (0, 8), "live": (12, 14)}
    with pytest.raises(ConfigError, match=r"no segment `tests`, only learn, live"):
        gen(test_key="tests").generate(task)
    with pytest.raises(ConfigError, match="did you mean test_key='live'"):
        gen(test_key="lives").generate(task)


@pytest.mark.parametrize("end", [None, -1, "-1"])
def test_an_open_test_ends_with_the_last_session_that_has_data(end):
    task = template()
    task["dataset"]["kwargs"]["segments"]["test"] = (DAY[9], end)
    cal = TradingCalendar(CAL.values, known=15)
    assert [fold["test"] for fold in folds(gen(calendar=cal).generate(task))] == [(9, 11), (12, 14)]
    assert [fold["test"] for fold in folds(gen(4, calendar=cal, clip_last=False).generate(task))] == [(9, 12), (13, 16)]


def test_a_test_end_without_data_is_cut_and_said(caplog):
    task = template()
    task["dataset"]["kwargs"]["segments"]["test"] = (DAY[9], "2030-01-01")
    with caplog.at_level(logging.WARNING, logger="rollwright.tasks"):
        made = folds(gen(4).generate(task))
    assert made[-1]["test"] == (17, 19)
    assert "rolling.segment_cut segment=test end=2030-01-01" in caplog.text
    caplog.clear()
    task["dataset"]["kwargs"]["segments"]["test"] = (DAY[9], CAL[19])  # the last session that has data
    with caplog.at_level(logging.WARNING, logger="rollwright.tasks"):
        assert folds(gen(4).generate(task)) == made
    assert "rolling.segment_cut" not in caplog.text


def test_a_train_that_begins_before_the_data_is_shorter_and_said(caplog):
    early = template()
    early["dataset"]["kwargs"]["segments"]["train"] = ("2001-06-01", DAY[5])
    with caplog.at_level(logging.WARNING, logger="rollwright.tasks"):
        made = gen().generate(early)
    assert folds(made)[0]["train"] == (0, 5)
    assert "rolling.segment_cut segment=train start=2001-06-01" in caplog.text
    assert DAY[0] in caplog.text
    assert len(caplog.records) == 1  # once, not for each window
    caplog.clear()
    gen().generate(template())
    assert not caplog.records


def test_a_test_that_begins_after_the_data_is_refused():
    cal = TradingCalendar(CAL.values, known=5)
    with pytest.raises(SegmentError, match="begins after its last session that has data"):
        gen(calendar=cal).generate(template())


def test_train_that_reaches_into_test_is_said(caplog):
    with caplog.at_level(logging.WARNING, logger="rollwright.tasks"):
        gen().generate(template(train=(0, 9)))
    assert "rolling.train_overlaps_test segment=train" in caplog.text


def test_a_session_that_two_segments_share_belongs_to_the_later_one_in_every_window_and_is_said_once(caplog):
    made = gen().generate(template(train=(0, 3), valid=(3, 6), test=(6, 11)))
    for task in made:
        found = task["dataset"]["kwargs"]["segments"]
        assert found["train"][1] < found["valid"][0]
        assert found["valid"][1] < found["test"][0]
    assert len(made) > 1
    assert [record.getMessage().split()[1] for record in caplog.records] == ["segment=train", "segment=valid"]


def test_the_generator_follows_a_task_and_leaves_it_out():
    first, *rest = gen().generate(template())
    before = deepcopy(first)
    assert list(gen().gen_following_tasks(first, CAL[17])) == rest
    # the Saturday after session 12: one window begins before it, and ends with it
    assert [fold["test"] for fold in folds(gen().gen_following_tasks(first, "2020-01-18"))] == [(12, 12)]
    assert list(gen().gen_following_tasks(first, CAL[11])) == []
    assert folds(gen().gen_following_tasks(first, None))[-1]["test"] == (18, 19)
    assert first == before


def test_g1_a_window_that_ends_with_the_calendar_is_the_last():
    # step 5 from 10: windows 10..14 and 15..19; the next would begin at 20 == len
    made = folds(gen(5, clip_last=False).generate(template(test=(10, 19))))
    assert [fold["test"] for fold in made] == [(10, 14), (15, 19)]


def test_g2_truncating_a_train_that_begins_on_the_first_session():
    assert folds(gen(3, trunc_days=8).generate(template(valid=(0, 1))))[0] == {
        "train": (0, 1),
        "valid": (0, 1),
        "test": (9, 11),
    }


def test_g3_a_segment_outside_the_calendar_is_refused():
    for pair in (("2010-01-01", "2010-12-31"), ("2030-01-01", "2030-12-31")):
        task = template()
        task["dataset"]["kwargs"]["segments"]["train"] = pair
        with pytest.raises(CalendarRangeError, match="2020-01-01 to 2020-01-28"):
            gen().generate(task)


def test_g4_the_last_window_keeps_the_test_end_unless_asked_otherwise():
    task = template(test=(9, 15), end_time=DAY[15])
    clipped = gen(5).generate(task)
    assert [fold["test"] for fold in folds(clipped)] == [(9, 13), (14, 15)]
    assert handler_kwargs(clipped[-1])["end_time"] == DAY[15]
    as_seeds = gen(5, clip_last=False).generate(task)
    assert [fold["test"] for fold in folds(as_seeds)] == [(9, 13), (14, 18)]
    assert handler_kwargs(as_seeds[-1])["end_time"] == CAL[18]
    assert [fold["test"] for fold in folds(gen(7, clip_last=False).generate(template()))] == [(9, 15), (16, None)]


def test_g5_a_purge_that_leaves_nothing_of_a_segment_is_refused():
    with pytest.raises(SegmentError, match="cutting `valid` 4 sessions before"):
        gen(trunc_days=4).generate(template())
    assert folds(gen(trunc_days=3).generate(template()))[0]["valid"] == (6, 6)


class Handler:
    def __init__(self, end_time):
        self.end_time = end_time


@pytest.mark.parametrize("handler", ["handler.pkl", "file:///somewhere/handler", object(), Handler("2020-01-15")])
def test_g6_a_handler_that_cannot_be_extended_is_refused(handler):
    task = template()
    task["dataset"]["kwargs"]["handler"] = handler
    with pytest.raises(SegmentError, match="cannot be made to reach its end") as caught:
        gen().generate(task)
    assert "ds_extra_mod_func=None" in caught.value.hint
    assert len(gen(ds_extra_mod_func=None).generate(task)) == 3


def test_g6_an_object_of_any_end_does_not_reach_a_test_segment_that_is_open():
    task = template()
    task["dataset"]["kwargs"]["handler"] = Handler("2020-12-31")
    with pytest.raises(SegmentError, match=r"which ends at 2020-12-31, and cannot be made to reach its end"):
        gen(7, clip_last=False).generate(task)


@pytest.mark.parametrize("end", [None, "2020-12-31", CAL[17]])
def test_g6_an_object_that_reaches_the_end_is_fine(end):
    task = template()
    task["dataset"]["kwargs"]["handler"] = Handler(end)
    assert len(gen().generate(task)) == 3


def test_g6_a_handler_by_name_is_extended_and_one_without_end_left_alone():
    made = gen().generate(template(end_time=DAY[12]))
    assert [handler_kwargs(task)["end_time"] for task in made] == [DAY[12], CAL[14], CAL[17]]
    # the Saturday before test ends on a Monday does not reach it, whatever the two align to
    made = gen(5).generate(template(test=(9, 13), end_time="2020-01-18"))
    assert handler_kwargs(made[0])["end_time"] == CAL[13]
    assert "end_time" not in handler_kwargs(gen().generate(template())[-1])
    assert handler_kwargs(gen().generate(template(end_time=None))[-1])["end_time"] is None
    assert handler_kwargs(gen().generate(template(end_time="<a.b>"))[-1])["end_time"] == "<a.b>"
    opened = gen(7, clip_last=False).generate(template(end_time=DAY[12]))
    assert handler_kwargs(opened[-1])["end_time"] is None


def test_g6_a_dataset_without_handler_and_a_handler_without_kwargs_are_fine():
    task = template()
    task["dataset"]["kwargs"]["handler"] = {"class": "Mine"}
    assert gen().generate(task)[-1]["dataset"]["kwargs"]["handler"] == {"class": "Mine"}
    del task["dataset"]["kwargs"]["handler"]
    assert len(gen().generate(task)) == 3


def test_g7_a_generator_sees_the_sessions_that_are_added(tmp_path):
    path = tmp_path / "calendars" / "day.txt"
    path.parent.mkdir()
    path.write_text("\n".join(DAY[:12]))
    settings = load_settings({"data.provider_uri": str(tmp_path)}, start=tmp_path, environ={"HOME": str(tmp_path)})
    rolling = RollingGen(step=3)
    task = template(test=(9, None))
    with using(settings):
        first = rolling.generate(task)
        assert len(first) == 1
        path.write_text("\n".join(DAY))
        assert folds(rolling.gen_following_tasks(first[0], None))[-1]["test"] == (18, 19)


@pytest.mark.parametrize("step", [0, -1, 1.5, "3"])
def test_g8_a_step_that_leads_nowhere_is_refused(step):
    with pytest.raises(ConfigError, match="step = "):
        RollingGen(step=step)


def test_a_wrong_rtype_or_trunc_days_is_refused():
    with pytest.raises(ConfigError, match="neither `expanding` nor `sliding`"):
        RollingGen(rtype="rolling")
    with pytest.raises(ConfigError, match="trunc_days = -1 must be at least 0"):
        RollingGen(trunc_days=-1)


def test_g10_segments_as_lists_roll_too():
    task = template()
    segments = task["dataset"]["kwargs"]["segments"]
    task["dataset"]["kwargs"]["segments"] = {key: list(pair) for key, pair in segments.items()}
    assert gen().generate(task) == gen().generate(template())
    assert folds(gen().gen_following_tasks(task, CAL[17]))[0]["train"] == (0, 8)


def test_g11_the_fit_range_rolls_with_train():
    norm = {"class": "RobustZScoreNorm", "kwargs": {"fit_start_time": DAY[0], "fit_end_time": DAY[5], "clip": True}}
    task = template(
        fit_start_time=DAY[0],
        fit_end_time=DAY[5],
        infer_processors=[norm, {"class": "Fillna"}],
        learn_processors=({"class": "DropnaLabel"},),
    )
    before = deepcopy(task)
    for made in gen(rtype=RollingGen.ROLL_SD).generate(task):
        train = made["dataset"]["kwargs"]["segments"]["train"]
        kwargs = handler_kwargs(made)
        assert (kwargs["fit_start_time"], kwargs["fit_end_time"]) == train
        assert kwargs["infer_processors"][0]["kwargs"] == {
            "fit_start_time": train[0],
            "fit_end_time": train[1],
            "clip": True,
        }
        assert kwargs["infer_processors"][1] == {"class": "Fillna"}
    assert task == before


def test_g11_placeholders_and_absent_fit_ranges_stay():
    task = template(fit_start_time="<dataset.kwargs.segments.train.0>", fit_end_time=None)
    kwargs = handler_kwargs(gen().generate(task)[-1])
    assert kwargs["fit_start_time"] == "<dataset.kwargs.segments.train.0>"
    assert kwargs["fit_end_time"] is None


@pytest.mark.parametrize("copy", [deepcopy, dict, lambda task: task], ids=["deep", "shallow", "not at all"])
def test_the_template_is_never_changed_however_it_is_copied(copy):
    task = template(end_time=DAY[10], fit_start_time=DAY[0], fit_end_time=DAY[5])
    before = deepcopy(task)
    made = gen(task_copy_func=copy).generate(task)
    assert task == before
    assert folds(made) == folds(gen().generate(task))


def test_a_function_of_one_s_own_gets_each_task_and_the_generator():
    seen = []
    rolling = gen(ds_extra_mod_func=lambda task, rg: seen.append((task, rg)))
    made = rolling.generate(template(end_time=DAY[0]))
    assert [task for task, _ in seen] == made
    assert all(rg is rolling for _, rg in seen)
    assert handler_kwargs(made[-1])["end_time"] == DAY[0]
    assert RollingGen().ds_extra_mod_func is handler_mod


@pytest.mark.parametrize("broken", [{}, {"dataset": {}}, {"dataset": {"kwargs": {}}}, {"dataset": {"kwargs": None}}])
def test_a_template_without_segments_says_what_is_missing(broken):
    with pytest.raises(ConfigError, match=r"no (dictionary )?`(kwargs|dataset|segments)`|not a dictionary"):
        gen().generate(broken)


@pytest.mark.parametrize("segment", [None, "2020", ("2020-01-14",), (None, "2020-01-20")])
def test_a_test_segment_that_is_none_is_refused(segment):
    task = template()
    task["dataset"]["kwargs"]["segments"]["test"] = segment
    with pytest.raises(SegmentError, match=r"it is no pair of dates|its start is open"):
        gen().generate(task)


def test_an_open_train_is_refused():
    with pytest.raises(SegmentError, match="its end is open"):
        gen().generate(template(train=(0, None)))


LONG = TradingCalendar(pd.bdate_range("2015-01-01", periods=120))


@st.composite
def cases(draw):
    """A template on LONG and a generator for it."""
    train_first = draw(st.integers(0, 20))
    train_last = draw(st.integers(train_first, 50))
    valid_first = draw(st.integers(train_last + 1, 60))
    valid_last = draw(st.integers(valid_first, 70))
    test_first = draw(st.integers(valid_last + 1, 80))
    test_last = draw(st.integers(test_first, 119))
    days = draw(st.none() | st.integers(1, test_first - valid_first))
    rolling = RollingGen(
        step=draw(st.integers(1, 40)),
        rtype=draw(st.sampled_from(["expanding", "sliding"])),
        trunc_days=days,
        calendar=LONG,
        clip_last=draw(st.booleans()),
    )
    pairs = {"train": (train_first, train_last), "valid": (valid_first, valid_last), "test": (test_first, test_last)}
    segments = {key: [LONG[first], LONG[last]] for key, (first, last) in pairs.items()}
    return {"dataset": {"kwargs": {"segments": segments}}}, pairs, rolling


def positions(task):
    segments = task["dataset"]["kwargs"]["segments"]
    return {key: tuple(len(LONG) if end is None else LONG.index(end) for end in pair) for key, pair in segments.items()}


@given(cases())
def test_law_test_windows_tile_the_template_s_test_segment(case):
    task, pairs, rolling = case
    tests = [positions(made)["test"] for made in rolling.generate(task)]
    assert tests[0][0] == pairs["test"][0]
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(tests))
    assert all(last - first + 1 == rolling.step for first, last in tests[:-1])
    if rolling.clip_last:
        assert tests[-1][1] == pairs["test"][1]
    else:
        assert tests[-1][0] <= pairs["test"][1] <= tests[-1][1]


@given(cases())
def test_law_every_segment_moves_by_the_step_and_expanding_keeps_the_start_of_train(case):
    task, _, rolling = case
    made = [positions(one) for one in rolling.generate(task)]
    for earlier, later in pairwise(made):
        for key in ("train", "valid"):
            moved = 0 if (key, rolling.rtype) == ("train", "expanding") else rolling.step
            assert later[key] == (earlier[key][0] + moved, earlier[key][1] + rolling.step)
        assert later["test"][0] == earlier["test"][0] + rolling.step


@given(cases())
def test_law_nothing_is_learnt_within_trunc_days_of_test(case):
    task, pairs, rolling = case
    clear = rolling.trunc_days or 1
    try:
        made = rolling.generate(task)
    except SegmentError:
        assert pairs["test"][0] - clear < max(pairs["train"][0], pairs["valid"][0])
        return
    for one in map(positions, made):
        assert max(one["train"][1], one["valid"][1]) <= one["test"][0] - clear


@given(cases())
def test_law_the_template_stays_and_following_continues_what_was_generated(case):
    task, pairs, rolling = case
    before = deepcopy(task)
    made = rolling.generate(task)
    assert task == before
    for place, one in enumerate(made):
        assert list(rolling.gen_following_tasks(one, LONG[pairs["test"][1]])) == made[place + 1 :]
    assert rolling.generate(task) == made
    assert task_generator(task, rolling) == made


def handler_object(end=9):
    norm = {"class": "RobustZScoreNorm", "kwargs": {"fit_start_time": DAY[0], "fit_end_time": DAY[5]}}
    loader = QlibDataLoader({"feature": (["$close"], ["A"])})
    return DataHandlerLP("all", DAY[0], DAY[end], data_loader=loader, infer_processors=[norm])


def test_a_handler_object_stands_as_its_configuration_and_rolls_with_the_window():
    task = template()
    task["dataset"]["kwargs"]["handler"] = handler_object()
    made = gen(ds_extra_mod_func=handler_mod).generate(task)
    for window in made:
        kwargs = window["dataset"]["kwargs"]
        handler = kwargs["handler"]
        assert (handler["class"], handler["module_path"]) == ("DataHandlerLP", "rollwright.dataset.handler")
        fit = handler["kwargs"]["infer_processors"][0]["kwargs"]
        assert (fit["fit_start_time"], fit["fit_end_time"]) == kwargs["segments"]["train"]
    assert type(task["dataset"]["kwargs"]["handler"]).__name__ == "DataHandlerLP"


def test_a_task_with_an_object_is_the_task_with_its_configuration():
    task, plain = template(), template()
    task["dataset"]["kwargs"]["handler"] = handler_object()
    plain["dataset"]["kwargs"]["handler"] = handler_object().describe()
    assert TaskSpec.from_definition(task) == TaskSpec.from_definition(plain)
    assert TaskSpec.from_definition(task).definition["dataset"]["kwargs"]["handler"]["class"] == "DataHandlerLP"


def test_an_object_of_data_in_memory_is_refused_with_the_way_out():
    index = pd.MultiIndex.from_product([pd.to_datetime(DAY[:3]), ["A"]], names=["datetime", "instrument"])
    task = template()
    task["dataset"]["kwargs"]["handler"] = DataHandlerLP.from_df(pd.DataFrame({"x": 1.0}, index=index))
    with pytest.raises(TaskValueError, match="exists in memory only") as caught:
        TaskSpec.from_definition(task)
    assert "Parquet" in caught.value.hint


def test_more_tasks_than_anybody_means_are_refused_with_their_number_and_the_setting():
    install(current_settings().with_values({"pool.max_generated": 10}, origin="test"))
    with pytest.raises(ConfigError, match=r"SeedGen has made 12 tasks of 3, and more than 10") as caught:
        task_generator(template(), [gen(step=3), SeedGen(4)])
    assert "pool.max_generated" in caught.value.hint
