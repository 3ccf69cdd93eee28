"""Judging the windows of a campaign: the pool says how each stands, and is left as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rolling_project import DAYS, Project, config, day, rows
from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.judging import REQUIRED_ARTIFACTS, WindowState, judge_windows
from rollwright.campaign.plan import CampaignPlan, make_plan
from rollwright.campaign.run import submit
from rollwright.codecs.frames import ParquetCodec
from rollwright.config.context import install
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose windows are all finished, its plan, and the recorder of the first."""
    folder = tmp_path_factory.mktemp("judged")
    import_market(rows(DAYS[:200]), folder / "market")
    rolled = Project(folder / "project", folder / "market")
    submission, _ = rolled.roll(config(day(140)))
    calendar = provider_from_settings(rolled.settings).calendar()
    plan = make_plan(config(day(140)), name="p", calendar=calendar)
    return rolled, plan, next(iter(rolled.recorders(submission).values()))


def reasons(finished) -> list[str]:
    """Return why windows do not stand, in their order."""
    rolled, plan, _ = finished
    install(rolled.settings)
    states = judge_windows(plan.windows, rolled.manager).values()
    return [state.verdict.reason for state in states if not state.stands]


def test_finished_windows_are_judged_by_their_bytes_and_no_frame_is_opened(finished, monkeypatch):
    monkeypatch.setattr(ParquetCodec, "read", lambda _codec, path: pytest.fail(f"{path} was opened"))
    assert reasons(finished) == []


@pytest.mark.parametrize("name", REQUIRED_ARTIFACTS)
def test_a_flipped_bit_of_a_frame_is_told_of_its_window_alone(finished, name):
    path = Path(finished[2].download_artifact(name))
    whole = path.read_bytes()
    place = len(whole) // 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    (reason,) = reasons(finished)
    assert name in reason
    assert "another SHA-256" in reason
    path.write_bytes(whole)
    assert reasons(finished) == []


def test_a_damaged_kind_is_told_where_the_manifest_has_no_seal(finished):
    path = Path(finished[2].get_local_dir()) / "artifacts.json"
    whole = path.read_text()
    document = json.loads(whole)
    del document["seal"]
    path.write_text(json.dumps(document))  # as it was written before there were seals
    assert reasons(finished) == []
    path.write_text(json.dumps(document).replace('"parquet"', '"pbrquet"'))
    (reason,) = reasons(finished)
    assert "pbrquet" in reason
    path.write_text(whole)
