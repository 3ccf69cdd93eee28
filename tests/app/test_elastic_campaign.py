"""A campaign whose workers come and go with its work, as processes of this machine."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.cluster import open_launcher, scale_workers
from rollwright.app.elastic import ElasticTerms, ScalingStep
from rollwright.app.open_campaign import open_campaign
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import store_from_url
from small_campaign import make_project, roll_here


@pytest.mark.slow
def test_a_campaign_is_trained_by_workers_that_follow_its_work(tmp_path: Path) -> None:
    here = make_project(tmp_path / "here")
    assert roll_here(here) is not None
    file = make_project(tmp_path / "there")
    campaign = open_campaign(file, project=file.parent)
    steps: list[ScalingStep] = []

    def train(manager: TaskManager, ids: object, on_event: object = None) -> bool:
        del manager, ids, on_event
        terms = ElasticTerms(least=0, most=2, every=0.5, calm=5)
        last = scale_workers("small", terms, on="local", project=file.parent, tell=steps.append)
        return last is not None and last.over

    result = roll_campaign(campaign, jobs=1, elsewhere=train)

    assert result is not None
    for name in ("pred.parquet", "label.parquet"):
        made = [(one.parent / "results" / "small" / name).read_bytes() for one in (here, file)]
        assert made[0] == made[1]
    assert sum(step.start for step in steps) >= 1
    assert max(step.there + step.start for step in steps) <= 2
    store = store_from_url(campaign.settings.resolve_url(campaign.settings.pool.url))
    records = [*store.find("small")]
    assert {record.status.value for record in records} == {"done"}
    assert {record.attempts for record in records} == {1}
    store.close()
    launcher = open_launcher(campaign.settings, "local")
    launcher.cancel([one.id for one in launcher.list()])
    ended = threading.Event()
    for _ in range(200):
        if not launcher.list():
            break
        ended.wait(0.1)
    assert launcher.list() == []
