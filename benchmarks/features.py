"""What `D.features` costs beside Qlib's on the same market: time, memory, and pages of fresh memory.

    python benchmarks/features.py [--case S] [--peer-python PATH] [--repeats 5] [--threads 2] [--json FILE]

The cases are the 158 features on S and M, and sixty nested expressions on S. Each side is a process of its own on the
same two cores, by turns. Times are those of the call alone. Ours is called twice in a process, and in two kinds of
processes: as the machine gives memory, and right after as much memory was written (`machine.touch_memory`): on some
virtual machines a gigabyte that is touched first costs seconds of system time. Memory is the highest PSS of the process
tree. This program imports neither side's libraries, which would share their pages.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import machine
import report

CHILD: Final = Path(__file__).with_name("features_child.py")
PEER: Final = Path(__file__).with_name("parity") / "features_peer.py"
CORES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A market, what is computed on it, and the targets: least ratios of time, the largest of memory."""

    instruments: int
    sessions: int
    kind: str
    wall: float
    cpu: float
    pss: float
    touched: float


CASES: Final = {
    "XS": Case(instruments=20, sessions=300, kind="158", wall=4, cpu=4, pss=0.5, touched=0),
    "S": Case(instruments=100, sessions=1500, kind="158", wall=12, cpu=14, pss=0.5, touched=0.5),
    "nested": Case(instruments=100, sessions=1500, kind="nested", wall=4, cpu=4, pss=0.5, touched=0.5),
    "M": Case(instruments=500, sessions=2500, kind="158", wall=12, cpu=14, pss=0.4, touched=4),
}


def measure(case: Case, *, repeats: int, peer: Path | None, threads: int) -> dict[str, list[machine.Cost]]:
    """Return what the processes of each side took; `threads` are ours, the peer has a process for each core."""
    with tempfile.TemporaryDirectory() as folder:
        size = {"instruments": case.instruments, "sessions": case.sessions}
        machine.run([sys.executable, CHILD, json.dumps({"task": "market", "folder": folder, **size})])
        request = {"task": "features", "folder": folder, "kind": case.kind}

        def ours(touched: float) -> machine.Cost:
            machine.touch_memory(touched)
            return machine.run([sys.executable, CHILD, json.dumps({**request, "kernels": threads})])

        def theirs() -> machine.Cost:
            machine.touch_memory(case.touched)
            return machine.run([str(peer), PEER, json.dumps({**request, "kernels": CORES})])

        sides = {"ours": lambda: ours(0), "ours, memory touched": lambda: ours(case.touched)}
        return machine.interleaved(sides | ({"peer": theirs} if peer else {}), repeats)


def figures(costs: list[machine.Cost]) -> dict[str, Any]:
    """Return medians and ranges of each call of a side, and of its memory."""
    calls = zip(*(cost.answer["calls"] for cost in costs), strict=True)
    summed = [{kind: machine.summary([call[kind] for call in each]) for kind in each[0]} for each in calls]
    return {
        "calls": summed,
        "pss_mib": machine.summary([cost.pss / machine.MIB for cost in costs]),
        "pss_anonymous_mib": machine.summary([cost.pss_anonymous / machine.MIB for cost in costs]),
    }


def compare(name: str, case: Case, found: dict[str, list[machine.Cost]]) -> list[dict[str, Any]]:
    """Print targets beside figures; each ratio is the median of those of the repeats."""
    if "peer" not in found:
        return []
    rows = []
    for side in ("ours", "ours, memory touched"):
        pairs = list(zip(found[side], found["peer"], strict=True))
        for kind, target in (("wall", case.wall), ("cpu", case.cpu)):
            ratios = [peer.answer["calls"][0][kind] / own.answer["calls"][0][kind] for own, peer in pairs]
            what = f"{side}: the peer's {kind} time over ours"
            rows.append(report.row(what, ratios, target, at_least=True, unit="x", case=name, against="pyqlib 0.9.7"))
        shares = [own.pss / peer.pss for own, peer in pairs]
        what = f"{side}: PSS over the peer's"
        rows.append(report.row(what, shares, case.pss, at_least=False, case=name, against="pyqlib 0.9.7"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=CORES, help="of our side, on the same two cores")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin(CORES)
    rows: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}
    for name in options.case or ["S", "nested", "M"]:
        case = CASES[name]
        print(f"{name}: {case.kind} expressions on {case.instruments} instruments x {case.sessions} sessions")
        began = time.perf_counter()
        found = measure(case, repeats=options.repeats, peer=options.peer_python, threads=options.threads)
        print(f"  {options.repeats} repeats took {time.perf_counter() - began:.0f} s", flush=True)
        kept[name] = {side: figures(costs) for side, costs in found.items()}
        for side, each in kept[name].items():
            for number, call in enumerate(each["calls"]):
                shown = {kind: values["median"] for kind, values in call.items()}
                print(f"  {side}, call {number + 1}: {shown}", flush=True)
            print(f"  {side}: highest PSS {each['pss_mib']['median']:.0f} MiB", flush=True)
        rows += compare(name, case, found)
    return report.finish(
        "features", rows, path=options.json, repeats=options.repeats, peer_python=options.peer_python, figures=kept
    )


if __name__ == "__main__":
    raise SystemExit(main())
