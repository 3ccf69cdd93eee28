"""Records that are added, changed, damaged or lost: made anew from the model there is, and nothing is trained."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from rolling_project import ANALYSIS, SIGNAL, Project, afresh, config, day, recorded
from rollwright.campaign.plan import make_plan
from rollwright.campaign.run import submit
from rollwright.campaign.summary import TrainingCounts
from rollwright.market.folder.provider import QlibProvider
from rollwright.tracking.recorder import Recorder


def test_a_record_that_is_added_trains_nothing_and_leaves_what_training_with_it_would(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, before = project.roll(asked)
    held = project.recorders(first)
    more = recorded(asked, SIGNAL, ANALYSIS)
    assert project.counts == TrainingCounts(trained=len(first.ids), records_only=0, kept=0)
    again, after = project.roll(more)
    assert project.learnt == len(first.ids)
    assert project.counts == TrainingCounts(trained=0, records_only=len(first.ids), kept=0)
    assert again.todo == tuple(again.ids)  # they are other tasks
    assert project.recorders(again) == held  # in the recorders there were
    assert all(recorder.status == "FINISHED" for recorder in held.values())
    assert all({"sig_analysis/ic.pkl", "sig_analysis/ric.pkl"} <= sums.keys() for sums in after.values())
    assert after == afresh(tmp_path / "afresh", market, more)
    assert all(before[name].items() <= {**after[name], "task": before[name]["task"]}.items() for name in before)
    assert {"IC", "Rank IC"} <= held[next(iter(held))].list_metrics().keys()
    for one in (asked, more):  # both stand from now on
        assert project.roll(one)[0].todo == ()
    assert project.learnt == len(first.ids)


def test_a_record_that_changes_trains_nothing_and_leaves_the_other_as_it_was(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = recorded(config(day(199)), SIGNAL, ANALYSIS)
    first, before = project.roll(asked)
    changed = recorded(asked, SIGNAL, {**ANALYSIS, "kwargs": {"ana_long_short": True}})
    again, after = project.roll(changed)
    assert project.learnt == len(first.ids)
    assert project.counts == TrainingCounts(trained=0, records_only=len(first.ids), kept=0)  # in recorders of their own
    assert after == afresh(tmp_path / "afresh", market, changed)
    assert not set(project.recorders(again).values()) & set(project.recorders(first).values())
    back, sums = project.roll(asked)
    assert back.todo == ()
    assert sums == before
    assert project.learnt == len(first.ids)


def test_a_longer_test_segment_is_predicted_by_the_model_there_is(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(114), end_time=day(100))  # the handler's end follows the test segment
    first, before = project.roll(asked)
    again, after = project.roll(config(day(117), end_time=day(100)))
    assert again.todo
    assert project.learnt == len(first.ids)
    assert after == afresh(tmp_path / "afresh", market, config(day(117), end_time=day(100)))
    assert project.roll(asked)[1] == before


def test_another_processor_or_seed_is_another_fit(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(140))
    first, _ = project.roll(asked)
    project.roll(config(day(140), learn_processors=[{"class": "DropnaLabel"}, {"class": "CSRankNorm"}]))
    project.roll(asked.model_copy(update={"seed": 1}))
    assert project.learnt == 3 * len(first.ids)


class Killed(BaseException):
    """What a kill would do, where a test can see it."""


def test_a_kill_at_any_write_of_any_step_leaves_what_the_same_command_completes(tmp_path, market):
    asked = config(day(119))
    more = recorded(asked, SIGNAL, ANALYSIS)
    wanted = {"asked": afresh(tmp_path / "one", market, asked), "more": afresh(tmp_path / "two", market, more)}
    kills = 0
    for number in itertools.count(1):
        project = Project(tmp_path / f"project{number}", market)
        writes = itertools.count(1)
        killed = 0
        for name, one in (("asked", asked), ("more", more)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Recorder, "save_objects", killing(Recorder.save_objects, writes, number))
                try:
                    project.roll(one)
                except Killed:
                    killed += 1
                    project.drop_leases()
            assert project.roll(one)[1] == wanted[name]
        kills += killed
        if not killed:
            break
    assert kills >= 10  # the task, the fit, its validity, each artifact of each record …


def killing(save, writes, number):
    def save_objects(recorder, *args, **kwargs):
        if next(writes) == number:
            raise Killed
        return save(recorder, *args, **kwargs)

    return save_objects


def test_a_record_that_fails_leaves_the_finished_recorder_as_it_was(tmp_path, market):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text(
        "from rollwright.analysis.records import RecordTemp\n\n\n"
        "class Failing(RecordTemp):\n"
        "    def generate(self, **kwargs):\n"
        "        raise ValueError('no such thing')\n"
    )
    project = Project(tmp_path / "project", market)
    project.settings = project.settings.with_values({"trust.folder": str(own)}, origin="test")
    asked = config(day(119))
    first, before = project.roll(asked)
    with pytest.raises(ValueError, match="no such thing"):
        project.roll(recorded(asked, SIGNAL, {"class": "Failing", "module_path": "mine.py"}))
    assert {recorder.status for recorder in project.recorders(first).values()} == {"FINISHED"}
    project.drop_leases()
    again = submit(make_plan(asked, name="p", calendar=QlibProvider(market).calendar()), project.manager)
    assert again.todo == ()
    sums = {key: recorder.list_digests() for key, recorder in project.recorders(again).items()}
    assert all(sums[key]["pred.pkl"] == before[key]["pred.pkl"] for key in before)


def test_a_damaged_prediction_is_made_again_from_the_model(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = recorded(config(day(119)), SIGNAL, ANALYSIS)
    first, before = project.roll(asked)
    key = next(iter(first.ids))
    path = Path(project.recorders(first)[key].download_artifact("pred.pkl"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    again, after = project.roll(asked)
    assert [name for name, _ in again.incomplete] == [key]
    assert not again.stale
    assert project.learnt == len(first.ids)
    assert after == before
    assert project.recorders(again)[key].load_object("pred.pkl").shape[1] == 1  # whose bytes are verified
    assert project.roll(asked)[0].todo == ()


def test_a_damaged_model_is_trained_again(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(119))
    first, before = project.roll(asked)
    recorder = project.recorders(first)[next(iter(first.ids))]
    for name in ("params.pkl", "pred.pkl"):
        Path(recorder.download_artifact(name)).write_bytes(b"nothing")
    assert project.roll(asked)[1] == before
    assert project.learnt == len(first.ids) + 1
    assert project.counts == TrainingCounts(trained=1, records_only=0, kept=len(first.ids) - 1)


def test_a_record_that_another_task_was_killed_in_making_again_is_missed_by_all_who_had_it(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = recorded(config(day(119)), SIGNAL, ANALYSIS)
    more = recorded(
        asked, SIGNAL, ANALYSIS, {"class": "SignalMseRecord", "module_path": "rollwright.analysis.signal_records"}
    )
    first, before = project.roll(asked)
    again, _ = project.roll(more)
    key = next(iter(first.ids))
    recorder = project.recorders(first)[key]
    assert project.recorders(again)[key] == recorder
    Path(recorder.download_artifact("pred.pkl")).write_bytes(b"nothing")
    save = Recorder.save_objects

    def killed(self, *args, **kwargs):
        if "ic.pkl" in kwargs:
            raise Killed
        return save(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "save_objects", killed)
        with pytest.raises(Killed):
            project.roll(more)
    project.drop_leases()
    assert "sig_analysis/ic.pkl" not in recorder.list_digests()
    later, _ = project.roll(asked)
    assert [name for name, _ in later.incomplete] == [key]
    assert before[key].items() <= {**recorder.list_digests(), "task": before[key]["task"]}.items()
    assert recorder.load_object("pred.pkl").shape[1] == 1
    assert project.learnt == len(first.ids)
