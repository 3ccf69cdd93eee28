"""As many workers as there is work: the laws of the controller with an engine, a pool and a clock of the test's own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollwright.app.elastic import ElasticController, ElasticTerms, ScalingStep, count_wanted, find_holders, plan_step
from rollwright.core.locks import try_file_lock
from rollwright.errors import ConfigError, LaunchError, StoreUnavailableError
from rollwright.launch.launcher import LaunchedWorker, LauncherTraits, Resources, WorkerCommand
from rollwright.pool.needs import Needs, Offer
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome, PoolDemand
from rollwright.pool.stores.memory import MemoryStore

POOL = "alpha"
TERMS = ElasticTerms(least=0, most=4, every=10, calm=60)


class HandClock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Engine:
    """Starts workers that claim from a store, slowly if wanted, and counts what it was asked for."""

    store: MemoryStore
    elastic: bool = True
    delay: int = 0
    silent: bool = False
    unseen: int = 0
    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    submits: list[int] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    most: int = 0

    @property
    def traits(self) -> LauncherTraits:
        return LauncherTraits(
            multi_host=False, warns_before_end=True, has_time_limit=False, restarts=False, elastic=self.elastic
        )

    def check(self) -> None:
        if self.silent:
            raise LaunchError("the engine does not answer")

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        self.check()
        self.submits.append(count)
        made = [f"w{len(self.workers) + number}" for number in range(count)]
        for one in made:
            self.workers[one] = {"state": "pending", "delay": self.delay, "leases": {}, "unseen": self.unseen}
        self.most = max(self.most, len(self.alive()))
        return made

    def alive(self) -> list[str]:
        return [one for one, worker in self.workers.items() if worker["state"] != "ended"]

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        self.check()
        return [
            LaunchedWorker(id=one, name=POOL, state=worker["state"], owner=f"{one}:")
            for one, worker in self.workers.items()
            if worker["state"] != "ended" and not worker["unseen"]
        ]

    def cancel(self, ids: Sequence[str]) -> None:
        self.check()
        for one in ids:
            self.cancelled.append(one)
            if self.workers[one]["state"] != "ended":
                self.workers[one]["state"] = "ending"

    def describe(self, count: int, command: WorkerCommand, resources: Resources) -> str:
        return ""

    def tick(self, *, jobs: int, finish: int = 0, ends: bool = False) -> None:
        """Let every worker go on for a moment: start, give back and end, finish tasks, or take some."""
        for one, worker in self.workers.items():
            worker["unseen"] = max(0, worker["unseen"] - 1)
            if worker["state"] == "ending":
                self.store.settle([Outcome.released(lease) for lease in worker["leases"].values()])
                worker["leases"], worker["state"] = {}, "ended"
            elif worker["state"] == "pending":
                worker["delay"] -= 1
                worker["state"] = "pending" if worker["delay"] >= 0 else "running"
            elif worker["state"] == "running":
                for task_id in [*worker["leases"]][:finish]:
                    self.store.settle([Outcome.done(worker["leases"].pop(task_id))])
                room = jobs - len(worker["leases"])
                if room:
                    claim = ClaimRequest(pool=POOL, owner=f"{one}:1:x", lease=1e9, limit=room)
                    worker["leases"] |= {lease.task_id: lease for lease in self.store.claim(claim)}
                if ends and not worker["leases"]:
                    worker["state"] = "ended"


@dataclass
class World:
    folder: Path
    terms: ElasticTerms = TERMS
    engine_terms: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = HandClock()
        self.store = MemoryStore()
        self.engine = Engine(self.store, **self.engine_terms)
        self.steps: list[ScalingStep] = []
        self.count = 0

    @property
    def controller(self) -> ElasticController:
        """A new one each time: everything it knows of before is in its note, as under cron."""
        command = WorkerCommand(name=POOL, words=("w",), folder=self.folder, logs=self.folder)
        return ElasticController(
            store=self.store, launcher=self.engine, command=command, resources=Resources(), offer=Offer(),
            terms=self.terms, folder=self.folder, clock=self.clock, tell=self.steps.append,
        )  # fmt: skip

    def put(self, count: int, **given: Any) -> None:
        made = [NewTask.of({"n": self.count + number}, **given) for number in range(count)]
        self.count += count
        self.store.put(POOL, made)

    def look(self, *, finish: int = 0, ends: bool = False) -> ScalingStep | None:
        step = self.controller.run(once=True)
        self.engine.tick(jobs=self.terms.jobs, finish=finish, ends=ends)
        self.clock.sleep(self.terms.every)
        return step

    def living(self) -> int:
        return len(self.engine.alive())


def test_workers_come_with_the_work_and_never_more_than_the_most(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.look()
    assert world.living() == 0
    world.put(2)
    world.look()
    assert world.living() == 2
    world.put(100)
    world.look()
    world.look()
    assert world.living() == 4


def test_workers_that_the_engine_holds_are_ended_and_replaced_more_and_more_seldom(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(3)
    world.look()
    world.look()
    world.engine.workers["w1"]["state"] = "held"
    world.look()
    assert world.engine.cancelled == ["w1"]
    for _ in range(12):
        world.look()
    assert world.living() == 3

    world = World(tmp_path / "none", engine_terms={"delay": 10**9})
    world.put(3)
    for _ in range(60):
        world.look()
        for worker in world.engine.workers.values():
            worker["state"] = "ended" if worker["state"] == "ended" else "held"
    minutes = (world.clock.monotonic() - HandClock().monotonic()) / 60
    assert 2 <= len(world.engine.submits) <= 2 + minutes
    assert {*world.engine.cancelled} == {*world.engine.workers} - {*world.engine.alive()}


def test_the_least_are_there_without_work(tmp_path: Path) -> None:
    world = World(tmp_path, replace(TERMS, least=2))
    world.look()
    world.look()
    assert world.living() == 2


def test_workers_without_a_task_end_after_the_calm_and_others_stay(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(4)
    world.look()
    world.look()
    world.look()
    holding = [one for one, worker in world.engine.workers.items() if worker["leases"]][:1]
    for _ in range(3):
        world.look()
    for one, worker in world.engine.workers.items():
        if one not in holding:
            world.store.settle([Outcome.done(lease) for lease in worker["leases"].values()])
            worker["leases"] = {}
    for _ in range(5):  # less than the calm
        world.look()
    assert world.engine.cancelled == []
    for _ in range(4):
        world.look()
    assert {*world.engine.cancelled} == {*world.engine.workers} - {*holding}
    assert world.engine.alive() == holding


def test_what_a_worker_that_must_end_held_is_given_back_without_an_attempt(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(4)
    for _ in range(3):
        world.look()
    world.terms = replace(world.terms, most=1)
    for _ in range(2):
        world.look()
    assert world.living() == 1
    records = [*world.store.find(POOL)]
    assert max(record.attempts for record in records) <= 1
    assert sorted(record.status for record in records).count(Status.WAITING) == 3


def test_one_that_waits_for_a_machine_ends_before_one_that_runs() -> None:
    workers = [LaunchedWorker(id=one, name=POOL, state=state) for one, state in (("a", "running"), ("b", "pending"))]
    step = plan_step(1, workers, ElasticTerms(most=4), calm_wanted=1)
    assert step.end == ("b",)
    assert plan_step(1, workers, ElasticTerms(most=4), calm_wanted=None).end == ()
    assert plan_step(0, workers, ElasticTerms(most=4), calm_wanted=0, busy={"a", "b"}).end == ()


def test_workers_that_are_ending_count_until_they_are_gone() -> None:
    workers = [LaunchedWorker(id=str(number), name=POOL, state="ending") for number in range(3)]
    assert plan_step(4, workers, ElasticTerms(most=4), calm_wanted=4).start == 1


def make_demand(**given: Any) -> PoolDemand:
    return PoolDemand(**{"pool": POOL, "needs": Needs(), "open": 0, "delayed": 0, "running": 0, **given})


@pytest.mark.parametrize(
    ("demand", "held", "wanted"),
    [
        ([make_demand(open=3)], [], 3),
        ([make_demand(open=3, paused=True)], [], 0),
        ([make_demand(open=9, max_running=2)], [], 2),
        ([make_demand(open=9, running=2, max_running=2)], [1, 1], 2),
        ([make_demand(open=5, needs=Needs(tags=("gpu",)))], [], 0),
        ([make_demand(open=5, needs=Needs(memory=64))], [], 0),
        ([make_demand(open=1), make_demand(open=1, needs=Needs(memory=8))], [], 2),
        ([make_demand(delayed=5)], [], 0),
        ([make_demand(open=99)], [], 8),
        ([], [1], 1),
    ],
)
def test_only_tasks_that_a_worker_may_take_count(demand: list[PoolDemand], held: list[int], wanted: int) -> None:
    offer = Offer(memory=16)
    assert count_wanted(demand, offer, ElasticTerms(most=8), held) == wanted


def test_room_in_workers_that_are_there_is_used_first() -> None:
    terms = ElasticTerms(most=8, jobs=4)
    assert count_wanted([make_demand(open=5)], Offer(), terms, []) == 2
    assert count_wanted([make_demand(open=5)], Offer(), terms, [1]) == 2
    assert count_wanted([make_demand(open=3)], Offer(), terms, [1]) == 1


def launched(**owners: str) -> list[LaunchedWorker]:
    return [LaunchedWorker(id=one, name=POOL, state="running", owner=owner) for one, owner in owners.items()]


def test_a_worker_is_known_by_the_beginning_of_the_name_under_which_it_claims() -> None:
    workers = launched(a="n1:7:", b="n1:71:", c="n2:7:")
    found = find_holders(workers, ["n1:71:ab", "n1:71:ab", "here:5:cd"], host="here")
    assert (found.tasks, found.busy) == ({"b": 2}, {"b"})


def test_workers_of_one_machine_that_cannot_be_told_apart_may_all_hold_tasks() -> None:
    workers = launched(a="n1:", b="n1:", c="n2:")
    found = find_holders(workers, ["n1:1:x", "n1:1:x"], host="here")
    assert ([*found.tasks.values()], found.busy) == ([2], {"a", "b"})
    found = find_holders(workers, ["n1.example.com:1:x"], host="here")
    assert found.busy == {"a", "b"}


def test_where_the_engine_tells_nothing_every_worker_may_hold_what_nobody_else_does() -> None:
    workers = launched(a="", b="")
    found = find_holders(workers, ["n1:1:x"], host="here")
    assert ([*found.tasks.values()], found.busy) == ([1], {"a", "b"})
    assert find_holders(workers, [], host="here").busy == frozenset()


def test_where_machines_call_themselves_otherwise_than_the_engine_nobody_is_taken_to_be_idle() -> None:
    workers = launched(a="n1:", b="n2:")
    assert find_holders(workers, ["compute-1:1:x"], host="here").busy == {"a", "b"}
    assert find_holders(workers, ["here:1:x"], host="here").busy == frozenset()


def test_a_controller_that_has_just_begun_ends_nobody_before_the_calm_has_passed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.submit(3, world.controller.command, Resources())
    for _ in range(6):
        world.look()
        assert world.engine.cancelled == []
    world.look()
    assert len(world.engine.cancelled) == 3


def test_nothing_happens_while_the_engine_or_the_store_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.put(2)
    world.engine.silent = True
    assert world.look() is None
    world.engine.silent = False
    with monkeypatch.context() as patch:

        def refuse(*_given: object) -> None:
            raise StoreUnavailableError("the store does not answer")

        patch.setattr(world.store, "demand", refuse)
        assert world.look() is None
    assert world.engine.submits == []
    world.look()
    assert world.living() == 2


def test_an_engine_that_lists_a_worker_late_is_not_asked_for_another(tmp_path: Path) -> None:
    world = World(tmp_path, engine_terms={"unseen": 2})
    world.put(3)
    for _ in range(3):
        world.look()
    assert world.engine.submits == [3]


def test_where_one_of_several_cannot_be_ended_alone_each_is_submitted_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path, engine_terms={"elastic": False})
    world.put(3)
    world.look()
    assert world.engine.submits == [1, 1, 1]


def test_workers_that_end_before_a_task_does_are_started_more_and_more_seldom(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    started = []
    for _ in range(200):
        step = world.controller.run(once=True)
        if step is not None and step.start:
            started.append(world.clock.at)
        for worker in world.engine.workers.values():
            worker["state"] = "ended"
        world.clock.sleep(10)
    pauses = [late - early for early, late in itertools.pairwise(started)]
    assert pauses == sorted(pauses)
    assert len(started) < 12
    assert max(pauses) <= 700


def test_one_controller_of_a_campaign_runs_at_a_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    with try_file_lock(tmp_path / f"{POOL}.lock") as free:
        assert free
        with pytest.raises(ConfigError, match="another controller keeps the workers of `alpha`"):
            world.look()


def test_it_ends_when_nothing_is_left_where_workers_do_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    step = world.controller.run()
    assert step is not None
    assert step.over


@pytest.mark.parametrize("text", ["", "[]", "{", '{"looks": [[1e999, 2]]}', "\x00", "[" * 5000, '{"looks": 3}'])
def test_a_damaged_note_is_none(tmp_path: Path, text: str) -> None:
    world = World(tmp_path)
    (tmp_path / f"{POOL}.json").write_text(text)
    world.put(2)
    world.look()
    assert world.living() == 2
    assert json.loads((tmp_path / f"{POOL}.json").read_text())["started"]


@pytest.mark.parametrize("given_terms", [{"least": 3, "most": 2}, {"most": 0}, {"every": 0}, {"jobs": 0}, {"calm": -1}])
def test_a_range_that_is_none_is_refused(given_terms: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ElasticTerms(**given_terms)


@settings(max_examples=25, deadline=None)
@given(
    rounds=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.booleans()), min_size=10, max_size=25),
    jobs=st.integers(1, 3),
    delay=st.integers(0, 3),
    elastic=st.booleans(),
)
def test_whatever_comes_no_attempt_is_lost_and_no_worker_too_many(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[tuple[int, int, bool]],
    jobs: int,
    delay: int,
    elastic: bool,
) -> None:
    """Tasks come and end, the engine falls silent at times: the most is kept, and every task ends at its first try."""
    terms = ElasticTerms(least=0, most=4, jobs=jobs, every=10, calm=30)
    world = World(tmp_path_factory.mktemp("world"), terms, {"delay": delay, "elastic": elastic})
    for tasks, finish, silent in rounds:
        if tasks:
            world.put(tasks)
        world.engine.silent = silent
        world.look(finish=finish)
        assert world.living() <= 4
    world.engine.silent = False
    for _ in range(400):
        if not any(record.status is not Status.DONE for record in world.store.find(POOL)):
            break
        world.look(finish=2)
    records = [*world.store.find(POOL)]
    assert all(record.status is Status.DONE for record in records)
    assert all(record.attempts == 1 for record in records)


@settings(max_examples=30, deadline=None)
@given(period=st.integers(2, 5), high=st.integers(2, 4))
def test_work_that_comes_and_goes_within_the_calm_makes_no_worker_come_and_go(
    tmp_path_factory: pytest.TempPathFactory, period: int, high: int
) -> None:
    world = World(tmp_path_factory.mktemp("world"), replace(TERMS, most=4))
    changes = []
    for turn in range(80):
        if turn % period == 0:
            world.put(high)
        world.look(finish=1)
        changes.append(sum(world.engine.submits) + len(world.engine.cancelled))
    assert changes[-1] <= 8  # up once, and down once to what is enough
    assert changes[-1] == changes[40]
