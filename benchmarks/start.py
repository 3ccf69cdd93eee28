"""What a command costs that only looks: the CPU of the whole process, from its start to its end.

    python benchmarks/start.py [--repeats 5] [--json FILE]

In a project whose demo has run. Target: 0.4 CPU-seconds each, the median; a missed target ends the program with 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import report

LIMIT = 0.4
COMMANDS = (
    ("--help",),
    ("cache", "ls"),
    ("pool", "ls"),
    ("pool", "stat", "demo"),
    ("pool", "tasks", "demo"),
    ("track", "status"),
    ("config", "show"),
    ("status",),
    ("plan", "demo.yaml"),
)


def cost(arguments, folder):
    """Return the CPU seconds of one command."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rollwright", *arguments],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process.stderr:
        said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{said[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    rows = []
    with tempfile.TemporaryDirectory() as root:
        cost(("demo", "--dir", "d"), root)
        folder = Path(root) / "d"
        for command in COMMANDS:
            times = [cost(command, folder) for _ in range(given.repeats)]
            what = f"`rollwright {' '.join(command)}`, CPU"
            rows.append(report.row(what, times, LIMIT, at_least=False, unit=" s"))
    return report.finish("start", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
