"""Tasks in shards in every store: divided once, set aside, woken by whoever ends the last, and never lost."""

from __future__ import annotations

import pytest

from rollwright.errors import TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.needs import Needs
from rollwright.pool.query import In
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.shards import ShardKeeper
from rollwright.pool.worker.worker import FailedTasks, work_through
from rollwright.tasks.shards import read_sharding

SEEDS = {"by": "seeds", "count": 3}
DATES = {"by": "dates", "every": "1M"}


def parent(shards=SEEDS, **parts):
    segments = {"train": ["2020-01-01", "2020-05-31"], "test": ["2020-06-01", "2020-07-31"]}
    dataset = {"class": "DatasetH", "module_path": "rollwright.dataset.dataset", "kwargs": {"segments": segments}}
    model = {"class": "LGBModel", "module_path": "rollwright.models.lightgbm"}
    return {"model": model, "dataset": dataset, "record": [], "shards": shards, **parts}


@pytest.fixture(params=["memory", "sqlite", "postgres", "mongo"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "sqlite":
        store = SqliteStore(tmp_path / "pool.db", durable=False)
    else:
        store = store_from_url(request.getfixturevalue(f"{request.param}_url"))
    store.migrate()
    yield store
    store.close()


class Worker:
    """A worker that does one thing at a time."""

    def __init__(self, store, name="w"):
        self.store, self.name = store, name
        self.keeper = ShardKeeper(store, "p")

    def claim(self):
        """Claim a task; set it aside where it has shards, and say so."""
        leases = self.store.claim(ClaimRequest(pool="p", owner=self.name, lease=60))
        if not leases:
            return None
        outcome = self.keeper.divide(leases[0])
        if outcome is None:
            return leases[0]
        self.settle(outcome)
        return "aside"

    def settle(self, outcome, *, wakes=True):
        settlement = self.store.settle([outcome])
        settlement.check()
        self.keeper.note_settled(outcome, settlement.statuses[outcome.task_id])
        return self.keeper.wake() if wakes else []

    def end(self, lease, *, wakes=True, error=None):
        outcome = Outcome.done(lease) if error is None else Outcome.failed(lease, error=error, retry=False)
        return self.settle(outcome, wakes=wakes)


def put(store, *definitions, **terms):
    return store.put("p", [NewTask.of(one, **terms) for one in definitions]).ids


def status(store, task_id):
    return store.get("p", [task_id])[0].status


def test_a_task_is_divided_set_aside_and_woken_by_who_ends_the_last_shard(store):
    needs = Needs(memory=3.0)
    (task_id,) = put(store, parent(), priority=2, max_attempts=7, needs=needs)
    one, two = Worker(store, "one"), Worker(store, "two")
    assert one.claim() == "aside"
    assert status(store, task_id) is Status.PART_DONE
    leases = [one.claim(), two.claim(), one.claim()]
    assert {lease.definition["seed"] for lease in leases} == {0, 1, 2}
    assert {(lease.priority, lease.max_attempts) for lease in leases} == {(2, 7)}
    assert [one.needs for one in store.get("p", [lease.task_id for lease in leases])] == [needs] * 3
    assert two.claim() is None  # nobody is given the task while shards are open
    assert one.end(leases[0]) == two.end(leases[1]) == []
    (woken,) = one.end(leases[2])
    assert (woken.task_id, woken.status) == (task_id, "waiting")
    lease = two.claim()
    assert lease.task_id == task_id
    two.end(lease)
    assert store.stat("p").counts[Status.DONE] == 4
    assert one.claim() is None


def test_what_is_predicted_by_one_model_waits_for_it(store):
    put(store, parent(DATES))
    worker = Worker(store)
    assert worker.claim() == "aside"
    fit = worker.claim()
    assert fit.definition["shard"]["name"] == "fit"
    assert fit.definition["record"] == []
    assert worker.claim() is None
    assert [woken.status for woken in worker.end(fit)] == ["waiting"]
    assert worker.claim() == "aside"
    shards = [worker.claim(), worker.claim()]
    tests = [lease.definition["dataset"]["kwargs"]["segments"]["test"] for lease in shards]
    assert sorted(tests) == [("2020-06-01", "2020-06-30"), ("2020-07-01", "2020-07-31")]
    assert worker.claim() is None


def test_a_shard_that_ends_while_the_task_is_being_set_aside_wakes_it(store):
    (task_id,) = put(store, parent())
    one, two = Worker(store, "one"), Worker(store, "two")
    (lease,) = store.claim(ClaimRequest(pool="p", owner="one", lease=60))
    outcome = one.keeper.divide(lease)
    for _ in range(3):
        two.end(two.claim())  # the task is still running: there is nothing to wake
    assert status(store, task_id) is Status.RUNNING
    assert [woken.task_id for woken in one.settle(outcome)] == [task_id]


def test_a_worker_that_is_gone_before_it_wakes_the_task_is_made_up_for(store):
    (task_id,) = put(store, parent())
    gone, other = Worker(store, "gone"), Worker(store, "other")
    gone.claim()
    for lease in [gone.claim(), gone.claim(), gone.claim()]:
        gone.end(lease, wakes=False)
    assert status(store, task_id) is Status.PART_DONE
    assert [woken.task_id for woken in other.keeper.find_forgotten()] == [task_id]
    assert other.keeper.find_forgotten() == []
    assert gone.keeper.wake() == []  # what was frozen wakes up too late
    assert status(store, task_id) is Status.WAITING


def test_a_task_that_was_set_aside_again_is_not_woken_by_who_looked_before(store):
    (task_id,) = put(store, parent())
    late, other = Worker(store, "late"), Worker(store, "other")
    late.claim()
    for lease in [late.claim(), late.claim(), late.claim()]:
        late.end(lease, wakes=False)
    (seen,) = store.get("p", [task_id])
    other.keeper.find_forgotten()
    store.amend("p", In(path=("def", "shard", "name"), values=("seed 1",)), Amendment(status=Status.WAITING))
    lease = next(lease for lease in iter(other.claim, None) if lease != "aside")
    assert status(store, task_id) is Status.PART_DONE  # in another turn
    other.end(lease, wakes=False, error="poison")
    assert late.keeper._wake_one(seen) is None
    assert status(store, task_id) is Status.PART_DONE


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_shard_without_a_result_fails_the_task_with_its_cause_once_the_others_have_ended(store, how):
    (task_id,) = put(store, parent())
    worker = Worker(store)
    worker.claim()
    leases = [worker.claim(), worker.claim(), worker.claim()]
    if how == "failed":
        worker.end(leases[1], error="ValueError: no rows\nhint: look at the data")
    else:
        worker.settle(Outcome.cancelled(leases[1]))
    worker.end(leases[0])
    assert status(store, task_id) is Status.PART_DONE
    (woken,) = worker.end(leases[2])
    named = leases[1].definition["shard"]["name"]
    said = f"shard {named} failed: ValueError: no rows" if how == "failed" else f"shard {named} was cancelled"
    assert woken.reason == f"1 of 3 shards have no result: {said}"
    (record,) = store.get("p", [task_id])
    assert record.status is Status.FAILED
    assert record.error.startswith(woken.reason)
    assert record.error.endswith("hint: look at the data") is (how == "failed")
    store.amend("p", In(path=("_id",), values=(task_id,)), Amendment(status=Status.WAITING))
    assert worker.claim() == "aside"
    again = worker.claim()
    assert again.task_id == leases[1].task_id  # it alone is tried again
    assert worker.claim() is None
    assert [woken.status for woken in worker.end(again)] == ["waiting"]


def test_a_shard_that_was_removed_is_put_again(store):
    (task_id,) = put(store, parent())
    worker = Worker(store)
    worker.claim()
    leases = [worker.claim(), worker.claim(), worker.claim()]
    worker.end(leases[0])
    store.delete("p", In(path=("_id",), values=(leases[0].task_id,)))
    assert [woken.task_id for woken in worker.end(leases[1])] == [task_id]
    assert worker.claim() == "aside"
    assert worker.claim().definition["seed"] == leases[0].definition["seed"]


def test_the_pool_is_worked_through_in_one_process(store):
    manager = TaskManager("p", store=store)
    manager.create_task([parent(), {"x": 1}, parent(DATES)])
    seen = []

    def function(definition):
        seen.append((definition.get("shard") or {}).get("name", "whole" if "model" in definition else "x"))

    report = work_through(manager, function, {}, shards=True)
    assert sorted(seen) == sorted(
        ["x", "whole", "whole", "fit", "2020-06-01..2020-06-30", "2020-07-01..2020-07-31", "seed 0", "seed 1", "seed 2"]
    )
    assert (report.started, report.done) == (9, 9)
    assert manager.task_stat()["done"] == 9
    assert seen.index("fit") < seen.index("2020-06-01..2020-06-30")


def test_who_ends_the_last_shard_wakes_the_task_and_nobody_has_to_look_for_it(monkeypatch):
    store = MemoryStore()
    put(store, parent())
    monkeypatch.setattr(ShardKeeper, "find_forgotten", lambda _: pytest.fail("it was forgotten"))
    work_through(TaskManager("p", store=store), lambda _: None, {}, shards=True)
    assert store.stat("p").counts[Status.DONE] == 4


def test_a_worker_with_nothing_to_do_looks_for_tasks_that_nobody_woke():
    store = MemoryStore()
    put(store, parent())
    gone = Worker(store, "gone")
    gone.claim()
    for lease in [gone.claim(), gone.claim(), gone.claim()]:
        gone.end(lease, wakes=False)
    report = work_through(TaskManager("p", store=store), lambda _: None, {}, shards=True)
    assert (report.done, store.stat("p").counts[Status.DONE]) == (1, 4)


def test_a_failed_shard_is_told_as_the_failure_of_its_task():
    manager = TaskManager("p", store=MemoryStore(), max_attempts=1)
    (task_id,) = manager.create_task([parent()])
    failed = FailedTasks()

    def function(definition):
        if definition["seed"] == 1:
            raise TypeError("no such seed")

    report = work_through(manager, function, {}, shards=True, on_event=failed.note)
    assert (report.done, report.failed) == (2, 2)
    with pytest.raises(TaskFailedError) as caught:
        failed.check()
    assert dict(caught.value.failures)[task_id].startswith(
        "1 of 3 shards have no result: shard seed 1 failed: TypeError"
    )


def test_a_function_of_another_kind_is_given_the_task_whole(store):
    manager = TaskManager("p", store=store)
    manager.create_task([parent()])
    seen = []
    work_through(manager, lambda definition: seen.append(definition["shards"]["by"]), {})
    assert seen == ["seeds"]


def test_a_definition_that_asks_for_what_cannot_be_is_given_to_the_function_to_say_so(store):
    put(store, parent({"by": "moon"}))
    lease = Worker(store).claim()
    assert lease.definition["shards"] == {"by": "moon"}


def test_dividing_reads_nothing_but_the_definition():
    stages = read_sharding(parent(DATES)).stages(parent(DATES), fingerprint="f")
    assert [[shard.name for shard in stage] for stage in stages] == [
        ["fit"],
        ["2020-06-01..2020-06-30", "2020-07-01..2020-07-31"],
    ]
    assert all(shard.definition["shard"]["of"] == "f" for stage in stages for shard in stage)
