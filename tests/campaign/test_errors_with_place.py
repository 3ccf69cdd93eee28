"""What a file means wrongly is refused with its line, before the first window; a user's own bug is shown with its."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rollwright.cli.root import run
from rollwright.core import optional
from rollwright.market.demo import make_demo_market

FILE = """\
qlib_init: {provider_uri: market, region: us}
task:
  model:
    class: LinearModel
    module_path: rollwright.models.linear
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          start_time: 2015-01-05
          data_loader:
            class: QlibDataLoader
            kwargs:
              config:
                feature: [["$close/Ref($close,5)-1"], [A]]
                label: [["Ref($close,-2)/Ref($close,-1)-1"], [L]]
          infer_processors: [{class: Fillna, kwargs: {fields_group: feature}}]
          learn_processors: [{class: DropnaLabel}]
      segments: {train: [2015-02-02, 2015-03-31], test: [2015-04-20, 2015-06-12]}
  record: [{class: SignalRecord, module_path: rollwright.analysis.records}]
rolling: {step: 20, rtype: sliding}
"""
OWN = """\
import pandas as pd
from rollwright.models.base import Model


class Mine(Model):
    def fit(self, dataset, reweighter=None):
        pass

    def predict(self, dataset, segment="test"):
        return self.scale(dataset.inference_index(segment))

    def scale(self, index):
        return pd.Series(1 + None, index=index)
"""
MINE = (("class: LinearModel", "class: Mine"), ("rollwright.models.linear", "mine.py"))


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    make_demo_market(tmp_path / "market", instruments=20, sessions=120)
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path / "c.yaml"


def write(file: Path, *changes: tuple[str, str]) -> None:
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


WRONG = {
    "universe": ("instruments: all", "instruments: csi3000", "14:24", "there is no universe `csi3000`"),
    "instrument": ("instruments: all", "instruments: [R0001, NOPE]", "14:32", "there is no instrument `NOPE`"),
    "field": ("$close/Ref", "$clsoe/Ref", "20:28", "has the field `$clsoe`"),
    "field of the label": ("Ref($close,-2)", "Ref($colse,-2)", "21:26", "has the field `$colse`"),
    "operator": ("Ref($close,5)", "Reff($close,5)", "20:28", "there is no operator `Reff`"),
    "a window below zero": ("Ref($close,5)", "Mean($close,-3)", "20:28", "argument 2 of Mean is a window"),
    "an expression without its end": ("Ref($close,5)-1", "Ref($close,5", "20:28", "ends where `)` was expected"),
    "arguments too many": ("Ref($close,5)", "Ref($close,5,7)", "20:28", "argument"),
    "a feature of the future": ("Ref($close,5)", "Ref($close, -5)", "20:28", "reads 5 sessions ahead"),
    "group of a processor": ("fields_group: feature", "fields_group: lable", "22:69", "no column group `lable`"),
    "date": ("2015-06-12]", "2015-06-31]", "24:70", "2015-06-31"),
    "dates behind the data": ("[2015-04-20, 2015-06-12]", "[2019-04-20, 2019-06-12]", "24:58", "2019-04-20"),
    "class of a user's own": (*MINE[1], "4:12", "module `mine.py` has no `LinearModel`"),
}


@pytest.mark.parametrize("command", ["roll", "run"])
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_meant_wrongly_has_its_place_and_nothing_is_trained(kind, command, file, capsys):
    old, new, place, said = WRONG[kind]
    write(file, (old, new))
    if command == "run" and kind == "dates behind the data":
        said = "the handler covers [2015-01-05,"
    code = run([command, "c.yaml", "--json"])
    answer = json.loads(capsys.readouterr().out)["errors"][0]
    assert code in (2, 4)
    assert f"c.yaml:{place}: " in answer["message"]
    assert said in answer["message"]
    assert not (file.parent / "results").exists()
    assert not list((file.parent / ".rollwright").rglob("*.db"))


def test_what_one_member_means_wrongly_has_its_place_in_what_varies(file, capsys):
    rolling = "rolling: {step: 20, rtype: sliding}\n"
    write(file, (rolling, rolling + "vary: {dataset.kwargs.handler.kwargs.instruments: [all, csi3000]}\n"))
    assert run(["roll", "c.yaml"]) == 2
    assert "c.yaml:27:57: there is no universe `csi3000`" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["roll", "plan"])
@pytest.mark.parametrize(
    ("url", "said"), [("file:///etc", "is the URL of no task pool"), (r"sqlite:///a\0b", "no path")]
)
def test_a_pool_that_is_none_has_its_place(command, url, said, file, capsys):
    rolling = "rolling: {step: 20, rtype: sliding}\n"
    write(file, (rolling, f'{rolling}pool: {{url: "{url}"}}\n'))
    assert run([command, "c.yaml"]) == 2
    shown = capsys.readouterr().err
    assert "c.yaml:27:13: " in shown
    assert said in shown


def test_a_finished_campaign_that_is_given_again_computes_no_features(file, capsys, monkeypatch):
    monkeypatch.delenv("ROLLWRIGHT_TRACKING__URI")
    write(file)
    assert run(["roll", "c.yaml", "--json"]) == 0
    store = next((file.parent / ".rollwright").glob("features*"))
    shutil.rmtree(store)
    assert run(["roll", "c.yaml", "--json"]) == 0
    assert not store.exists()
    capsys.readouterr()


def test_a_library_that_is_not_installed_is_told_before_training_with_the_line_that_installs_it(
    file, capsys, monkeypatch
):
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    write(file, ("class: LinearModel", "class: XGBModel"), ("models.linear", "models.xgboost"))
    assert run(["roll", "c.yaml"]) == 3
    said = capsys.readouterr().err
    assert "c.yaml:4:12: `xgboost` is not installed" in said
    assert 'pip install "rollwright[xgboost]"' in said
    assert "started" not in said


def test_a_bug_in_ones_own_code_is_shown_with_its_line_and_not_tried_again(file, capsys):
    write(file, *MINE, ("[2015-04-20, 2015-06-12]", "[2015-04-20, 2015-05-15]"))
    assert run(["roll", "c.yaml", "-j", "1"]) == 1
    said = capsys.readouterr().err
    assert "'NoneType' (mine.py:13, in scale: return pd.Series(1 + None, index=index))" in said
    assert "retry" not in said


def test_what_to_do_about_a_failed_window_is_said_where_it_failed(file, capsys):
    write(file, *MINE, ("[2015-04-20, 2015-06-12]", "[2015-04-20, 2015-05-15]"))
    (file.parent / "mine.py").write_text(OWN.replace("return self.scale(dataset.inference_index(segment))", "pass"))
    assert run(["roll", "c.yaml", "-j", "1"]) == 1
    said = capsys.readouterr().err
    assert "ModelError: Mine.predict returned None" in said
    assert "hint: is its `return` missing?" in said.replace("\n", " ")


def test_a_single_run_shows_it_too_and_keeps_the_traceback(file, capsys):
    write(file, *MINE)
    assert run(["run", "c.yaml"]) == 1
    said = capsys.readouterr().err
    assert "(mine.py:13, in scale: return pd.Series(1 + None, index=index))" in said
    assert "Traceback" not in said
    assert "in scale" in (file.parent / "results" / "c" / "failures.txt").read_text()


WARNS = """\
import logging, warnings
import pandas as pd
from rollwright.models.base import Model


class Mine(Model):
    def fit(self, dataset, reweighter=None):
        warnings.warn("this method is old")
        logging.getLogger("mine").warning("learnt from %d rows", len(dataset.inference_index("train")))

    def predict(self, dataset, segment="test"):
        index = dataset.inference_index(segment)
        return pd.DataFrame({"score": range(len(index)), "risk": 1.0}, index=index)
"""


def test_a_warning_is_said_once_for_all_windows_and_worker_processes(file, caplog, monkeypatch):
    monkeypatch.delenv("ROLLWRIGHT_TRACKING__URI")  # worker processes record, too
    (file.parent / "mine.py").write_text(WARNS)
    write(file, *MINE, ("step: 20", "step: 10"))
    assert run(["roll", "c.yaml", "-j", "2"]) == 0
    assert caplog.text.count("this method is old") == 2  # the message, and its source line
    assert caplog.text.count("learnt from") == 1
    assert caplog.text.count("model.other_columns") == 1
