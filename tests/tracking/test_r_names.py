"""`R` over both stores, continued: M8 to M20, resuming, and where things lie."""

import asyncio
import contextvars
import subprocess
import threading

import pandas as pd
import pytest

from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.core.references import from_reference, to_reference
from rollwright.errors import (
    ArtifactNotFoundError,
    ExperimentNotFoundError,
    NoActiveRecorderError,
    RecorderNotFoundError,
    RecordError,
    UnsupportedArtifactError,
)
from rollwright.tracking.manager import MLflowExpManager
from rollwright.tracking.r import R, list_recorders

pytestmark = pytest.mark.usefixtures("project")


def reread(recorder):
    return R.get_recorder(recorder_id=recorder.id)


class TestM8AskingCreatesNothing:
    def test_a_mistyped_experiment_is_an_error_that_names_the_nearest(self, name):
        with R.start(experiment_name=name):
            pass
        typo = name[:-1]
        asks = [
            lambda: R.get_exp(experiment_name=typo, create=False),
            lambda: R.get_recorder(experiment_name=typo, recorder_name="x"),
            lambda: R.delete_exp(experiment_name=typo),
        ]
        for ask in asks:
            with pytest.raises(ExperimentNotFoundError, match=f"did you mean '{name}'"):
                ask()
        assert R.list_recorders(experiment_name=typo) == list_recorders(typo) == {}
        assert typo not in R.list_experiments()
        with pytest.raises(ExperimentNotFoundError, match="no experiment of id 987654"):
            R.get_exp(experiment_id="987654")

    def test_a_mistyped_recorder_is_an_error_that_names_the_nearest(self, name):
        with R.start(experiment_name=name, recorder_name="window-1") as recorder:
            pass
        with pytest.raises(RecorderNotFoundError, match="did you mean 'window-1'"):
            R.get_recorder(experiment_name=name, recorder_name="windw-1")
        with pytest.raises(RecorderNotFoundError, match=r"there is no recorder 0{32}"):
            R.get_recorder(recorder_id="0" * 32)
        with pytest.raises(RecorderNotFoundError, match=r"has no recorder of id 0{32}"):
            R.get_exp(experiment_name=name).get_recorder("0" * 32)
        with pytest.raises(RecorderNotFoundError, match="windw-1"):
            R.get_exp(experiment_name=name).get_recorder(recorder_name="windw-1", create=False)
        assert R.get_exp(experiment_name=name).list_recorders(rtype="list") == [recorder]

    def test_as_in_qlib_an_experiment_is_there_once_it_was_asked_for(self, name):
        experiment = R.get_exp(experiment_name=name)
        assert name in R.list_experiments()
        assert experiment.list_recorders() == {}
        assert R.get_exp(experiment_name=name) == experiment
        recorder = experiment.get_recorder(recorder_name="w")
        assert experiment.get_recorder(recorder_name="w") == recorder
        assert list(experiment.list_recorders()) == [recorder.id]

    @pytest.mark.parametrize("bad", [" ", "a ", "../x", "a/b", "x" * 101, ".a", "a'b", "u\u0308", "\udce9", "a\n", 3])
    def test_a_name_that_is_no_name_creates_nothing(self, bad):
        for ask in (R.exp_manager.create_exp, lambda name: R.get_exp(experiment_name=name, create=True)):
            with pytest.raises(RecordError, match="not usable"):
                ask(bad)

    @pytest.mark.parametrize("bad", ["a'b", 'a"b', "a`b", "a\\b", "a\n", "x" * 251])
    def test_a_recorder_name_that_would_break_a_filter_is_refused(self, name, bad):
        with pytest.raises(RecordError, match="recorder name"), R.start(experiment_name=name, recorder_name=bad):
            pass


def test_m9_a_deleted_name_is_free_and_its_new_experiment_empty(name):
    with R.start(experiment_name=name) as old:
        pass
    R.delete_exp(experiment_name=name)
    with pytest.raises(ExperimentNotFoundError, match=f"no experiment named '{name}'"):
        R.get_exp(experiment_name=name, create=False)
    with R.start(experiment_name=name) as new:
        pass
    assert new.experiment_id != old.experiment_id
    assert R.get_exp(experiment_name=name).list_recorders(rtype="list") == [new]


def test_m10_by_name_the_newest_is_found(name):
    made = []
    for _ in range(2):
        with R.start(experiment_name=name, recorder_name="same") as recorder:
            made.append(recorder)
    newest = max(made, key=lambda recorder: recorder.start_time)
    found = R.get_recorder(experiment_name=name, recorder_name="same")
    assert found.start_time == newest.start_time


def test_m12_no_name_and_none_active_is_an_error(name):
    with R.start(experiment_name=name):
        pass
    asks = [
        R.get_recorder,
        lambda: R.get_recorder(experiment_name=name),
        lambda: R.log_params(a=1),
        lambda: R.save_objects(a=1),
        lambda: R.load_object("a"),
    ]
    for ask in asks:
        with pytest.raises(NoActiveRecorderError, match=r"no recorder (of experiment '.*' )?is active"):
            ask()
    with pytest.raises(RecordError, match="so nothing is deleted"):
        R.delete_recorder()
    with pytest.raises(RecordError, match="so nothing is deleted"):
        R.delete_exp()


def test_m13_nothing_is_unpickled_and_errors_say_which(name, tmp_path):
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with R.start(experiment_name=name) as recorder:
        R.log_artifact(tmp_path / "evil.pkl")
        with pytest.raises(UnsupportedArtifactError, match="plain file"):
            R.load_object("evil.pkl")
        with pytest.raises(ArtifactNotFoundError, match=r"no artifact 'pred\.pkl'"):
            R.load_object("pred.pkl")
        with pytest.raises(UnsupportedArtifactError, match="cannot be stored"):
            R.save_objects(ok=1, bad=threading.Lock())
        assert recorder.list_artifacts() == ["evil.pkl"]


def test_m14_long_values_are_kept_whole(name):
    text = "ä" * 7000
    with R.start(experiment_name=name) as recorder:
        R.log_params(long=text, pointer="artifact:long_values/nothing.json")
        R.log_params(long=text)  # the same again is no change
        with pytest.raises(RecordError, match="already"):
            R.log_params(long=text + "x")
        R.set_tags(long=text * 2)
        assert recorder.list_params()["long"] == text
    found = reread(recorder)
    assert found.list_params() == {"long": text, "pointer": "artifact:long_values/nothing.json"}
    assert found.list_tags() == {"long": text * 2}
    rows = R.search_records([found.experiment_id])
    assert rows["params.long"].iloc[0].startswith("artifact:long_values/")


def test_m15_no_process_is_started_and_neither_arguments_nor_environment_are_logged(name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"a process was started: {args}")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setenv("_QLIB_SECRET", "hush")
    with R.start(experiment_name=name) as recorder:
        pass
    found = reread(recorder)
    assert (found.list_params(), found.list_tags(), found.list_artifacts()) == ({}, {}, [])


def test_m16_a_run_ends_finished_unless_told_otherwise(name):
    recorder = R.get_exp(experiment_name=name, create=True).create_recorder()
    recorder.start_run()
    recorder.end_run()
    assert reread(recorder).status == "FINISHED"
    with pytest.raises(RecordError, match="no status"):
        recorder.end_run("DONE")


def test_m17_the_local_folder_is_the_folder(name, project):
    with R.start(experiment_name=name) as recorder:
        R.save_objects(a=1)
    folder = project.resolve(".rollwright/artifacts") / recorder.experiment_id / recorder.id
    assert recorder.get_local_dir() == str(folder)
    assert recorder.artifact_uri == (folder / "artifacts").as_uri()
    assert (folder / "artifacts/a.json").is_file()


def test_arguments_stand_where_qlib_has_them(name):
    manager = MLflowExpManager(R.get_uri(), name)
    assert (manager.uri, manager.default_exp_name) == (R.get_uri(), name)
    made = manager.create_exp(name)
    recorder = made.get_recorder(None, "new", True)
    assert (recorder.name, recorder.status) == ("new", "SCHEDULED")
    manager.delete_exp(None, name)
    assert name not in manager.list_experiments()


def test_m18_a_renamed_recorder_is_found_by_its_new_name(name):
    with R.start(experiment_name=name, recorder_name="old") as recorder:
        recorder.set_recorder_name(rname="new")
        assert recorder.name == "new"
    assert R.get_recorder(experiment_name=name, recorder_name="new") == recorder
    with pytest.raises(RecorderNotFoundError, match="has no recorder named 'old'"):
        R.get_recorder(experiment_name=name, recorder_name="old")


class TestM20ThreadsDoNotMix:
    def test_each_thread_has_its_own_active_recorder(self, name):
        R.get_exp(experiment_name=name, create=True)
        gate = threading.Barrier(3, timeout=20)
        seen = {}

        def work(place):
            with R.start(experiment_name=name, recorder_name=f"r{place}") as recorder:
                gate.wait()
                R.log_params(place=place)
                gate.wait()
                seen[place] = R.get_recorder() is recorder

        threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == {0: True, 1: True, 2: True}
        for place in range(3):
            assert R.get_recorder(experiment_name=name, recorder_name=f"r{place}").list_params() == {
                "place": str(place)
            }

    def test_a_run_ended_in_another_thread_is_active_no_more(self, name):
        with R.start(experiment_name=name) as recorder:
            thread = threading.Thread(target=contextvars.copy_context().run, args=(R.end_exp,))
            thread.start()
            thread.join()
            with pytest.raises(NoActiveRecorderError, match="no recorder is active in this thread"):
                R.get_recorder()
        assert reread(recorder).status == "FINISHED"

    def test_a_new_thread_starts_with_none(self, name):
        caught = []

        def ask():
            try:
                R.get_recorder()
            except NoActiveRecorderError as error:
                caught.append(error)

        with R.start(experiment_name=name):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        assert len(caught) == 1

    def test_asynchronous_tasks_do_not_mix(self, name):
        async def work(place):
            with R.start(experiment_name=name, recorder_name=f"a{place}") as recorder:
                await asyncio.sleep(0)
                R.log_params(place=place)
                return recorder

        async def all_of_them():
            return await asyncio.gather(*(work(place) for place in range(3)))

        for place, recorder in enumerate(asyncio.run(all_of_them())):
            assert reread(recorder).list_params() == {"place": str(place)}


class TestResuming:
    def test_by_id_by_name_and_the_newest(self, name):
        with R.start(experiment_name=name, recorder_name="r") as recorder:
            R.log_params(a=1)
        for how in ({"recorder_id": recorder.id}, {"recorder_name": "r"}, {}):
            with R.start(experiment_name=name, resume=True, **how) as again:
                assert again == recorder
                assert again.status == "RUNNING"
        assert reread(recorder).status == "FINISHED"

    def test_what_is_not_there_is_started_by_name_and_refused_by_id(self, name):
        with R.start(experiment_name=name, resume=True, recorder_name="new") as recorder:
            pass
        assert recorder.name == "new"
        with (
            pytest.raises(RecorderNotFoundError, match=r"has no recorder of id 0{32}"),
            R.start(experiment_name=name, recorder_id="0" * 32, resume=True),
        ):
            pass
        with (
            pytest.raises(RecordError, match="resume=True"),
            R.start(experiment_name=name, recorder_id=recorder.id),
        ):
            pass


def test_save_objects_takes_a_path_or_objects_never_both(name, tmp_path):
    (tmp_path / "a.txt").write_text("A")
    with R.start(experiment_name=name) as recorder:
        for wrong in (lambda: R.save_objects(tmp_path / "a.txt", b=1), R.save_objects):
            with pytest.raises(RecordError, match="either"):
                wrong()
        R.save_objects(tmp_path / "a.txt")
        with pytest.raises(ArtifactNotFoundError, match="there is no file or folder"):
            R.save_objects(tmp_path / "absent")
        R.save_objects(artifact_path="deep/er", **{"x.pkl": 1})
        assert recorder.list_artifacts() == ["a.txt", "deep/er/x.pkl"]
        recorder.delete_artifact("a.txt")
        assert recorder.list_artifacts() == ["deep/er/x.pkl"]


def test_values_wait_for_a_read_a_flush_or_the_end(name, monkeypatch, project):
    store = R.exp_manager.location.store
    calls = []
    original = type(store).log_batch
    monkeypatch.setattr(
        type(store), "log_batch", lambda self, run_id, **batch: calls.append(batch) or original(self, run_id, **batch)
    )
    with R.start(experiment_name=name) as recorder:
        for place in range(100):
            R.log_params(**{f"p{place}": place})
        R.log_metrics(ic=1)
        R.set_tags(a=1)
        assert calls == []
    assert len(calls) == 1
    recorder.set_tags(after="the end")  # no longer active: written at once
    assert len(calls) == 2


def test_a_moved_project_folder_still_finds_everything(tmp_path, name, frame):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / ".rollwright").mkdir(parents=True)
    install(load_settings({"tracking.uri": "memory:moving"}, start=here, environ={}))
    with R.start(experiment_name=name) as recorder:
        R.save_objects(**{"pred.pkl": frame})
    reference = to_reference(recorder)
    assert str(tmp_path) not in str(reference)
    here.rename(there)
    install(load_settings({"tracking.uri": "memory:moving"}, start=there, environ={}))
    pd.testing.assert_frame_equal(from_reference(reference).load_object("pred.pkl"), frame)
