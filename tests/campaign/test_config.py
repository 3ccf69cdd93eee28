"""A campaign's YAML: what it may say, and all that is wrong with one at once."""

from __future__ import annotations

import pytest

from rollwright.campaign.config_file import read_config
from rollwright.errors import ConfigError

GOOD = """\
market: &market all
experiment_name: us
qlib_init: {provider_uri: data, region: us}
task:
  model: {class: LGBModel, module_path: rollwright.models.lightgbm, kwargs: {learning_rate: 1e-2}}
  dataset:
    class: DatasetH
    module_path: qlib.data.dataset
    kwargs:
      handler: {class: Alpha158, module_path: qlib.contrib.data.handler, kwargs: {instruments: *market}}
      segments: {train: [2015-01-05, 2016-12-30], test: [2017-01-03, 2017-12-29]}
  record: {class: SignalRecord}
rolling: {step: 20}
"""


def write(tmp_path, text: str):
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_read_with_defaults(tmp_path):
    config, document = read_config(write(tmp_path, GOOD))
    assert config.rolling is not None
    assert (config.rolling.step, config.rolling.rtype, config.rolling.trunc_days) == (20, "expanding", "auto")
    assert config.task.as_template()["record"] == [{"class": "SignalRecord", "kwargs": {}}]
    assert config.task.as_template()["dataset"]["kwargs"]["handler"]["kwargs"]["instruments"] == "all"
    assert document.text == GOOD


def test_all_problems_are_told_at_once_with_place_and_nearest_key(tmp_path):
    text = GOOD.replace("step: 20", "step: 0, rtpye: sliding").replace("experiment_name: us", "experiment_nam: us")
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, text))
    message = str(caught.value)
    assert "3 problem(s)" in message
    assert "campaign.yaml:2:1: unknown key `experiment_nam`; did you mean `experiment_name`?" in message
    assert "campaign.yaml:13:17: `rolling.step`: input should be greater than 0, not 0" in message
    assert "campaign.yaml:13:20: unknown key `rolling.rtpye`; did you mean `rtype`?" in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class: LGBModel, ", "", "`task.model.class` is missing"),
        ("kwargs: {learning_rate", "kwarg: {learning_rate", "did you mean `kwargs`?"),
        ("rolling: {step: 20}", "rolling: {step: twenty}", "`rolling.step`"),
        ("rolling: {step: 20}", "rolling: {rtype: growing}", "'expanding' or 'sliding'"),
        ("experiment_name: us", "experiment_name: ../us", "letters and digits"),
        ("market: &market all", "markt: all", "unknown key `markt`"),
    ],
)
def test_a_typo_is_never_ignored(tmp_path, old, new, said):
    text = GOOD.replace(old, new)
    if "&market" not in text:
        text = text.replace("*market", "all")
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, text))
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_overrides_reach_any_place_without_changing_the_file(tmp_path):
    path = write(tmp_path, GOOD)
    config, _ = read_config(path, ["rolling.step=5", "task.model.kwargs.learning_rate=0.2", "task.record=[]"])
    assert config.rolling is not None
    assert config.rolling.step == 5
    assert config.task.model.kwargs == {"learning_rate": 0.2}
    assert config.task.record == []
    assert path.read_text() == GOOD


@pytest.mark.parametrize("override", ["rolling", "=3", "rolling..step=3", "rolling.step.deep=3"])
def test_an_override_that_is_none_is_refused(tmp_path, override):
    with pytest.raises(ConfigError, match="override"):
        read_config(write(tmp_path, GOOD), [override])


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("rolling: {step: true}", "`rolling.step`: a number belongs here, not True"),
        ("rolling: {embargo: true}", "`rolling.embargo`: a number belongs here, not True"),
        ("seed: false", "`seed`: a number belongs here, not False"),
        ("collect: {max_missing_share: true}", "`collect.max_missing_share`: a number belongs here, not True"),
        ("backtest: {account: .inf}", "`backtest.account`: input should be a finite number, not inf"),
        ("backtest: {min_cost: .inf}", "`backtest.min_cost`: input should be a finite number, not inf"),
    ],
)
def test_what_only_python_takes_for_a_number_is_none(section, said, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"task: {{model: M, dataset: D}}\n{section}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    assert said in str(caught.value)


def test_a_value_that_may_be_one_of_two_things_is_one_problem(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("task: {model: M, dataset: D}\nrolling: {trunc_days: -3}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    said = [line for line in str(caught.value).splitlines() if "trunc_days" in line]
    assert len(said) == 1
    assert "greater than or equal to 0, or 'auto', not -3" in said[0]
