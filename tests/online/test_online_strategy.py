"""What is to be trained next, and which models are online: by the market's calendar as it stands at each call."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.errors import ConfigError, OnlineError
from rollwright.models.linear import LinearModel
from rollwright.online.strategy import (
    OnlineStrategy,
    RollingStrategy,
    call_first_tasks,
    call_prepare_tasks,
    find_trained,
)
from rollwright.tasks.rolling import RollingGen
from rollwright.tracking.r import R
from rollwright.training.delayed import DelayTrainerR
from rollwright.training.trainer import TrainerR
from serving_market import DAYS, ServingMarket, make_task

STEP = 5
FIRST = DAYS.get_loc(pd.Timestamp("2020-05-11"))


@pytest.fixture
def market(tmp_path):
    return ServingMarket(tmp_path, until="2020-05-20")


def make(*templates, step=STEP, **options):
    return RollingStrategy("roll", list(templates) or make_task(), RollingGen(step=step, **options))


def windows_of(tasks):
    """Return the test segment of each task, as texts."""
    segments = [task["dataset"]["kwargs"]["segments"]["test"] for task in tasks]
    return [tuple(None if end is None else f"{pd.Timestamp(end):%m-%d}" for end in pair) for pair in segments]


def train(strategy, tasks):
    return TrainerR(strategy.experiment)(tasks)


def test_first_are_the_windows_that_have_begun_and_test_ends_today(market):
    assert windows_of(make().first_tasks()) == [("05-11", "05-15"), ("05-18", "05-20")]
    assert windows_of(make().first_tasks(cur_time="2020-05-14")) == [("05-11", "05-14")]
    assert windows_of(make().first_tasks(cur_time="2020-05-14", until="2020-05-19")) == [("05-11", "05-15")]
    assert windows_of(make().first_tasks(cur_time="2020-05-18", until="2020-05-19"))[-1] == ("05-18", "05-19")


def test_a_window_that_outlasts_the_market_is_cut_too(market):
    made = make(clip_last=False).first_tasks(cur_time="2020-05-19")
    assert windows_of(made) == [("05-11", "05-15"), ("05-18", "05-19")]


def test_g7_windows_of_days_that_came_after_it_was_made_are_found(market):
    strategy = make()
    strategy.prepare_online_models(train(strategy, strategy.first_tasks()))
    assert strategy.prepare_tasks(None) == []
    market.grow("2020-05-22")
    assert strategy.prepare_tasks(None) == []
    market.grow("2020-05-25")
    assert windows_of(strategy.prepare_tasks(None)) == [("05-25", "05-25")]
    market.grow("2020-06-10")
    assert windows_of(strategy.prepare_tasks("2020-06-02")) == [("05-25", "05-29"), ("06-01", "06-02")]
    assert windows_of(strategy.prepare_tasks("2020-06-02", until="2020-06-10"))[-1] == ("06-01", "06-05")
    assert windows_of(strategy.prepare_tasks(pd.Timestamp("2030-01-01")))[-1] == ("06-08", "06-10")


def test_o9_only_the_model_of_the_latest_window_that_has_begun_is_online(market):
    strategy = make()
    trained = train(strategy, strategy.first_tasks())
    assert strategy.prepare_online_models(trained, cur_time="2020-05-15") == trained[:1]
    assert strategy.tool.online_models() == trained[:1]
    assert strategy.prepare_online_models(trained, cur_time="2020-05-18") == trained[1:]
    assert strategy.tool.online_models() == trained[1:]
    assert strategy.prepare_online_models([]) == trained[1:]


def test_an_older_window_that_is_trained_late_takes_no_newer_one_offline(market):
    strategy = make()
    first, second = train(strategy, strategy.first_tasks())
    strategy.prepare_online_models([second])
    assert strategy.prepare_online_models([first]) == [second]


def test_of_two_models_of_one_window_the_new_one_is_online(market):
    strategy = make()
    old = train(strategy, strategy.first_tasks())
    strategy.prepare_online_models(old)
    new = train(strategy, strategy.first_tasks())
    assert strategy.prepare_online_models(new) == new[-1:]


def test_before_its_first_window_no_model_is_online(market):
    strategy = make()
    trained = train(strategy, strategy.first_tasks())
    assert strategy.prepare_online_models(trained, cur_time="2020-05-08") == []
    assert strategy.tool.online_models() == []


def test_each_template_has_a_model_online_and_rolls_by_its_own_windows(market):
    early, late = make_task(test=("2020-05-11", None)), make_task("lightgbm", test=("2020-05-13", None))
    strategy = make(early, late)
    trained = train(strategy, strategy.first_tasks(cur_time="2020-05-14"))
    assert set(strategy.prepare_online_models(trained, cur_time="2020-05-14")) == set(trained)
    due = strategy.prepare_tasks("2020-05-18")
    assert windows_of(due) == [("05-18", "05-18")]
    assert due[0]["model"]["class"] == "LinearModel"
    (new,) = train(strategy, due)
    online = strategy.prepare_online_models([new], cur_time="2020-05-18")
    assert sorted(recorder.load_object("task")["model"]["class"] for recorder in online) == ["LGBModel", "LinearModel"]
    assert new in online


def test_o8_windows_without_an_end_mix_with_dated_ones(market):
    strategy = make(clip_last=False)
    open_ended = make_task(test=("2020-05-18", None))
    dated = make_task(test=("2020-05-11", "2020-05-15"))
    recorders = train(strategy, [dated, open_ended])
    strategy.tool.reset_online_tag(recorders)
    market.grow("2020-05-25")
    assert windows_of(strategy.prepare_tasks(None)) == [("05-25", "05-25")]


def test_the_models_online_may_be_given_instead_of_being_asked_for(market):
    strategy = make()
    first, second = train(strategy, strategy.first_tasks())
    strategy.prepare_online_models([second])
    assert windows_of(strategy.prepare_tasks("2020-05-20", online_models=[first])) == [("05-18", "05-20")]


def test_with_nothing_online_nothing_is_prepared_and_the_log_says_so(market, caplog):
    assert make().prepare_tasks("2020-05-20") == []
    assert "strategy.nothing_online strategy=roll" in caplog.text


def test_its_definition_tells_whether_it_is_the_same_after_a_restart():
    known = make().definition
    assert make(make_task()).definition == known
    assert make(make_task(), step=6).definition != known
    assert make(make_task("lightgbm")).definition != known
    assert make(make_task(), make_task("lightgbm")).definition != known
    assert make(trunc_days=3).definition != known
    with pytest.raises(OnlineError, match="has no name by which a restart would find it"):
        make(ds_extra_mod_func=lambda task, generator: None).definition  # noqa: B018


class Bare(OnlineStrategy):
    """A strategy with Qlib's signatures."""

    def first_tasks(self):
        return [{"x": 1}]

    def prepare_tasks(self, cur_time):
        return [{"x": cur_time}]

    def get_collector(self):
        raise NotImplementedError


def test_a_strategy_of_ones_own_may_have_qlibs_signatures():
    assert call_prepare_tasks(Bare("mine"), "2020-05-20", online_models=[], until="2020-05-21") == [{"x": "2020-05-20"}]
    assert call_first_tasks(Bare("mine"), cur_time="2020-05-20") == [{"x": 1}]
    with pytest.raises(OnlineError, match="Bare does not say what it is"):
        Bare("mine").definition  # noqa: B018


def test_what_our_own_names_is_given_to_it(market):
    strategy = make()
    assert windows_of(call_first_tasks(strategy, cur_time="2020-05-14")) == [("05-11", "05-14")]
    recorders = train(strategy, strategy.first_tasks())
    due = call_prepare_tasks(strategy, "2020-05-20", online_models=recorders[:1], until="2020-05-19")
    assert windows_of(due) == [("05-18", "05-19")]


@pytest.mark.parametrize(
    ("make_it", "said"),
    [
        (lambda: RollingStrategy("roll", [], RollingGen()), "nothing to roll"),
        (lambda: RollingStrategy("roll", make_task(), None), "does not roll"),  # type: ignore[arg-type]
        (lambda: make().prepare_tasks(None, horizon=3), "not horizon"),
    ],
)
def test_what_it_cannot_use_is_refused(make_it, said):
    with pytest.raises(ConfigError, match=said):
        make_it()


def test_a_task_that_a_recorder_holds_already_is_found_and_so_not_trained_twice(market):
    strategy = make()
    tasks = strategy.first_tasks()
    assert find_trained(tasks[0], strategy.experiment) is None
    recorders = train(strategy, tasks)
    assert [find_trained(task, strategy.experiment) for task in tasks] == recorders
    assert find_trained(make_task("lightgbm"), strategy.experiment) is None


def test_a_recorder_that_failed_or_whose_data_were_rewritten_does_not_count(market):
    strategy = make()
    task = strategy.first_tasks()[0]
    (recorder,) = DelayTrainerR(strategy.experiment).train([task])
    assert find_trained(task, strategy.experiment) is None
    recorder = train(strategy, [task])[0]
    assert find_trained(task, strategy.experiment) == recorder
    market.frame *= 1.5
    market.frame.loc[(pd.Timestamp("2020-03-02"), "SH600003"), "close"] = 1.0
    market.grow("2020-05-20")
    assert find_trained(task, strategy.experiment) is None


def test_what_is_predicted_later_does_not_hide_that_a_task_is_trained(market):
    strategy = make()
    task = strategy.first_tasks()[0]
    (recorder,) = train(strategy, [task])
    recorder.save_objects(**{"pred.pkl": recorder.load_object("pred.pkl").iloc[:-1]})
    assert find_trained(task, strategy.experiment) == recorder


def test_its_collector_joins_the_windows_and_the_later_one_wins(market):
    strategy = make()
    first, second = train(strategy, strategy.first_tasks())
    ((key, joined),) = strategy.get_collector()()["pred"].items()
    assert key == (LinearModel.__name__,)
    assert joined.index.get_level_values(0).unique().equals(DAYS[FIRST : FIRST + 8])
    later = second.load_object("pred.pkl")
    grown = pd.concat([first.load_object("pred.pkl"), later + 1.0])
    first.save_objects(**{"pred.pkl": grown, "expected_index.pkl": pd.DataFrame(index=grown.index)})
    assert strategy.get_collector()()["pred"][key].loc[later.index].equals(later)
    assert len(strategy.get_collector(process_list=[], rec_filter_func=lambda one: one == second)()["pred"]) == 1


def test_its_experiment_may_have_another_name(market):
    strategy = RollingStrategy("roll", make_task(), RollingGen(step=STEP), experiment="elsewhere")
    strategy.prepare_online_models(train(strategy, strategy.first_tasks()))
    assert strategy.tool.online_models()
    assert R.list_recorders(experiment_name="elsewhere")
