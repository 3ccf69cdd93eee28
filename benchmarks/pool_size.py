"""A pool of a million tasks: put, claim, count, list, collect, the commands that only look, and many workers at once.

    python benchmarks/pool_size.py [--tasks 100000] [--workers 8] [--turns 800] [--stores sqlite postgres] [--full]

Each piece of work is done in a process of its own, at a tenth of the tasks and at all of them: its seconds, and how
much more memory it takes at ten times the tasks. A turn on PostgreSQL is taken before and after a vacuum, and the one
after is judged: the server vacuums by itself, though not within the seconds in which the tasks are ended here. Then
workers, a process each, turn through a pool: as fast as they can, in turns with as many workers as there are cores,
for what each core gets done; and in the pool of all the tasks a few tens of turns a second in all, for how long a
claim takes while the machine is not full. Last the connections of workers that wait for work are counted. `--full` is
1,000,000 tasks, 64 workers and 200 idle ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import machine
import psutil
import psycopg
import report

from rollwright.pool.query import among, parse
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.postgres.session import close_sessions
from rollwright.pool.stores.postgres.store import PostgresStore
from rollwright.pool.urls import store_from_url

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))
import pgbouncer_server
import postgres_server

POOL = "bench"
DONE_SHARE = 0.75
HOLDS_IDS = "wait_for_ids"  # a list of all ids is the caller's own
RESULT = '{"recorder_id":"0123456789abcdef0123456789abcdef","experiment":"bench"}'
WINDOWS = 2000

CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import pool_size
start = time.perf_counter()
said = pool_size.WORK[sys.argv[2]](sys.argv[3], int(sys.argv[4]))
cpu, seconds = time.process_time(), time.perf_counter() - start
print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": pool_size.peak(), "said": said}))
"""
COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import atexit
import time
import pool_size
from rollwright.cli import main
atexit.register(lambda: print(pool_size.peak(), time.process_time(), file=sys.stderr))
main()
"""


def peak():
    """Return the most memory that this process had, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def definition(number):
    return {"model": {"class": "LGBModel", "kwargs": {"seed": number}}, "test": [f"2020-{number}", "2021-01-01"]}


# -- the work, each in a process of its own ----------------------------------------------------------------------------


def put(url, count):
    store = store_from_url(url)
    for start in range(0, count, 10_000):
        store.put(POOL, [NewTask.of(definition(number)) for number in range(start, min(start + 10_000, count))])
    store.close()


def put_again(url, count):
    """Give the last 10,000 again, as a campaign that goes on does."""
    store = store_from_url(url)
    last = [NewTask.of(definition(number)) for number in range(max(0, count - 10_000), count)]
    assert store.put(POOL, last).created == 0
    store.close()


def finish(url, count):
    """End most of the tasks, a thousand in a turn."""
    store, left = store_from_url(url), int(count * DONE_SHARE)
    request = ClaimRequest(pool=POOL, owner="bench", lease=600.0, limit=1000)
    leases = store.claim(request)
    while leases and left > 0:
        left -= len(leases)
        outcomes = [Outcome.done(lease, result=RESULT) for lease in leases]
        leases = store.settle(outcomes, claim=request if left > 0 else None).leases
    store.settle([Outcome.released(lease) for lease in leases])
    store.close()


def turns(url, _count):
    """Turn 200 times, one task after the other; return the median milliseconds of a turn."""
    store = store_from_url(url)
    request = ClaimRequest(pool=POOL, owner="bench", lease=600.0)
    leases, times = store.claim(request), []
    for _ in range(200):
        start = time.perf_counter()
        leases = store.settle([Outcome.done(lease, result=RESULT) for lease in leases], claim=request).leases
        times.append(time.perf_counter() - start)
    store.settle([Outcome.released(lease) for lease in leases])
    store.close()
    return statistics.median(times) * 1000


def turns_before_vacuum(url, count):
    """Turn where nobody has swept out the entries of the tasks that ended."""
    return turns(url, count)


def vacuum(url, _count):
    """Sweep them out, as PostgreSQL does by itself within minutes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM")


def stat(url, count):
    store = store_from_url(url)
    assert sum(store.stat(POOL).counts.values()) == count
    store.close()


def list_all(url, count):
    store = store_from_url(url)
    assert sum(1 for _ in store.find(POOL)) == count
    store.close()


def collect(url, count):
    """Read every result that is there."""
    store = store_from_url(url)
    found = sum(record.result is not None for record in store.find(POOL, parse({"status": "done"})))
    assert found >= count * DONE_SHARE
    store.close()


def wait_for_ids(url, count):
    """Count those of all the tasks, by their ids, as who waits for them does."""
    store = store_from_url(url)
    first = int(next(store.find(POOL)).task_id)
    query = among(str(number) for number in range(first, first + count))
    assert sum(store.count(POOL, query).values()) == count
    store.close()


def windows(url, count):
    """Find the tasks of a campaign's windows among the others, as `rollwright status` does."""
    store = store_from_url(url)
    first = int(next(store.find(POOL)).task_id) + count // 2
    wanted = [str(number) for number in range(first, first + min(count // 4, 2 * WINDOWS), 2)]
    assert sum(1 for _ in store.find(POOL, among(wanted))) == len(wanted)
    store.close()


def pause(url, _count):
    store = store_from_url(url)
    assert store.pause(POOL)
    assert store.resume(POOL)
    store.close()


WORK = {
    one.__name__: one
    for one in (
        put,
        finish,
        put_again,
        turns_before_vacuum,
        vacuum,
        turns,
        stat,
        list_all,
        collect,
        wait_for_ids,
        windows,
        pause,
    )
}
ONLY_POSTGRES = ("turns_before_vacuum", "vacuum")
JUDGED = (
    "rollwright pool ls",
    "rollwright pool stat",
    "rollwright pool tasks --status failed",
    "rollwright worker ls",
)
COMMANDS = {
    "rollwright pool ls": ["pool", "ls"],
    "rollwright pool stat": ["pool", "stat", POOL],
    "rollwright pool tasks --status failed": ["pool", "tasks", POOL, "--status", "failed"],
    "rollwright pool tasks --limit 20": ["pool", "tasks", POOL, "--limit", "20"],
    "rollwright worker ls": ["worker", "ls", POOL],
}


def do(work, url, count):
    command = [sys.executable, "-c", CHILD, Path(__file__).parent, work, url, str(count)]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{work} failed:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"    {work:<36} {found['seconds']:>8.2f} s {found['peak']:>8.0f} MB", flush=True)
    return found


def command(name, arguments, url):
    """Run a command and return what it took; one that is judged three times, of which the shortest counts.

    The others waited for other work of the machine.
    """
    times = 3 if name in JUDGED else 1
    return min((_run_command(arguments, url) for _ in range(times)), key=lambda found: found["seconds"])


def _run_command(arguments, url):
    words = [sys.executable, "-c", COMMAND, Path(__file__).parent, *arguments, "--url", url]
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n{done.stderr[-3000:]}")
    used, cpu = (float(word) for word in done.stderr.splitlines()[-1].split())
    print(f"    rollwright {' '.join(arguments):<25} {seconds:>8.2f} s {used:>8.0f} MB", flush=True)
    return {"seconds": seconds, "cpu": cpu, "peak": used}


def measure(url, count):
    """Do everything with a pool of `count` tasks and return what each took."""
    print(f"  {url.partition(':')[0]}, {count:,} tasks")
    is_postgres = url.startswith("postgres")
    found = {name: do(name, url, count) for name in WORK if is_postgres or name not in ONLY_POSTGRES}
    return found | {name: command(name, arguments, url) for name, arguments in COMMANDS.items()}


# -- many workers ------------------------------------------------------------------------------------------------------


def _turn(url, owner, barrier, out, *, count, pause_for):
    store = store_from_url(url)
    generator = random.Random(owner)
    request = ClaimRequest(pool=POOL, owner=owner, lease=600.0)
    leases, times = store.claim(request), []
    barrier.wait()
    began = time.process_time()
    for _ in range(count):
        if pause_for:
            time.sleep(generator.expovariate(1 / pause_for))
        start = time.perf_counter()
        leases = store.settle([Outcome.done(lease, result=RESULT) for lease in leases], claim=request).leases
        times.append(time.perf_counter() - start)
    out.put((times, time.process_time() - began))
    store.close()


def _server_cpu(pid):
    used = 0.0
    parent = psutil.Process(pid)
    for process in [parent, *parent.children()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = process.cpu_times()
            used += spent.user + spent.system
            used += spent.children_user + spent.children_system if process is parent else 0.0
    return used


def work(url, pid, *, workers, each, pause_for=0.0):
    """Let `workers` processes turn; return each turn's seconds, the CPU seconds of a turn, and the seconds of all.

    Their tasks are the waiting ones of the pool, to which as many are added as it lacks.
    """
    store = store_from_url(url)
    missing = workers * (each + 1) - store.count(POOL)[Status.WAITING]
    if missing > 0:
        store.put(POOL, [NewTask.of({"run": f"{workers} {pause_for}", "x": number}) for number in range(missing)])
    done = store.count(POOL)[Status.DONE]
    store.close()
    close_sessions()  # nothing of this process is open when the others begin
    context = multiprocessing.get_context("fork")
    barrier, out = context.Barrier(workers + 1), context.Queue()
    running = [
        context.Process(
            target=_turn, args=(url, f"w{number}", barrier, out), kwargs={"count": each, "pause_for": pause_for}
        )
        for number in range(workers)
    ]
    for process in running:
        process.start()
    barrier.wait()
    start, before = time.perf_counter(), _server_cpu(pid)
    ended = [out.get() for _ in running]
    seconds, server = time.perf_counter() - start, _server_cpu(pid) - before
    for process in running:
        process.join()
    assert store.count(POOL)[Status.DONE] == done + workers * each
    store.close()
    times = sorted(one for found, _ in ended for one in found)
    return times, (server + sum(cpu for _, cpu in ended)) / (workers * each), seconds


def crowd(server, given, large):
    """Measure workers side by side; return rows and figures.

    Each repeat has a fresh pool, so that no side passes over what another left. `large` is the pool of all the tasks,
    in which workers turn while the machine is not full.
    """
    pid, many = server.pid(), given.workers
    cores = len(os.sched_getaffinity(0))

    def side(workers):
        turns, cpu, seconds = work(
            postgres_server.new_database(server.url("postgres")), pid, workers=workers, each=given.turns // workers
        )
        return turns, cpu, len(turns) / seconds

    found = machine.interleaved(
        {"one": partial(side, 1), "filled": partial(side, cores), "crowd": partial(side, many)}, given.repeats
    )
    calm, _, _ = work(large, pid, workers=many, each=given.calm, pause_for=many / given.rate)
    per_s = {name: statistics.median(rate for _, _, rate in sides) for name, sides in found.items()}
    cost = {name: statistics.median(cpu for _, cpu, _ in sides) * 1000 for name, sides in found.items()}
    full = sorted(one for turns, _, _ in found["crowd"] for one in turns)
    for name, workers in (("one", 1), ("filled", cores), ("crowd", many)):
        print(f"  {workers} as fast as they can: {per_s[name]:,.0f} turns per s, {cost[name]:.2f} ms of CPU for each")
    print(f"  p50 {_at(full, 0.5):.1f} ms, p99 {_at(full, 0.99):.1f} ms of a turn of the {many}")
    pairs = [crowd / filled for (_, _, crowd), (_, _, filled) in zip(found["crowd"], found["filled"], strict=True)]
    rows = [
        report.row(
            "turns per second of each core / of workers that are as many as the cores",
            pairs, 0.7, at_least=True, case=f"PostgreSQL, {many} workers",
        ),
        report.row(
            f"a turn at {given.rate:g} per s, p99", _at(calm, 0.99), 20,
            at_least=False, unit=" ms", case=f"PostgreSQL, {given.tasks:,} tasks, {many} workers",
        ),
    ]  # fmt: skip
    return rows, {
        "turns per s": per_s,
        "cpu ms of a turn": cost,
        "turn of the crowd": {"p50 ms": _at(full, 0.5), "p99 ms": _at(full, 0.99)},
        f"turn at {given.rate:g} per s": {"p50 ms": _at(calm, 0.5), "p99 ms": _at(calm, 0.99)},
    }


# -- idle workers ------------------------------------------------------------------------------------------------------


def idle(url, count, **terms):
    """Fork `count` processes that look for work once a second, and return how many connections the server has."""
    name = f"idle{random.getrandbits(40)}"
    place = f"{url}{'&' if '?' in url else '?'}application_name={name}"
    ready, told = multiprocessing.Semaphore(0), multiprocessing.Event()
    children = []
    for number in range(count):
        child = multiprocessing.get_context("fork").Process(target=_idle, args=(place, number, ready, told, terms))
        child.start()
        children.append(child)
    for _ in children:
        ready.acquire()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %(name)s"
    store = store_from_url(url)
    found = max(store._rows(asked, name=name)[0][0] for _ in range(20) if time.sleep(0.1) is None)
    store.close()
    told.set()
    for child in children:
        child.join()
    return found


def _idle(url, number, ready, told, terms):
    store = PostgresStore(url, patience=120.0, **terms)
    request = ClaimRequest(pool="idle", owner=f"w{number}", lease=60.0)
    store.claim(request)
    ready.release()
    while not told.wait(1.0):
        store.claim(request)
    store.close()
    close_sessions()


def idle_workers(server, count):
    """Measure the connections of idle workers, directly and through PgBouncer; return rows and figures."""
    url = postgres_server.new_database(server.url("postgres"))
    PostgresStore(url).migrate()
    pooler = pgbouncer_server.PgBouncer(url) if pgbouncer_server.missing() is None else None
    try:
        found = {"with sessions": idle(url, count), "without": idle(url, count, session=False)}
        if pooler is not None:
            pooler.start()
            found["through PgBouncer"] = idle(pooler.url(url), count)
    finally:
        if pooler is not None:
            pooler.remove()
    targets = {"with sessions": 2.0, "without": 1.0, "through PgBouncer": 4 / count}
    rows = [
        report.row(
            f"connections of an idle worker, {how}",
            number / count,
            targets[how],
            at_least=False,
            case=f"{count} workers",
        )
        for how, number in found.items()
    ]
    return rows, found


def _at(times, share):
    return times[min(len(times) - 1, int(len(times) * share))] * 1000


def rows_of(name, small, large, count):
    """Return the rows of one store: how long commands take at `count` tasks, and how much memory grows."""
    case = f"{name}, {count:,} tasks"
    rows = [
        report.row(f"`{one}`, {kind}", large[one][key], 1.0, at_least=False, unit=" s", case=case)
        for one in JUDGED
        for kind, key in (("wall", "seconds"), ("CPU", "cpu"))
    ]
    rows.append(
        report.row(
            f"tasks of {WINDOWS:,} windows found",
            large["windows"]["seconds"],
            1.0,
            at_least=False,
            unit=" s",
            case=case,
        )
    )
    growth = {one: large[one]["peak"] / small[one]["peak"] for one in large if one != HOLDS_IDS}
    worst = max(growth, key=lambda one: growth[one])
    print(f"  most memory for ten times the tasks: {worst}, {growth[worst]:.2f}x")
    rows.append(
        report.row("most memory of any work / at a tenth of the tasks", growth[worst], 1.15, at_least=False, case=case)
    )
    if "vacuum" in large:
        before = large["turns_before_vacuum"]["said"] / small["turns_before_vacuum"]["said"]
        print(f"  time of a turn / at a tenth of the tasks, before the vacuum: {before:.2f}x")
    ratio = large["turns"]["said"] / small["turns"]["said"]
    rows.append(report.row("time of a turn / at a tenth of the tasks", ratio, 1.5, at_least=False, case=case))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--turns", type=int, default=800, help="of all workers that are as fast as they can be")
    parser.add_argument("--repeats", type=int, default=5, help="of those")
    parser.add_argument("--calm", type=int, default=40, help="turns of each worker that pauses between them")
    parser.add_argument("--rate", type=float, default=40.0, help="turns per second of all of those")
    parser.add_argument("--stores", nargs="*", default=["sqlite", "postgres"])
    parser.add_argument("--full", action="store_true", help="1,000,000 tasks and 64 workers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--idle", type=int, default=20, help="idle workers whose connections are counted")
    given = parser.parse_args()
    if given.full:
        given.tasks, given.workers, given.turns, given.idle = 1_000_000, 64, 12_800, 200
    rows, figures = [], {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = large = None
        if "postgres" in given.stores and postgres_server.find_binaries() is not None:
            server = postgres_server.PostgresServer(Path(folder) / "pg", settings={"max_connections": "500"})
            server.start()
        try:
            for name in given.stores:
                sizes = {}
                for count in (given.tasks // 10, given.tasks):
                    if name == "postgres" and server is None:
                        print("not run on PostgreSQL: there is none")
                        break
                    postgres = server is not None and name == "postgres"
                    url = (
                        postgres_server.new_database(server.url("postgres"))
                        if postgres
                        else f"sqlite:///{folder}/{count}.db"
                    )
                    sizes[count] = measure(url, count)
                    large = url if postgres else large
                if sizes:
                    rows += rows_of(name, sizes[given.tasks // 10], sizes[given.tasks], given.tasks)
                    figures[name] = {f"{count:,}": found for count, found in sizes.items()}
            if server is not None and large is not None:
                more, figures["workers"] = crowd(server, given, large)
                rows += more
                more, figures["idle"] = idle_workers(server, given.idle)
                rows += more
        finally:
            if server is not None:
                server.remove()
    return report.finish("pool_size", rows, path=given.json, repeats=given.repeats, figures=figures)


if __name__ == "__main__":
    sys.exit(main())
