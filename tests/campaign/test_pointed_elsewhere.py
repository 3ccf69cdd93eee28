"""A window whose result points at the run of another task."""

from __future__ import annotations

import pytest

from rolling_project import Project, config, day
from rollwright.campaign.plan import make_plan
from rollwright.campaign.run import finished_recorders
from rollwright.errors import RecorderNotFoundError
from rollwright.market.folder.provider import provider_from_settings


@pytest.mark.parametrize("noted", ["its own", "the other's"])
def test_a_window_whose_result_is_another_windows_run_is_not_collected_and_is_trained_again(tmp_path, market, noted):
    """Whoever can write to the pool can point a finished window at any run of the tracking store."""
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    submission, before = project.roll(asked)
    plan = make_plan(asked, name="p", calendar=provider_from_settings(project.settings).calendar())
    assert len(finished_recorders(plan.windows, submission, project.manager)) == len(plan.windows)
    mine, other = (project.manager.re_query(submission.ids[plan.windows[place].key]) for place in (1, 0))
    project.manager.reset_status({"_id": mine["_id"]}, "waiting")
    taken = project.manager.fetch_task({"_id": mine["_id"]})
    validity = (mine if noted == "its own" else other)["validity"]
    project.manager.commit_task_res(taken, other["res"], validity=validity)
    with pytest.raises(RecorderNotFoundError, match=f"window {plan.windows[1].name} .* holds another task"):
        finished_recorders(plan.windows, submission, project.manager)
    again, after = project.roll(asked)
    assert [key for key, _ in again.stale] == [plan.windows[1].key]
    assert after == before


def test_another_model_over_the_same_data_is_another_task(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(119))
    other, _ = project.roll(asked.model_copy(update={"seed": 1}))
    submission, _ = project.roll(asked)
    plan = make_plan(asked, name="p", calendar=provider_from_settings(project.settings).calendar())
    window = plan.windows[0]
    victim = project.manager.re_query(submission.ids[window.key])
    project.manager.reset_status({"_id": victim["_id"]}, "waiting")
    taken = project.manager.fetch_task({"_id": victim["_id"]})
    stranger = project.manager.re_query(other.ids[window.key])["res"]
    project.manager.commit_task_res(taken, stranger, validity=victim["validity"])
    with pytest.raises(RecorderNotFoundError, match=f"recorder {stranger.id}, which holds another task"):
        finished_recorders(plan.windows, submission, project.manager)
