"""The section `online`: what it may say, and how a mistake in it is told."""

from __future__ import annotations

import pytest

from rollwright.campaign.config_file import read_config
from rollwright.campaign.online_section import OnlineSection
from rollwright.errors import ConfigError
from rollwright.online.checks import CheckBounds
from rollwright.online.evidence import PromotionTerms

TASK = """\
task:
  model: {class: LGBModel, module_path: rollwright.models.lightgbm}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler: {class: Alpha158, module_path: rollwright.dataset.alpha, kwargs: {instruments: all}}
      segments: {train: [2015-01-05, 2016-12-30], test: [2017-01-03, 2017-12-29]}
rolling: {step: 20}
"""


def read(tmp_path, text):
    path = tmp_path / "campaign.yaml"
    path.write_text(f"{TASK}{text}")
    return read_config(path)[0].online


def test_a_file_without_it_is_not_served_and_an_empty_one_has_the_defaults(tmp_path):
    assert read(tmp_path, "") is None
    section = OnlineSection()
    assert (section.catch_up, section.timezone, section.on_training_failure) == ("all", "UTC", "stop")
    assert section.deadline_time is None


def test_a_whole_section_is_read(tmp_path):
    section = read(
        tmp_path,
        'online: {begin: 2024-05-17, catch_up: latest, catch_up_days: 5, deadline: "9:05", timezone: Asia/Shanghai,\n'
        "  champions: [a], challengers: [b], shadows: [c], promotion: {min_days: 30, level: 0.9},\n"
        "  notify: [{command: [mail, me], on: [refused]}], publish: {folder: out}}\n",
    )
    assert section.begin == "2024-05-17"
    assert section.deadline_time.isoformat() == "09:05:00"
    assert (section.champions, section.challengers, section.shadows) == (["a"], ["b"], ["c"])
    assert section.promotion.min_days == 30
    assert section.notify[0].command == ["mail", "me"]
    assert section.publish.folder == "out"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{catchup: all}", "unknown key `online.catchup`; did you mean `catch_up`?"),
        ("{catch_up: every}", "'all', 'latest' or 'none', not 'every'"),
        ("{catch_up_days: 0}", "`online.catch_up_days`"),
        ("{catch_up_days: true}", "a number belongs here"),
        ('{deadline: "25:00"}', "such as \"18:30\", not '25:00'"),
        ("{timezone: Mars/North}", "no time zone of this system"),
        ("{timezone: ../../etc/passwd}", "no time zone of this system"),
        ("{begin: soon}", "no day; write 2019-12-31"),
        ("{champions: []}", "`online.champions`"),
        ("{champions: [a], shadows: [a]}", "one role, and a is named twice"),
        ("{promotion: {min_day: 3}}", "did you mean `min_days`?"),
        ("{publish: {foldr: x}}", "did you mean `folder`?"),
        ("{notify: [{webhok: x}]}", "did you mean `webhook`?"),
        ("{notify: [{}]}", "either a `webhook` or a `command`"),
        ("{notify: [{command: [a], on: [birthday]}]}", "online.notify.0.on.0"),
        ("daily", "a section of keys belongs here"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"online: {text}\n")
    assert said in str(caught.value)
    assert "campaign.yaml:10:" in str(caught.value)


def test_the_bounds_and_the_evidence_of_a_file_are_those_of_the_checks_and_of_a_promotion(tmp_path):
    section = OnlineSection()
    assert CheckBounds(**section.checks.model_dump()) == CheckBounds()
    assert PromotionTerms(**section.promotion.model_dump()) == PromotionTerms()
    section = read(tmp_path, "online: {checks: {turnover: null, topk: 20}, promotion: {min_days: 60}}\n")
    assert CheckBounds(**section.checks.model_dump()) == CheckBounds(turnover=None, topk=20)
    assert PromotionTerms(**section.promotion.model_dump()).min_days == 60


@pytest.mark.parametrize("wrong", ["turnover: -1", "turnover: true", "topk: 0", "turnovr: 1", "level_shift: .inf"])
def test_a_bound_that_is_none_is_told(tmp_path, wrong):
    with pytest.raises(ConfigError):
        read(tmp_path, f"online: {{checks: {{{wrong}}}}}\n")
