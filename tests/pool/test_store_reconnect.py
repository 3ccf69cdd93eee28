"""A store that is away for a while: workers bear it, nothing that was done is lost, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.config.settings import load_settings
from rollwright.errors import StoreUnavailableError, TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.store import ClaimRequest, Outcome
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker.backoff import Backoff
from rollwright.pool.worker.reconnect import Reconnect
from rollwright.pool.worker.worker import TaskFunction, Worker, run_task


class Away:
    """A store that does not answer some calls; `keeps` lets it do first what was asked, as when the answer is lost."""

    def __init__(self, inner):
        self.inner = inner
        self.may_return = False
        self.absences = []  # (method, how often it answers before, how often it then does not, whether it keeps)
        self.failed = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def _answers(self, method, call):
        for absence in self.absences:
            if absence["method"] in (method, "any"):
                if absence["after"]:
                    absence["after"] -= 1
                elif absence["times"]:
                    absence["times"] -= 1
                    self.failed += 1
                    if absence["keeps"]:
                        call()
                    raise StoreUnavailableError("the server is away", may_return=self.may_return)
        return call()

    def away(self, method, *, after=0, times=1, keeps=False):
        self.absences.append({"method": method, "after": after, "times": times, "keeps": keeps})

    def settle(self, outcomes, *, claim=None):
        method = "settle" if outcomes else "claim"
        return self._answers(method, lambda: self.inner.settle(outcomes, claim=claim))

    def claim(self, claim):
        return self._answers("claim", lambda: self.inner.claim(claim))

    def renew(self, owner, *, lease):
        return self._answers("renew", lambda: self.inner.renew(owner, lease=lease))

    def stat(self, pool):
        return self._answers("stat", lambda: self.inner.stat(pool))

    def reap(self, pool=None, *, query=None):
        return self._answers("reap", lambda: self.inner.reap(pool, query=query))


@pytest.fixture
def store():
    return Away(MemoryStore())


@pytest.fixture
def manager(store):
    return TaskManager("p", store=store, poll=0.01)


def work(store, settings, entry="functions.py:double", **options):
    events = []
    report = Worker(
        store=store, pool="p", function=TaskFunction(entry=entry), slots=1, lease=30.0, settings=settings, poll=0.02,
        backoff=Backoff(base=0.01, cap=0.01), on_event=events.append, **options,
    ).run()  # fmt: skip
    return report, [event.kind for event in events]


def commits(store):
    return [(row.task_id, row.token) for row in store.read_history("p") if row.event == "done"]


# -- a worker ----------------------------------------------------------------------------------------------------


def test_what_was_done_is_committed_once_the_store_is_back(store, manager, trusting):
    manager.create_task([{"x": number} for number in range(3)])
    store.away("settle", after=1, times=4)
    report, kinds = work(store, trusting)
    assert store.failed == 4
    assert report.done == 3
    assert [task["res"] for task in manager.query()] == [0, 2, 4]
    assert [task["attempts"] for task in manager.query()] == [1, 1, 1]
    assert (kinds.count("store away"), kinds.count("store back")) == (1, 1)
    # A result that waits for the store is not given back by the renewal that comes before it.
    for task in manager.query():
        events = [row.event for row in store.read_history("p", [str(task["_id"])])]
        assert events == ["created", "claimed", "done"]


@pytest.mark.parametrize("method", ["stat", "reap", "renew", "claim"])
def test_any_question_may_go_unanswered(store, manager, trusting, method):
    manager.create_task([{"x": 1}, {"x": 2}])
    store.away("settle", after=0, times=1)
    store.away(method, after=1, times=3)
    report, _ = work(store, trusting)
    assert report.done == 2
    assert len(commits(store)) == 2


def test_a_commit_whose_answer_was_lost_counts_as_done(store, manager, trusting):
    manager.create_task([{"x": 1}, {"x": 2}])
    store.away("settle", times=1, keeps=True)
    report, kinds = work(store, trusting)
    assert report.done == 2
    assert "lost" not in kinds
    assert len(commits(store)) == len(set(commits(store))) == 2


def test_a_task_taken_without_our_knowing_is_given_back_and_done(store, manager, trusting):
    manager.create_task([{"x": 1}, {"x": 2}])
    store.away("settle", times=1, keeps=True)  # the first commit, and with it the claim of the second task
    report, _ = work(store, trusting)
    assert report.done == 2
    assert manager.task_stat() == {"done": 2}
    assert [task["attempts"] for task in manager.query()] == [1, 1]


def test_an_outcome_that_came_too_late_is_refused_by_the_fence(manager, store, trusting, monkeypatch):
    (task_id,) = manager.create_task([{"x": 1}])
    real = store.inner.settle
    stolen = []

    def steal(outcomes, *, claim=None):
        if outcomes and not stolen:
            manager.reset_waiting(force=True)
            stolen.extend(store.inner.claim(ClaimRequest(pool="p", owner="another", lease=60.0)))
            real([Outcome.done(stolen[0], result="99")])
            raise StoreUnavailableError("the server is away")
        return real(outcomes, claim=claim)

    monkeypatch.setattr(store.inner, "settle", steal)
    report, kinds = work(store, trusting)
    assert report.done == 0
    assert "lost" in kinds
    assert manager.re_query(task_id)["res"] == 99


def test_a_store_that_never_answered_ends_the_worker_at_once(store, manager, trusting):
    manager.create_task([{"x": 1}])
    store.away("any", times=1000)
    with pytest.raises(StoreUnavailableError, match="the server is away"):
        work(store, trusting)
    assert store.failed == 1


def test_a_store_that_stays_away_ends_the_worker_after_its_patience(store, manager):
    manager.create_task([{"x": 1}])
    store.away("settle", times=100_000)
    settings = load_settings({"trust.folder": str(Path(__file__).parent), "worker.store_patience": 0.2})
    with pytest.raises(StoreUnavailableError, match="away") as caught:
        work(store, settings)
    assert "worker.store_patience" in str(caught.value)


# -- run_task ----------------------------------------------------------------------------------------------------


def test_run_task_commits_what_it_has_once_the_store_is_back(store, manager):
    manager.create_task([{"x": number} for number in range(3)])
    store.away("settle", times=3)
    store.away("claim", after=1, times=2)
    ran = []
    assert run_task(lambda task: ran.append(task["x"]) or task["x"], manager)
    assert sorted(ran) == [0, 1, 2]
    assert manager.task_stat() == {"done": 3}


def test_run_task_does_nothing_twice_when_an_answer_was_lost(store, manager):
    manager.create_task([{"x": number} for number in range(3)])
    store.away("settle", times=1, keeps=True)
    ran = []
    assert run_task(lambda task: ran.append(task["x"]), manager)
    assert sorted(ran) == [0, 1, 2]
    assert len(commits(store)) == 3


def test_run_task_names_a_failure_whose_answer_was_lost(store):
    manager = TaskManager("p", store=store, poll=0.01, max_attempts=1)
    manager.create_task([{"x": 1}])
    store.away("settle", times=1, keeps=True)

    def fail(task):
        raise RuntimeError("this one is bad")

    with pytest.raises(TaskFailedError, match="this one is bad"):
        run_task(fail, manager)


# -- the bounds --------------------------------------------------------------------------------------------------


def test_patience_begins_with_the_first_call_that_failed(time):
    reconnect = Reconnect(pool="p", patience=10.0, clock=time)
    reconnect.note_answer()
    reconnect.note_failure(StoreUnavailableError("away"))
    time.advance(9.0)
    reconnect.note_failure(StoreUnavailableError("away"))
    assert reconnect.lost
    time.advance(2.0)
    with pytest.raises(StoreUnavailableError, match="after 11 s"):
        reconnect.note_failure(StoreUnavailableError("away"))


def test_a_worker_waits_from_the_start_for_a_store_that_may_return(store, manager, trusting):
    manager.create_task([{"x": 1}])
    store.may_return = True
    store.away("any", times=3)
    report, kinds = work(store, trusting)
    assert (report.done, store.failed) == (1, 3)
    assert (kinds.count("store away"), kinds.count("store back")) == (1, 1)


def test_run_task_waits_from_the_start_too(store, manager):
    manager.create_task([{"x": 1}])
    store.may_return = True
    store.away("claim", times=3)
    assert run_task(lambda task: task["x"], manager)
    assert store.failed == 3


def test_a_store_that_never_answered_and_will_not_is_an_error_at_once(store, manager, trusting):
    manager.create_task([{"x": 1}])
    store.away("any", times=3)
    with pytest.raises(StoreUnavailableError, match=r"^the server is away$"):
        work(store, trusting)
    assert store.failed == 1


def test_patience_ends_for_a_store_that_never_answered_too(time):
    reconnect = Reconnect(pool="p", patience=10.0, clock=time)
    reconnect.note_failure(StoreUnavailableError("away", may_return=True))
    time.advance(11.0)
    with pytest.raises(StoreUnavailableError, match="after 11 s"):
        reconnect.note_failure(StoreUnavailableError("away", may_return=True))


def test_an_answer_ends_it(time):
    reconnect = Reconnect(pool="p", patience=10.0, clock=time)
    reconnect.note_answer()
    reconnect.note_failure(StoreUnavailableError("away"))
    time.advance(9.0)
    reconnect.note_answer()
    assert not reconnect.lost
    time.advance(9.0)
    reconnect.note_failure(StoreUnavailableError("away"))
