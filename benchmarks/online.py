"""Online serving: a simulation beside Qlib's, a day's routine as the history grows, and a question to a long ledger.

    python benchmarks/online.py [--peer-python PATH] [--repeats 5] [--days 60] [--only PART] [--json FILE]

`simulate`: `OnlineManager.simulate` over 60 sessions on both sides, 100 instruments x 1,500 sessions, Alpha158, windows
of 20 sessions, LightGBM with 100 rounds on one thread, the two signal records; both in a fresh folder and process, from
the first line that makes a manager to the signals. Seconds inside `lightgbm.train` are taken off on both sides; imports
are on neither. Qlib keeps its handler on the disk for all windows. `days`: the market comes in session by session in
one process; days that train are left out. `past`: a day of a serving with 10 and with 200 past windows of a linear
model. `audit`: what was live on a session, asked of a ledger of 10,000 entries in SQLite by one that read nothing yet.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import machine
import report
from rolling import MARKETS, task_of

HERE: Final = Path(__file__).parent
QLIB: Final = "pyqlib 0.9.7"
LAST: Final = "2025-03-31"
STEP: Final = 20
ROUNDS: Final = 100


class Bench:
    """A market, and what is run on it in fresh folders."""

    def __init__(self, folder: Path, days: int) -> None:
        self.folder, self.count = folder, days
        self.market = folder / "market"
        instruments, sessions = MARKETS["S"]
        request = {"task": "market", "folder": str(self.market), "instruments": instruments, "sessions": sessions}
        machine.run([sys.executable, HERE / "features_child.py", json.dumps(request)])
        self.days = (self.market / "calendars/day.txt").read_text().split()
        self.last = self.days.index(LAST)
        self.begin = self.days[self.last - days + 1]

    def request(self, folder: Path, task: str, **more: Any) -> dict[str, Any]:
        """Return what a child is asked."""
        return {
            "task": task, "folder": str(folder), "market": str(self.market), "step": STEP, "begin": self.begin,
            "end": LAST, "days": self.count, **more,
        }  # fmt: skip

    def run(self, python: Path | str, script: str, task: str, **more: Any) -> dict[str, Any]:
        """Run a child in a fresh folder; return what it printed."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "rollwright.toml").write_text(
            f'[data]\nprovider_uri = "{folder if task == "days" else self.folder}/market"\nregion = "cn"\n'
        )
        command = [python, HERE / script, json.dumps(self.request(folder, task, **more))]
        try:
            return machine.run(command, cwd=folder, memory=False).answer
        finally:
            shutil.rmtree(folder)


def simulations(bench: Bench, repeats: int, peer: Path | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure both sides' simulation."""
    task = task_of(ROUNDS, segments=SEGMENTS | {"test": [bench.begin, LAST]})
    sides: dict[str, Any] = {
        "ours": lambda: bench.run(sys.executable, "online_child.py", "simulate", task_config=task),
    }
    if peer is not None:
        sides["peer"] = lambda: bench.run(peer, "online_peer.py", "simulate", task_config=task, cached=True)
    found = machine.interleaved(sides, repeats)
    rest = {name: [one["wall"] - one["fits"] for one in each] for name, each in found.items()}
    for name, each in rest.items():
        print(f"  {name}: {statistics.median(each):.2f} s outside {found[name][0]['fit_count']} fits", flush=True)
    if peer is None:
        return [], found
    ratios = [theirs / ours for ours, theirs in zip(rest["ours"], rest["peer"], strict=True)]
    work = "simulate 60 sessions, step 20, not the fits: Qlib's wall over ours"
    return [report.row(work, ratios, 10, at_least=True, unit="x", case="S", against=QLIB)], found


SEGMENTS: Final = {"train": ["2020-03-02", "2022-12-30"], "valid": ["2023-01-03", "2023-07-31"]}


def days(bench: Bench, repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure the routine of each day."""
    task = task_of(ROUNDS, segments=SEGMENTS | {"test": [bench.begin, LAST]})
    taken, growth, found = [], [], []
    for _ in range(repeats):
        answer = bench.run(sys.executable, "online_child.py", "days", task_config=task)
        found.append(answer)
        kept = [
            (number, day) for number, (day, trained) in enumerate(zip(answer["days"], answer["trained"], strict=True))
            if not trained
        ]  # fmt: skip
        walls = [day["wall"] for number, day in kept if number >= 5]
        taken.append(statistics.median(walls))
        early = statistics.median(day["cpu"] for number, day in kept if 2 <= number < 10)
        late = statistics.median(day["cpu"] for number, day in kept if number >= bench.count - 8)
        growth.append(late / early)
    return [
        report.row("a day's routine without training, wall", taken, 1, at_least=False, unit=" s", case="S"),
        report.row("the last days' CPU over that of days 3 to 10", growth, 1.2, at_least=False, unit="x", case="S"),
    ], {"days": found}


def past(bench: Bench, repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure what past models cost a day."""
    ratios, found = [], []
    for _ in range(repeats):
        each = {windows: bench.run(sys.executable, "online_child.py", "past", windows=windows) for windows in (10, 200)}
        found.append(each)
        ratios.append(each[200]["cpu"] / each[10]["cpu"])
    work = "a day's CPU with 200 past windows over that with 10"
    return [report.row(work, ratios, 1.2, at_least=False, unit="x", case="S")], {"past": found}


def audit(bench: Bench, repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure a question to a ledger of 10,000 entries."""
    answer = bench.run(sys.executable, "online_child.py", "audit", entries=10_000, questions=10 * repeats)
    work = "what was live on a session, of 10,000 entries, wall"
    return [report.row(work, answer["seconds"], 0.1, at_least=False, unit=" s")], {"audit": answer}


PARTS: Final = {"days": days, "past": past, "audit": audit}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--only", choices=("simulate", *PARTS), action="append")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin()
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.days)
        if not options.only or "simulate" in options.only:
            made, figures["simulate"] = simulations(bench, options.repeats, options.peer_python)
            rows += made
        for name, measure in PARTS.items():
            if not options.only or name in options.only:
                made, more = measure(bench, options.repeats)
                rows, figures = rows + made, figures | more
    return report.finish(
        "online", rows, path=options.json, repeats=options.repeats, peer_python=options.peer_python, figures=figures
    )


if __name__ == "__main__":
    raise SystemExit(main())
