"""A finished task trained again: the same bytes, or what differs; and the original as it was."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

import pytest

from rollwright.app.replay import replay
from rollwright.app.runs import find_run, restore_settings, show_run
from rollwright.cli.root import run
from rollwright.config.construct import FILE_ALIAS
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, CorruptArtifactError, RecorderNotFoundError
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import task_train
from rollwright.training.phases import begin_task_train

OWN = """\
import numpy as np
from rollwright.dataset.dataset import Dataset as Answers


class Dataset(dict, Answers):
    generation = "g1"

    def __init__(self, segments=None):
        super().__init__(segments=segments)


class Model(dict):
    params = {"seed": 7}

    def fit(self, dataset, reweighter=None):
        self["weights"] = [1.5, -2.0]

    def predict(self, dataset, segment="test"):
        return None


class Restless(Model):
    def fit(self, dataset, reweighter=None):
        import uuid
        self["weights"] = uuid.uuid4().hex


class Record:
    def __init__(self, model, dataset, recorder):
        self.model, self.recorder = model, recorder

    def generate(self):
        self.recorder.save_objects(**{"pred.pkl": np.asarray(self.model["weights"]) * 2})
"""


def task(model="Model", start="2020-01-06", record="Record") -> dict:
    return {
        "model": {"class": model, "module_path": "own.py"},
        "dataset": {
            "class": "Dataset",
            "module_path": "own.py",
            "kwargs": {"segments": {"test": (start, "2020-02-28")}},
        },
        "record": [{"class": record, "module_path": "own.py"}] if record else [],
    }


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "project"
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "own.py").write_text(OWN)
    (folder / "rollwright.toml").write_text(f'[tracking]\nuri = "memory:{uuid.uuid4().hex}"\n')
    monkeypatch.chdir(folder)
    settings = load_settings(start=folder, environ={})
    install(settings.with_values({"trust.folder": str(folder / "own")}, origin="test"))
    return folder


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def as_a_new_process() -> None:
    install(None)
    for name in [name for name in sys.modules if name.startswith(FILE_ALIAS)]:
        del sys.modules[name]


def test_the_same_task_gives_the_same_bytes_and_the_original_stays_as_it_was(project):
    recorder = task_train(task(), "exp")
    before, runs = everything_in(project), len(R.list_recorders(experiment_name="exp"))
    as_a_new_process()
    done = replay(recorder.id[:8])
    assert done.same
    assert done.changed == ()
    assert {item.name for item in done.artifacts} >= {"params.pkl", "pred.pkl", "task", "dataset"}
    assert all(item.then == item.now for item in done.artifacts)
    assert everything_in(project) == before
    install(load_settings(start=project, environ={}))
    assert len(R.list_recorders(experiment_name="exp")) == runs
    assert list(R.list_experiments()) == ["Default", "exp"]


def test_code_that_changed_is_told_with_the_bytes_that_differ(project):
    recorder = task_train(task(), "exp")
    own = project / "own" / "own.py"
    own.write_text(OWN.replace("1.5", "1.25"))
    done = replay(recorder.id)
    assert not done.same
    # A class of the user's own is stored with its code.
    assert [item.name for item in done.artifacts if not item.same] == ["dataset", "params.pkl", "pred.pkl"]
    assert [what for what, _, _ in done.changed] == ["code.files.own.py", "code.hash"]
    own.write_text(OWN + "# a remark\n")
    remark = replay(recorder.id)
    assert "pred.pkl" not in [item.name for item in remark.artifacts if not item.same]
    assert [what for what, _, _ in remark.changed] == ["code.files.own.py", "code.hash"]


def test_a_remark_in_the_code_is_told_as_what_it_is(project, capsys):
    recorder = task_train(task(), "exp")
    (project / "own" / "own.py").write_text(OWN + "# a remark\n")
    assert run(["replay", recorder.id]) == 4
    said = capsys.readouterr().err
    assert "the code changed since, in own.py" in said
    assert "params.pkl is stored with its code" in said
    assert "every other artifact is the same" in said


def test_that_only_what_is_pickled_differs_may_be_a_set(project, capsys):
    (project / "own" / "own.py").write_text(OWN.replace("= uuid.uuid4().hex", '= 1; self["n"] = uuid.uuid4().hex'))
    recorder = task_train(task("Restless"), "exp")
    assert run(["replay", recorder.id]) == 4
    said = capsys.readouterr().err
    assert "or params.pkl holds a set" in said


def test_other_data_are_told(project):
    recorder = task_train(task(), "exp")
    (project / "own" / "own.py").write_text(OWN.replace('"g1"', '"g2"'))
    assert ("data.generation", "g1", "g2") in replay(recorder.id).changed


def test_a_model_that_does_not_repeat_is_found_out(project, capsys):
    recorder = task_train(task("Restless", record=None), "exp")
    assert run(["replay", recorder.id]) == 4
    captured = capsys.readouterr()
    assert "NOT the same bytes" in captured.out
    assert "does not repeat" in captured.err
    assert run(["replay", recorder.id, "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["data"]["changed"] == []


def test_the_command_ends_with_0_when_every_byte_is_the_same(project, capsys):
    recorder = task_train(task(), "exp")
    assert run(["replay", "2020-01-06..2020-02-28"]) == 0
    assert "the same bytes" in capsys.readouterr().out
    assert run(["replay", recorder.id, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["data"]["same"] is True
    assert document["data"]["window"] == "2020-01-06..2020-02-28"


def test_a_damaged_original_is_no_measure(project):
    recorder = task_train(task(), "exp")
    path = Path(recorder.download_artifact("pred.pkl"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptArtifactError, match=r"pred\.pkl"):
        replay(recorder.id)


def test_what_is_not_finished_or_trained_nothing_cannot_be_replayed(project):
    begun = begin_task_train(task(), "exp")
    with pytest.raises(ConfigError, match="SCHEDULED"):
        replay(begun.id)
    with R.start(experiment_name="exp") as empty:
        pass
    with pytest.raises(ConfigError, match="trained no task"):
        replay(empty.id)
    (project / "own" / "own.py").write_text(OWN.replace('self["weights"] = [1.5, -2.0]', "raise ValueError('no')"))
    with pytest.raises(ValueError, match="no"):
        task_train(task(), "failed")
    with pytest.raises(ConfigError, match="FAILED"):
        replay("failed")


def test_a_run_is_named_by_id_fingerprint_window_or_experiment(project):
    recorder = task_train(task(), "exp")
    other = task_train(task(start="2020-01-13"), "exp")
    settings = load_settings(start=project)
    tags = recorder.list_tags()
    for what in (recorder.id, recorder.id[:6], tags["fingerprint"][:10], "2020-01-06..2020-02-28"):
        assert find_run(what, settings).recorder == recorder
    assert find_run("exp/2020-01-13..2020-02-28", settings).recorder == other
    with pytest.raises(ConfigError, match="names 2 tasks") as caught:
        find_run("exp", settings)
    assert "as it stands here" in (caught.value.hint or "")
    names = [line.split()[0] for line in str(caught.value).splitlines() if line.startswith("  exp/")]
    assert {find_run(name, settings).recorder for name in names} == {recorder, other}
    with pytest.raises(RecorderNotFoundError, match="did you mean `2020-01-06"):
        find_run("2020-01-07..2020-02-28", settings)
    with pytest.raises(RecorderNotFoundError, match="is named by"):
        find_run(recorder.id[:3], settings)  # too short to name anything


def test_of_several_runs_of_a_task_the_newest_finished_one_is_meant(project):
    task_train(task(), "exp")
    newest = task_train(task(), "exp")
    own = project / "own" / "own.py"
    own.write_text(OWN.replace('self["weights"] = [1.5, -2.0]', "raise ValueError('no')"))
    with pytest.raises(ValueError, match="no"):
        task_train(task(), "exp")
    assert find_run("exp", load_settings(start=project)).recorder == newest
    assert newest.status == Recorder.STATUS_FI


def test_show_tells_where_a_model_comes_from_and_what_is_another_now(project, capsys):
    recorder = task_train(task(), "exp")
    own = project / "own" / "own.py"
    own.write_text(OWN + "# a remark\n")
    story = show_run(recorder.id)
    assert story.provenance["fingerprint"] == story.run.fingerprint
    assert "code.hash" in {what for what, _, _ in story.changed}
    assert run(["show", recorder.id]) == 0
    out = capsys.readouterr().out
    assert "model.seed" in out
    assert " now: " in out
    assert run(["show", recorder.id, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["provenance"]["code"]["folder"] == "own"
    assert {"params.pkl", "pred.pkl"} <= set(data["artifacts"])


def test_a_run_without_provenance_is_shown_and_replayed_all_the_same(project, capsys):
    recorder = task_train(task(), "exp")
    recorder.delete_artifact("provenance")
    install(load_settings(start=project).with_values({"trust.folder": str(project / "own")}, origin="test"))
    assert run(["show", recorder.id]) == 0
    assert "not recorded" in capsys.readouterr().err


def test_a_failed_run_says_where_its_error_stands(project, capsys):
    install(load_settings(start=project))
    with pytest.raises(ValueError, match="no price"), R.start(experiment_name="broken"):
        raise ValueError("no price")
    (recorder,) = R.list_recorders(experiment_name="broken").values()
    assert run(["show", recorder.id]) == 0
    assert "rollwright pool tasks POOL" in capsys.readouterr().err


def poison(run, **changes):
    """Write another provenance beside a run's model, as whoever can write the artifacts may."""
    origin = run.load_object("provenance")
    for section, values in changes.items():
        origin[section] = {**origin[section], **values}
    run.save_objects(provenance=origin)


@pytest.mark.parametrize(
    ("section", "key", "setting"),
    [("code", "folder", "trust.folder"), ("data", "provider_uri", "data.provider_uri")],
)
def test_a_provenance_names_no_folder_that_nobody_here_named(project, tmp_path_factory, section, key, setting):
    foreign = tmp_path_factory.mktemp("foreign")
    (foreign / "mine.py").write_text(f"open({str(foreign / 'marker')!r}, 'w')\n")
    run = task_train(task(), experiment_name="e")
    for place in (str(foreign), "../elsewhere", "http://evil.example/data", 7, ["x"]):
        poison(run, **{section: {key: place}})
        as_a_new_process()
        with pytest.raises(ConfigError, match=f"made with {setting} = .* neither the settings nor a campaign"):
            replay(run.id, project=project)
        as_a_new_process()
        show_run(run.id, project=project)
    assert not (foreign / "marker").exists()


def test_a_folder_of_a_campaign_that_was_started_here_is_known(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    settings = load_settings(start=project)
    known = {"data": {"provider_uri": str(elsewhere / "market")}, "code": {"folder": str(elsewhere)}}
    with pytest.raises(ConfigError, match="neither the settings"):
        restore_settings(known, settings)
    record = {
        "format": 1, "name": "c", "file": str(elsewhere / "c.yaml"), "sha256": "", "overrides": [],
        "provider_uri": str(elsewhere / "market"),
    }  # fmt: skip
    (project / ".rollwright/campaigns").mkdir(parents=True)
    (project / ".rollwright/campaigns/c.json").write_text(json.dumps(record))
    restored = restore_settings(known, settings)
    assert (restored.trust.folder, restored.data.provider_uri) == (str(elsewhere), str(elsewhere / "market"))
