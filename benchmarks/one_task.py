"""One task from its definition to its records, all but the fit: `rollwright run` beside Qlib's `task_train`.

    python benchmarks/one_task.py [--case S M] [--peer-python PATH] [--repeats 5] [--json FILE]

Alpha158, LightGBM of 20 rounds on one thread, the two signal records; no back-test on either side. Each side is a whole
command in a fresh folder, imports included, pinned to the same two cores, by turns; the fit is timed inside both and
taken off. Memory is the highest PSS of the process tree. The peer needs 9 GB on M, and minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import machine
import report
import rolling

SEGMENTS: Final = {
    "S": rolling.SEGMENTS,
    "M": {
        "train": ["2020-06-01", "2026-12-31"],
        "valid": ["2027-01-04", "2027-12-31"],
        "test": ["2028-01-03", "2029-07-30"],
    },
}
LAST: Final = {"S": "2025-09-30", "M": "2029-07-31"}
MEMORY: Final = {"S": 0.5, "M": 1 / 3}
CPU_TARGET: Final = 8


def task_of(case: str) -> dict[str, Any]:
    """Return the task, over all of the market's sessions."""
    task = rolling.task_of(20, segments=SEGMENTS[case])
    task["dataset"]["kwargs"]["handler"]["kwargs"]["end_time"] = LAST[case]
    return task


def ours(bench: rolling.Bench, case: str) -> rolling.Side:
    """Run the task in a fresh project."""
    folder = bench.project()
    try:
        return bench.ours(folder, "run", bench.write(folder, task_of(case), step=None), memory=True)
    finally:
        shutil.rmtree(folder)


def peers(bench: rolling.Bench, case: str) -> rolling.Side:
    """Run the task with Qlib in a fresh folder."""
    folder = bench.project()
    request = {"market": str(bench.market), "task": task_of(case), "step": None, "cached": False}
    try:
        return rolling.measure([bench.peer, rolling.PEER, json.dumps(request)], folder, memory=True)
    finally:
        shutil.rmtree(folder)


def compare(found: dict[str, list[rolling.Side]], case: str) -> list[dict[str, Any]]:
    """Return the rows of one case."""
    if "peer" not in found:
        return []
    pairs = list(zip(found["ours"], found["peer"], strict=True))
    rows = [
        report.row(
            f"one task, not the fit: Qlib's {kind} over ours",
            [getattr(their, f"rest_{kind}") / getattr(own, f"rest_{kind}") for own, their in pairs],
            CPU_TARGET, at_least=True, unit="x", case=case, against=rolling.QLIB,
        )
        for kind in ("cpu", "wall")
    ]  # fmt: skip
    shares = [own.pss / their.pss for own, their in pairs]
    what = "one task: our highest PSS over Qlib's"
    return [*rows, report.row(what, shares, MEMORY[case], at_least=False, unit="x", case=case, against=rolling.QLIB)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=SEGMENTS, nargs="+", default=[*SEGMENTS])
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin()
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    for case in options.case:
        print(f"{case}:")
        with tempfile.TemporaryDirectory() as folder:
            bench = rolling.Bench(Path(folder), case, options.peer_python)
            sides: dict[str, Any] = {"ours": lambda bench=bench, case=case: ours(bench, case)}
            if options.peer_python:
                sides["peer"] = lambda bench=bench, case=case: peers(bench, case)
            found = machine.interleaved(sides, options.repeats)
        figures[case] = rolling.show(found)
        rows += compare(found, case)
    return report.finish(
        "one_task", rows, path=options.json, repeats=options.repeats, peer_python=options.peer_python, figures=figures
    )


if __name__ == "__main__":
    sys.exit(main())
