"""`R` over both stores: the census' defects M1 to M7, each by its name."""

import math
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest

from rollwright.config.context import init
from rollwright.core.references import from_reference, to_reference
from rollwright.errors import (
    NoActiveRecorderError,
    RecorderNotFoundError,
    RecordError,
    TrackingUnavailableError,
    UnsupportedArtifactError,
)
from rollwright.tracking.experiment import Experiment
from rollwright.tracking.log_buffer import LogBuffer
from rollwright.tracking.r import QlibRecorder, R
from rollwright.tracking.recorder import Recorder

pytestmark = pytest.mark.usefixtures("project")


def reread(recorder):
    return R.get_recorder(recorder_id=recorder.id)


class TestTheMainPath:
    def test_a_run_is_recorded_and_found_again(self, name, frame):
        with R.start(experiment_name=name, recorder_name="first") as recorder:
            assert recorder.status == "RUNNING"
            R.log_params(a=1, b="text", c=[1, 2])
            R.log_metrics(ic=0.25, step=3)
            R.set_tags(fold=7)
            R.save_objects(**{"pred.pkl": frame, "sig_analysis/ic.pkl": {"a": [1, 2]}})
        found = R.get_recorder(experiment_name=name, recorder_name="first")
        assert found == recorder
        assert found is not recorder
        assert (found.status, found.name) == ("FINISHED", "first")
        assert found.start_time <= found.end_time
        assert found.list_params() == {"a": "1", "b": "text", "c": "[1, 2]"}
        assert found.list_metrics() == {"ic": 0.25}
        assert found.list_tags() == {"fold": "7"}
        assert found.list_artifacts() == ["pred.pkl", "sig_analysis/ic.pkl"]
        pd.testing.assert_frame_equal(found.load_object("pred.pkl"), frame)
        assert found.load_object("sig_analysis/ic.pkl") == {"a": [1, 2]}

    def test_a_recorder_becomes_json_and_comes_back(self, name):
        with R.start(experiment_name=name) as recorder:
            pass
        reference = to_reference(recorder)
        assert set(reference) == {"$reference", "store", "experiment_id", "recorder_id"}
        assert from_reference(reference) == recorder
        R.delete_recorder(recorder_id=recorder.id)
        with pytest.raises(RecorderNotFoundError, match="is deleted"):
            from_reference(reference)

    def test_info_is_json(self, name):
        with R.start(experiment_name=name) as recorder:
            info = recorder.info
            experiment = R.get_exp().info
        assert info["class"] == "Recorder"
        assert (info["id"], info["status"], info["end_time"]) == (recorder.id, "RUNNING", None)
        assert experiment == {
            "class": "Experiment", "id": recorder.experiment_id, "name": name, "active_recorder": recorder.id
        }  # fmt: skip

    def test_words_on_r_reach_the_active_recorder(self, name, tmp_path):
        (tmp_path / "note.txt").write_text("hello")
        with R.start(experiment_name=name) as recorder:
            R.log_artifact(tmp_path / "note.txt", "notes")
            assert R.get_recorder() is recorder
            assert recorder.list_artifacts("notes") == ["notes/note.txt"]
            assert R.exp_manager.active_experiment.id == recorder.experiment_id

    def test_the_unpickler_of_qlib_is_never_called(self, name, frame):
        with R.start(experiment_name=name) as recorder:
            R.save_objects(frame=frame, odd=Fraction(1, 2))
            pd.testing.assert_frame_equal(R.load_object("frame", unpickler=pytest.fail), frame)
            assert recorder.load_object("odd") == Fraction(1, 2)
            with pytest.raises(UnsupportedArtifactError, match="not by the unpickler given"):
                recorder.load_object("odd", unpickler=pytest.fail)

    def test_a_run_that_names_no_experiment_goes_to_the_one_of_the_settings(self, name):
        init(exp_manager={"class": "MLflowExpManager", "kwargs": {"default_exp_name": name}})
        with R.start():
            assert R.get_exp().name == name

    def test_recorders_without_windows_are_listed_newest_first_and_by_status(self, name):
        made = []
        for place in range(3):
            with R.start(experiment_name=name, recorder_name=f"r{place}") as recorder:
                R.log_metrics(ic=place / 10)
            made.append(recorder)
        made[1].end_run("FAILED")
        experiment = R.get_exp(experiment_name=name)
        listed = experiment.list_recorders(rtype="list")
        assert set(listed) == set(made)
        assert [r.start_time for r in listed] == sorted((r.start_time for r in made), reverse=True)
        assert set(R.list_recorders(experiment_name=name)) == {r.id for r in made}
        assert experiment.list_recorders(rtype="list", status=Recorder.STATUS_FA) == [made[1]]
        assert experiment.list_recorders(rtype="list", filter_string="metrics.ic > 0.15") == [made[2]]
        assert len(experiment.list_recorders(max_results=2)) == 2
        assert name in R.list_experiments()

    def test_a_recorder_can_be_scheduled_first(self, name):
        experiment = R.get_exp(experiment_name=name, create=True)
        recorder = experiment.create_recorder("later")
        assert recorder.status == "SCHEDULED"
        with R.start(experiment_name=name, recorder_id=recorder.id, resume=True) as taken_up:
            assert taken_up == recorder
        assert reread(recorder).status == "FINISHED"

    def test_the_uri_of_a_block_holds_in_the_block_only(self, name, tmp_path):
        before = R.get_uri()
        with R.start(experiment_name=name, uri="memory:elsewhere") as recorder:
            assert R.get_uri() == "memory:elsewhere"
        assert R.get_uri() == before
        assert name not in R.list_experiments()
        with R.uri_context("memory:elsewhere"):
            assert R.get_recorder(recorder_id=recorder.id) == recorder

    def test_set_uri_lasts_until_it_is_unset(self):
        own = QlibRecorder()
        own.set_uri("memory:mine")
        assert own.get_uri() == "memory:mine"
        own.set_uri(None)
        assert own.get_uri() == R.get_uri()

    def test_a_place_that_holds_no_runs_is_refused(self, name):
        for uri in ("file:///somewhere/mlruns", "mlruns", "ftp://x"):
            with pytest.raises(RecordError, match="cannot keep runs"), R.start(experiment_name=name, uri=uri):
                pass


def test_m1_the_default_place_works_on_the_first_command(mlflow_project, name):
    assert mlflow_project.tracking.uri == "sqlite:///.rollwright/mlflow.db"
    with R.start(experiment_name=name) as recorder:
        R.log_params(a=1)
    assert reread(recorder).list_params() == {"a": "1"}
    assert (mlflow_project.root / ".rollwright/mlflow.db").is_file()


class TestM2OneBadValueLosesNoOther:
    def test_a_changed_parameter_is_named_and_all_else_is_kept(self, name):
        with R.start(experiment_name=name) as recorder:
            R.log_params(a=1)
            with pytest.raises(RecordError, match="'a' is '1' already, not '2'"):
                R.log_params(a=2, b=3)
            R.log_metrics(ic=0.5)
        found = reread(recorder)
        assert found.status == "FINISHED"
        assert found.list_params() == {"a": "1", "b": "3"}
        assert found.list_metrics() == {"ic": 0.5}

    def test_a_parameter_changed_by_resuming_is_named(self, name):
        with R.start(experiment_name=name) as recorder:
            R.log_params(a=1)
        with R.start(experiment_name=name, recorder_id=recorder.id, resume=True):
            R.log_params(a=1)
            with pytest.raises(RecordError, match="already"):
                R.log_params(a=2)
            R.log_metrics(ic=1)
        assert reread(recorder).list_metrics() == {"ic": 1.0}

    def test_metrics_without_a_legal_name_or_number_are_named(self, name):
        with R.start(experiment_name=name) as recorder:
            with pytest.raises(RecordError) as caught:
                R.log_metrics(
                    **{"ic%": 1.0, "text": "abc", "inf": math.inf, "none": None, "good": 0.5, "nan": math.nan}
                )
            R.set_tags(after="x")
        for bad in ("ic%", "text", "inf", "none"):
            assert f"{bad}'" in str(caught.value)
        found = reread(recorder)
        assert found.list_metrics()["good"] == 0.5
        assert math.isnan(found.list_metrics()["nan"])
        assert set(found.list_metrics()) == {"good", "nan"}
        assert found.list_tags() == {"after": "x"}

    def test_what_another_process_logged_meanwhile_costs_only_its_own_value(self, name):
        with R.start(experiment_name=name) as recorder:
            reread(recorder).log_params(a="theirs")
            R.log_params(a="ours", b=1)
            R.log_metrics(ic=0.5)
            with pytest.raises(RecordError, match=r"refused 1 values.*'a'"):
                recorder.flush()
        found = reread(recorder)
        assert found.list_params() == {"a": "theirs", "b": "1"}
        assert found.list_metrics() == {"ic": 0.5}

    def test_a_run_that_lost_a_value_is_never_finished(self, name):
        with pytest.raises(RecordError, match="refused"), R.start(experiment_name=name) as recorder:  # noqa: PT012 - the block is the run
            reread(recorder).log_params(a="theirs")
            R.log_params(a="ours")
        assert reread(recorder).status == "FAILED"

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_a_run_whose_values_could_not_be_written_is_never_finished(self, name, monkeypatch, error):
        def fail(*args, **batch):
            raise error

        with pytest.raises(type(error)), R.start(experiment_name=name) as recorder:  # noqa: PT012 - the block is the run
            R.log_params(a=1)
            monkeypatch.setattr(type(R.exp_manager.location.store), "log_batch", fail)
        assert reread(recorder).status == "FAILED"

    def test_names_a_store_cannot_hold_are_kept_as_artifacts(self, name):
        odd = {"$close/0": 1, "a//b": 2, "x" * 300: 3, "": 4}
        with R.start(experiment_name=name) as recorder:
            R.log_params(**odd)
            R.set_tags(**odd)
        found = reread(recorder)
        assert found.list_params() == {key: str(value) for key, value in odd.items()}
        assert found.list_tags() == {key: str(value) for key, value in odd.items()}
        found.delete_tags("$close/0")
        assert "$close/0" not in found.list_tags()

    def test_text_no_database_holds_is_recorded_in_a_readable_form(self, name):
        with R.start(experiment_name=name, recorder_name="研究 one") as recorder:
            R.log_params(**{"a": "x\x00y", "caf\udce9": 1, "b": 1})
            R.set_tags(c="caf\udce9.csv", d="\x1b[2J")
        found = reread(recorder)
        assert found.name == "研究 one"
        assert found.list_params() == {"a": "x\\x00y", "caf\\udce9": "1", "b": "1"}
        assert found.list_tags() == {"c": "caf\\udce9.csv", "d": "\\x1b[2J"}

    @pytest.mark.parametrize("given", ["caf\udce9", "\x1b[2J", "a\x00b", "it's", "x" * 251, ""])
    def test_a_recorders_name_that_no_store_finds_again_is_refused(self, name, given):
        with pytest.raises(RecordError, match="is not usable"), R.start(experiment_name=name, recorder_name=given):
            pytest.fail("it ran")

    def test_an_experiment_may_be_named_in_any_script_with_blanks(self, name):
        named = f"研究 {name}"
        with R.start(experiment_name=named) as recorder:
            R.log_params(a=1)
        assert R.get_exp(experiment_name=named).list_recorders().keys() == {recorder.id}


class TestWindowsAndShortIds:
    def test_recorders_are_listed_in_the_order_of_their_windows_and_say_which_they_are(self, name):
        made = {}
        for start, end in (("2017-01-02", "2017-03-31"), ("2016-01-04", "2016-03-31"), ("2016-04-01", "2016-06-30")):
            with R.start(experiment_name=name) as recorder:
                R.log_params(**{"dataset.kwargs.segments.test.0": start, "dataset.kwargs.segments.test.1": end})
            made[f"{start}..{end}"] = recorder
        with R.start(experiment_name=name) as other:
            pass
        listed = R.get_exp(experiment_name=name).list_recorders(rtype="list")
        assert [recorder.window for recorder in listed] == [*sorted(made), ""]
        assert listed[-1] == other
        assert list(R.list_recorders(experiment_name=name)) == [recorder.id for recorder in listed]
        assert "window=2016-01-04..2016-03-31" in repr(listed[0])
        assert "window" not in repr(other)

    def test_the_beginning_of_an_id_is_enough(self, name):
        with R.start(experiment_name=name) as recorder:
            pass
        for length in (8, 12, 31, 32):
            assert R.get_recorder(recorder_id=recorder.id[:length]) == recorder
            assert R.get_recorder(recorder_id=recorder.id[:length], experiment_name=name) == recorder

    def test_one_that_several_have_is_an_error_that_names_them(self, name, monkeypatch):
        made = []
        for _ in range(2):
            with R.start(experiment_name=name) as recorder:
                made.append(recorder.id)
        store = R.exp_manager.location.store
        real = store.search_runs
        monkeypatch.setattr(
            store,
            "search_runs",
            lambda *args, **kwargs: [replace(run, id=f"abcd{run.id}") for run in real(*args, **kwargs)],
        )
        with pytest.raises(RecordError, match="begin with abcd") as caught:
            R.get_recorder(recorder_id="abcd", experiment_name=name)
        assert all(f"abcd{run_id}" in caught.value.message for run_id in made)

    @pytest.mark.parametrize("given", ["", "abc", "zzzz", "../..", "abcd" * 20])
    def test_what_begins_no_id_is_not_found(self, name, given):
        with R.start(experiment_name=name):
            pass
        with pytest.raises(RecordError):
            R.get_recorder(recorder_id=given, experiment_name=name)


class TestM4AnyExitThatIsNoSuccessFails:
    @pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_by_exception(self, name, error):
        with pytest.raises(error), R.start(experiment_name=name) as recorder:  # noqa: PT012 - the block is the run
            R.log_params(a=1)
            raise error
        found = reread(recorder)
        assert found.status == "FAILED"
        assert found.end_time is not None
        assert found.list_params() == {"a": "1"}

    def test_the_error_under_way_is_not_hidden_by_a_second_one(self, name, monkeypatch):
        with pytest.raises(ValueError, match="first") as caught, R.start(experiment_name=name):  # noqa: PT012 - the block is the run
            monkeypatch.setattr(LogBuffer, "write", _unavailable)
            raise ValueError("first")
        assert "could not be ended cleanly" in caught.value.__notes__[0]

    def test_end_exp_by_hand(self, name):
        experiment = R.start_exp(experiment_name=name)
        recorder = R.get_recorder()
        R.log_params(a=1)
        R.end_exp(recorder_status=Recorder.STATUS_FA)
        assert isinstance(experiment, Experiment)
        assert reread(recorder).status == "FAILED"
        R.end_exp()  # nothing is active: nothing happens


def _unavailable(*_, **__):
    raise TrackingUnavailableError("gone")


class TestM5RunsNest:
    def test_the_outer_run_is_active_again(self, name):
        with R.start(experiment_name=name, recorder_name="outer") as outer:
            with R.start(experiment_name=name, recorder_name="inner") as inner:
                R.log_params(who="inner")
            assert R.get_recorder() is outer
            R.log_params(who="outer")
        assert reread(inner).list_params() == {"who": "inner"}
        assert reread(outer).list_params() == {"who": "outer"}
        with pytest.raises(NoActiveRecorderError, match="no recorder is active in this thread"):
            R.get_recorder()

    def test_a_failing_inner_run_leaves_the_outer_one_whole(self, name):
        with R.start(experiment_name=name) as outer:
            with pytest.raises(ZeroDivisionError), R.start(experiment_name=f"{name}-2") as inner:
                _ = 1 / 0
            assert R.get_recorder() is outer
        assert (reread(inner).status, reread(outer).status) == ("FAILED", "FINISHED")

    def test_ending_inside_the_block_is_no_error(self, name):
        with R.start(experiment_name=name) as recorder:
            R.end_exp(Recorder.STATUS_FA)
        assert reread(recorder).status == "FAILED"


def test_m6_search_records_returns_the_promised_frame(name):
    for place in range(3):
        with R.start(experiment_name=name, recorder_name=f"r{place}") as recorder:
            R.log_params(fold=place)
            R.log_metrics(ic=place / 10)
            R.set_tags(kind="x")
    rows = R.search_records([recorder.experiment_id], order_by=["metrics.ic DESC"])
    assert list(rows.columns[:6]) == ["run_id", "run_name", "experiment_id", "status", "start_time", "end_time"]
    assert rows["metrics.ic"].tolist() == [0.2, 0.1, 0.0]
    assert rows["params.fold"].tolist() == ["2", "1", "0"]
    assert str(rows["start_time"].dt.tz) == "UTC"
    assert R.search_records([recorder.experiment_id], filter_string="params.fold = '1'")["run_name"].tolist() == ["r1"]
    assert len(R.search_records([recorder.experiment_id], max_results=2)) == 2
    assert set(R.search_records()["experiment_id"]) >= {recorder.experiment_id}
    assert R.search_records([recorder.experiment_id], run_view_type=2).empty
    assert len(R.get_exp(experiment_name=name).search_records()) == 3
    with pytest.raises(RecordError, match="run_view_type"):
        R.search_records(run_view_type=9)


def test_m7_download_artifact_returns_the_path(name, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("A")
    (tmp_path / "in/b.txt").write_text("B")
    with R.start(experiment_name=name) as recorder:
        R.save_objects(local_path=tmp_path / "in", artifact_path="notes")
        assert recorder.list_artifacts() == ["notes/a.txt", "notes/b.txt"]
        with open(R.download_artifact("notes/a.txt")) as handle:
            assert handle.read() == "A"
        copied = R.download_artifact("notes/b.txt", tmp_path / "out")
        assert copied == str(tmp_path / "out/notes/b.txt")
        with open(copied) as handle:
            assert handle.read() == "B"
        folder = R.download_artifact("notes", tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all/notes").iterdir()) == ["a.txt", "b.txt"]
    assert folder == str(tmp_path / "all/notes")
