"""A campaign whose windows are made in shards: planned, rolled, looked at, and changed."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from rollwright.app.open_campaign import open_campaign
from rollwright.app.plan import preview_campaign
from rollwright.app.status import read_status
from rollwright.campaign.plan import make_plan
from rollwright.campaign.run import note_submitted, submit
from rollwright.campaign.shards import renew_shards
from rollwright.campaign.shards_section import ShardsSection
from rollwright.cli.status import describe_status
from rollwright.config.context import install, using
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError
from rollwright.market.folder.provider import QlibProvider
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, Outcome
from rollwright.pool.worker.shards import ShardKeeper
from rollwright.tracking.r import R
from small_campaign import CAMPAIGN, make_project, roll_here

MONTHLY = CAMPAIGN + "shards: {by: dates, every: 1M}\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("sharded") / "p", text=MONTHLY)


@pytest.fixture
def settings(file):
    found = load_settings(start=file.parent, environ={})
    install(found)
    return found


def opened(file, text=None):
    if text is not None:
        file = file.with_name("other.yaml")
        file.write_text(text)
    return open_campaign(file, project=file.parent, market=QlibProvider(file.parent / "market"))


def test_a_plan_counts_the_shards_and_runs_nothing(file):
    preview = preview_campaign(opened(file))
    assert len(preview.windows) == 4
    assert preview.shards == preview.to_json()["shards"] == sum(_months(window) + 1 for window in preview.windows)


def _months(window):
    start, end = window.segments["test"]
    return sum(1 for number in range(40) if start + pd.DateOffset(months=number) <= end)


def test_it_is_rolled_to_the_results_of_the_same_campaign_without_shards(file, tmp_path):
    result = roll_here(file)
    install(load_settings(start=file.parent, environ={}))
    sharded = _predictions()
    other = make_project(tmp_path / "whole", text=CAMPAIGN)
    assert roll_here(other) is not None
    install(load_settings(start=other.parent, environ={}))
    pd.testing.assert_frame_equal(sharded, _predictions(), check_exact=False, rtol=1e-12)
    assert result is not None
    assert roll_here(file) is not None
    install(load_settings(start=file.parent, environ={}))
    assert len(R.get_exp(experiment_name="small").list_recorders("list")) == 4


def _predictions():
    """Return the joined prediction of the windows; who lists the experiment sees nothing else."""
    recorders = R.get_exp(experiment_name="small").list_recorders("list")
    assert len(recorders) == 4
    return pd.concat([recorder.load_object("pred.pkl") for recorder in recorders]).sort_index()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{by: dates, every: 3W}", "other.yaml:.*`shards.every`: '3W' is no length of dates"),
        ("{by: moon}", "other.yaml:.*"),
        ("{by: seeds, count: 1}", "other.yaml:.*greater than or equal to 2"),
        ("{by: seeds, count: 2, seeds: [1, 2]}", "other.yaml:.*either `count` or `seeds`"),
    ],
)
def test_what_cannot_be_is_told_with_its_place_in_the_file(file, section, said):
    with pytest.raises(ConfigError, match=said):
        preview_campaign(opened(file, CAMPAIGN + f"shards: {section}\n"))


def test_the_section_gives_the_definition_what_it_says_and_no_more():
    section = ShardsSection.model_validate({"by": "instruments", "groups": {"a": ["X"], "b": ["Y"]}})
    assert section.as_dict() == {"by": "instruments", "groups": {"a": ["X"], "b": ["Y"]}}


def _plan(campaign):
    with using(campaign.context):
        source = QlibProvider(campaign.settings.root / "market")
        return make_plan(campaign.config, name="apart", calendar=source.calendar())


def test_a_status_tells_how_many_shards_are_done_and_who_makes_them(file, settings):
    roll_here(file)
    manager = TaskManager("small")
    assert read_status("small", project=file.parent).windows[0].shards == ()
    record = next(iter(manager.store.find("small", parse({"def.shards.by": "dates"}))))
    manager.store.amend("small", parse({"_id": record.task_id}), Amendment(status=Status.WAITING))
    manager.store.amend("small", parse({"def.shard.of": record.fingerprint}), Amendment(status=Status.WAITING))
    request = ClaimRequest(pool="small", owner="me", lease=60, query=parse({"_id": record.task_id}))
    keeper = ShardKeeper(manager.store, "small")
    (lease,) = manager.store.claim(request)
    manager.store.settle([keeper.divide(lease)])
    theirs = parse({"def.shard.of": record.fingerprint})
    manager.store.claim(ClaimRequest(pool="small", owner="me", lease=60, query=theirs))
    found = read_status("small", project=file.parent)
    (window,) = [one for one in found.windows if one.shards]
    assert (window.status, window.shards) == (Status.PART_DONE, (0, 1))  # the model comes first
    assert window.to_json()["shards"] == [0, 1]
    assert [holder.labels for holder in found.holders] == [(f"{window.name} (fit)",)]
    assert "in shards: 1 window, 0 of 1 shard" in describe_status(found)
    assert found.command == "rollwright status small --watch"


def test_shards_of_windows_that_belong_no_more_are_not_made(file, settings):
    plan = _plan(opened(file, CAMPAIGN + "shards: {by: seeds, count: 2}\n"))
    manager = TaskManager("apart")
    submission = submit(plan, manager)
    keeper = ShardKeeper(manager.store, "apart")
    (lease,) = manager.store.claim(ClaimRequest(pool="apart", owner="me", lease=60))
    manager.store.settle([keeper.divide(lease)])
    assert manager.task_stat()["waiting"] == 3 + 2
    former = note_submitted(plan, submission, own_pool=False)
    submit(_plan(opened(file, CAMPAIGN)), manager, former=former)
    assert (manager.task_stat()["cancelled"], manager.task_stat()["waiting"]) == (4 + 2, 4)
    submit(plan, manager, former=None)
    assert manager.task_stat()["waiting"] == 4 + 4  # brought back; their shards are once a worker claims them


def test_shards_whose_result_is_no_answer_any_more_are_made_again_with_their_window(file, settings):
    roll_here(file)
    manager = TaskManager("small")
    campaign = opened(file)
    plan = _plan(campaign)
    specs = [window.spec for window in plan.windows]
    first = next(iter(manager.store.find("small", parse({"def.shard.name": "fit"}))))
    with using(campaign.context):
        renew_shards(specs, manager)
    assert manager.task_stat()["done"] == sum(manager.task_stat().values())
    stale = dict(json.loads(first.validity), schema=1)
    (again,) = manager.store.claim(_claim_of(manager, first.task_id))
    manager.store.settle([Outcome.done(again, result=first.result, validity=json.dumps(stale))])
    with using(campaign.context):
        renew_shards(specs, manager)
    assert [record.task_id for record in manager.store.find("small", parse({"status": "waiting"}))] == [first.task_id]


def _claim_of(manager, task_id):
    manager.store.amend("small", parse({"_id": task_id}), Amendment(status=Status.WAITING))
    return ClaimRequest(pool="small", owner="me", lease=60, query=parse({"_id": task_id}))
