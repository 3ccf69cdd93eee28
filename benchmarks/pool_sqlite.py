"""The pool on SQLite: putting 10,000 rolling tasks, and the durable turn (commit one, claim the next).

    python benchmarks/pool_sqlite.py [--tasks 10000] [--turns 1000] [--repeats 5] [--done 0] [--pickups 0]
        [--peer-python PATH] [--json FILE]

With `--done 1000000` claims are measured again beside a million finished tasks, and with `--pickups 50` how soon an
idle worker's slot runs what is put, woken by the notifier and polling, and what idling costs. With
`--tasks 0` or `--turns 0` those are left out.

The turn is measured beside a ceiling of our own, by turns in the same run: the same two statements in one transaction
with the same durability, without history, attempts or checks, and with huey if `--peer-python` has it
(`peer-pool-sqlite-lock.txt`). The disk decides them all, so its fdatasyncs per second, taken right before, stand beside
each figure; what does not depend on the disk, CPU time and pages of the log per turn, is printed too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import report
from machine import tree

from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.sqlite.store import SqliteStore

PICKUP_MS = {"notifier": 20, "polling": 60}
IDLE_SECONDS = 10
TARGETS = {"create per s": 10_000, "create exponent": 1.1, "turn / ceiling": 0.8, "claim slowed by done rows": 1.2}
PEERS = {"ceiling": "the bare two statements", "huey": "huey 3.5.4"}
RESULT = json.dumps("r" * 198)

CEILING_SCHEMA = """
CREATE TABLE job(id INTEGER PRIMARY KEY, digest BLOB NOT NULL, rank INTEGER NOT NULL DEFAULT 0,
    phase INTEGER NOT NULL DEFAULT 0, fence INTEGER NOT NULL DEFAULT 0, holder TEXT, until REAL, body TEXT NOT NULL,
    answer TEXT);
CREATE UNIQUE INDEX job_digest ON job(digest);
CREATE INDEX job_ready ON job(rank DESC, id) WHERE phase = 0;
CREATE INDEX job_held ON job(until) WHERE phase = 1;
"""
CEILING_CLAIM = """UPDATE job SET phase = 1, fence = fence + 1, holder = ?, until = ?
    WHERE id = (SELECT id FROM job WHERE phase = 0 ORDER BY rank DESC, id LIMIT 1) RETURNING id, fence, body"""
CEILING_COMMIT = "UPDATE job SET phase = 2, answer = ?, until = NULL WHERE id = ? AND fence = ? AND phase = 1"


def definition(number):
    """Return a rolling task of Alpha158 and LightGBM, as `RollingGen` makes them."""
    model = {
        "class": "LGBModel",
        "module_path": "rollwright.models.lightgbm",
        "kwargs": {
            "loss": "mse",
            "colsample_bytree": 0.8879,
            "learning_rate": 0.0421,
            "subsample": 0.8789,
            "lambda_l1": 205.6999,
            "lambda_l2": 580.9768,
            "max_depth": 8,
            "num_leaves": 210,
            "num_threads": 20,
        },
    }
    handler = {
        "class": "Alpha158",
        "module_path": "rollwright.dataset.alpha",
        "kwargs": {
            "start_time": "2008-01-01",
            "end_time": "2020-08-01",
            "fit_start_time": "2008-01-01",
            "fit_end_time": "2014-12-31",
            "instruments": "csi300",
            "window": number,
        },
    }
    segments = {
        "train": ("2008-01-01", "2014-12-31"),
        "valid": ("2015-01-01", "2016-12-31"),
        "test": ("2017-01-01", "2020-08-01"),
    }
    dataset = {
        "class": "DatasetH",
        "module_path": "rollwright.dataset.dataset",
        "kwargs": {"handler": handler, "segments": segments},
    }
    return {
        "model": model,
        "dataset": dataset,
        "record": [{"class": "SignalRecord", "module_path": "rollwright.analysis.records"}],
    }


def syncs_per_second(folder, seconds=0.5):
    """Return how many times a second this disk makes 4 kB durable."""
    with open(Path(folder) / "probe", "wb", buffering=0) as file:
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            os.fdatasync(file.fileno())
            count += 1
    return count / seconds


def create(folder, name, tasks):
    """Return wall and CPU seconds of putting `tasks`, and of putting them again."""
    store = SqliteStore(Path(folder) / f"{name}.db")
    manager = TaskManager("bench", store=store)
    definitions = [definition(number) for number in range(tasks)]
    times = []
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        manager.create_task(definitions)
        times += [time.perf_counter() - wall, time.process_time() - cpu]
    store.close()
    return times


def drain(store, owner):
    """Turn until nothing is left: settle with its history, claim the next; return how many turns it were."""
    claim_request = ClaimRequest(pool="bench", owner=owner, lease=60.0)
    done = 0
    leases = store.claim(claim_request)
    while leases:
        settlement = store.settle([Outcome.done(leases[0], result=RESULT)], claim=claim_request)
        done += len(settlement.statuses)
        leases = settlement.leases
    return done


def figures(path, count, wall, cpu):
    """Return the seconds and CPU seconds of `count` turns, and the pages of the log that they wrote."""
    return {
        "seconds": wall,
        "cpu": cpu,
        "pages": (path.with_name(f"{path.name}-wal").stat().st_size - 32) / 4120 / count,
    }


def turns(folder, name, count, *, durable=True, whole_log=False):
    """Return what `count` turns of the pool cost."""
    path = Path(folder) / f"{name}.db"
    store = SqliteStore(path, durable=durable)
    store.put("bench", [NewTask.of(definition(number)) for number in range(count)])
    prepare(store._file._session.get(), whole_log)
    wall, cpu = time.perf_counter(), time.process_time()
    drain(store, "bench")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    cost = figures(path, count, wall, cpu)
    assert store.count("bench")[Status.DONE] == count
    store.close()
    return cost


def prepare(connection, whole_log):
    """Begin with an empty log of full length, as a pool's is that was ever filled and huey's is by being filled here.

    A file that grows costs the disk several times as much per sync. With `whole_log` the log is cut and never written
    back, so that its pages can be counted.
    """
    connection.execute("CREATE TABLE filler(x)")
    connection.execute("INSERT INTO filler VALUES(zeroblob(4500000))")
    connection.execute("DROP TABLE filler")
    connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if whole_log else 'RESTART'})")
    if whole_log:
        connection.execute("PRAGMA wal_autocheckpoint = 0")


def _share(path, owner, barrier, out):
    store = SqliteStore(path)
    store.migrate()
    barrier.wait()
    out.put(drain(store, owner))
    store.close()


def shares(folder, name, count, workers=4):
    """Return the smallest share of `workers` processes over the largest, and the turns per second of all."""
    path = Path(folder) / f"{name}.db"
    store = SqliteStore(path)
    store.put("bench", [NewTask.of(definition(number)) for number in range(count)])
    context = multiprocessing.get_context("spawn")
    barrier, out = context.Barrier(workers + 1), context.Queue()
    running = [context.Process(target=_share, args=(path, f"w{k}", barrier, out)) for k in range(workers)]
    for process in running:
        process.start()
    barrier.wait()
    start = time.perf_counter()
    counts = [out.get() for _ in running]
    seconds = time.perf_counter() - start
    for process in running:
        process.join()
    assert sum(counts) == count == store.count("bench")[Status.DONE]
    store.close()
    return min(counts) / max(counts), count / seconds


def ceiling_turns(folder, name, count, *, durable=True, whole_log=False):
    """Return what the same turns cost with nothing but the two statements."""
    path = Path(folder) / f"{name}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.executescript(CEILING_SCHEMA)
    connection.execute("BEGIN IMMEDIATE")
    for number in range(count):
        text = json.dumps(definition(number))
        digest = hashlib.sha256(text.encode()).digest()
        connection.execute("INSERT INTO job(digest, body) VALUES(?, ?)", (digest, text))
    connection.execute("COMMIT")
    prepare(connection, whole_log)
    wall, cpu = time.perf_counter(), time.process_time()
    held = None
    while True:
        connection.execute("BEGIN IMMEDIATE")
        if held is not None:
            connection.execute(CEILING_COMMIT, (RESULT, held[0], held[1]))
        held = connection.execute(CEILING_CLAIM, ("bench", time.time() + 60)).fetchone()
        connection.execute("COMMIT")
        if held is None:
            break
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    cost = figures(path, count, wall, cpu)
    connection.close()
    return cost


def peer_turns(folder, name, count, python):
    """Return what huey needs for as many tasks."""
    command = [python, Path(__file__).with_name("peer_pool_sqlite.py"), Path(folder) / f"{name}.db", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def fill_done(path, rows):
    """Leave finished tasks in a pool as turns leave them, written at once."""
    store = SqliteStore(path, durable=False)
    store.migrate()
    connection = store._file._session.get()
    connection.execute("BEGIN")
    connection.execute(
        """WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < ?)
        INSERT INTO task(pool, fingerprint, status, origin, priority, token, attempts, max_attempts, owner, created,
            started, ended, result)
        SELECT 'bench', printf('%064x', i), 'done', 'waiting', 0, 1, 1, 3, 'old', 1e9, 1e9, 1e9, ? FROM k""",
        (rows, RESULT),
    )
    connection.execute("""INSERT INTO document SELECT id, '{"pad":"' || printf('%.500c', 'x') || '"}' FROM task""")
    connection.execute(
        """INSERT INTO history(seq, pool, at, event, status, token, attempt, owner)
        SELECT (id << 24) + v, 'bench', 1e9, 'done', 'done', 1, 1, 'old' FROM task, (SELECT 1 AS v UNION SELECT 2)"""
    )
    connection.execute("INSERT INTO size VALUES('bench', ?)", (rows,))
    connection.execute("COMMIT")
    store.close()


def median_turn(path, part, count):
    """Return the median seconds of a turn over `count` new tasks, without the disk's share."""
    store = SqliteStore(path, durable=False)
    store.put("bench", [NewTask.of(definition(part * count + number)) for number in range(count)])
    store._file._session.get().execute("PRAGMA wal_checkpoint(RESTART)")  # what filling left is not the turns' own cost
    claim_request = ClaimRequest(pool="bench", owner="bench", lease=600.0)
    leases, times = store.claim(claim_request), []
    while leases:
        start = time.perf_counter()
        leases = store.settle([Outcome.done(leases[0], result=RESULT)], claim=claim_request).leases
        times.append(time.perf_counter() - start)
    store.close()
    return statistics.median(times)


def with_done_rows(folder, done, turns_each, repeats=7):
    """Return the seconds of a turn in an empty pool and beside `done` finished tasks, by turns, and those of a stat."""
    empty, full = Path(folder) / "empty.db", Path(folder) / "full.db"
    fill_done(full, done)
    pairs = [[median_turn(path, k, turns_each // repeats) for path in (empty, full)] for k in range(repeats)]
    store = SqliteStore(full)
    start = time.perf_counter()
    counts = store.count("bench")
    stat = time.perf_counter() - start
    assert counts[Status.DONE] >= done
    store.close()
    return [statistics.median(side) for side in zip(*pairs, strict=True)], stat


def start_worker(path, how):
    """Start a worker with one slot on the pool, which finds out about new tasks by `how`."""
    deaf = "" if how == "notifier" else "NotifyPipe.create = classmethod(lambda *_: None)"
    code = f"""
from rollwright.config.settings import load_settings
from rollwright.pool.stores.sqlite.notify_pipe import NotifyPipe
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.worker.worker import TaskFunction, Worker
{deaf}
Worker(store=SqliteStore({str(path)!r}), pool="bench", function=TaskFunction(entry="pool_functions.py:stamp"), slots=1,
       lease=60.0, settings=load_settings({{"trust.folder": {str(Path(__file__).parent)!r}}}), until_empty=False).run()
"""
    return subprocess.Popen([sys.executable, "-c", code])


def cpu_seconds(pid):
    """Return the CPU seconds that a process and its descendants have taken."""
    total = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def pickups(folder, how, count):
    """Return the milliseconds from each call of `put` to the start of its body, and the share of a core while idle."""
    path = Path(folder) / f"{how}.db"
    store = SqliteStore(path)
    manager = TaskManager("bench", store=store)
    worker = start_worker(path, how)
    try:
        manager.insert_task_def({"warm": True})
        manager.wait(timeout=60)
        times = []
        for number in range(count):
            time.sleep(0.05 + 0.4 * (number % 10) / 10)  # not in step with the worker's looks
            start = time.monotonic()
            task_id = manager.insert_task_def({"x": number})
            manager.wait({"_id": task_id}, timeout=60)
            times.append((manager.re_query(task_id)["res"] - start) * 1000)
        time.sleep(1)
        cpu, start = cpu_seconds(worker.pid), time.monotonic()
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(worker.pid) - cpu) / (time.monotonic() - start)
    finally:
        worker.terminate()
        worker.wait(10)
        store.close()
    return times, share


def creating(folder, given):
    """Measure putting tasks."""
    whole, tenth = [], []
    for repeat in range(given.repeats):
        tenth.append(create(folder, f"tenth{repeat}", max(given.tasks // 10, 1)))
        whole.append(create(folder, f"whole{repeat}", given.tasks))
    rates = [given.tasks / times[0] for times in whole]
    again = [first / second for first, _, second, _ in whole]
    walls = [statistics.median(times[0] for times in each) for each in (whole, tenth)]
    print(f"  {given.tasks / statistics.median(times[1] for times in whole):,.0f} put per s of CPU")
    return [
        report.row("create_task", rates, TARGETS["create per s"], at_least=True, unit=" per s"),
        report.row("create_task of the same again, speed over the first", again, 1, at_least=True, unit="x"),
        report.row(
            "exponent of create_task", math.log10(walls[0] / walls[1]), TARGETS["create exponent"], at_least=False
        ),
    ]


def turning(folder, given):
    """Measure the durable turn beside its ceiling and beside huey, and how workers share."""
    sides = {"ours": turns, "ceiling": ceiling_turns}
    if given.peer_python is not None:
        sides["huey"] = lambda folder, name, count: peer_turns(folder, name, count, given.peer_python)
    probes = {name: [] for name in sides}
    found = {name: [] for name in sides}
    for repeat in range(given.repeats):
        for name, call in sides.items():
            probes[name].append(syncs_per_second(folder))
            found[name].append(call(folder, f"{name}{repeat}", given.turns))
    for name, costs in found.items():
        rates = [given.turns / cost["seconds"] for cost in costs]
        cpu = statistics.median(cost["cpu"] for cost in costs) / given.turns * 1e6
        syncs = statistics.median(probes[name])
        print(
            f"  {name:<10} {statistics.median(rates):>7,.0f} turns per s [{min(rates):,.0f}, {max(rates):,.0f}], "
            f"CPU {cpu:,.0f} us; fdatasync {syncs:,.0f} per s [{min(probes[name]):,.0f}, {max(probes[name]):,.0f}]"
        )
    rows = []
    for other, limit in (("ceiling", TARGETS["turn / ceiling"]), ("huey", 1.0)):
        if other in found:
            ratios = [b["seconds"] / a["seconds"] for a, b in zip(found["ours"], found[other], strict=True)]
            what = f"durable turn with history / {PEERS[other]}"
            rows.append(report.row(what, ratios, limit, at_least=True, unit="x", against=PEERS[other]))
    for name, call in (("ours", turns), ("ceiling", ceiling_turns)):
        costs = [call(folder, f"log{name}{k}", given.turns, durable=False, whole_log=True) for k in range(3)]
        cpu = min(cost["cpu"] for cost in costs) / given.turns * 1e6
        print(f"  {name:<10} {costs[0]['pages']:.2f} pages of the log for a turn; without fsync CPU {cpu:,.0f} us")
    fair, together = zip(*[shares(folder, f"share{k}", given.turns) for k in range(given.repeats)], strict=True)
    print(f"  4 workers  {statistics.median(together):>7,.0f} turns per s")
    rows.append(report.row("4 workers: smallest share / largest", fair, 0.7, at_least=True))
    return rows


def picking_up(folder, count):
    """Measure how soon an idle worker runs what is put, and what idling costs."""
    rows = []
    for how, limit in PICKUP_MS.items():
        times, share = pickups(folder, how, count)
        what = f"from the call that puts a task to its function in an idle worker, by {how}"
        rows.append(report.row(what, times, limit, at_least=False, unit=" ms"))
        rows.append(report.row(f"an idle worker by {how}, of a core", share * 100, 1.5, at_least=False, unit="%"))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--done", type=int, default=0, help="finished rows beside which claims are measured again")
    parser.add_argument("--pickups", type=int, default=0, help="tasks that an idle worker is given one by one")
    parser.add_argument("--peer-python", type=Path, help="an interpreter that has huey")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    machine.pin()
    rows = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        if given.tasks:
            rows += creating(folder, given)
        if given.turns:
            rows += turning(folder, given)
        if given.done:
            (empty, full), stat = with_done_rows(folder, given.done, given.turns or 1000)
            limit = TARGETS["claim slowed by done rows"]
            beside = f"beside {given.done:,} finished tasks"
            what = f"turn {beside} / in an empty pool, without fsync"
            rows.append(report.row(what, full / empty, limit, at_least=False))
            rows.append(report.row(f"task_stat {beside}", stat * 1000, 50, at_least=False, unit=" ms"))
        if given.pickups:
            rows += picking_up(folder, given.pickups)
    return report.finish("pool_sqlite", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
