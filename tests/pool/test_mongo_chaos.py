"""Real processes on MongoDB's wire: killed, frozen past their leases, waking when another runs their task."""

from __future__ import annotations

import collections
import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from crash_size import sized
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.mongo.store import MongoStore

WORKER = """
import sys
import time
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.mongo.store import MongoStore
from rollwright.pool.worker.worker import run_task
manager = TaskManager("p", store=MongoStore(sys.argv[1]), lease=float(sys.argv[2]))


def step(value):
    time.sleep(0.005)
    return value * 3 + 1


run_task(lambda definition: step(definition["x"]), manager, after_status="part_done")
run_task(step, manager, before_status="part_done")
"""

ZOMBIE = """
import json
import sys
from rollwright.pool.store import ClaimRequest, Outcome
from rollwright.pool.stores.mongo.store import MongoStore
store = MongoStore(sys.argv[1])
leases = store.claim(ClaimRequest(pool="p", owner="w1", lease=0.5, limit=5))
print(len(leases), flush=True)
sys.stdin.readline()
told = {}
for lease, kind in zip(leases, ["done", "part_done", "failed", "released", "cancelled"]):
    outcome = Outcome(task_id=lease.task_id, token=lease.token, kind=kind, result='"stale"', error="stale", retry=True)
    settlement = store.settle([outcome])
    told[kind] = [len(settlement.refused), len(settlement.statuses)]
told["renew"] = store.renew("w1", lease=60)
print(json.dumps(told), flush=True)
store.close()
"""


@pytest.fixture
def store(mongo_url):
    store = MongoStore(mongo_url)
    yield store
    store.close()


def check_history(store, count):
    """Check that nothing was lost, nothing committed twice, and every attempt ended before the next began."""
    tokens = collections.defaultdict(list)
    events = collections.Counter()
    open_attempts = set()
    for row in store.read_history("p"):
        events[row.task_id, row.event] += 1
        if row.event == "claimed":
            tokens[row.task_id].append(row.token)
            assert row.task_id not in open_attempts, "no claim while somebody holds the task"
            open_attempts.add(row.task_id)
        else:
            open_attempts.discard(row.task_id)
    records = [*store.find("p")]
    assert len(records) == count
    for record in records:
        assert record.status is Status.DONE
        assert events[record.task_id, "created"] == 1
        assert events[record.task_id, "part_done"] == events[record.task_id, "done"] == 1
        assert record.result == str((record.definition["x"] * 3 + 1) * 3 + 1)
        assert tokens[record.task_id] == sorted(set(tokens[record.task_id]))


@pytest.mark.parametrize(
    ("count", "workers", "kills", "freezes", "patience"),
    [
        pytest.param(250, 3, 6, 2, 90, id="small"),
        pytest.param(sized(2000, 500), 4, sized(50, 15), sized(20, 6), 600, id="whole", marks=pytest.mark.crash),
    ],
)
def test_i1_i2_i4_i10_kill_chaos_loses_nothing_and_commits_nothing_twice(
    store, mongo_url, count, workers, kills, freezes, patience
):
    generator = random.Random(11)
    lease = 1.0
    manager = TaskManager("p", store=store, max_attempts=1000)
    manager.create_task([{"x": number} for number in range(count)])

    def start():
        return subprocess.Popen([sys.executable, "-c", WORKER, mongo_url, str(lease)], stdin=subprocess.DEVNULL)

    running = [start() for _ in range(workers)]
    killed = frozen = 0
    asleep = {}
    end = time.monotonic() + patience
    try:
        while (stat := manager.task_stat()) != {"done": count}:
            assert time.monotonic() < end, stat
            # Spread over the work, so that kills meet every stage of it.
            share = (stat.get("done", 0) + stat.get("part_done", 0) / 2) / count
            place = generator.randrange(workers)
            if frozen < freezes and share >= 0.6 * frozen / freezes and len(asleep) < workers - 1:
                running[place].send_signal(signal.SIGSTOP)
                asleep[place] = time.monotonic() + lease * 1.2
                frozen += 1
            elif killed < kills and share >= 0.6 * killed / kills:
                running[place].kill()
                asleep.pop(place, None)
                killed += 1
            time.sleep(generator.uniform(0.02, 0.08))
            for sleeper in [key for key, until in asleep.items() if until < time.monotonic()]:
                running[sleeper].send_signal(signal.SIGCONT)
                del asleep[sleeper]
            for number, worker in enumerate(running):
                if worker.poll() is not None:
                    running[number] = start()
    finally:
        for worker in running:
            worker.kill()
            worker.wait()
    check_history(store, count)
    assert killed == kills
    assert frozen == freezes


def test_i3_a_zombie_that_wakes_while_another_runs_its_task_is_refused_in_every_way(store, mongo_url):
    ids = store.put("p", [NewTask.of({"x": number}) for number in range(5)]).ids
    with subprocess.Popen(
        [sys.executable, "-c", ZOMBIE, mongo_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as zombie:
        assert zombie.stdout.readline() == "5\n"
        zombie.send_signal(signal.SIGSTOP)
        leases = []
        end = time.monotonic() + 30
        while len(leases) < 5:
            assert time.monotonic() < end
            leases += store.claim(ClaimRequest(pool="p", owner="w2", lease=60, limit=5))
            time.sleep(0.02)
        before = store.get("p", ids)
        history = store.read_history("p")
        zombie.send_signal(signal.SIGCONT)
        told, _ = zombie.communicate("wake up\n", timeout=30)
    refused = [1, 0]
    expected = dict.fromkeys(["done", "part_done", "failed", "released", "cancelled"], refused) | {"renew": {}}
    assert json.loads(told) == expected
    assert store.get("p", ids) == before
    assert store.read_history("p") == history
    assert store.settle([Outcome.done(lease, result="1") for lease in leases]).refused == ()


def test_i6_a_killed_workers_task_runs_again_within_its_lease(store, mongo_url):
    store.put("p", [NewTask.of({"x": 1})])
    script = ZOMBIE.replace("lease=0.5", "lease=1.0")
    with subprocess.Popen(
        [sys.executable, "-c", script, mongo_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout.readline() == "1\n"
        worker.kill()
        killed = time.monotonic()
    while not (leases := store.claim(ClaimRequest(pool="p", owner="w2", lease=60))):
        assert time.monotonic() < killed + 10
        time.sleep(0.01)
    assert time.monotonic() - killed <= 2.0
    assert leases[0].attempt == 2


@pytest.mark.parametrize("topic", ["work", "end"])
def test_who_waits_is_woken_by_another_client_within_a_second(store, mongo_url, topic):
    store.put("p", [NewTask.of({"x": 0})])
    other = MongoStore(mongo_url)
    waker = store.waker("p", topic=topic)
    woken = []
    thread = threading.Thread(target=lambda: woken.append((waker.wait(30), time.monotonic())))
    thread.start()
    time.sleep(2.5)  # long enough that it looks as seldom as it ever does
    if topic == "work":
        other.put("p", [NewTask.of({"x": 1})])
    else:
        other.settle([Outcome.done(lease) for lease in other.claim(ClaimRequest(pool="p", owner="w", lease=60))])
    rung = time.monotonic()
    thread.join()
    assert woken[0][0]
    assert woken[0][1] - rung < 1.0
    waker.close()
    other.close()


def test_a_reader_never_sees_a_result_without_its_state_or_its_history(store, mongo_url):
    ids = store.put("p", [NewTask.of({"x": number}) for number in range(100)]).ids
    other = MongoStore(mongo_url)
    odd = []
    over = threading.Event()

    def look():
        collection = other.database["rollwright_tasks"]
        for number in itertools.cycle(ids):
            if over.is_set():
                return
            document = collection.find_one({"_id": int(number)})
            state = (document["status"], document["result"], document["log"][-1]["event"], document["version"])
            whole = (("waiting", None, "created", 1), ("running", None, "claimed", 2), ("done", "1", "done", 3))
            if state not in whole:
                odd.append(state)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in ids:
        (lease,) = store.claim(ClaimRequest(pool="p", owner="w", lease=60))
        store.settle([Outcome.done(lease, result="1")]).check()
    over.set()
    reader.join()
    other.close()
    assert odd == []
