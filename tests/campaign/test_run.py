"""Submitting: what is finished and valid stays, everything else is put to work, and nothing that runs is disturbed."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from campaign_plans import hand_made_plan
from rollwright.campaign import judging
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, Window, WindowKey
from rollwright.campaign.run import Submission, submit, train_windows
from rollwright.config.context import current_context, install
from rollwright.config.settings import load_settings
from rollwright.errors import TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker.worker import WorkerReport
from rollwright.tasks.spec import TaskSpec
from rollwright.training import pooled

DAYS = [pd.Timestamp("2020-01-06"), pd.Timestamp("2020-01-10")]
KEY = WindowKey(ONLY_VARIANT, "w")


@pytest.fixture
def manager(tmp_path) -> TaskManager:
    install(load_settings(start=tmp_path, environ={}))
    return TaskManager("p", store=MemoryStore())


def plan() -> CampaignPlan:
    mine = {"class": "Mine", "module_path": "mine.py"}
    spec = TaskSpec.from_definition({"model": mine, "dataset": mine})
    window = Window(key=KEY, spec=spec, segments={"test": (DAYS[0], DAYS[1])})
    return hand_made_plan([window])


def test_submitting_again_puts_nothing_twice_and_tries_failed_windows_anew(manager):
    first = submit(plan(), manager)
    assert first.todo == (KEY,)
    manager.mark_failed(manager.fetch_task(), "ValueError: no")
    again = submit(plan(), manager)
    assert again.ids == first.ids
    assert manager.task_stat() == {"waiting": 1}


def test_a_window_of_a_former_format_is_trained_again_with_the_reason(manager):
    submit(plan(), manager)
    manager.commit_task_res(manager.fetch_task(), 1, validity={"schema": 1, "data": "g0", "code": "x"})
    submission = submit(plan(), manager)
    assert [name for name, _ in submission.stale] == [KEY]
    assert submission.stale[0][1] == "the format of results changed"
    assert manager.task_stat() == {"waiting": 1}


def test_a_window_that_another_roll_has_put_to_work_meanwhile_is_left_to_it(manager, monkeypatch):
    submit(plan(), manager)
    manager.commit_task_res(manager.fetch_task(), 1, validity={"schema": 1, "data": "g0", "code": "x"})
    judge = judging.judge_window
    taken = []

    def while_another_roll_is_quicker(window, task, check, **terms):
        reason = judge(window, task, check, **terms)
        manager.reset_status({"_id": task.task_id}, "waiting")
        taken.append(manager.fetch_task())
        return reason

    monkeypatch.setattr(judging, "judge_window", while_another_roll_is_quicker)
    submit(plan(), manager)
    assert manager.task_stat() == {"running": 1}
    manager.commit_task_res(taken[0], 2)  # its lease was not taken away


def test_whole_tracebacks_of_failed_windows_are_kept_in_a_file_until_none_fails(manager, tmp_path):
    kept = tmp_path / "results" / "failures.txt"
    submission = submit(plan(), manager)
    trace = (
        'Traceback (most recent call last):\n  File "mine.py", line 7, in fit\nValueError: no such price\nhint: buy\n'
    )
    manager.mark_failed(manager.fetch_task(), trace)
    nothing_left = replace(submission, reused=(KEY,))  # so that no worker starts here

    def train():
        return train_windows(
            plan(),
            nothing_left,
            manager,
            context=current_context(),
            jobs=1,
            failures=kept,
        )

    with pytest.raises(TaskFailedError, match="task w: ValueError: no such price") as caught:
        train()
    assert str(kept) in (caught.value.hint or "")
    assert "mine.py" in kept.read_text()
    manager.reset_status({}, "waiting")
    manager.commit_task_res(manager.fetch_task(), 1)
    assert train()
    assert not kept.exists()


def plan_of(*tests: str) -> CampaignPlan:
    """Return a plan whose windows have these names."""
    windows = []
    for name in tests:
        mine = {"class": "Mine", "module_path": "mine.py", "kwargs": {"window": name}}
        spec = TaskSpec.from_definition({"model": mine, "dataset": mine})
        windows.append(Window(key=WindowKey(ONLY_VARIANT, name), spec=spec, segments={"test": (DAYS[0], DAYS[1])}))
    return hand_made_plan(windows)


def finish(planned: CampaignPlan, submission: Submission, manager: TaskManager) -> bool:
    """Train a plan whose windows are all settled, so that no worker starts."""
    nothing_left = replace(submission, reused=tuple(window.key for window in planned.windows))
    return train_windows(planned, nothing_left, manager, context=current_context(), jobs=1)


def test_a_cancelled_window_is_not_a_finished_one(manager):
    planned = plan_of("a", "b")
    submission = submit(planned, manager)
    manager.commit_task_res(manager.fetch_task(), 1)
    assert manager.cancel({"status": "waiting"}) == 1
    with pytest.raises(TaskFailedError, match="task b: it was cancelled") as caught:
        finish(planned, submission, manager)
    assert "rollwright resume" in caught.value.hint
    assert "mend the cause" not in caught.value.hint
    assert [name for name, _ in caught.value.failures] == ["b"]


def test_failed_windows_are_told_in_order_of_their_names_not_of_their_tasks(manager):
    planned = plan_of("c", "a", "d", "b")
    submission = submit(planned, manager)
    for _ in planned.windows:
        manager.mark_failed(manager.fetch_task(), "ValueError: no")
    with pytest.raises(TaskFailedError, match="ValueError: no") as caught:
        finish(planned, submission, manager)
    assert [name for name, _ in caught.value.failures] == ["a", "b", "c", "d"]


def test_an_error_that_all_windows_share_is_told_once(manager):
    planned = plan_of("a", "b", "c", "d")
    submission = submit(planned, manager)
    for error in ("ValueError: no", "KeyError: x", "ValueError: no", "ValueError: no"):
        manager.mark_failed(manager.fetch_task(), error)
    with pytest.raises(TaskFailedError) as caught:
        finish(planned, submission, manager)
    told = str(caught.value)
    assert told.startswith("4 tasks failed\n  - task a and 2 more: ValueError: no\n  - task b: KeyError: x")
    assert told.count("ValueError") == 1


@pytest.mark.parametrize(("jobs", "slots"), [(1, 1), (2, 2), (9, 3)])
def test_there_are_no_more_slots_than_windows_to_train(manager, monkeypatch, jobs, slots):
    asked = []

    class Stopped:
        def __init__(self, *, slots, **kwargs):
            asked.append(slots)

        def run(self):
            return WorkerReport(done=0, failed=0, released=0, seconds=0.0, interrupted=True)

    monkeypatch.setattr(pooled, "Worker", Stopped)
    planned = plan_of("a", "b", "c")
    submission = submit(planned, manager)
    assert not train_windows(planned, submission, manager, context=current_context(), jobs=jobs)
    assert asked == [slots]
