"""What a campaign's file says its windows need, and how it is served beside others."""

from __future__ import annotations

import logging

import pytest

from rollwright.app.campaign import plan_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.campaign.plan_text import describe_plan
from rollwright.config.context import using
from rollwright.errors import ConfigError
from rollwright.market.folder.provider import QlibProvider
from rollwright.pool.needs import Needs
from rollwright.pool.urls import store_from_url
from small_campaign import CAMPAIGN, make_project, roll_here

GPU = Needs(tags=("gpu",))
MEMBERS = """\
vary:
  - {name: soft, model.kwargs.alpha: 0.1}
  - {name: hard, model.kwargs.alpha: 1.0, needs: {tags: gpu, memory: 500M}}
  - {name: free, model.kwargs.alpha: 2.0, needs: {}}
"""


def plan_of(tmp_path, more):
    file = make_project(tmp_path / "project", text=CAMPAIGN + more)
    market = QlibProvider(file.parent / "market")
    campaign = open_campaign(file, project=file.parent, market=market)
    with using(campaign.context):
        return plan_campaign(campaign, market)[0]


def test_members_need_what_the_file_says_or_what_they_say_themselves(tmp_path):
    plan = plan_of(tmp_path, f"needs: {{tags: [big], memory: 16G}}\nshare: {{weight: 2, max_running: 8}}\n{MEMBERS}")
    needs = {member.name: member.needs for member in plan.members}
    assert needs == {
        "soft": Needs(tags=("big",), memory=16),
        "hard": Needs(tags=("gpu",), memory=0.5),
        "free": Needs(),
    }
    told = "\n".join(describe_plan(plan))
    assert "needs: big,memory=16 for 4 windows of soft" in told
    assert "needs: gpu,memory=0.5 for 4 windows of hard" in told
    assert (plan.share.weight, plan.share.max_running) == (2.0, 8)


def test_needs_are_no_part_of_what_a_window_is(tmp_path):
    plain, needing = plan_of(tmp_path / "a", ""), plan_of(tmp_path / "b", "needs: {tags: [gpu]}\n")
    prints = [[window.spec.fingerprint for window in plan.windows] for plan in (plain, needing)]
    assert prints[0] == prints[1]
    assert "needs: gpu for 4 windows" in "\n".join(describe_plan(needing))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("needs: {tags: [G P U]}\n", "no tag"),
        ("needs: {memory: much}\n", "not a size"),
        ("needs: {gpus: 1}\n", "gpus"),
        ("share: {weight: 0}\n", "no weight"),
        ("share: {max_running: 0}\n", "pool pause"),
        ("vary: [{model.kwargs.alpha: 1.0, needs: {tags: [G P U]}}, {model.kwargs.alpha: 2.0}]\n", "no tag"),
        ("vary: [{model.kwargs.alpha: 1.0, needs: {gpus: 1}}, {model.kwargs.alpha: 2.0}]\n", "needs.gpus"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, more, said):
    with pytest.raises(ConfigError, match=said) as caught:
        plan_of(tmp_path, more)
    assert "small.yaml:" in str(caught.value)


def test_a_campaign_is_trained_by_who_has_what_it_needs(tmp_path, monkeypatch, caplog):
    file = make_project(tmp_path / "project", text=CAMPAIGN + "needs: {tags: [gpu]}\nshare: {weight: 2}\n")
    store = store_from_url(f"sqlite:///{file.parent}/.rollwright/pool.db")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(ConfigError, match="4 windows of small need gpu, which this process has not"),
    ):
        roll_here(file)
    assert any("worker.unfit" in record.getMessage() for record in caplog.records)
    assert [record.needs for record in store.find("small")] == [GPU] * 4
    assert store.stat("small").weight == 2.0
    (file.parent / "rollwright.toml").write_text("[worker]\ntags = ['gpu']\n")
    assert roll_here(file) is not None
    store.close()


def test_needs_that_changed_in_the_file_change_in_the_pool(tmp_path):
    file = make_project(tmp_path / "project", text=CAMPAIGN + "needs: {tags: [gpu]}\n")
    with pytest.raises(ConfigError, match="worker run NAME --tag gpu"):
        roll_here(file)
    file.write_text(CAMPAIGN)
    assert roll_here(file) is not None
