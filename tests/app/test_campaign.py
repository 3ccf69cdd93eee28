"""Opening a campaign and finding it again: what cannot be used is refused before anything is done."""

from __future__ import annotations

import json

import pytest

from rollwright.app.campaign import resume_campaign
from rollwright.app.campaign_helper import help_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.config.context import current_context
from rollwright.errors import ConfigError, CorruptFileError

CAMPAIGN = """\
qlib_init: {provider_uri: market, region: us}
task:
  model: {class: LGBModel, module_path: rollwright.models.lightgbm}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler: {class: Alpha158, module_path: rollwright.dataset.alpha, kwargs: {instruments: all}}
      segments: {train: [2015-06-01, 2016-03-31], test: [2016-07-01, 2017-06-30]}
  record: {class: SignalRecord, module_path: rollwright.analysis.records}
rolling: {step: 40}
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / ".rollwright" / "campaigns").mkdir(parents=True)
    return folder


def test_a_campaign_is_called_like_its_file(project):
    (project / "us.yaml").write_text(CAMPAIGN)
    assert open_campaign(project / "us.yaml", project=project).name == "us"


@pytest.mark.parametrize(("file", "name"), [("my study 2.yaml", "my study 2"), ("研究.yaml", "研究")])
def test_a_file_may_be_named_in_any_script_with_blanks(project, file, name):
    (project / file).write_text(CAMPAIGN)
    assert open_campaign(project / file, project=project).name == name


@pytest.mark.parametrize("file", ["my: campaign.yaml", "-x.yaml", "caf\udce9.yaml", f"{'研' * 80}.yaml"])
def test_a_file_whose_name_cannot_be_one_is_told_what_to_do(project, file):
    (project / file).write_text(CAMPAIGN)
    with pytest.raises(ConfigError, match="campaign's") as caught:
        open_campaign(project / file, project=project)
    assert "experiment_name" in (caught.value.hint or "")
    (project / file).write_text(f"experiment_name: mine\n{CAMPAIGN}")
    assert open_campaign(project / file, project=project).name == "mine"


@pytest.mark.parametrize("text", ["garbage", "{}", "[]", "null", json.dumps({"format": 99, "name": "x"}), "\x00"])
def test_a_record_that_is_none_is_named_and_not_a_traceback(project, text):
    (project / ".rollwright" / "campaigns" / "small.json").write_text(text)
    for reopen in (resume_campaign, help_campaign):
        with pytest.raises(CorruptFileError, match=r"small\.json") as caught:
            reopen("small", jobs=1, project=project)
        assert "rollwright roll" in (caught.value.hint or "")


def test_a_campaign_nobody_started_is_answered_with_the_nearest(project):
    with pytest.raises(ConfigError, match="no campaign was started"):
        resume_campaign(None, jobs=1, project=project)
    (project / ".rollwright" / "campaigns" / "small.json").write_text("{}")
    with pytest.raises(ConfigError, match="smal") as caught:
        resume_campaign("smal", jobs=1, project=project)
    assert "small" in (caught.value.hint or "")


def test_opening_a_campaign_leaves_the_context_as_it_is(project):
    (project / "us.yaml").write_text(CAMPAIGN)
    before = current_context()
    campaign = open_campaign(project / "us.yaml", project=project, provider_uri="elsewhere")
    assert current_context() is before
    assert campaign.context.settings.data.provider_uri == "elsewhere"
    assert campaign.context.market is None
