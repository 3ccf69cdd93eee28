"""Lost answers, and many clients at once, on MongoDB's wire."""

from __future__ import annotations

import threading

import pymongo
import pytest

from rollwright.errors import StoreUnavailableError
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.mongo.connection import MongoConnection
from rollwright.pool.stores.mongo.store import MongoStore


def take(store, *, lease=60.0, owner="w", **claim_request):
    return store.claim(ClaimRequest(pool="p", owner=owner, lease=lease, **claim_request))


# -- answers that are lost --------------------------------------------------------------------------------------------


class Unlucky:
    """A collection whose next write is done, and its answer lost; or not done at all."""

    def __init__(self, inner, plan):
        self._inner = inner
        self._plan = plan

    def __getattr__(self, name):
        method = getattr(self._inner, name)
        if name not in ("find_one_and_update", "insert_many", "update_many", "update_one"):
            return method

        def call(*args, **kwargs):
            fate = self._plan.pop(0) if self._plan else "well"
            if fate == "never sent":
                raise pymongo.errors.AutoReconnect("connection closed")
            answer = method(*args, **kwargs)
            if fate == "answer lost":
                raise pymongo.errors.AutoReconnect("connection closed")
            return answer

        return call


@pytest.fixture
def unlucky(mongo_url, time, monkeypatch):
    plan = []

    class UnluckyConnection(MongoConnection):
        @property
        def tasks(self):
            return Unlucky(super().tasks, plan)

        latest = tasks

    class NoWaiting:
        monotonic = staticmethod(lambda: 1.0)
        sleep = staticmethod(lambda seconds: None)

    monkeypatch.setattr("rollwright.pool.stores.mongo.store.MongoConnection", UnluckyConnection)
    store = MongoStore(mongo_url, clock=time, waiting=NoWaiting())
    store.put("p", [NewTask.of({"x": number}) for number in range(3)])
    store.plan, store.time = plan, time
    yield store
    store.close()


FATES = [["answer lost"], ["never sent"], ["answer lost", "answer lost"], ["never sent", "answer lost", "never sent"]]


@pytest.mark.parametrize("fate", FATES, ids=str)
@pytest.mark.parametrize("kind", ["done", "part_done", "failed", "released", "cancelled"])
def test_i14_an_outcome_whose_answer_was_lost_is_accepted_once(unlucky, fate, kind):
    lease = take(unlucky)[0]
    unlucky.plan += fate
    settlement = unlucky.settle([Outcome(task_id=lease.task_id, token=lease.token, kind=kind, result="1")])
    assert settlement.refused == ()
    rows = unlucky.read_history("p", [lease.task_id])
    assert [row.event for row in rows] == ["created", "claimed", kind]


@pytest.mark.parametrize("fate", FATES, ids=str)
def test_i14_an_outcome_that_is_too_late_stays_refused_whatever_is_lost(unlucky, fate):
    stale = take(unlucky)[0]
    unlucky.time.advance(61)
    assert take(unlucky, owner="w2")[0].task_id == stale.task_id
    before = unlucky.get("p", [stale.task_id])
    unlucky.plan += fate
    assert len(unlucky.settle([Outcome.done(stale, result="1")]).refused) == 1
    assert unlucky.get("p", [stale.task_id]) == before


@pytest.mark.parametrize("fate", FATES, ids=str)
def test_i14_a_claim_whose_answer_was_lost_gives_the_task_it_took(unlucky, fate):
    unlucky.plan += fate
    leases = [take(unlucky)[0] for _ in range(3)]
    assert sorted(lease.definition["x"] for lease in leases) == [0, 1, 2]
    assert [lease.attempt for lease in leases] == [1, 1, 1]
    assert take(unlucky) == []


def test_a_claim_that_came_later_than_its_question_is_given_back_at_the_renewal(unlucky, monkeypatch):
    unlucky.plan += ["answer lost"]
    # The server does it only after it was looked for.
    monkeypatch.setattr(Unlucky, "find_one", lambda self, *args: None, raising=False)
    mine = take(unlucky)[0]
    monkeypatch.undo()
    assert unlucky.count("p")[Status.RUNNING] == 2
    assert unlucky.renew("w", lease=60) == {mine.task_id: mine.token}
    assert unlucky.count("p")[Status.WAITING] == 2
    lost = take(unlucky)[0]
    assert (lost.attempt, lost.token) == (1, 2)


@pytest.mark.parametrize("fate", FATES, ids=str)
def test_putting_with_lost_answers_creates_each_task_once(unlucky, fate):
    unlucky.plan += fate
    result = unlucky.put("p", [NewTask.of({"x": number}) for number in range(2, 9)])
    assert result.created == 6
    assert [record.definition["x"] for record in unlucky.get("p", result.ids)] == [*range(2, 9)]
    assert unlucky.count("p")[Status.WAITING] == 9


@pytest.mark.parametrize("fate", FATES, ids=str)
def test_changes_by_hand_with_lost_answers_are_made_once(unlucky, fate):
    unlucky.plan += fate
    assert len(unlucky.amend("p", None, Amendment(status=Status.CANCELLED))) == 3
    events = [row.event for row in unlucky.read_history("p")]
    assert events.count("amended") == 3
    unlucky.plan += fate
    assert unlucky.delete("p", None) == 3


def test_outcomes_that_were_accepted_are_told_though_the_claim_after_them_failed(unlucky):
    lease = take(unlucky)[0]
    unlucky.plan += ["well", *["never sent"] * 4]
    claim_request = ClaimRequest(pool="p", owner="w", lease=60)
    settlement = unlucky.settle([Outcome.done(lease, result="1")], claim=claim_request)
    assert (settlement.statuses, settlement.leases) == ({lease.task_id: Status.DONE}, ())
    assert len(unlucky.settle([], claim=claim_request).leases) == 1


def test_a_server_that_stays_away_is_an_error_with_a_hint(unlucky):
    unlucky.plan += ["never sent"] * 4
    with pytest.raises(StoreUnavailableError, match="connection closed") as caught:
        take(unlucky)
    assert "server runs" in caught.value.hint


# -- many clients ----------------------------------------------------------------------------------------------------


def test_i8_sixteen_clients_put_a_thousand_same_tasks_once(mongo_url):
    definitions = [{"name": f"n{number}", "x": number} for number in range(1000)]
    barrier = threading.Barrier(16)
    results = {}

    def put(client):
        store = MongoStore(mongo_url)
        mixed = [dict(sorted(item.items(), reverse=bool(client % 2))) for item in definitions]
        tasks = [NewTask.of(item) for item in mixed]
        barrier.wait()
        results[client] = store.put("p", tasks)
        store.close()

    threads = [threading.Thread(target=put, args=(client,)) for client in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    assert len({result.ids for result in results.values()}) == 1
    assert sum(result.created for result in results.values()) == 1000
    store = MongoStore(mongo_url)
    assert store.count("p")[Status.WAITING] == 1000
    assert [row.event for row in store.read_history("p")] == ["created"] * 1000
    store.close()
