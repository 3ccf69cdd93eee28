"""One window in eight shards by seeds: what two workers make of it beside one, and what dividing costs.

    python benchmarks/shards.py [--case S] [--rounds 150] [--repeats 5] [--json FILE]

Alpha158 and LightGBM on one thread, one window: whole commands in fresh projects on the same two cores, by turns, from
their start to their end with imports, features and the report. `one` has one worker and `two` has two; `sequential` is
the task of the file trained without a pool, its shards one after another. The time that is compared is that from the
first fit to the end; CPU is that of all processes.
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

SHARDS: Final = 8
SIDES: Final[dict[str, tuple[str, ...]]] = {
    "one": ("roll", "-j", "1"), "two": ("roll", "-j", "2"), "sequential": ("run",),
}  # fmt: skip


def train(bench: rolling.Bench, verb: str, options: tuple[str, ...], rounds: int) -> rolling.Side:
    """Train in a fresh project."""
    folder = bench.project()
    try:
        step = None if verb == "run" else 10**6
        file = bench.write(folder, rolling.task_of(rounds), step=step)
        campaign: dict[str, Any] = json.loads(file.read_text())
        file.write_text(json.dumps({**campaign, "shards": {"by": "seeds", "count": SHARDS}}))
        return bench.ours(folder, verb, file, *options)
    finally:
        shutil.rmtree(folder)


def compare(found: dict[str, list[rolling.Side]], case: str) -> list[dict[str, Any]]:
    """Return the rows."""
    after = {name: [side.wall - side.first for side in sides] for name, sides in found.items()}
    speed = [one / two for one, two in zip(after["one"], after["two"], strict=True)]
    cost = [two.cpu / one.cpu for one, two in zip(found["one"], found["two"], strict=True)]
    pool = [one.cpu / alone.cpu for one, alone in zip(found["one"], found["sequential"], strict=True)]
    return [
        report.row(
            "a window in 8 shards, one worker / two, from the first fit on", speed, 1.6, at_least=True, unit="x",
            case=case, against="one worker",
        ),
        report.row(
            "CPU of two workers / of one", cost, 1.15, at_least=False, unit="x", case=case, against="one worker"
        ),
        report.row(
            "CPU of a campaign in shards / of its task without a pool", pool, 1.3, at_least=False, unit="x", case=case,
            against="the task trained without a pool",
        ),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=rolling.MARKETS, default="S")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin()
    with tempfile.TemporaryDirectory() as folder:
        bench = rolling.Bench(Path(folder), options.case, None)
        sides = {
            name: lambda verb=verb, more=tuple(more): train(bench, verb, more, options.rounds)
            for name, (verb, *more) in SIDES.items()
        }
        found = machine.interleaved(sides, options.repeats)
    figures = rolling.show(found)
    rows = compare(found, options.case)
    return report.finish("shards", rows, path=options.json, repeats=options.repeats, figures=figures)


if __name__ == "__main__":
    sys.exit(main())
