"""What Alpha158 costs from the market to a prepared dataset, beside Qlib; and what its second use costs.

    python benchmarks/handler.py [--case S] [--peer-python PATH] [--repeats 5] [--large] [--json FILE]

Both sides are processes pinned to the same two cores, run by turns. "call" is handler, dataset and three prepared
segments, without start-up; memory is the highest PSS of the process tree.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import machine
import numpy as np
import pandas as pd
import report

from rollwright.market.ingest.importer import import_market
from rollwright.testing.market import ArraySource, random_source

PARITY: Final = Path(__file__).with_name("parity")
sys.path.insert(0, str(PARITY))
from expression_market import write_market  # noqa: E402 - found through the path above

CASES: Final = {"XS": (20, 300), "S": (100, 1500), "M": (500, 2500)}
APPEND_SHARES: Final = {"XS": 40, "S": 8, "M": 3}
"""Most that an append may cost, in per cent of the build: some of it is the same for any market."""
CHILD: Final = Path(__file__).with_name("handler_child.py")
PEER: Final = PARITY / "handler_peer.py"
CORES: Final = 2
APPENDED: Final = 5
PROCESSES: Final = 4
COMPILED: Final = {"PYTHONDONTWRITEBYTECODE": ""}  # modules are compiled once, as where they are installed
SEGMENTS: Final = {
    "train": ["SESSION[100]", "SESSION[600]"],
    "valid": ["SESSION[610]", "SESSION[750]"],
    "test": ["SESSION[760]", "SESSION[990]"],
}
SHIFTED: Final = {
    "train": ["SESSION[150]", "SESSION[650]"],
    "valid": ["SESSION[660]", "SESSION[800]"],
    "test": ["SESSION[810]", "SESSION[990]"],
}
FETCHES: Final = [
    ["train", ["feature", "label"], "learn"],
    ["valid", ["feature", "label"], "learn"],
    ["test", "feature", "infer"],
]
WHOLE: Final = {"instruments": "all", "start_time": "SESSION[0]", "end_time": "SESSION[1000]"}


def case_of(segments: dict[str, Any]) -> dict[str, Any]:
    """Return the task as both sides understand it."""
    return {
        "name": "Alpha158", "kind": "handler", "handler": "Alpha158", "kwargs": WHOLE, "segments": segments,
        "fetches": FETCHES,
    }  # fmt: skip


class Bench:
    """One market, and the processes that are measured on it."""

    def __init__(self, folder: Path, source: ArraySource, peer: Path | None) -> None:
        self.folder = folder
        self.market = folder / "market"
        self.peer = peer
        self.rows = long_rows(source)
        self.sessions = [str(value)[:10] for value in source.calendar().values]
        early = self.rows["date"] <= np.datetime64(self.sessions[-1 - APPENDED])
        import_market(self.rows[early], self.market)

    def append(self) -> None:
        """Add the last sessions to the market."""
        import_market(self.rows, self.market)

    def ours(self, task: str, *, store: str, segments: dict[str, Any] | None = None, **more: Any) -> machine.Cost:
        """Run one of our tasks in a process of its own; a store that has not been used yet is empty."""
        request = {
            "task": task, "market": str(self.market), "store": str(self.folder / store), "kernels": CORES,
            "case": case_of(segments or SEGMENTS), **more,
        }  # fmt: skip
        return machine.run([sys.executable, CHILD, json.dumps(request)], env=COMPILED)

    def cold(self, task: str) -> machine.Cost:
        """The same with an empty store, which is thrown away afterwards."""
        try:
            return self.ours(task, store="cold")
        finally:
            shutil.rmtree(self.folder / "cold")

    def peers(self) -> machine.Cost:
        """Run the peer's process."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            request = Path(scratch) / "request.json"
            request.write_text(
                json.dumps(
                    {"provider": str(self.market), "cases": [case_of(SEGMENTS)], "kernels": CORES,
                     "answer": scratch, "timing": True}
                )
            )  # fmt: skip
            return machine.run([str(self.peer), PEER, request], env=COMPILED)


def long_rows(source: ArraySource) -> pd.DataFrame:
    """Return the market as rows, as an import takes it."""
    names, calendar = source.instruments(), source.calendar()
    values = source.load(source.fields, names, 0, len(calendar))
    bounds = source.bounds(names)
    place = np.arange(len(calendar))[:, None]
    session, column = np.nonzero((place >= bounds[:, 0]) & (place < bounds[:, 1]))
    rows = {"symbol": np.array(names, dtype=object)[column], "date": calendar.values[session]}
    return pd.DataFrame(rows | {field: values[i][session, column] for i, field in enumerate(source.fields)})


def beside_the_peer(bench: Bench, repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Compare the way from the market to a prepared dataset, call against call."""
    sides = {"ours": lambda: bench.cold("prepare")} | ({"peer": bench.peers} if bench.peer else {})
    found = machine.interleaved(sides, repeats)
    figures: dict[str, Any] = {}
    for name, costs in found.items():
        figures[name] = {
            "call_s": machine.summary([cost.answer["wall"] for cost in costs]),
            "process_s": machine.summary([cost.wall for cost in costs]),
            "process_cpu_s": machine.summary([cost.cpu for cost in costs]),
            "pss_mib": machine.summary([cost.pss / machine.MIB for cost in costs]),
            "pss_anonymous_mib": machine.summary([cost.pss_anonymous / machine.MIB for cost in costs]),
        }
        shown = {kind: figures[name][kind]["median"] for kind in figures[name]}
        print(f"  {name}: {shown}", flush=True)
    if "peer" not in found:
        return [], figures
    counts = [found[name][0].answer["rows"] for name in ("ours", "peer")]
    if counts[0] != counts[1]:
        raise SystemExit(f"the sides prepared different rows: {counts}")
    wall = [p.answer["wall"] / o.answer["wall"] for o, p in zip(found["ours"], found["peer"], strict=True)]
    pss = [o.pss / p.pss for o, p in zip(found["ours"], found["peer"], strict=True)]
    rows = [
        report.row("handler to prepared dataset: the peer's wall time over ours", wall, 10,
                    at_least=True, unit="x", against="pyqlib 0.9.7"),
        report.row("the same: our PSS over the peer's", pss, 0.5, at_least=False,
                    against="pyqlib 0.9.7"),
    ]  # fmt: skip
    return rows, figures


def again(bench: Bench, repeats: int, *, append_share: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Compare the second use of the features, and an append, with the first use."""
    found: dict[str, list[dict[str, float]]] = {}

    def note(name: str, answer: dict[str, float]) -> None:
        found.setdefault(name, []).append({kind: answer[kind] for kind in ("wall", "cpu")})

    for place in range(repeats):
        store = f"store{place}"
        first = bench.ours("fold", store=store, again=case_of(SHIFTED)).answer
        note("first", first)
        note("inside", first["again"])
        note("process", bench.ours("fold", store=store, segments=SHIFTED).answer)
        note("viewed", bench.ours("fold", store=store, segments=SHIFTED, key="infer").answer)
        note("built", bench.ours("open", store=f"{store}b").answer)
        shutil.copytree(bench.market, bench.folder / "kept")
        bench.append()
        note("grown", bench.ours("open", store=store).answer)
        shutil.rmtree(bench.market)
        (bench.folder / "kept").rename(bench.market)
        shutil.rmtree(bench.folder / f"{store}b")
        if place:
            shutil.rmtree(bench.folder / store)

    def shares(name: str, whole: str, kind: str) -> list[float]:
        return [100 * part[kind] / all_[kind] for part, all_ in zip(found[name], found[whole], strict=True)]

    works = (
        ("another window, same process: share of the first use", "inside", "first", 5),
        ("the same in another process, no processors", "viewed", "first", 5),
        ("another window, another process: share of the first use", "process", "first", 5),
        (f"append {APPENDED} sessions: share of the first build", "grown", "built", append_share),
    )
    rows = [
        report.row(
            work if kind == "wall" else f"{work}, CPU", shares(name, whole, kind), target, at_least=False, unit="%"
        )
        for work, name, whole, target in works
        for kind in ("wall", "cpu")
    ]
    figures = {
        f"{name}_{kind}_s": machine.summary([each[kind] for each in costs])
        for name, costs in found.items()
        for kind in ("wall", "cpu")
    }
    return rows, figures


def together(bench: Bench) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Compare the memory of four processes on one window with that of one.

    The features' files are counted alone: the libraries are shared with this very program, which would flatter one.
    """
    one, all_of_them = _held(bench, 1), _held(bench, PROCESSES)
    rows = [
        report.row(f"{PROCESSES} processes on one window: PSS of the features' files over one's",
                    all_of_them["features"] / one["features"], 1.2, at_least=False, unit="x")
    ]  # fmt: skip
    shown = {"one": one, "all": all_of_them}
    return rows, {name: {kind: round(n / machine.MIB, 1) for kind, n in each.items()} for name, each in shown.items()}


def _held(bench: Bench, count: int) -> dict[str, int]:
    request = {
        "task": "hold", "market": str(bench.market), "store": str(bench.folder / "store0"), "kernels": 1,
        "case": case_of(SEGMENTS),
    }  # fmt: skip
    command = [sys.executable, str(CHILD), json.dumps(request)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise SystemExit("a process that should hold its features has ended")
        return {
            "features": sum(machine.mapped(process.pid, bench.folder / "store0") for process in running),
            "files": sum(machine.smaps(process.pid).get("Pss_File", 0) for process in running),
            "private": sum(machine.smaps(process.pid).get("Pss_Anon", 0) for process in running),
        }
    finally:
        for process in running:
            process.communicate()


def into_lightgbm(bench: Bench) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Look at the private memory of a train segment on its way into a LightGBM Dataset."""
    answer = bench.ours("lightgbm", store="store0", copied=False).answer
    answer["construct_copied"] = bench.ours("lightgbm", store="store0", copied=True).answer["construct"]
    rows = [
        report.row("train segment as arrays, no processors: private memory over its size",
                    answer["fold"] / answer["size"], 0.1, at_least=False),
        report.row("train segment as arrays, default learn processors: the same",
                    answer["learn"] / answer["size"], 0.1, at_least=False),
        report.row("construct: what a forced copy adds to the peak, over the segment's size",
                    (answer["construct_copied"] - answer["construct"]) / answer["size"], 0.9, at_least=True),
    ]  # fmt: skip
    return rows, answer


def large(folder: Path, instruments: int, sessions: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Build Alpha158 on a big market and on a tenth of its instruments: bounded memory, linear time."""
    taken: dict[int, machine.Cost] = {}
    for count in (instruments // 10, instruments):
        market = folder / f"large{count}"
        write_market(random_source(np.random.default_rng(1), sessions=sessions, instruments=count), market)
        request = {"task": "open", "market": str(market), "store": str(folder / "large"), "kernels": CORES,
                   "case": case_of(SEGMENTS)}  # fmt: skip
        taken[count] = machine.run([sys.executable, CHILD, json.dumps(request)], env=COMPILED)
        shutil.rmtree(folder / "large")
        shutil.rmtree(market)
    small, big = taken.values()
    growth = (big.answer["wall"] / big.answer["rows"]) / (small.answer["wall"] / small.answer["rows"])
    rows = [
        report.row("highest PSS", big.pss / (1 << 30), 4, at_least=False, unit=" GiB"),
        report.row("time per row over that of a tenth of the instruments", growth, 1.2, at_least=False, unit="x"),
    ]
    figures = {
        str(count): {
            "wall_s": round(cost.answer["wall"], 2), "process_cpu_s": round(cost.cpu, 2),
            "rows": cost.answer["rows"], "pss_mib": cost.pss // machine.MIB,
            "pss_anonymous_mib": cost.pss_anonymous // machine.MIB,
        }
        for count, cost in taken.items()
    }  # fmt: skip
    return rows, figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--large", action="store_true", help="5,000 instruments x 2,500 sessions too; about 9 GB of disk"
    )
    parser.add_argument("--scratch", type=Path, help="where the markets and stores go for the time being")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin(CORES)
    rows: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}
    for name in options.case or ([] if options.large else ["S"]):
        instruments, sessions = CASES[name]
        print(f"{name}: Alpha158 on {instruments} instruments x {sessions} sessions")
        began = time.perf_counter()
        source = random_source(np.random.default_rng(1), sessions=sessions, instruments=instruments, suspensions=0.01)
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            bench = Bench(Path(folder), source, options.peer_python)
            parts = {
                "prepared": beside_the_peer(bench, options.repeats),
                "again": again(bench, options.repeats, append_share=APPEND_SHARES[name]),
                "together": together(bench),
                "lightgbm": into_lightgbm(bench),
            }
        print(f"  {options.repeats} repeats took {time.perf_counter() - began:.0f} s", flush=True)
        rows += [{**row, "case": name} for found, _ in parts.values() for row in found]
        kept[name] = {part: figures for part, (_, figures) in parts.items()}
    if options.large:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            found, kept["large"] = large(Path(folder), 5000, 2500)
        rows += [{**row, "case": "5,000 x 2,500"} for row in found]
    return report.finish(
        "handler", rows, path=options.json, repeats=options.repeats, peer_python=options.peer_python, figures=kept
    )


if __name__ == "__main__":
    raise SystemExit(main())
