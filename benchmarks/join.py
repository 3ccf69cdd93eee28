"""A worker host joins a campaign that runs: from the start of the command to its first window.

    python benchmarks/join.py [--instruments 500] [--sessions 1000] [--repeats 5] [--json FILE]

`worker join` of a signed bundle by a host that never had it (it verifies, unpacks, and compares every file of the
market data), by one that had it, and, as the peer of the same run, `worker run` in the project itself. A window that
begins is told on stderr; then the worker is interrupted and gives it back. Wall time means a quiet machine; CPU, beside
it, is that of the command and its slots until then. A missed target ends the program with 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import finished
import machine
import report

MOST = 5.0  # seconds from the command to its first window
DEARER = 2.0  # a first join / a worker in the project
WINDOWS = 200


def environment(home, **values):
    """Return the environment of a host whose user has the home `home`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "ROLLWRIGHT_CLUSTER__ONE_MACHINE": "true", **values}


def begin(folder, home, *arguments):
    """Run a command until its first window begins, and interrupt it; return wall and CPU seconds until then."""
    begun = time.perf_counter()
    worker = subprocess.Popen(
        [sys.executable, "-m", "rollwright", *map(str, arguments)],
        cwd=folder, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    told = []
    for line in worker.stderr:
        told.append(line)
        if line.rstrip().endswith("started"):
            break
    else:
        raise SystemExit(f"{arguments} began no window:\n{''.join(told)[-3000:]}")
    wall = time.perf_counter() - begun
    cpu = machine_seconds(worker.pid)
    worker.send_signal(signal.SIGINT)
    worker.communicate(timeout=120)
    return wall, cpu


def machine_seconds(pid):
    """Return the CPU seconds of a process and those below it."""
    import psutil  # noqa: PLC0415 - rollwright brings it

    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def make(folder, home, options):
    """Make a project whose campaign was begun and left, and its bundle."""
    folder.mkdir()
    (folder / "rollwright.toml").write_text("")
    run = [sys.executable, "-m", "rollwright"]
    size = ("--instruments", str(options.instruments), "--sessions", str(options.sessions))
    subprocess.run([*run, "data", "demo", "--out", "market", *size], cwd=folder, env=environment(home), check=True,
                   capture_output=True)  # fmt: skip
    sessions = (folder / "market" / "calendars" / "day.txt").read_text().split()
    test = sessions[-WINDOWS - 3 : -3]
    text = finished.CAMPAIGN.format(
        windows=WINDOWS, train=f"{sessions[60]}, {sessions[-WINDOWS - 4]}", test=f"{test[0]}, {test[-1]}", step=1
    )
    (folder / "campaign.yaml").write_text(text)
    begin(folder, home, "roll", "campaign.yaml", "-j", "1")
    bundle = folder.parent / "campaign.bundle"
    name = f"windows{WINDOWS}"
    subprocess.run([*run, "cluster", "bundle", name, "--out", str(bundle)], cwd=folder, env=environment(home),
                   check=True, capture_output=True)  # fmt: skip
    return name, bundle


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instruments", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    machine.pin()
    case = f"{options.instruments:,} instruments, {options.sessions:,} sessions"
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        home, host = base / "home", base / "host"
        home.mkdir()
        name, bundle = make(base / "project", home, options)
        market = base / "project" / "market"
        elsewhere = base / "elsewhere"
        elsewhere.mkdir()

        def join_first():
            shutil.rmtree(host, ignore_errors=True)
            keys = Path(".local") / "share" / "rollwright"
            shutil.copytree(home / keys, host / keys, ignore=shutil.ignore_patterns("bundles"))
            return begin(elsewhere, host, "worker", "join", bundle, "--data", market, "-j", "1")

        sides = {
            "first": join_first,
            "again": lambda: begin(elsewhere, host, "worker", "join", bundle, "--data", market, "-j", "1"),
            "run": lambda: begin(base / "project", home, "worker", "run", name, "-j", "1"),
        }
        costs = machine.interleaved(sides, options.repeats)
    how = {"at_least": False, "unit": " s", "case": case}
    rows = []
    for side, told in (("first", "a first join"), ("again", "a later join"), ("run", "`worker run` in the project")):
        walls, cpus = zip(*costs[side], strict=True)
        rows.append(report.row(f"{told} to its first window, wall", walls, MOST, **how))
        rows.append(report.row(f"{told} to its first window, CPU", cpus, MOST, **how))
    ratios = [first[1] / run[1] for first, run in zip(costs["first"], costs["run"], strict=True)]
    rows.append(
        report.row("a first join / `worker run` in the project, CPU", statistics.median(ratios), DEARER,
                   at_least=False, unit="x", case=case, against="the same worker without a bundle")
    )  # fmt: skip
    return report.finish("join", rows, path=options.json, repeats=options.repeats)


if __name__ == "__main__":
    sys.exit(main())
