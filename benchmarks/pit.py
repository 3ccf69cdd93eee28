"""What expressions by period cost (`P`) beside Qlib's, and a large market: time and memory.

    python benchmarks/pit.py [--case S] [--case L] [--peer-python PATH] [--repeats 5] [--json FILE]

S is 1, 10 and 30 expressions on 100 instruments x 1,500 sessions, L is 30 on 3,000 x 2,500; in both each instrument has
60 quarters of three fields, of which every fifth is restated. The files are one folder in Qlib's format, which both
sides read. Qlib needs about half an hour for the thirty on S, so its side is scaled down: the same expressions on the
last `PEER_SESSIONS` sessions of `PEER_INSTRUMENTS` instruments, of which it reads the same files for each day; compared
are times for each instrument, day and expression. Times are those of the call alone, in a process of its own on the
same two cores, by turns; CPU time is that of all its processes. Memory is the highest PSS of the process tree.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import machine
import report

CHILD: Final = Path(__file__).with_name("pit_child.py")
PEER: Final = Path(__file__).with_name("parity") / "pit_peer.py"
CORES: Final = 2
QUARTERS: Final = 60
PEER_INSTRUMENTS: Final = 4
PEER_SESSIONS: Final = {1: 500, 10: 120, 30: 60}
CELL: Final = 0.3
"""Microseconds of CPU that a cell may take, of thirty expressions."""
LESS: Final = 1500
"""How many times less CPU than the peer's a cell takes."""
LARGE_SECONDS: Final = 60
LARGE_GIB: Final = 4


def write_market(folder: str, *, instruments: int, sessions: int) -> None:
    """Write the market of a case."""
    size = {"instruments": instruments, "sessions": sessions, "quarters": QUARTERS}
    machine.run([sys.executable, CHILD, json.dumps({"task": "market", "folder": folder, **size})])


def run_ours(folder: str, count: int) -> machine.Cost:
    """Compute the first `count` expressions on the whole market."""
    request = {"task": "features", "folder": folder, "count": count, "kernels": CORES}
    return machine.run([sys.executable, CHILD, json.dumps(request)])


def run_peer(peer: Path, folder: str, count: int) -> machine.Cost:
    """Compute them with Qlib, on a part of the market."""
    days = Path(folder, "calendars", "day.txt").read_text().split()
    request = {
        "folder": folder, "count": count, "kernels": CORES, "start": days[-PEER_SESSIONS[count]],
        "instruments": [f"SX{number:05d}" for number in range(PEER_INSTRUMENTS)],
    }  # fmt: skip
    return machine.run([peer, PEER, json.dumps(request)])


def micros(cost: machine.Cost) -> float:
    """Return the CPU time of a cell in microseconds."""
    return 1e6 * float(cost.answer["cpu"]) / int(cost.answer["cells"])


def compare_small(peer: Path | None, repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return rows and figures of the case S."""
    rows: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_market(folder, instruments=100, sessions=1500)
        for count in PEER_SESSIONS:
            sides: dict[str, Any] = {"ours": lambda count=count: run_ours(folder, count)}
            if peer is not None:
                sides["peer"] = lambda count=count: run_peer(peer, folder, count)
            found = machine.interleaved(sides, repeats)
            kept[str(count)] = {
                side: {"wall": machine.summary([cost.answer["wall"] for cost in costs]),
                       "cpu": machine.summary([cost.answer["cpu"] for cost in costs]),
                       "cells": costs[0].answer["cells"], "cell_us": machine.summary([micros(one) for one in costs])}
                for side, costs in found.items()
            }  # fmt: skip
            case = f"S, {count} expression{'s' * (count > 1)}"
            if count == max(PEER_SESSIONS):
                each = [micros(cost) for cost in found["ours"]]
                rows.append(report.row("CPU time of a cell", each, CELL, at_least=False, unit=" us", case=case))
            if peer is not None:
                ratios = [micros(other) / micros(own) for own, other in zip(found["ours"], found["peer"], strict=True)]
                what = "the peer's CPU time of a cell over ours"
                rows.append(report.row(what, ratios, LESS, at_least=True, unit="x", case=case, against="pyqlib 0.9.7"))
    return rows, kept


def measure_large(repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return rows and figures of the case L."""
    with tempfile.TemporaryDirectory() as folder:
        write_market(folder, instruments=3000, sessions=2500)
        costs = [run_ours(folder, max(PEER_SESSIONS)) for _ in range(repeats)]
    case = "L, 30 expressions"
    rows = [
        report.row("from the call to the frame", [cost.answer["wall"] for cost in costs], LARGE_SECONDS,
                   at_least=False, unit=" s", case=case),
        report.row("highest PSS", [cost.pss / (1 << 30) for cost in costs], LARGE_GIB,
                   at_least=False, unit=" GiB", case=case),
    ]  # fmt: skip
    kept = {"cpu": machine.summary([cost.answer["cpu"] for cost in costs]), "cells": costs[0].answer["cells"]}
    return rows, kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("S", "L"), action="append")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin(CORES)
    rows: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}
    began = time.perf_counter()
    for name in options.case or ["S", "L"]:
        print(f"{name}: expressions by period")
        taken = compare_small(options.peer_python, options.repeats) if name == "S" else measure_large(options.repeats)
        rows += taken[0]
        kept[name] = taken[1]
        print(f"  {json.dumps(taken[1])}")
    print(f"took {time.perf_counter() - began:.0f} s")
    return report.finish(
        "pit", rows, path=options.json, repeats=options.repeats, peer_python=options.peer_python, figures=kept
    )


if __name__ == "__main__":
    raise SystemExit(main())
