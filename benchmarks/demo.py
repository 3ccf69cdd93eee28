"""The demo in a fresh folder: what somebody waits for who tries rollwright for the first time.

    python benchmarks/demo.py [--repeats 5] [--json FILE]

The whole command with two workers on two cores: market, features, eighteen models of three members, their signal,
back-test, report, audit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import machine
import report

LIMIT = 12


def demo() -> machine.Cost:
    """Run the demo in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rollwright", "demo", "--dir", "d", "-j", "2"]
        return machine.run_command(command, cwd=Path(folder), env={"PYTHONDONTWRITEBYTECODE": ""})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin()
    costs = [demo() for _ in range(options.repeats)]
    walls, cpus = [cost.wall for cost in costs], [cost.cpu for cost in costs]
    rows = [
        report.row("demo in a fresh folder, wall", walls, LIMIT, at_least=False, unit=" s"),
        report.row("the same, CPU of all processes", cpus, 2 * LIMIT, at_least=False, unit=" s"),
    ]
    return report.finish("demo", rows, path=options.json, repeats=options.repeats)


if __name__ == "__main__":
    sys.exit(main())
