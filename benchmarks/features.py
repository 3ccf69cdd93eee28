"""What 158 expressions cost: the bare engine, `D.features`, and Qlib's `D.features` on the same market.

    python benchmarks/features.py [--case S] [--peer-python PATH] [--repeats 5] [--json FILE]

Both sides run on the same two cores, by turns; each figure is the median of the calls alone, without start-up. Before
each call memory is touched, for the reason `machine.touch_memory` gives.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np

from rollwright.config.context import init
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.features.api import D
from rollwright.market.folder.provider import QlibProvider
from rollwright.testing.market import random_source

sys.path.insert(0, str(Path(__file__).with_name("parity")))
from expression_alpha158_fields import alpha158
from expression_market import ask_peer, write_market

CASES = {"XS": (20, 300), "S": (100, 1500), "M": (500, 2500)}
TARGETS = {"wall": 12.0, "cpu": 14.0}
TOUCHED = {"M": 4.0}
"""GiB written before each call: none where the result is small, since giving them back disturbs a short call."""
CORES = 2


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def _timed(call: Callable[[], object], touched: float) -> dict[str, float]:
    machine.touch_memory(touched)
    wall, cpu = time.perf_counter(), _cpu()
    call()
    return {"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu}


def _engine(folder: Path, expressions: list[str], threads: int) -> None:
    source = QlibProvider(folder)
    stop = len(source.calendar())
    tiles = evaluate(
        compile_plan(expressions), source, instruments=source.instruments(), start=0, stop=stop, threads=threads
    )
    for _ in tiles:
        pass


def _summary(times: list[dict[str, float]]) -> dict[str, float]:
    summary: dict[str, float] = {}
    for kind in ("wall", "cpu"):
        values = sorted(each[kind] for each in times)
        summary |= {kind: statistics.median(values), f"{kind}_low": values[0], f"{kind}_high": values[-1]}
    return summary


def measure(case: str, *, repeats: int, peer: Path | None) -> dict[str, dict[str, float]]:
    """Return medians and ranges of each side."""
    instruments, sessions = CASES[case]
    touched = TOUCHED.get(case, 0.0)
    source = random_source(np.random.default_rng(1), sessions=sessions, instruments=instruments, suspensions=0.01)
    expressions = alpha158()[1]
    times: dict[str, list[dict[str, float]]] = {"engine, 1 thread": [], "engine, 2 threads": [], "D.features": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_market(source, folder)
        init(provider_uri=str(folder), kernels=CORES)
        for _ in range(repeats):
            times["engine, 1 thread"].append(_timed(lambda: _engine(folder, expressions, 1), touched))
            times["engine, 2 threads"].append(_timed(lambda: _engine(folder, expressions, CORES), touched))
            times["D.features"].append(_timed(lambda: D.features("all", expressions), touched))
            if peer is not None:
                machine.touch_memory(touched)
                _, theirs = ask_peer(peer, folder, expressions, start=0, stop=sessions, repeats=1)
                times.setdefault("peer", []).append({kind: theirs[kind][0] for kind in ("wall", "cpu")})
    return {name: _summary(each) for name, each in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin(CORES)
    results = {}
    missed = 0
    for case in options.case or ["S", "M"]:
        results[case] = measure(case, repeats=options.repeats, peer=options.peer_python)
        print(f"{case}: 158 expressions on {CASES[case][0]} instruments x {CASES[case][1]} sessions")
        for name, row in results[case].items():
            spread = f"wall {row['wall']:7.2f} s [{row['wall_low']:.2f}, {row['wall_high']:.2f}]"
            print(f"  {name:18} {spread}  cpu {row['cpu']:7.2f} s [{row['cpu_low']:.2f}, {row['cpu_high']:.2f}]")
        if "peer" in results[case]:
            for kind, target in TARGETS.items():
                ratio = results[case]["peer"][kind] / results[case]["D.features"][kind]
                missed += ratio < target
                verdict = "reached" if ratio >= target else "MISSED"
                print(f"  D.features takes 1/{ratio:.1f} of the peer's {kind}; target 1/{target:.0f}: {verdict}")
    if options.json is not None:
        options.json.write_text(
            json.dumps({"machine": machine.describe(options.peer_python), "results": results}, indent=2) + "\n"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
