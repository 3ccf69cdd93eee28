"""Which models are online: one write switches them all, whoever is killed when."""

from __future__ import annotations

import itertools
import uuid

import pandas as pd
import pytest

from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, OnlineError
from rollwright.online.online_tags import OnlineTool, OnlineToolR
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.delayed import DelayTrainerR
from rollwright.training.trainer import TrainerR
from serving_market import ServingMarket, make_task

STORES = ("memory", "sqlite")


@pytest.fixture(params=STORES)
def project(request, tmp_path):
    """Make a project over each store that is here without a server."""
    uri = f"memory:{uuid.uuid4().hex}" if request.param == "memory" else f"sqlite:///{tmp_path}/tracking.db"
    context.install(load_settings({"tracking.uri": uri}, start=tmp_path, environ={}))


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def tool(project):
    return OnlineToolR("exp")


def start(*names):
    """Return new finished recorders of these names."""
    made = []
    for name in names:
        with R.start(experiment_name="exp", recorder_name=name) as recorder:
            made.append(recorder)
    return made


def names(recorders):
    return sorted(recorder.name for recorder in recorders)


@pytest.fixture
def writes(monkeypatch):
    """Note each write of tags: whose, and which."""
    noted = []
    write = Recorder.set_tags

    def set_tags(recorder, /, **tags):
        noted.append((recorder.name, tags))
        write(recorder, **tags)

    monkeypatch.setattr(Recorder, "set_tags", set_tags)
    return noted


def test_a_switch_takes_the_others_offline(tool):
    a, b, c = start("a", "b", "c")
    tool.reset_online_tag([a, b])
    assert names(tool.online_models()) == ["a", "b"]
    tool.reset_online_tag(c)
    assert names(tool.online_models()) == ["c"]
    assert [tool.get_online_tag(one) for one in (a, b, c)] == ["offline", "offline", "online"]
    assert [one.list_tags()["online_status"] for one in (a, b, c)] == ["offline", "offline", "online"]


def test_tags_add_and_take_away(tool):
    a, b = start("a", "b")
    tool.set_online_tag("online", a)
    tool.set_online_tag(OnlineTool.ONLINE_TAG, [b])
    assert names(tool.online_models()) == ["a", "b"]
    tool.set_online_tag("offline", a)
    assert names(tool.online_models()) == ["b"]
    tool.set_online_tag("next_online", b)
    assert tool.online_models() == []
    assert tool.get_online_tag(b) == "next_online"
    assert tool.get_online_tag(*start("never seen")) == "offline"
    tool.set_online_tag("online", [])


def test_none_may_be_online_and_some_again(tool):
    recorders = start("a", "b")
    for _ in range(3):
        tool.reset_online_tag(recorders)
        assert names(tool.online_models()) == ["a", "b"]
        tool.reset_online_tag([])
        assert tool.online_models() == []
        tool.reset_online_tag(recorders[1])
        assert names(tool.online_models()) == ["b"]


def test_what_is_so_already_is_not_written(tool, writes):
    a, b, c = start("a", "b", "c")
    tool.reset_online_tag([a, b])
    assert len(writes) == 3  # for the first time; later two
    writes.clear()
    tool.reset_online_tag([b, a])
    tool.set_online_tag("online", a)
    tool.set_online_tag("offline", c)
    assert writes == [("c", {"online_status": "offline"})]
    tool.set_online_tag("offline", c)
    assert len(writes) == 1


def test_o5_twelve_that_were_online_once_are_not_written_again(tool, writes):
    former = start(*(f"m{number}" for number in range(12)))
    for recorder in former:
        tool.reset_online_tag(recorder)
    writes.clear()
    tool.reset_online_tag(start("new"))
    assert sorted(name for name, _ in writes) == ["m11", "new"]


def test_o6_which_are_online_is_one_query_however_many_were(tool, monkeypatch):
    recorders = start(*(f"m{number}" for number in range(12)))
    tool.reset_online_tag(recorders)
    store = R.exp_manager.location.store
    asked = []
    for name in ("get_run", "search_runs"):
        method = getattr(store, name)

        def ask(*args, method=method, name=name, **kwargs):
            answer = method(*args, **kwargs)
            asked.append((name, len(answer) if isinstance(answer, list) else 1))
            return answer

        monkeypatch.setattr(store, name, ask)
    assert len(tool.online_models()) == 12
    assert asked == [("search_runs", 12)]
    tool.reset_online_tag(recorders[:1])
    asked.clear()
    tool.online_models()
    assert asked == [("search_runs", 1)]


SWITCHES = [("ab", "c"), ("ab", "bc"), ("ab", "a"), ("ab", "b"), ("a", "ab"), ("ab", "cd"), ("abc", ""), ("", "ab")]


@pytest.mark.parametrize(("before", "after"), SWITCHES, ids="-".join)
def test_o5_killed_anywhere_in_a_switch_those_before_or_those_after_are_online(tool, monkeypatch, before, after):
    write = Recorder.set_tags
    for last in itertools.count():
        made = dict(zip("abcd", start(*"abcd"), strict=True))
        tool.reset_online_tag([made[name] for name in before])
        count = 0

        def set_tags(recorder, /, last=last, **tags):
            nonlocal count
            if count == last:
                raise KilledError
            count += 1
            write(recorder, **tags)

        killed = False
        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "set_tags", set_tags)
            try:
                tool.reset_online_tag([made[name] for name in after])
            except KilledError:
                killed = True
        found = tool.online_models()
        assert set(found) <= set(made.values())
        assert "".join(names(found)) in (before, after)
        if not killed:
            assert "".join(names(found)) == after
        for wanted in (after, before, "d"):  # and whatever was left is no hindrance
            tool.reset_online_tag([made[name] for name in wanted])
            assert "".join(names(tool.online_models())) == wanted
            tagged = [one for one in made.values() if one.list_tags().get("online_status") == "online"]
            assert "".join(names(tagged)) == wanted
        if not killed:
            assert last >= 1
            break


def test_tags_that_qlib_wrote_stand_for_themselves_until_the_next_switch(tool):
    a, b, c = start("a", "b", "c")
    for recorder in (a, b):
        recorder.set_tags(online_status="online")
    assert names(tool.online_models()) == ["a", "b"]
    tool.reset_online_tag([b, c])
    assert names(tool.online_models()) == ["b", "c"]


def test_the_rest_stay_online_when_one_is_deleted(tool):
    a, b = start("a", "b")
    tool.reset_online_tag([a, b])
    R.delete_recorder(a.id)
    assert names(tool.online_models()) == ["b"]


def test_a_set_of_more_than_a_tag_can_hold_is_kept_whole(tool):
    many = start(*(f"m{number}" for number in range(260)))
    tool.reset_online_tag(many)
    assert len(tool.online_models()) == 260


def test_the_experiment_may_be_named_in_each_call(tool):
    (a,) = start("a")
    bare = OnlineToolR()
    bare.reset_online_tag(a, exp_name="exp")
    assert bare.online_models("exp") == [a]
    assert bare.online_models("never made") == []
    with pytest.raises(ConfigError, match="not said of which experiment"):
        bare.online_models()
    assert "never made" not in R.list_experiments()


def test_a_recorder_of_another_experiment_is_refused_before_anything_is_written(tool, writes):
    (a,) = start("a")
    with R.start(experiment_name="other") as other:
        pass
    with pytest.raises(OnlineError, match="belongs to another experiment"):
        tool.reset_online_tag([a, other])
    with pytest.raises(OnlineError, match="of 2 experiments"):
        tool.set_online_tag("online", [a, other])
    with pytest.raises(ConfigError, match="is no recorder"):
        tool.reset_online_tag(["a"])
    assert writes == []


def test_o15_a_model_that_is_only_prepared_is_left_out_and_told_and_predicted_once_it_is_trained(tmp_path, caplog):
    market = ServingMarket(tmp_path)
    tool = OnlineToolR("exp")
    trainer = DelayTrainerR("exp")
    prepared = trainer.train([make_task(test=("2020-05-11", "2020-05-15"))])
    trained = TrainerR("exp")([make_task("lightgbm", test=("2020-05-11", "2020-05-15"))])
    tool.reset_online_tag([*prepared, *trained])
    market.grow("2020-05-21")
    tool.update_online_pred()
    assert f"update.not_trained recorder={prepared[0].id}" in caplog.text
    assert last_of(trained[0]) == pd.Timestamp("2020-05-21")
    trainer.end_train(prepared)
    tool.update_online_pred(to_date="2020-05-20")
    assert last_of(prepared[0]) == pd.Timestamp("2020-05-20")
    assert last_of(trained[0]) == pd.Timestamp("2020-05-21")


def last_of(recorder):
    return recorder.load_object("pred.pkl").index.get_level_values("datetime").max()
