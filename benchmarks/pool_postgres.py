"""The pool on PostgreSQL: the durable turn beside its ceiling and beside other queues, counts, deaths, waking.

    python benchmarks/pool_postgres.py [--url URL] [--peer-python PATH] [--turns 1000] [--repeats 5] [--done 0]

Without a URL a temporary server is started, durable as it comes. The turn (commit one, claim the next, with the history
of both) is measured by turns with a ceiling of our own (`ceiling_postgres.py`) and with what `--peer-python` has
installed (`peer-pool-lock.txt`); the disk decides them all, so its fdatasyncs per second stand beside.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import ceiling_postgres
import machine
import report
from pool_sqlite import RESULT, definition, syncs_per_second

from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.postgres.store import PostgresStore

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))
import postgres_server

HOLD = """
import sys
from rollwright.pool.store import ClaimRequest
from rollwright.pool.stores.postgres.store import PostgresStore
print(len(PostgresStore(sys.argv[1]).claim(ClaimRequest(pool="bench", owner="victim", lease=600.0))), flush=True)
input()
"""


# As the pool leaves them, written at once: a million turns would take the better part of an hour.
FINISHED = """INSERT INTO task(id, pool, fingerprint, status, origin, priority, token, attempts, max_attempts, owner,
    created, started, ended, definition, result)
    SELECT nextval('task_id'), 'bench', sha256(number::text::bytea), 'done', 'waiting', 0, 1, 1, 3, 'old', 1e9, 1e9,
        1e9, '{"old":' || number || ',"pad":"' || repeat('x', 500) || '"}', %(result)s
    FROM generate_series(1, %(rows)s::int) AS number"""


def claim_request(owner="bench", limit=1):
    return ClaimRequest(pool="bench", owner=owner, lease=600.0, limit=limit)


def filled(url, count):
    store = PostgresStore(url)
    store.put("bench", [NewTask.of(definition(number)) for number in range(count)])
    store._rows("ANALYZE task")
    return store


def drain(store, owner, limit=1):
    """Turn until nothing is left; return the seconds, the turns and their durations."""
    times, done = [], 0
    start = last = time.perf_counter()
    leases = store.claim(claim_request(owner, limit))
    while leases:
        outcomes = [Outcome.done(lease, result=RESULT) for lease in leases]
        settlement = store.settle(outcomes, claim=claim_request(owner, limit))
        assert not settlement.refused
        done += len(settlement.statuses)
        leases = settlement.leases
        now = time.perf_counter()
        times.append(now - last)
        last = now
    return time.perf_counter() - start, done, times


def ours(server, count, limit=1):
    store = filled(server(), count)
    seconds, done, _ = drain(store, "bench", limit)
    assert done == count == store.count("bench")[Status.DONE]
    store.close()
    return count / seconds


def bare(server, count):
    url = server()
    ceiling_postgres.fill(url, (definition(number) for number in range(count)))
    seconds, done = ceiling_postgres.drain(url, "bench", RESULT)
    assert done == count
    return count / seconds


def peer(server, python, name, count):
    command = [python, Path(__file__).with_name("peer_pool.py"), server(), name, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return count / json.loads(done.stdout.splitlines()[-1])["seconds"]


def _share(url, owner, barrier, out):
    store = PostgresStore(url)
    store.migrate()
    barrier.wait()
    out.put(drain(store, owner)[1])
    store.close()


def shares(server, count, workers=4):
    """Return the smallest share of `workers` processes over the largest, and the turns per second of all."""
    url = server()
    store = filled(url, count)
    context = multiprocessing.get_context("spawn")
    barrier, out = context.Barrier(workers + 1), context.Queue()
    running = [context.Process(target=_share, args=(url, f"w{k}", barrier, out)) for k in range(workers)]
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


def deaths(server, repeats):
    """Return the seconds from a worker's death to the next claim of its task, by a worker that polls as ours do."""
    url = server()
    store = filled(url, repeats)
    while store._rows("SELECT clock_timestamp() - pg_postmaster_start_time() > interval '6 s'") == [(False,)]:
        time.sleep(0.2)
    found = []
    for _ in range(repeats):
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as victim:
            assert victim.stdout.readline() == "1\n"
            held = store._rows("SELECT id FROM task WHERE owner = 'victim' AND status = 'running'")
            victim.kill()
            start = time.perf_counter()
        while not store.reap("bench"):
            time.sleep(0.05)
        leases = store.claim(claim_request())
        found.append(time.perf_counter() - start)
        assert [int(lease.task_id) for lease in leases] == [held[0][0]]
        store.settle([Outcome.done(leases[0])])
    store.close()
    return found


def pickups(server, count):
    """Return the seconds from a put to the claim of a worker that waits for NOTIFY in another connection."""
    url = server()
    store, worker = PostgresStore(url), PostgresStore(url)
    worker.migrate()
    waker, moments, ready = worker.waker("bench"), [], threading.Semaphore(0)

    def wait():
        for _ in range(count):
            ready.release()
            while not (leases := worker.claim(claim_request())):
                waker.wait(5.0)
            moments.append(time.perf_counter())
            worker.settle([Outcome.done(lease) for lease in leases])

    listener = threading.Thread(target=wait)
    listener.start()
    starts = []
    for number in range(count):
        ready.acquire()
        time.sleep(0.05)
        starts.append(time.perf_counter())
        store.put("bench", [NewTask.of({"x": number})])
        while len(moments) <= number:
            time.sleep(0.001)
    listener.join()
    waker.close()
    for each in (store, worker):
        each.close()
    return [moment - start for start, moment in zip(starts, moments, strict=True)]


def beside_done(server, done, turns):
    """Return the median seconds of a turn in an empty pool and beside `done` finished tasks, and those of a stat."""
    medians, stats = [], []
    for rows in (0, done):
        store = PostgresStore(server())
        store.migrate()
        store._rows(FINISHED, rows=rows, result=RESULT)
        store.put("bench", [NewTask.of(definition(number)) for number in range(turns)])
        store._rows("VACUUM ANALYZE task")  # as the server does by itself when a fiftieth has changed
        medians.append(statistics.median(drain(store, "bench")[2]))
        for _ in range(5):
            start = time.perf_counter()
            store.count("bench")
            stats.append(time.perf_counter() - start)
        store.close()
    return medians, statistics.median(stats[5:])


@contextlib.contextmanager
def databases(url):
    """Give a function that makes a new database on the server of `url`, or on a temporary one."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        own = postgres_server.PostgresServer(Path(folder) / "pg") if url is None else None
        try:
            if own is not None:
                own.start()
                url = own.url("postgres")
            yield lambda: postgres_server.new_database(url)
        finally:
            if own is not None:
                own.remove()


def turning(server, given):
    sides = {
        "probe": lambda: syncs_per_second("."),
        "ours": lambda: ours(server, given.turns),
        "ceiling": lambda: bare(server, given.turns),
        "ours10": lambda: ours(server, given.turns * 4, 10),
    }
    if given.peer_python is not None:
        for name in ("procrastinate", "pgqueuer1", "pgqueuer10"):
            count = given.turns if name == "pgqueuer10" else given.turns // 4
            sides[name] = lambda name=name, count=count: peer(server, given.peer_python, name, count)
    found = machine.interleaved(sides, given.repeats)
    for name, rates in found.items():
        print(f"  {name:<16} {statistics.median(rates):>9,.0f} per s  [{min(rates):,.0f}, {max(rates):,.0f}]")
    return found


def over(found, mine, other):
    return [a / b for a, b in zip(found[mine], found[other], strict=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="a database on the server to measure on; new ones are made beside it")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--done", type=int, default=0, help="finished rows beside which claims are measured again")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.url is None and postgres_server.find_binaries() is None:
        print("not run: no PostgreSQL (give --url, or install a server)")
        return 0
    rows = []
    with databases(given.url) as server:
        found = turning(server, given)
        rows.append(
            report.row("durable turn with history / ceiling", over(found, "ours", "ceiling"), 0.7, at_least=True)
        )
        for mine, name in (("ours", "procrastinate"), ("ours", "pgqueuer1"), ("ours10", "pgqueuer10")):
            if name in found:
                ratios = over(found, mine, name)
                rows.append(report.row(f"turn{mine[4:]} / {name}", ratios, 1.0, at_least=True, against=name))
        fair, together = zip(*[shares(server, given.turns * 2) for _ in range(given.repeats)], strict=True)
        print(f"  4 workers        {statistics.median(together):>9,.0f} per s")
        rows.append(report.row("4 workers: smallest share / largest", fair, 0.7, at_least=True))
        found_dead = deaths(server, given.repeats)
        rows.append(report.row("death to next claim, longest", max(found_dead), 2.0, at_least=False, unit=" s"))
        waits = [seconds * 1000 for seconds in pickups(server, 50)]
        rows.append(report.row("put to claim by NOTIFY, p50", waits, 20, at_least=False, unit=" ms"))
        if given.done:
            (empty, full), stat = beside_done(server, given.done, given.turns)
            note = f"beside {given.done:,} done"
            rows.append(report.row(f"turn time {note} / empty", full / empty, 1.2, at_least=False))
            rows.append(report.row(f"task_stat {note}", stat * 1000, 250, at_least=False, unit=" ms"))
    return report.finish("pool_postgres", rows, path=given.json, repeats=given.repeats, figures={"rates": found})


if __name__ == "__main__":
    sys.exit(main())
