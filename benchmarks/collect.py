"""Collecting windows: RecorderCollector and RollingGroup against Qlib's, and combining members.

    python benchmarks/collect.py --peer-python PATH [--windows 200] [--repeats 5] [--json FILE]

Both sides record the same predictions (200 windows of 20 sessions and 300 instruments, with the task that names the
window) with their own trackers on a SQLite database of MLflow, and collect them with the same lines: keys from the
task, `RollingGroup`, one joined frame, which must be the same. Ours also proves that each window predicted what it
announced, and that no session is missing between two. Each repeat is a new process, one side after the other.
Targets: a tenth of Qlib's time, the median of the ratios; ten members of 500 names and 2,500 days combined in 1.5
seconds of CPU by each ensemble.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import report

HERE = Path(__file__).parent
CHILD = HERE / "collect_child.py"
TARGET = 10.0
COMBINED = 1.5


def run(python, side, verb, folder, windows):
    """Return what a child of that side prints as its last line."""
    command = [python, CHILD, side, verb, "--folder", folder, "--windows", str(windows)]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} {verb} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, help="the interpreter of an environment with pyqlib 0.9.7")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as root:
        sides = {"ours": sys.executable} | ({"peer": given.peer_python} if given.peer_python else {})
        for side, python in sides.items():
            run(python, side, "record", Path(root) / side, given.windows)
        taken = [
            {side: run(python, side, "collect", Path(root) / side, given.windows) for side, python in sides.items()}
            for _ in range(given.repeats)
        ]
        figures = {side: [[each[side]["seconds"], each[side]["cpu"]] for each in taken] for side in sides}
        if given.peer_python:
            if any(each["ours"]["digest"] != each["peer"]["digest"] for each in taken):
                raise SystemExit("the two sides collected different predictions")
            rows += [
                report.row(
                    f"collecting windows, how many times faster{mark}",
                    [each["peer"][what] / each["ours"][what] for each in taken],
                    TARGET,
                    at_least=True,
                    unit="x",
                    case=f"{given.windows} windows",
                    against="pyqlib 0.9.7",
                )
                for what, mark in (("seconds", ""), ("cpu", ", CPU"))
            ]
        combined = [run(sys.executable, "ours", "combine", Path(root), given.windows) for _ in range(given.repeats)]
        rows += [
            report.row(
                f"{name}, CPU",
                [each[name] for each in combined],
                COMBINED,
                at_least=False,
                unit=" s",
                case="10 members, 500 names, 2,500 days",
            )
            for name in combined[0]
        ]
    return report.finish(
        "collect", rows, path=given.json, repeats=given.repeats, peer_python=given.peer_python, figures=figures
    )


if __name__ == "__main__":
    sys.exit(main())
