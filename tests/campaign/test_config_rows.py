"""The catalogue of bad YAML: each row is refused before anything happens, says where and what, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rollwright.campaign.config_file import read_config
from rollwright.cli.root import run
from rollwright.errors import ConfigError

GOOD = """\
market: &market all
experiment_name: rows
qlib_init: {provider_uri: data, region: us}
task:
  model: {class: LGBModel, module_path: qlib.contrib.model.gbdt, kwargs: {learning_rate: 1e-2}}
  dataset:
    class: DatasetH
    module_path: qlib.data.dataset
    kwargs:
      handler:
        class: Alpha158
        module_path: qlib.contrib.data.handler
        kwargs:
          start_time: 2015-01-05
          end_time: 2019-12-31
          fit_start_time: <dataset.kwargs.segments.train.0>
          fit_end_time: <dataset.kwargs.segments.train.1>
          instruments: *market
          infer_processors: [{class: RobustZScoreNorm, kwargs: {fields_group: feature, clip_outlier: true}}, Fillna]
      segments:
        train: [2015-01-05, 2016-12-30]
        valid: [2017-01-02, 2017-06-30]
        test: [2017-07-03, 2019-05-20]
  record:
    - {class: SignalRecord, module_path: qlib.workflow.record_temp, kwargs: {model: <MODEL>, dataset: <DATASET>}}
    - {class: SigAnaRecord, module_path: qlib.workflow.record_temp, kwargs: {ana_long_short: false, ann_scaler: 252}}
rolling: {step: 20}
"""


def portfolio_row(section, said, kwargs="topk: 3"):
    """Return the row of a portfolio record with one more `section`."""
    strategy = f"strategy: {{class: TopkDropoutStrategy, module_path: qlib.contrib.strategy, kwargs: {{{kwargs}}}}}"
    record = f"PortAnaRecord, module_path: qlib.workflow.record_temp, kwargs: {{config: {{{strategy}, {section}}}}}"
    return (
        "SigAnaRecord, module_path: qlib.workflow.record_temp, kwargs: {ana_long_short: false, ann_scaler: 252}",
        record,
        ":26:",
        said,
    )


ROWS = {
    # name: (what is replaced, by what, where, what is said)
    "unknown key": ("experiment_name: rows", "experiment_nam: rows", ":2:1", "did you mean `experiment_name`?"),
    "unknown key of a section": ("step: 20", "stepp: 20", ":27:11", "did you mean `step`?"),
    "unknown parameter": ("segments:\n", "segmants:\n", ":20:7", "no parameter `segmants`; did you mean `segments`?"),
    "unknown parameter of the library": ("learning_rate:", "learing_rate:", ":5:75", "did you mean `learning_rate`?"),
    "missing parameter": ("segments:\n", "segmants:\n", ":7:5", "`DatasetH` needs `segments`"),
    "unknown parameter of a handler": ("instruments: *", "instrument: *", ":18:11", "did you mean `instruments`?"),
    "unknown parameter of a processor": ("clip_outlier", "clip_outliers", ":19:88", "did you mean `clip_outlier`?"),
    "unknown processor": ("Fillna", "Filna", ":19:", "did you mean `Fillna`?"),
    "unknown parameter of a record": ("ann_scaler", "ann_scalar", ":26:", "did you mean `ann_scaler`?"),
    "unknown key of an object": ("kwargs:\n          start", "kwarg:\n          start", ":13:9", "mean `kwargs`?"),
    "unknown class": ("class: DatasetH", "class: DataSetH", ":7:12", "did you mean `DatasetH`?"),
    "unknown module of Qlib": ("qlib.data.dataset\n", "qlib.data.datsets\n", ":8:18", "no counterpart"),
    "no module": ("    module_path: qlib.data.dataset\n", "", ":7:12", "no module_path says where `DatasetH` is"),
    "type of a parameter": ("ann_scaler: 252", "ann_scaler: '252'", ":26:", "is '252', str; it takes float"),
    "truth value": ("ana_long_short: false", "ana_long_short: no", ":26:", "is 'no', str; it takes bool"),
    "type of a key": ("step: 20", "step: twenty", ":27:17", "`rolling.step`"),
    "number as text": ("step: 20", "step: '1e-3'", ":27:17", "not '1e-3'"),
    "setting": ("region: us", "regoin: us", ":3:33", "did you mean `region`?"),
    "value of a setting": ("region: us", "region: mars", ":3:41", "'cn', 'us' or 'tw', not 'mars'"),
    "setting Qlib has": ("region: us", "redis_host: x", ":3:33", "unknown key `qlib_init.redis_host`"),
    "pool that is none": ("region: us", "mongo: {task_url: x}", ":3:40", "begins with mongodb://"),
    "key of the pool": ("region: us", "mongo: {task_uri: x}", ":3:40", "`task_url` and `task_db_name`"),
    "pool as text": ("region: us", "mongo: localhost", ":3:40", "takes a dictionary of"),
    "tracking as text": ("region: us", "exp_manager: mlruns", ":3:46", "takes a dictionary"),
    "tracking of nothing": ("region: us", "exp_manager: {kwargs: {url: x}}", ":3:46", "did you mean `uri`?"),
    "duplicate key": ("experiment_name: rows", "market: x", ":2:1", "key `market` stands twice"),
    "tab": ("    class: DatasetH", "\tclass: DatasetH", ":7:1", "not YAML"),
    "tag": ("rows", "!!python/object/apply:os.system [touch marker]", ":2:18", "is refused"),
    "undefined variable": ("rows", "{{ NOBODY_SET_THIS }}", ":2", "nothing defines `NOBODY_SET_THIS`"),
    "template that reads a file": ("rows", "{% include 'secret.txt' %}", ":2", "no include here"),
    "template that reaches": ("rows", "{{ ''.__class__ }}", ":2", "no getattr here"),
    "base that is missing": ("market: &", "BASE_CONFIG_PATH: gone.yaml\nmarket: &", ":1:19", "no base gone.yaml"),
    "base of itself": ("market: &", "BASE_CONFIG_PATH: rows.yaml\nmarket: &", ":1:19", "in a circle"),
    "drop of nothing": ("step: 20", "stop: __DROP__", ":27:11", "deletes nothing"),
    "segment reversed": ("[2015-01-05, 2016-12-30]", "[2016-12-30, 2015-01-05]", ":21:29", "ends 2015-01-05, before"),
    "train overlaps valid": ("2016-12-30]", "2017-03-01]", ":22:16", "[2017-01-02, 2017-06-30] overlaps"),
    "valid overlaps test": ("2017-06-30]", "2017-07-04]", ":23:15", "allow_overlap: true"),
    "open train overlaps": ("2016-12-30]", "null]", ":22:16", "overlaps `train` [2015-01-05, …]"),
    "train before the handler": (
        "train: [2015-01-05", "train: [2014-01-06", ":21:17", "2014-01-06, before the handler's start_time 2015-01-05",
    ),
    "handler after train": ("start_time: 2015-01-05", "start_time: 2016-01-04", ":21:17", "`train` begins 2015-01-05"),
    "name of a segment": ("valid: [", "vaild: [", ":22:16", "segment `vaild`; did you mean `valid`?"),
    "no pair": ("[2017-07-03, 2019-05-20]", "[2017-07-03]", ":23:15", "`test` is not a pair of dates"),
    "no date": ("[2017-07-03, 2019-05-20]", "[2017-07-03, tomorow]", ":23:28", "'tomorow' is not a date"),
    "impossible date": ("2019-05-20", "2019-02-30", ":23:28", "`2019-02-30` is no timestamp"),
    "number for a date": ("2019-05-20", "20190520", ":23:28", "20190520 is int, not a date"),
    "date with a zone": ("2019-05-20", "2019-05-20T00:00:00+02:00", ":23:28", "time zone"),
    "handler range reversed": ("end_time: 2019-12-31", "end_time: 2009-12-31", ":15:21", "`start` ends 2009-12-31"),
    "code that became a number": ("instruments: *market", "instruments: [000001]", ":18:25", "write it in quotes"),
    "placeholder that leads nowhere": ("segments.train.0", "segments.trian.0", ":16:27", "no `trian`; did you mean"),
    "placeholder of nobody": ("<MODEL>", "<MODLE>", ":25:", "did you mean <MODEL>?"),
    "placeholder too early": ("learning_rate: 1e-2", "x: <DATASET>", ":5:78", "exist in `record` only"),
    "saved handler": ("      handler:\n", "      handler: file://handler.pkl\n      old:\n", ":10:16", "no file"),
    "saved model": ("model: {class: LGBModel, ", "model: file://m.pkl\n  x: {", ":5:10", "no file"),
    "another executor": portfolio_row("backtest: {}, executor: {class: Nested}", "`Nested` is not simulated"),
    "key of a portfolio": portfolio_row("backtset: {}", "did you mean `backtest`?"),
    "parameter of a strategy": portfolio_row("x: 1", "no parameter `top_k`; did you mean `topk`?", kwargs="top_k: 3"),
    "sys outside": ("rolling:", "sys: {rel_path: ../elsewhere}\nrolling:", ":27:", "lies outside the folder"),
    "sys of nothing": ("rolling:", "sys: {rel_path: [nothing]}\nrolling:", ":27:", "there is no folder"),
    "untrusted module": ("qlib.contrib.model.gbdt", "os", ":5:41", "os"),
    "file outside": ("qlib.contrib.model.gbdt", "../x.py", ":5:41", "outside the folder"),
    "file that is missing": ("qlib.contrib.model.gbdt", "x.py", ":5:41", "no file"),
}  # fmt: skip


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def file() -> Path:
    (Path.cwd() / "project").mkdir()
    path = Path.cwd() / "project" / "rows.yaml"
    path.write_text(GOOD)
    return path


def test_the_good_file_is_good(file):
    config, _ = read_config(file, trusted=())
    assert config.rolling is not None


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_refused_with_its_place_and_nothing_is_written(name, file, capsys, monkeypatch):
    old, new, place, said = ROWS[name]
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    if "market: &" not in text:
        text = text.replace("*market", "all")
    file.write_text(text)
    before = tree(Path.cwd())
    assert run(["run", str(file)]) == 2
    message = capsys.readouterr().err
    assert "Error: " in message
    assert f"rows.yaml{place}" in message
    assert said in message
    assert "Traceback" not in message
    assert tree(Path.cwd()) == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("rolling.stepp=3", "override `rolling.stepp=3`: unknown key `rolling.stepp`; did you mean `step`?"),
        ("rolling.step=0", "override `rolling.step=0`: `rolling.step`"),
        ("task.dataset.kwargs.segments.train.2=1", "is not a position of a list of 2"),
        ("task.dataset.kwargs.segments.test.0=2014-01-01", "overlaps `train`"),
        ("task.model.class=LGBMdel", "did you mean `LGBModel`?"),
        ("market", "is not an override"),
    ],
)
def test_an_override_is_checked_like_the_file(override, said, file, capsys):
    assert run(["run", str(file), override]) == 2
    assert said in capsys.readouterr().err


def test_all_problems_are_told_at_once(file):
    text = GOOD
    for old, new in (("step: 20", "stepp: 20"), ("segments.train.0", "segments.trian.0"), ("region: us", "regoin: us")):
        text = text.replace(old, new)
    file.write_text(text.replace("ann_scaler", "ann_scalar"))
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    message = str(caught.value)
    assert "4 problem(s)" in message
    for part in ("`step`", "`train`", "`region`", "`ann_scaler`"):
        assert f"did you mean {part}?" in message


def test_overlap_may_be_meant(file):
    file.write_text(
        GOOD.replace("2016-12-30]", "2017-03-01]").replace(
            "      segments:", "      allow_overlap: true\n      segments:"
        )
    )
    config, _ = read_config(file)
    assert config.task.dataset.kwargs["allow_overlap"] is True


def test_modules_of_sys_are_found_in_files_beneath_the_file(file):
    source = file.parent / "models"
    source.mkdir()
    (source / "mine.py").write_text("raise SystemExit('reading a file runs nothing')\n")
    text = GOOD.replace("qlib.contrib.model.gbdt", "mine") + "sys: {rel_path: models}\n"
    file.write_text(text)
    config, _ = read_config(file, trusted=())
    assert config.task.model.module_path == "models/mine.py"
    with pytest.raises(ConfigError, match="mine"):
        read_config(file, ["sys.rel_path=[]"], trusted=())


def test_an_object_may_be_named_by_its_dotted_class(file):
    text = GOOD.replace(
        "{class: SignalRecord, module_path: qlib.workflow.record_temp, kwargs: {model: <MODEL>, dataset: <DATASET>}}",
        "rollwright.analysis.records.SignalRecord",
    )
    file.write_text(text)
    config, _ = read_config(file, trusted=())
    assert config.task.record[0].as_dict() == {"class": "rollwright.analysis.records.SignalRecord", "kwargs": {}}


def test_checking_changes_nothing_of_the_task(file):
    config, document = read_config(file)
    assert config.task.as_template()["record"][0]["kwargs"] == {"model": "<MODEL>", "dataset": "<DATASET>"}
    assert document.data["task"]["record"][0]["kwargs"]["model"] == "<MODEL>"


EXPANDED = """\
market: all
benchmark: SH000300
data_handler_config: {start_time: 2015-01-05, instruments: all}
port_analysis_config: null
mine: {start_time: 2015-01-05, instruments: all}
nothing: null
backtest: null
collect: null
task:
  model: {class: LGBModel, module_path: qlib.contrib.model.gbdt, kwargs: null}
  dataset:
    class: DatasetH
    module_path: qlib.data.dataset
    kwargs:
      handler:
        class: Alpha158
        module_path: qlib.contrib.data.handler
        kwargs: {start_time: 2015-01-05, instruments: all}
      segments: {train: [2015-01-05, 2016-12-30], test: [2017-01-03, 2017-12-29]}
  record: null
"""


@pytest.mark.parametrize("flow", [False, True])
def test_a_file_that_a_program_wrote_without_its_anchors_is_read(tmp_path, flow):
    text = yaml.safe_dump(yaml.safe_load(EXPANDED), default_flow_style=True, width=10**9) if flow else EXPANDED
    (tmp_path / "expanded.yaml").write_text(text)
    config, _ = read_config(tmp_path / "expanded.yaml", environ={}, trusted=())
    assert config.backtest is None
    assert config.task.record == []
    assert config.task.model.kwargs == {}


@pytest.mark.parametrize("key", ["rolling_: {step: 5}", "other: {step: 5}", "reprot: null", "sed: 5"])
def test_what_is_no_leftover_is_still_an_unknown_key(tmp_path, key):
    (tmp_path / "odd.yaml").write_text(f"{key}\n{EXPANDED}")
    with pytest.raises(ConfigError, match="unknown key"):
        read_config(tmp_path / "odd.yaml", environ={}, trusted=())
