"""Two models beside one over the same eight windows: what the second costs, all but the fit.

    python benchmarks/members.py [--case S] [--repeats 5] [--json FILE]

Alpha158 and LightGBM of 20 rounds on one thread: a campaign of one model, and one whose two members differ in their
leaves, combined into a signal. Each is a whole command with one worker in a fresh project on the same two cores, by
turns, from its start to its end with imports; the fits are timed inside (`fit_clock/`) and taken off. CPU is that of
all processes. The features are to be built once, however many members read them, and a task of two models is to cost
no more than a task of one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import machine
import report
import rolling

ROUNDS: Final = 20
MODELS: Final[dict[str, dict[str, Any]]] = {"one model": {}, "two models": {"model.kwargs.num_leaves": [31, 15]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """What a campaign took, how many tasks it had, and the files of features that it left."""

    side: rolling.Side
    tasks: int
    features: int


def roll(bench: rolling.Bench, vary: dict[str, Any]) -> Rolled:
    """Roll in a fresh project."""
    folder = bench.project()
    try:
        file = bench.write(folder, rolling.task_of(ROUNDS))
        if vary:
            file.write_text(json.dumps({**json.loads(file.read_text()), "vary": vary}))
        side = bench.ours(folder, "roll", file, "-j", "1")
        variants = json.loads((folder / "results" / "bench" / "summary.json").read_text())["variants"]
        kept = [path for path in (folder / ".rollwright" / "features").rglob("*") if path.is_file()]
        return Rolled(
            side=side,
            tasks=sum(variant["windows"] for name, variant in variants.items() if name != "combined"),
            features=sum(path.stat().st_size for path in kept),
        )
    finally:
        shutil.rmtree(folder)


def compare(found: dict[str, list[Rolled]], case: str) -> list[dict[str, Any]]:
    """Return the rows."""
    pairs = list(zip(found["one model"], found["two models"], strict=True))
    if any((one.tasks, two.tasks) != (rolling.TASKS, 2 * rolling.TASKS) for one, two in pairs):
        raise SystemExit(f"other tasks than asked for: {[(one.tasks, two.tasks) for one, two in pairs]}")
    rows = [
        report.row(
            "features that two models leave / one leaves", [two.features / one.features for one, two in pairs],
            1.0, at_least=False, unit="x", case=case, against="a campaign of one model",
        )
    ]  # fmt: skip
    for kind in ("cpu", "wall"):
        shares = [
            getattr(two.side, f"rest_{kind}") / two.tasks / (getattr(one.side, f"rest_{kind}") / one.tasks)
            for one, two in pairs
        ]
        work = f"a task of two models / of one, not the fit, {kind}"
        rows.append(
            report.row(work, shares, 1.0, at_least=False, unit="x", case=case, against="a campaign of one model")
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=rolling.MARKETS, default="S")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin()
    with tempfile.TemporaryDirectory() as folder:
        bench = rolling.Bench(Path(folder), options.case, None)
        sides = {name: lambda vary=vary: roll(bench, vary) for name, vary in MODELS.items()}
        found = machine.interleaved(sides, options.repeats)
    figures = rolling.show({name: [each.side for each in several] for name, several in found.items()})
    return report.finish(
        "members", compare(found, options.case), path=options.json, repeats=options.repeats, figures=figures
    )


if __name__ == "__main__":
    sys.exit(main())
