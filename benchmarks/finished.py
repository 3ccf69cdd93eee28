"""`roll` of a campaign that is finished: what a user waits for who gives the command again.

    python benchmarks/finished.py [--windows 8 200] [--repeats 3] [--json FILE]

The demo's market and windows short enough to make that many; the `roll` that trains them is not counted. Targets, wall
time on a quiet machine: 1.2 s for 8 windows, 2 for 200. CPU is that of all processes: a finished campaign starts none.
A missed target ends the program with 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import report

TARGETS = {8: 1.2, 200: 2.0}
STEPS = {8: 60, 200: 2}  # sessions a window moves


def roll(folder, *arguments):
    """Run a command; return wall and CPU seconds of all its processes."""
    begun, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, "-m", "rollwright", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, cpu


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, nargs="+", choices=STEPS, default=[*STEPS])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    rows = []
    for windows in given.windows:
        with tempfile.TemporaryDirectory() as root:
            roll(root, "demo", "--dir", "d", "-j", "2")
            folder = Path(root) / "d"
            command = [
                "roll", "demo.yaml", f"experiment_name=many{windows}", f"rolling.step={STEPS[windows]}",
                "task.model.kwargs.num_boost_round=1",
            ]  # fmt: skip
            roll(folder, *command, "-j", "2")
            costs = [roll(folder, *command) for _ in range(given.repeats)]
        walls, cpus = zip(*costs, strict=True)
        case = f"{windows:,} windows"
        rows.append(
            report.row(
                "finished campaign given again, wall", walls, TARGETS[windows], at_least=False, unit=" s", case=case
            )
        )
        rows.append(report.row("the same, CPU", cpus, TARGETS[windows], at_least=False, unit=" s", case=case))
    return report.finish("finished", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
