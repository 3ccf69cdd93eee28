"""From a configuration to windows: pure, purged, and the same every time."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from campaign_plans import hand_made_plan
from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.config import CampaignConfig, ObjectConfig
from rollwright.campaign.plan import ONLY_VARIANT, WindowKey, make_plan
from rollwright.config.context import current_settings, install
from rollwright.errors import CalendarError, ConfigError, LookAheadError

CALENDAR = TradingCalendar(pd.bdate_range("2020-01-01", periods=300))

OWN = """\
from rollwright.dataset.dataset import Dataset as Answers


class Dataset(Answers):
    label_lookahead = 2
    prepare = None

    def __init__(self, segments, fit=None):
        self.segments, self.fit = segments, fit


class Labelled(Answers):
    prepare = None

    def __init__(self, segments, handler):
        label = handler["kwargs"].get("label", ["Ref($close, -2)"])[0]
        self.segments, self.label_lookahead = segments, int(label.split("-")[1].split(")")[0])


class Blind(Answers):
    prepare = None

    def __init__(self, segments):
        self.segments = segments
"""


@pytest.fixture(autouse=True)
def own_module(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    install(current_settings().with_values({"trust.folder": str(folder)}, origin="test"))


def config(dataset="Dataset", **rolling) -> CampaignConfig:
    segments = {"train": ["2020-01-06", "2020-06-30"], "test": ["2020-07-01", "2020-12-31"]}
    return CampaignConfig.model_validate(
        {
            "task": {
                "model": {"class": "M", "module_path": "own.py"},
                "dataset": {"class": dataset, "module_path": "own.py", "kwargs": {"segments": segments}},
                "record": {"class": "SignalRecord", "module_path": "rollwright.analysis.records"},
            },
            "rolling": {"step": 40, "rtype": "sliding", **rolling},
        }
    )


def plan(**rolling):
    return make_plan(config(**rolling), name="p", calendar=CALENDAR)


def test_windows_tile_the_test_range_in_order():
    made = plan()
    assert made.test_range == (pd.Timestamp("2020-07-01"), pd.Timestamp("2020-12-31"))
    for before, after in zip(made.windows, made.windows[1:], strict=False):
        assert CALENDAR.distance(before.test[1], after.test[0]) == 1
    assert made.windows[0].name == "2020-07-01..2020-08-25"


def test_the_gap_before_test_is_read_from_the_label():
    made = plan()
    assert (made.label_span, made.trunc_days) == (2, 3)
    for window in made.windows:
        assert CALENDAR.distance(window.segments["train"][1], window.test[0]) >= 3


def test_an_embargo_widens_the_gap():
    assert plan(embargo=5).trunc_days == 8
    assert plan(trunc_days=10, embargo=5).trunc_days == 15


def test_a_dataset_that_cannot_tell_its_label_needs_the_gap_said():
    with pytest.raises(ConfigError, match=r"trunc_days: auto"):
        make_plan(config("Blind"), name="p", calendar=CALENDAR)
    assert make_plan(config("Blind", trunc_days=3), name="p", calendar=CALENDAR).trunc_days == 3


def test_the_same_file_gives_the_same_tasks():
    assert [w.spec.fingerprint for w in plan().windows] == [w.spec.fingerprint for w in plan().windows]
    assert plan().windows[0].spec.fingerprint != plan(step=41).windows[0].spec.fingerprint


def test_without_a_rolling_section_there_is_nothing_to_walk():
    once = config().model_copy(update={"rolling": None})
    with pytest.raises(ConfigError, match="rollwright run"):
        make_plan(once, name="p", calendar=CALENDAR)


def test_without_a_record_each_window_saves_its_predictions_and_their_ic():
    task = config().task.model_copy(update={"record": []})
    windows = make_plan(config().model_copy(update={"task": task}), name="p", calendar=CALENDAR).windows
    for window in windows:
        assert [record["class"] for record in window.spec.definition["record"]] == ["SignalRecord", "SigAnaRecord"]
    written = config().task.model_copy(
        update={"record": [ObjectConfig.model_validate({"class": name}) for name in ("SignalRecord", "SigAnaRecord")]}
    )
    same = make_plan(config().model_copy(update={"task": written}), name="p", calendar=CALENDAR).windows
    assert [window.spec.fingerprint for window in windows] == [window.spec.fingerprint for window in same]


def test_segments_outside_the_calendar_are_refused_with_its_range():
    with pytest.raises(CalendarError, match="2020-01-01"):
        make_plan(config(), name="p", calendar=TradingCalendar(pd.bdate_range("2020-01-01", periods=20)))


def test_a_window_that_runs_past_the_known_sessions_predicts_up_to_there():
    made = make_plan(
        config(clip_last=False), name="p", calendar=TradingCalendar(pd.bdate_range("2020-01-01", periods=265))
    )
    assert made.windows[-1].test[1] == pd.bdate_range("2020-01-01", periods=265)[-1]


def test_windows_are_known_by_variant_and_test_segment():
    made = plan()
    assert [window.key for window in made.windows] == sorted({window.key for window in made.windows})
    assert dict(made.variants) == {ONLY_VARIANT: made.windows}
    assert made.windows[0].key == (ONLY_VARIANT, "2020-07-01..2020-08-25")


def test_a_window_of_one_variant_among_several_is_called_by_both():
    assert str(WindowKey("deep", "2020-07-01..2020-08-25")) == "deep/2020-07-01..2020-08-25"
    assert str(WindowKey(ONLY_VARIANT, "2020-07-01..2020-08-25")) == "2020-07-01..2020-08-25"


def test_the_test_range_is_that_of_all_variants_together():
    first, second = plan().windows[:2]
    other = replace(second, key=WindowKey("a", second.key.segment))
    made = hand_made_plan([other, first])
    assert made.test_range == (first.test[0], second.test[1])
    assert list(made.variants) == ["a", ONLY_VARIANT]


HANDLER = {"class": "Alpha158", "module_path": "rollwright.dataset.alpha", "kwargs": {"instruments": "all"}}


def varied(vary, *, combine=None, dataset="Labelled", **rolling) -> CampaignConfig:
    made = config(dataset, **rolling).model_dump(by_alias=True)
    made["task"]["dataset"]["kwargs"]["handler"] = HANDLER
    return CampaignConfig.model_validate({**made, "vary": vary, "combine": combine})


def planned(vary, **more):
    return make_plan(varied(vary, **more), name="p", calendar=CALENDAR)


def gap(window) -> int:
    """Return how many sessions lie between train and test."""
    return CALENDAR.distance(window.segments["train"][1], window.test[0]) - 1


def test_each_member_is_purged_by_its_own_label():
    made = planned({"horizon": [1, 20]}, combine="none")
    assert {name: {gap(window) for window in windows} for name, windows in made.variants.items()} == {
        "horizon=1": {2},
        "horizon=20": {21},
    }
    assert [member.trunc_days for member in made.members] == [3, 22]
    assert (made.trunc_days, made.label_span) == (22, 21)
    assert [window.name for window in made.windows][:1] == ["horizon=1/2020-07-01..2020-08-25"]


def test_each_member_is_refused_for_its_own_leak_at_its_own_place():
    with pytest.raises(LookAheadError, match="`train` read prices of `test`") as caught:
        planned({"horizon": [1, 20]}, combine="none", trunc_days=3)
    assert "22 at least" in (caught.value.hint or "")


def test_members_of_one_label_are_combined_unless_the_file_says_otherwise():
    seeds = {"model.kwargs.seed": [0, 1]}
    made = planned(seeds).combination
    assert made is not None
    assert (made.method, made.members, made.label) == ("average", ("seed=0", "seed=1"), "seed=0")
    assert planned(seeds, combine="none").combination is None
    made = planned(seeds, combine={"method": "rank_mean", "members": ["seed=1"]}).combination
    assert made is not None
    assert (made.method, made.members) == ("rank_mean", ("seed=1",))


def test_members_of_different_labels_need_one_to_be_judged_by():
    with pytest.raises(ConfigError, match="2 different labels") as caught:
        planned({"horizon": [1, 5]})
    assert "combine: {label: horizon=1}" in (caught.value.hint or "")
    made = planned({"horizon": [1, 5]}, combine={"label": "horizon=5"}).combination
    assert made is not None
    assert (made.members, made.label, made.same_label) == (("horizon=1", "horizon=5"), "horizon=5", ("horizon=5",))


def test_members_that_spell_one_task_in_two_ways_are_refused():
    spelled = {"class": "LGBModel", "module_path": "qlib.contrib.model.gbdt"}
    same = {"class": "LGBModel", "module_path": "rollwright.models.lightgbm"}
    with pytest.raises(ConfigError, match="the same task, written in two ways"):
        planned({"model": [spelled, same]})


def test_members_that_have_windows_in_common_are_refused():
    ends = [["2020-07-01", "2020-11-30"], ["2020-07-01", "2021-01-29"]]
    with pytest.raises(ConfigError, match=r"the same task.* in the window 2020-07-01\.\.2020"):
        planned({"dataset.kwargs.segments.test": ends})


def test_members_that_only_make_more_records_than_one_another_are_refused_since_they_score_the_same():
    signal, analysis = {"class": "SignalRecord"}, {"class": "SigAnaRecord"}
    with pytest.raises(ConfigError, match="learn and score the same in the window 20"):
        planned({"record": [[signal, analysis], [signal]]})
    with pytest.raises(ConfigError, match="learn and score the same"):
        planned({"record": [[signal], []]})  # without any, those that `roll` needs are made
    # Records that begin otherwise have a recorder of their own, and may score otherwise.
    kept = planned({"record": [[signal, analysis], [analysis, signal]]})
    assert len(kept.members) == 2


def test_a_generator_of_the_users_own_makes_the_members(tmp_path):
    (tmp_path / "own" / "mine.py").write_text(
        "class Depths:\n"
        "    def __init__(self, depths):\n"
        "        self.depths = depths\n"
        "    def generate(self, task):\n"
        "        return [{**task, 'model': {**task['model'], 'kwargs': {'depth': depth}}} for depth in self.depths]\n"
    )
    named = {"class": "Depths", "module_path": "mine.py", "kwargs": {"depths": [2, 3]}}
    made = planned(named)
    assert list(made.variants) == ["depth=2", "depth=3"]
    assert made.windows[-1].spec.definition["model"]["kwargs"] == {"depth": 3}
    with pytest.raises(ConfigError, match="made no task"):
        planned({**named, "kwargs": {"depths": []}})
    with pytest.raises(ConfigError, match="`Depths` failed: TypeError"):
        planned({**named, "kwargs": {"depths": 3}})


def test_a_generator_that_makes_no_tasks_is_told_what_it_made(tmp_path):
    (tmp_path / "own" / "mine.py").write_text("class Odd:\n    def generate(self, task):\n        return [{}, 3]\n")
    with pytest.raises(ConfigError, match="task 0 of the generator `Odd` is none: `model`: Field required"):
        planned({"class": "Odd", "module_path": "mine.py"})


def test_a_generator_of_ours_needs_no_module():
    assert list(planned({"class": "SeedGen", "kwargs": {"seeds": 2}}).variants) == ["seed=0", "seed=1"]


def test_what_is_no_generator_is_not_built():
    with pytest.raises(ConfigError, match="generator"):
        planned({"class": "LGBModel", "module_path": "rollwright.models.lightgbm"})


def test_more_windows_than_are_allowed_are_refused():
    install(current_settings().with_values({"pool.max_generated": 5}, origin="test"))
    with pytest.raises(ConfigError, match="the first 2 members have 8 windows together"):
        planned({"model.kwargs.seed": [0, 1, 2, 3]})
