"""The serving API: how often the latest signal of 5,000 names is answered by one core, and how soon.

    python benchmarks/serving_api.py [--json benchmarks/results/serving_api.json]

The server is a process of its own on one core, over a ledger on SQLite. Sixteen connections ask as fast as they are
answered, from the other core; they count bytes and parse nothing but the head. "beside a routine": meanwhile a third
process, which has the core of the client at a lower priority, appends whole days to the same ledger, so that the server
finds and renders another signal every half second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import pandas as pd
import report
import uvloop

from rollwright.app.online.serve import ServingReader
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.signal_store import take_scores
from rollwright.online.state import SignalReference, StrategyState
from rollwright.pool.urls import store_from_url
from rollwright.web.server import ListenAddress, run_server

CONNECTIONS = 16
NAMES = 5_000
RATE = 2_000
SLOWEST = 10.0
ASKED = {
    "JSON, gzip": b"/v1/servings/bench/signal\r\naccept-encoding: gzip",
    "JSON": b"/v1/servings/bench/signal",
    "Arrow": b"/v1/servings/bench/signal\r\naccept: application/vnd.apache.arrow.stream",
}
THROUGH_FRAMEWORK = b"/v1/servings/bench/signal?format=json\r\naccept-encoding: gzip"


class StoredScores:
    """Scores of the bench: made from the session, so that two processes agree without an artifact."""

    def load(self, reference):
        return make_scores(reference.artifact)


def make_scores(session):
    generator = np.random.default_rng(int(session.replace("-", "")))
    names = [f"SH{600_000 + number}" for number in range(NAMES)]
    return pd.Series(generator.standard_normal(NAMES), index=pd.Index(names, name="instrument"), name="score")


def open_ledger(folder):

    store = store_from_url(f"sqlite:///{folder}/pool.db")
    store.migrate()
    return ServingLedger("bench", store)


def serve_day(ledger, session):
    """Append the entries of one day."""

    _, digest = take_scores(make_scores(session), session)
    signal = SignalReference(recorder="0" * 32, artifact=session, sha256=digest, rows=NAMES).to_json()
    for draft in (
        Draft(kind="open", session=session, body={"generation": "g", "known": 1}),
        Draft(kind="switch", session=session, body={"models": {}}),
        Draft(kind="score", session=session, body={"scores": {"lgb": signal}, "signal": signal}),
        Draft(kind="publish", session=session, body={"signal": signal, "checks": []}),
    ):
        ledger.append(lambda _, draft=draft: draft)


def sessions_from(start, count):
    return [f"{day:%Y-%m-%d}" for day in pd.bdate_range(start, periods=count)]


def serve_until_killed(folder):
    """Serve until the input ends; the port is the first line of the output."""

    reader = ServingReader(open_ledger(folder), StoredScores())
    run_server([reader], ListenAddress(port=0), tell=lambda url: print(url.rpartition(":")[2], flush=True))


def run_routine(folder):
    """Serve days until killed: what a routine does to the ledger, and more often."""
    os.nice(10)
    ledger = open_ledger(folder)
    done = ledger.read_state().published
    for session in sessions_from(pd.Timestamp(done) + pd.Timedelta(days=1), 100_000):
        serve_day(ledger, session)
        time.sleep(0.5)


class Client(asyncio.Protocol):
    """One connection: asks again as soon as it is answered."""

    def __init__(self, request, ends_at, latencies, ended):
        self.request, self.ends_at, self.latencies, self.ended = request, ends_at, latencies, ended
        self.head, self.left = b"", 0

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self):
        self.asked_at = time.perf_counter()
        self.head, self.left = b"", None
        self.transport.write(self.request)

    def data_received(self, data):
        if self.left is None:
            self.head += data
            head, found, rest = self.head.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 200"), head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.left = int(length) - len(rest)
        else:
            self.left -= len(data)
        if self.left > 0:
            return
        now = time.perf_counter()
        self.latencies.append(now - self.asked_at)
        if now >= self.ends_at:
            self.transport.close()
        else:
            self.ask()

    def connection_lost(self, exc):
        self.ended.set_result(exc)


async def ask_for(port, asked, seconds):
    """Return the latencies of all answers within `seconds`."""
    target, _, more = asked.partition(b"\r\n")
    lines = [b"GET %s HTTP/1.1" % target, b"host: 127.0.0.1:%d" % port, *([more] if more else []), b"", b""]
    head = b"\r\n".join(lines)
    loop, latencies, ends = asyncio.get_running_loop(), [], []
    ends_at = time.perf_counter() + seconds
    for _ in range(CONNECTIONS):
        ended = loop.create_future()
        ends.append(ended)
        await loop.create_connection(lambda ended=ended: Client(head, ends_at, latencies, ended), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return latencies


def measure(server, asked, seconds):
    """Return requests a second, requests a CPU second of the server, and the ms that one in a hundred exceeds."""
    before = cpu_of(server.pid)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        latencies = sorted(runner.run(ask_for(server.port, asked, seconds)))
    used = cpu_of(server.pid) - before
    return len(latencies) / seconds, len(latencies) / used, latencies[int(len(latencies) * 0.99)] * 1e3


def cpu_of(pid):
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    parser.add_argument("--routine", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    if given.server:
        serve_until_killed(given.server)
        return 0
    if given.routine:
        run_routine(given.routine)
        return 0
    cores = machine.pin()
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(folder)
        begin(ledger)
        for session in sessions_from("2024-01-02", 20):
            serve_day(ledger, session)
        with Started(cores[0], "--server", folder) as server:
            server.port = int(server.stdout.readline())
            os.sched_setaffinity(0, {cores[-1]})
            measure(server, ASKED["JSON"], 0.5)
            for name, asked in ASKED.items():
                rows += judge(name, [measure(server, asked, given.seconds) for _ in range(given.repeats)])
            with Started(cores[-1], "--routine", folder):
                found = [measure(server, ASKED["JSON, gzip"], given.seconds) for _ in range(given.repeats)]
                rows += judge("JSON, gzip, beside a routine", found)
            days = ledger.read_head().number
            framework = [measure(server, THROUGH_FRAMEWORK, given.seconds)[1] for _ in range(given.repeats)]
            figures = {"through_framework_per_cpu_second": statistics.median(framework), "entries_at_the_end": days}
            through = figures["through_framework_per_cpu_second"]
            print(f"  through FastAPI: {through:.0f} requests a CPU second; {days} entries at the end")
    return report.finish("serving_api", rows, path=given.json, repeats=given.repeats, figures=figures)


def begin(ledger):

    strategies = {"lgb": StrategyState(role="champion", definition="d").to_json()}
    ledger.append(lambda _: Draft(kind="init", session="2024-01-02", body={"strategies": strategies}))


def judge(case, found):
    rates, capacity, slow = ([one[place] for one in found] for place in range(3))
    return [
        report.row("requests a second, one core", rates, RATE, at_least=True, unit=" /s", case=case),
        report.row("requests a CPU second of the server", capacity, RATE, at_least=True, unit=" /s", case=case),
        report.row("99 of 100 within", slow, SLOWEST, at_least=False, unit=" ms", case=case),
    ]


class Started:
    """A process of this script, which is killed at the end of the block."""

    def __init__(self, core, *arguments):
        command = [sys.executable, __file__, *arguments, "--core", str(core)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
