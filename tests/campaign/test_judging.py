"""Judging the windows of a campaign: the pool says how each stands, and is left as it was."""

from __future__ import annotations

import pytest

from rolling_project import DAYS, Project, config, day, rows
from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.judging import WindowState, judge_windows
from rollwright.campaign.plan import CampaignPlan, make_plan
from rollwright.campaign.run import submit
from rollwright.market.folder.provider import provider_from_settings
from rollwright.market.ingest.importer import import_market
from rollwright.pool.states import Status


@pytest.fixture
def project(tmp_path, market) -> Project:
    return Project(tmp_path / "project", market)


def planned(project: Project) -> CampaignPlan:
    calendar: TradingCalendar = provider_from_settings(project.settings).calendar()
    return make_plan(config(day(199)), name="p", calendar=calendar)


def test_what_was_never_submitted_has_no_task_and_none_is_made(project):
    plan = planned(project)
    states = judge_windows(plan.windows, project.manager)
    assert list(states) == [window.key for window in plan.windows]
    assert set(states.values()) == {WindowState()}
    assert project.manager.task_stat() == {}


def test_only_what_has_to_be_put_back_to_work_says_so_and_nothing_is_put_back(project):
    plan = planned(project)
    submit(plan, project.manager)
    project.manager.mark_failed(project.manager.fetch_task(), "ValueError: no")
    project.manager.fetch_task()
    states = [*judge_windows(plan.windows, project.manager).values()]
    assert [state.status for state in states[:3]] == [Status.FAILED, Status.RUNNING, Status.WAITING]
    assert [state.must_reset for state in states[:3]] == [True, False, False]
    assert not any(state.stands for state in states)
    assert project.manager.task_stat() == {"failed": 1, "running": 1, "waiting": len(states) - 2}


def test_a_revised_price_is_told_of_every_window_that_read_it_and_none_is_reset(project, market):
    project.roll(config(day(199)))
    plan = planned(project)
    assert all(state.stands for state in judge_windows(plan.windows, project.manager).values())
    import_market(rows(DAYS[150:151], factor=1.01), market, revise=True)
    states = judge_windows(planned(project).windows, project.manager)
    told = {key.segment: state.verdict.reason for key, state in states.items() if not state.stands}
    assert told
    assert all("market data changed" in reason for reason in told.values())
    assert all(state.must_reset for state in states.values() if not state.stands)
    assert project.manager.task_stat() == {"done": len(states)}
