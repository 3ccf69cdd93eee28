"""Our main job outside LightGBM: eight rolling tasks as whole commands in fresh projects, beside Qlib.

    python benchmarks/rolling.py [--peer-python PATH] [--rounds 20 100] [--repeats 5] [--uncached 1] [--json FILE]

The market is S (100 instruments x 1,500 sessions), the task Alpha158, LightGBM on one thread, the two signal records.
Each side is a process tree of its own on the same two cores, by turns, from its start to its end with imports; the fits
are timed inside both sides (`fit_clock/`) and taken off. CPU is that of all processes, those of fork servers too. Qlib
keeps its handler on the disk for all tasks ("cached") or builds it for each ("uncached", seldom repeated: it takes
minutes, and the rounds do not matter to it). Then, on our side alone, in a project whose features are there: how soon
the first window learns, and what a window costs whose model learns nothing (the difference between 92 and 10 of them:
of 30 and 10 it was mostly that of two starts).

`--rounds 20 --repeats 1 --uncached 0` is a pair in about two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import machine
import report

HERE: Final = Path(__file__).parent
PEER: Final = HERE / "rolling_peer.py"
BARE: Final = HERE / "bare_calls.py"
QLIB: Final = "pyqlib 0.9.7"
STEP: Final = 60
TASKS: Final = 8
MARKETS: Final = {"XS": (20, 1500), "S": (100, 1500), "M": (500, 2500)}
SEGMENTS: Final = {
    "train": ["2020-03-02", "2022-12-30"],
    "valid": ["2023-01-03", "2023-07-31"],
    "test": ["2023-08-01", "2025-05-30"],
}
RECORDS: Final = [
    {"class": name, "module_path": "qlib.workflow.record_temp"} for name in ("SignalRecord", "SigAnaRecord")
]


def task_of(rounds: int, *, segments: dict[str, list[str]] = SEGMENTS) -> dict[str, Any]:
    """Return the task as both sides read it, in Qlib's names."""
    model = {
        "loss": "mse", "num_boost_round": rounds, "early_stopping_rounds": rounds, "learning_rate": 0.05,
        "num_leaves": 31, "num_threads": 1,
    }  # fmt: skip
    handler = {
        "class": "Alpha158", "module_path": "qlib.contrib.data.handler",
        "kwargs": {"instruments": "all", "start_time": "2020-01-01", "end_time": "2025-09-30"},
    }  # fmt: skip
    return {
        "model": {"class": "LGBModel", "module_path": "qlib.contrib.model.gbdt", "kwargs": model},
        "dataset": {
            "class": "DatasetH", "module_path": "qlib.data.dataset",
            "kwargs": {"handler": handler, "segments": segments},
        },
        "record": RECORDS,
    }  # fmt: skip


def empty_task() -> dict[str, Any]:
    """Return a task whose model learns from one feature at once: what is left is what a window costs in itself."""
    loader = {
        "class": "QlibDataLoader", "module_path": "qlib.data.dataset.loader",
        "kwargs": {
            "config": {"feature": [["$close/$open"], ["f"]], "label": [["Ref($close,-2)/Ref($close,-1)-1"], ["y"]]}
        },
    }  # fmt: skip
    handler = {
        "class": "DataHandlerLP", "module_path": "qlib.data.dataset.handler",
        "kwargs": {
            "instruments": "all", "start_time": "2020-01-01", "end_time": "2025-09-30", "data_loader": loader,
            "learn_processors": [{"class": "DropnaLabel"}], "infer_processors": [{"class": "Fillna"}],
        },
    }  # fmt: skip
    task = task_of(1)
    task["model"] = {"class": "LinearModel", "module_path": "qlib.contrib.model.linear", "kwargs": {}}
    task["dataset"]["kwargs"]["handler"] = handler
    task["record"] = RECORDS[:1]
    return task


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What a command took: all of it, and without the fits; seconds from its start to the first fit; highest PSS."""

    wall: float
    cpu: float
    rest_wall: float
    rest_cpu: float
    first: float
    pss: float = 0.0


class Bench:
    """One market, and the commands that are run on it in fresh folders."""

    def __init__(self, folder: Path, case: str, peer: Path | None) -> None:
        self.folder = folder
        self.peer = peer
        self.market = folder / "market"
        instruments, sessions = MARKETS[case]
        request = {"task": "market", "folder": str(self.market), "instruments": instruments, "sessions": sessions}
        machine.run([sys.executable, HERE / "features_child.py", json.dumps(request)])

    def project(self) -> Path:
        """Make a fresh project."""
        made = Path(tempfile.mkdtemp(dir=self.folder))
        (made / ".rollwright").mkdir()
        return made

    def write(self, folder: Path, task: dict[str, Any], *, step: int | None = STEP, name: str = "bench") -> Path:
        """Write a campaign's file, without `step` that of one task: JSON is YAML, too."""
        campaign: dict[str, Any] = {
            "experiment_name": name, "qlib_init": {"provider_uri": str(self.market), "region": "cn"}, "task": task,
        }  # fmt: skip
        if step is not None:
            campaign["rolling"] = {"step": step, "rtype": "sliding", "trunc_days": "auto"}
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(campaign))
        return path

    def ours(self, folder: Path, verb: str, file: Path, *options: str, memory: bool = False) -> Side:
        """Run one of our commands."""
        return measure([sys.executable, "-m", "rollwright", verb, file.name, *options], folder, memory=memory)

    def fresh(self, task: dict[str, Any], jobs: int) -> Side:
        """Roll in a fresh project."""
        folder = self.project()
        try:
            return self.ours(folder, "roll", self.write(folder, task), "-j", str(jobs))
        finally:
            shutil.rmtree(folder)

    def peers(self, task: dict[str, Any], *, cached: bool) -> Side:
        """Roll with Qlib in a fresh folder."""
        folder = self.project()
        request = {"market": str(self.market), "task": task, "step": STEP, "cached": cached}
        try:
            return measure([self.peer, PEER, json.dumps(request)], folder)
        finally:
            shutil.rmtree(folder)


def measure(command: list[Any], folder: Path, *, memory: bool = False) -> Side:
    """Run a command in `folder`, with a clock around each fit."""
    clock = folder / "fits"
    clock.unlink(missing_ok=True)
    env = {"PYTHONPATH": str(HERE / "fit_clock"), "FIT_CLOCK": str(clock), "PYTHONDONTWRITEBYTECODE": ""}
    cost = machine.run_command(command, cwd=folder, env=env, memory=memory)
    fits = [json.loads(line) for line in clock.read_text().splitlines()] if clock.exists() else []
    return Side(
        wall=cost.wall,
        cpu=cost.cpu,
        rest_wall=cost.wall - sum(fit["wall"] for fit in fits),
        rest_cpu=cost.cpu - sum(fit["cpu"] for fit in fits),
        first=fits[0]["start"] - cost.began if fits else cost.wall,
        pss=cost.pss / machine.MIB,
    )


def show(found: dict[str, list[Side]]) -> dict[str, Any]:
    """Print and return what the sides took."""
    figures = {
        name: {kind: machine.summary([getattr(side, kind) for side in sides]) for kind in Side.__slots__}
        for name, sides in found.items()
    }
    for name, each in figures.items():
        print(
            f"  {name}: " + ", ".join(f"{kind} {values['median']:.2f} s" for kind, values in each.items()), flush=True
        )
    return figures


def compare(found: dict[str, list[Side]], *, case: str) -> list[dict[str, Any]]:
    """Return the rows of what is beside the peer."""
    rows = []
    for peer, target in (("peer, cached", 4), ("peer, uncached", 20)):
        for kind in ("wall", "cpu") if peer in found else ():
            ratios = [
                getattr(their, f"rest_{kind}") / getattr(own, f"rest_{kind}")
                for own, their in zip(found["ours, one worker"], found[peer], strict=False)
            ]
            handler = peer.partition(", ")[2]
            work = f"8 rolling tasks, not the fit: Qlib's {kind} over ours, handler {handler}"
            rows.append(report.row(work, ratios, target, at_least=True, unit="x", case=case, against=QLIB))
    sooner = [
        one.wall / two.wall for one, two in zip(found["ours, one worker"], found["ours, two workers"], strict=True)
    ]
    rows.append(
        report.row("8 rolling tasks: one worker's wall over two's", sooner, 1.7, at_least=True, unit="x", case=case)
    )
    return rows


def with_features(bench: Bench, repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure what is left when the features are there: how soon a window learns, and what a window costs."""
    folder = bench.project()
    bench.ours(folder, "roll", bench.write(folder, task_of(1), name="first"), "-j", "1")
    starts, walls, cpus, syncs, bare = [], [], [], [], []
    bench.ours(folder, "roll", bench.write(folder, empty_task(), step=400, name="warm"), "-j", "1")
    for number in range(repeats):
        soon = bench.ours(folder, "roll", bench.write(folder, task_of(2), name=f"soon{number}"), "-j", "1")
        starts.append(soon.first)
        few = bench.ours(folder, "roll", bench.write(folder, empty_task(), step=FEW, name=f"few{number}"), "-j", "1")
        many = bench.ours(folder, "roll", bench.write(folder, empty_task(), step=MANY, name=f"many{number}"), "-j", "1")
        windows = count(folder, f"many{number}") - count(folder, f"few{number}")
        walls.append(1e3 * (many.wall - few.wall) / windows)
        cpus.append(1e3 * (many.cpu - few.cpu) / windows)
        bare.append(1e3 * machine.run([sys.executable, BARE, str(bench.project())]).answer["cpu"])
    if shutil.which("strace"):
        sums = []
        for name, step in (("syncs_few", FEW), ("syncs_many", MANY)):
            file = bench.write(folder, empty_task(), step=step, name=name)
            sums.append((count_syncs(folder, file), count(folder, name)))
        syncs.append((sums[1][0] - sums[0][0]) / (sums[1][1] - sums[0][1]))
    print(f"  a window's own wall: {statistics.median(walls):.1f} ms", flush=True)
    rows = [
        report.row("command to first window learning, features there, wall", starts, 1.5, at_least=False, unit=" s"),
        report.row("a window's own overhead, steady, CPU", cpus, 40, at_least=False, unit=" ms"),
        *[report.row("a window's own flushes to the disk", syncs, 10, at_least=False) for _ in syncs],
        report.row(
            "an empty model through pool, recorder and artifacts / the bare calls, CPU",
            [own / other for own, other in zip(cpus, bare, strict=True)],
            2, at_least=False, unit="x", against="MLflow's log_batch and to_parquet",
        ),
    ]  # fmt: skip
    return rows, {"window_wall_ms": walls, "window_cpu_ms": cpus, "bare_cpu_ms": bare, "flushes": syncs}


FEW, MANY = 46, 5  # sessions a window moves: some 10 and some 92 windows


def count(folder: Path, name: str) -> int:
    """Return how many windows a finished campaign has."""
    summary = json.loads((folder / "results" / name / "summary.json").read_text())
    return sum(variant["windows"] for variant in summary["variants"].values())


def count_syncs(folder: Path, file: Path) -> int:
    """Return how often a command and all its processes flushed to the disk."""
    told = folder / "strace.out"
    command = [
        "strace", "-f", "-qq", "-o", str(told), "-e", "trace=fsync,fdatasync,syncfs,sync",
        sys.executable, "-m", "rollwright", "roll", file.name, "-j", "1",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ})
    return sum("sync" in line and "resumed" not in line for line in told.read_text().splitlines())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=MARKETS, default="S")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--rounds", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--uncached", type=int, default=1, help="repeats of the peer without its handler on the disk")
    parser.add_argument("--windows-only", action="store_true", help="measure only what a window costs, without a peer")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin()
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.case, options.peer_python)
        for rounds in () if options.windows_only else options.rounds:
            case = f"{options.case}, {rounds} rounds"
            print(f"{case}:")
            task = task_of(rounds)
            sides: dict[str, Any] = {
                "ours, one worker": lambda task=task: bench.fresh(task, 1),
                "ours, two workers": lambda task=task: bench.fresh(task, 2),
            }
            if options.peer_python:
                sides["peer, cached"] = lambda task=task: bench.peers(task, cached=True)
            found = machine.interleaved(sides, options.repeats)
            if options.peer_python and options.uncached and rounds == options.rounds[0]:
                found["peer, uncached"] = [bench.peers(task, cached=False) for _ in range(options.uncached)]
            figures[case] = show(found)
            rows += compare(found, case=case)
        print("features there:")
        own, figures["windows"] = with_features(bench, options.repeats)
        rows += own
    return report.finish(
        "rolling", rows, path=options.json, repeats=options.repeats, peer_python=options.peer_python, figures=figures
    )


if __name__ == "__main__":
    raise SystemExit(main())
