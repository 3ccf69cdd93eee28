"""The seeds' words over the stores; the defects of the census by their names."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from rollwright.config.context import init
from rollwright.errors import (
    ConfigError,
    IllegalTransitionError,
    LeaseLostError,
    PoolError,
    QueryError,
    TaskFailedError,
    TaskNotFoundError,
    TaskValueError,
)
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import TRANSITIONS, Status, amend_sources
from rollwright.pool.store import Outcome
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.urls import close_shared_stores, store_from_url
from rollwright.pool.worker.worker import TaskResult, run_task
from rollwright.tasks.spec import TaskSpec


@pytest.fixture
def manager(store, time):
    return TaskManager("p", store=store, clock=time, lease=60, max_attempts=2)


def tasks(*numbers):
    return [{"x": number} for number in numbers]


# -- create_task -------------------------------------------------------------------------------------------------


def test_create_task_returns_ids_in_order_and_is_idempotent(manager):
    ids = manager.create_task(tasks(1, 2, 1))
    assert ids[0] == ids[2]
    assert manager.create_task(tasks(2, 1)) == [ids[1], ids[0]]
    assert manager.get_task_stats()["waiting"] == 2


def test_a_spec_is_the_task_of_its_definition(manager):
    given = {"x": (1, 2.0), "segments": {"train": ("2020-01-02", "2020-02-03")}}
    ids = manager.create_task([TaskSpec.from_definition(given)])
    assert ids == manager.create_task([given])
    assert manager.restore_definitions([TaskSpec.from_definition(given)], ids) == []
    assert manager.re_query(ids[0])["def"] == given


def test_t9_values_without_json_form_are_refused_with_their_path_and_none_is_inserted(manager):
    with pytest.raises(TaskValueError, match=r"task \[1\] \$\.model\.kwargs\.f"):
        manager.create_task([{"x": 1}, {"model": {"kwargs": {"f": object()}}}])
    assert manager.task_stat() == {}


def test_t9_numpy_numbers_and_python_numbers_are_one_task(manager):
    assert len(set(manager.create_task([{"x": np.int64(3)}, {"x": 3}]))) == 1


def test_dry_run_puts_nothing_and_tells_how_many(manager, caplog):
    manager.create_task(tasks(1))
    with caplog.at_level(logging.INFO, "rollwright.pool"):
        assert manager.create_task(tasks(1, 2, 3), dry_run=True, print_nt=True) == []
    assert "given=3 new=2" in caplog.text
    assert '{"x":3}' in caplog.text
    assert manager.task_stat() == {"waiting": 1}


def test_insert_words(manager):
    first = manager.insert_task_def({"x": 1})
    assert manager.insert_task({"def": {"x": 2}, "priority": 5}) != first
    assert manager.fetch_task()["def"] == {"x": 2}
    with pytest.raises(ConfigError, match="a task document has a `def`"):
        manager.insert_task({"x": 3})


def test_t10_replace_task_replaces(manager):
    (task_id,) = manager.create_task(tasks(1))
    manager.replace_task(manager.re_query(task_id), {"x": 9})
    assert manager.re_query(task_id)["filter"] == {"x": 9}
    assert manager.create_task(tasks(9)) == [task_id]


# -- fetching and ending -----------------------------------------------------------------------------------------


def test_a_fetched_task_looks_as_qlibs_know_it(manager):
    (task_id,) = manager.create_task([{"segments": {"test": ("2017-01-01", "2017-02-01")}}])
    task = manager.fetch_task()
    assert task["_id"] == task_id
    assert task["status"] == TaskManager.STATUS_RUNNING
    assert task["def"]["segments"]["test"] == ("2017-01-01", "2017-02-01")
    assert task["filter"]["segments"]["test"] == ["2017-01-01", "2017-02-01"]
    assert task["res"] is None
    assert manager.fetch_task() is None
    manager.commit_task_res(task, {"ic": 0.1})
    assert manager.re_query(task_id)["res"] == {"ic": 0.1}


def test_t5_a_stale_commit_or_return_is_refused(manager, store, time):
    manager.create_task(tasks(1))
    stale = manager.fetch_task()
    time.advance(61)
    other = TaskManager("p", store=store, clock=time, max_attempts=2)
    good = other.fetch_task()
    for call in (
        lambda: manager.commit_task_res(stale, "stale-late"),
        lambda: manager.return_task(stale),
        lambda: manager.mark_failed(stale),
    ):
        with pytest.raises(LeaseLostError, match="your token 1, current 3, state running"):
            call()
    other.commit_task_res(good, "good")
    with pytest.raises(LeaseLostError, match="your token 1, current 3, state done"):
        manager.commit_task_res(stale, "stale-late")
    assert manager.re_query(stale["_id"])["res"] == "good"


def test_t5_a_task_that_was_only_asked_for_cannot_be_committed(manager):
    (task_id,) = manager.create_task(tasks(1))
    with pytest.raises(IllegalTransitionError, match="was not fetched"):
        manager.commit_task_res(manager.re_query(task_id), 1)


@pytest.mark.parametrize("status", ["waiting", "failed", "running"])
def test_a_result_is_committed_as_done_or_part_done(manager, status):
    manager.create_task(tasks(1))
    with pytest.raises(IllegalTransitionError, match=f"done or part_done, not `{status}`"):
        manager.commit_task_res(manager.fetch_task(), 1, status)


@pytest.mark.parametrize("status", [(), ("done",), (None,)])
def test_a_result_is_committed_as_done_unless_something_else_is_said(manager, status):
    manager.create_task(tasks(1))
    manager.commit_task_res(manager.fetch_task(), 1, *status)
    assert manager.task_stat() == {"done": 1}


def test_a_returned_task_is_as_it_was(manager):
    manager.create_task(tasks(1))
    task = manager.fetch_task()
    manager.return_task(task)
    again = manager.fetch_task()
    assert (again["_id"], again["attempts"]) == (task["_id"], 1)
    manager.commit_task_res(again, 1, TaskManager.STATUS_PART_DONE)
    staged = manager.fetch_task(status=TaskManager.STATUS_PART_DONE)
    assert staged["res"] == 1
    manager.return_task(staged)
    assert manager.task_stat() == {"part_done": 1}
    manager.return_task(manager.fetch_task(status="part_done"), "waiting")
    assert manager.task_stat() == {"waiting": 1}


def test_t6_an_exit_in_the_body_gives_the_task_back_without_an_attempt(manager):
    manager.create_task(tasks(1))
    for error in (SystemExit, KeyboardInterrupt):
        with pytest.raises(error), manager.safe_fetch_task():
            raise error
    assert manager.fetch_task()["attempts"] == 1


def test_an_exception_in_the_block_uses_an_attempt_and_ends_in_failed(manager):
    (task_id,) = manager.create_task(tasks(1))
    for expected in ("waiting", "failed"):
        with pytest.raises(RuntimeError), manager.safe_fetch_task():
            raise RuntimeError("no")
        assert manager.re_query(task_id)["status"] == expected
    with manager.safe_fetch_task() as task:
        assert task is None


def test_t6_leaving_the_iterator_gives_the_task_in_hand_back(manager):
    manager.create_task(tasks(1, 2, 3))
    iterator = manager.task_fetcher_iter()
    manager.commit_task_res(next(iterator), 1)
    next(iterator)
    iterator.close()
    assert manager.task_stat() == {"waiting": 2, "done": 1}
    for task in manager.task_fetcher_iter():
        manager.commit_task_res(task, 2)
    assert manager.task_stat() == {"done": 3}


def test_t7_and_t8_a_result_that_cannot_be_read_spoils_neither_fetch_nor_query(manager):
    ids = manager.create_task(tasks(1, 2))
    task = manager.fetch_task()
    outcome = Outcome(
        task_id=task["_id"], token=task["token"], kind="part_done", result='{"$reference":"no such kind"}'
    )
    manager.store.settle([outcome]).check()
    assert [item["_id"] for item in manager.query()] == ids
    assert manager.task_stat() == {"waiting": 1, "part_done": 1}
    staged = manager.fetch_task(status="part_done")
    with pytest.raises(Exception, match="unknown kind"):
        staged["res"]
    manager.return_task(staged)
    assert next(manager.query({"status": "part_done"}, decode=False))["res"] == {"$reference": "no such kind"}


def test_t11_queries_are_whole_and_leave_the_callers_dictionary_alone(manager):
    ids = manager.create_task(tasks(1, 2, 3))
    query = {"$or": [{"_id": {"$gt": ids[1]}}, {"def.x": 1}]}
    before = repr(query)
    assert [task["_id"] for task in manager.query(query)] == [ids[0], ids[2]]
    assert repr(query) == before
    with pytest.raises(QueryError, match=r"`\$where` is not part of the query language"):
        manager.query({"$where": "1"})


def test_t13_a_failed_task_keeps_its_traceback_attempts_and_times(manager):
    manager.create_task(tasks(1))
    manager.mark_failed(manager.fetch_task(), "Traceback: boom")
    (task,) = manager.query({"status": "failed"})
    assert (task["error"], task["attempts"]) == ("Traceback: boom", 1)
    assert task["ended"] >= task["created"]


def test_t14_one_store_per_process_and_a_clear_word_for_a_wrong_url():
    init(pool_url="memory:")
    try:
        assert TaskManager("a").store is TaskManager("b").store
        TaskManager("a").create_task(tasks(1))
        assert TaskManager.list() == ["a"]
    finally:
        close_shared_stores()
    with pytest.raises(ConfigError, match="no task pool") as caught:
        store_from_url("mysql://me:secret@host/db")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="is the URL of no task pool"):
        store_from_url("sqlite:///")


def test_t15_equal_priority_is_first_come_first_served(manager):
    ids = manager.create_task(tasks(*range(5)))
    manager.prioritize(manager.re_query(ids[3]), 7)
    assert [manager.fetch_task()["_id"] for _ in range(5)] == [ids[3], ids[0], ids[1], ids[2], ids[4]]


# -- by hand -----------------------------------------------------------------------------------------------------


def test_reset_waiting_frees_only_what_nobody_holds_any_more(manager, time):
    manager.create_task(tasks(1, 2))
    first = manager.fetch_task()
    time.advance(50)
    second = manager.fetch_task()
    assert manager.reset_waiting() == 0
    time.advance(20)
    assert manager.reset_waiting() == 1
    with pytest.raises(LeaseLostError, match="task 1 is no longer yours"):
        manager.commit_task_res(first, 1)
    assert manager.reset_waiting(second, force=True) == 1
    with pytest.raises(LeaseLostError, match="task 2 is no longer yours"):
        manager.commit_task_res(second, 1)
    assert manager.task_stat() == {"waiting": 2}


def test_reset_status_and_cancel(manager):
    ids = manager.create_task(tasks(1, 2))
    assert manager.cancel({"_id": ids[0]}) == 1
    assert manager.reset_status({"status": "cancelled"}, "waiting") == 1
    for status in ("running", "done"):
        with pytest.raises(IllegalTransitionError, match=f"into `{status}` by hand"):
            manager.reset_status({}, status)
    with pytest.raises(QueryError, match="did you mean `waiting`"):
        manager.reset_status({}, "wating")


@pytest.mark.parametrize("given", [(), (None,), ({},)])
def test_remove_without_a_query_removes_every_task_and_whoever_runs_one_is_refused(manager, given):
    manager.create_task(tasks(1, 2, 3))
    task = manager.fetch_task()
    assert manager.remove(*given, force=False) == 2
    assert manager.remove(*given) == 1
    assert list(manager.query()) == []
    with pytest.raises(LeaseLostError):
        manager.commit_task_res(task, 1)
    with pytest.raises(TaskNotFoundError, match="pool `p` has no task 1"):
        manager.re_query("1")


def test_every_amendment_is_in_the_table_of_transitions():
    for target in (Status.WAITING, Status.PART_DONE, Status.FAILED, Status.CANCELLED):
        assert all(target in TRANSITIONS[source] for source in amend_sources(target))


# -- waiting -----------------------------------------------------------------------------------------------------


def test_t4_wait_frees_dead_tasks_and_names_those_that_failed(manager, store, time):
    manager.create_task(tasks(1, 2))
    manager.fetch_task()  # its worker dies
    helper = TaskManager("p", store=store, clock=time)

    class Helping:
        monotonic = time.monotonic

        def sleep(self, seconds):
            time.advance(seconds * 1000)
            task = helper.fetch_task()
            if task is not None and task["def"]["x"] == 1:
                helper.mark_failed(task, "ValueError: bad\nhint: mend it")
            elif task is not None:
                helper.commit_task_res(task, 0)

    manager.clock = Helping()
    with pytest.raises(TaskFailedError) as caught:
        manager.wait()
    assert caught.value.failures == (("1", "ValueError: bad"),)
    manager.wait({"status": "done"})


def test_t17_wait_can_time_out(manager, time):
    manager.create_task(tasks(1))
    start = time.monotonic()
    with pytest.raises(PoolError, match="1 tasks of pool `p` are not finished after 3 s"):
        manager.wait(timeout=3)
    assert 3 <= time.monotonic() - start < 3.2
    manager.wait({"def.x": 7}, timeout=0)


# -- run_task ----------------------------------------------------------------------------------------------------


def test_run_task_runs_all_and_says_whether_there_was_any(manager):
    manager.create_task(tasks(1, 2))
    assert run_task(lambda definition, factor: definition["x"] * factor, manager, factor=3) is True
    assert [task["res"] for task in manager.query()] == [3, 6]
    assert run_task(lambda definition: 0, manager) is False


def test_run_task_all_four_transitions(manager):
    manager.create_task(tasks(1))
    assert run_task(lambda definition: definition["x"], manager, after_status="part_done")
    assert run_task(lambda res: res * 3 + 1, manager, before_status="part_done", after_status="part_done")
    assert run_task(lambda res: res * 3 + 1, manager, before_status="part_done")
    assert [task["res"] for task in manager.query()] == [13]


def test_t3_a_poison_task_never_stops_the_others(manager):
    ids = manager.create_task(tasks(0, 1, 2, 3))
    manager.prioritize(manager.re_query(ids[0]), 9)
    calls = []

    def body(definition):
        calls.append(definition["x"])
        if definition["x"] == 0:
            raise RuntimeError("no room today")
        return definition["x"]

    with pytest.raises(TaskFailedError) as caught:
        run_task(body, manager)
    ((failed, error),) = caught.value.failures
    assert failed == ids[0]
    assert error.startswith("RuntimeError: no room today (test_task_manager.py:")
    assert calls.count(0) == 2
    assert manager.task_stat() == {"failed": 1, "done": 3}
    assert "in body" in manager.re_query(ids[0])["error"]


def test_bad_input_is_not_tried_again(manager):
    manager.create_task(tasks(1))
    calls = []

    def body(definition):
        calls.append(1)
        raise ConfigError("never good")

    with pytest.raises(TaskFailedError, match="ConfigError: never good"):
        run_task(body, manager)
    assert len(calls) == 1


def test_a_result_without_json_form_fails_its_task_alone(manager):
    manager.create_task(tasks(1, 2))
    with pytest.raises(TaskFailedError, match="no JSON form"):
        run_task(lambda definition: object() if definition["x"] == 1 else 5, manager)
    assert manager.task_stat() == {"failed": 1, "done": 1}


def test_fail_fast_passes_the_first_exception_on(manager):
    manager.create_task(tasks(0, 1))

    def body(definition):
        raise RuntimeError("no room today")

    with pytest.raises(RuntimeError, match="no room today"):
        run_task(body, manager, fail_fast=True)
    assert manager.task_stat() == {"waiting": 2}


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_t6_run_task_gives_the_task_back_on_exit(manager, error):
    manager.create_task(tasks(1))

    def body(definition):
        raise error

    with pytest.raises(error):
        run_task(body, manager)
    assert manager.fetch_task()["attempts"] == 1


def test_t12_wrong_states_are_refused_before_anything_is_taken(manager):
    manager.create_task(tasks(1))
    for wrong in ({"before_status": "done"}, {"before_status": "running"}, {"after_status": "waiting"}):
        with pytest.raises(ConfigError, match=r"(before|after)_status is .* or part_done, not"):
            run_task(lambda definition: 0, manager, **wrong)
    with pytest.raises(QueryError, match=r"'wating' is no state|'wating' is not a state"):
        run_task(lambda definition: 0, manager, before_status="wating")
    assert manager.task_stat() == {"waiting": 1}


def test_run_task_leaves_what_does_not_match(manager):
    manager.create_task(tasks(1, 2))
    run_task(lambda definition: 0, manager, query={"def.x": 2})
    assert manager.task_stat() == {"waiting": 1, "done": 1}


def test_a_lost_lease_throws_the_result_away_and_goes_on(manager, store, time):
    ids = manager.create_task(tasks(1, 2))
    other = TaskManager("p", store=store, clock=time)

    def body(definition):
        if definition["x"] == 1 and manager.re_query(ids[0])["attempts"] == 1:
            manager.reset_waiting(force=True)
            other.commit_task_res(other.fetch_task({"_id": ids[0]}), "other")
        return "mine"

    run_task(body, manager)
    assert [task["res"] for task in manager.query()] == ["other", "mine"]


def test_a_body_may_record_validity(manager):
    (task_id,) = manager.create_task(tasks(1))
    run_task(lambda definition: TaskResult(value=1, validity={"data": "7"}), manager)
    assert manager.re_query(task_id)["validity"] == {"data": "7"}


def test_the_lease_is_renewed_while_the_body_runs(file_store):
    manager = TaskManager("p", store=file_store, lease=0.3)
    manager.create_task(tasks(1))
    seen = []

    def body(definition):
        first = file_store.get("p", ["1"])[0].lease_until
        while file_store.get("p", ["1"])[0].lease_until == first:
            pass
        seen.append(True)

    run_task(body, manager)
    assert seen == [True]


def test_run_task_takes_the_name_of_a_pool(manager):
    init(pool_url="memory:")
    try:
        TaskManager("q").create_task(tasks(1))
        assert run_task(lambda definition: 5, "q")
        assert next(TaskManager("q").query())["res"] == 5
    finally:
        close_shared_stores()


def test_t18_force_release_needs_a_function_of_a_module():
    with pytest.raises(ConfigError, match="process of its own"):
        run_task(lambda definition: 0, TaskManager("p", store=MemoryStore()), force_release=True)
