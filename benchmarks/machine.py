"""What benchmarks share: pinning, the cost of a process tree, interleaved repeats, the machine's description."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

SAMPLE_SECONDS: Final = 0.04
LIBRARIES: Final = ("rollwright", "numpy", "pandas", "pyarrow", "lightgbm")
MIB: Final = 1 << 20
_SET_CHILD_SUBREAPER: Final = 36


def pin(cores: int = 2) -> list[int]:
    """Keep this process, and those it starts, on the first `cores` processors it may use; return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, chosen)
    return chosen


def touch_memory(gib: float = 4.0) -> None:
    """Write once to as much memory as that in a process of its own, which ends and gives it back.

    The host of a virtual machine may take free pages away, and gives one back only when it is written to: some thirty
    times the cost of zeroing a page that is there. Whether a call meets such pages depends on what ran before it, so
    both sides are called right after this.
    """
    if gib <= 0:
        return
    program = "import mmap, sys; n = int(sys.argv[1]); held = mmap.mmap(-1, n); held[::4096] = bytes(n // 4096)"
    subprocess.run([sys.executable, "-c", program, str(int(gib * (1 << 30)) & -4096)], check=True)


def describe(peer_python: Path | None = None) -> dict[str, Any]:
    """Return what the figures depend on, and nothing that names the machine or its folders."""
    memory = _field(Path("/proc/meminfo"), "MemTotal")
    described: dict[str, Any] = {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(int(memory.split()[0]) / (1 << 20), 1) if memory else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    if peer_python is not None:
        asked = (
            "import json, platform, importlib.metadata as m;"
            "print(json.dumps({'python': platform.python_version(),"
            " **{n: m.version(n) for n in ('pyqlib', 'numpy', 'pandas')}}))"
        )
        done = subprocess.run([peer_python, "-c", asked], capture_output=True, text=True, check=True)
        described["peer"] = json.loads(done.stdout)
    return described


def load() -> float:
    """Return how many processes wanted a processor in the last minute: other work makes figures worse."""
    return round(os.getloadavg()[0], 2)


def _field(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def smaps(pid: int) -> dict[str, int]:
    """Return the kinds of proportional memory of one process, in bytes; empty when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def mapped(pid: int, folder: Path) -> int:
    """Return the proportional memory, in bytes, of the files under `folder` that one process has mapped."""
    total, inside = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in name and " " in name:  # the head of a mapping: addresses, rights, offset, device, inode, path
            inside = str(folder) in line
        elif inside and name == "Pss":
            total += int(rest.split()[0]) * 1024
    return total


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    return [pid, *(each for child in _children(pid) for each in tree(child))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process and its descendants took.

    Attributes
    ----------
    began : float
        Time of the start, as `time.time` tells it.
    wall, cpu : float
        Seconds of the whole process, start-up included; the CPU is that of all descendants, those that outlive it too.
    pss, pss_anonymous : int
        Highest proportional memory in bytes: all of it, and without mapped files. 0 where it was not asked for.
    answer : dict
        What the process printed as its last line, where that is JSON.
    """

    began: float
    wall: float
    cpu: float
    pss: int
    pss_anonymous: int
    answer: dict[str, Any]


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None, memory: bool = True
) -> Cost:
    """Run a program whose last line of output is JSON, and sample the memory of its tree if that is wanted.

    Raises
    ------
    SystemExit
        When it fails.
    """
    cost, out = _run(command, cwd=cwd, env=env, memory=memory)
    return replace(cost, answer=json.loads(out.splitlines()[-1]))


def run_command(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    memory: bool = False,
) -> Cost:
    """Run a command, whatever it prints; sampling the memory of its tree takes time of its own, so it is asked for.

    Raises
    ------
    SystemExit
        When it fails.
    """
    return _run(command, cwd=cwd, env=env, memory=memory)[0]


def _run(
    command: Sequence[str | Path], *, cwd: Path | None, env: Mapping[str, str] | None, memory: bool
) -> tuple[Cost, str]:
    _adopt_orphans()
    peak = {"Pss": 0, "Pss_Anon": 0}
    done = threading.Event()
    others = {*_children(os.getpid())}
    before, began, start = os.times(), time.time(), time.perf_counter()
    # Files, since processes that outlive the program would keep pipes open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=err, text=True, cwd=cwd,
            env={**os.environ, **(env or {})},
        )  # fmt: skip

        def sample() -> None:
            while not done.wait(SAMPLE_SECONDS):
                now = [smaps(pid) for pid in tree(process.pid)]
                for kind, highest in peak.items():
                    peak[kind] = max(highest, sum(each.get(kind, 0) for each in now))

        sampler = threading.Thread(target=sample) if memory else None
        if sampler is not None:
            sampler.start()
        process.wait()
        wall = time.perf_counter() - start
        done.set()
        if sampler is not None:
            sampler.join()
        _await_orphans(others)
        after = os.times()
        out.seek(0)
        err.seek(0)
        printed, said = out.read(), err.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(str(part) for part in command)[:200]} failed:\n{said[-4000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    cost = Cost(began=began, wall=wall, cpu=cpu, pss=peak["Pss"], pss_anonymous=peak["Pss_Anon"], answer={})
    return cost, printed


def _adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends: their CPU time is known only to who waits for them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _await_orphans(others: set[int]) -> None:
    """Wait for what outlived the program, a fork server and its children: they end when it has."""
    while left := {*_children(os.getpid())} - others:
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def interleaved(sides: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[Any]]:
    """Return what each side gives, called in turns so that a slow moment of the machine hits all of them."""
    found: dict[str, list[Any]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            found[name].append(call())
    return found


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median and range."""
    return {
        "median": round(statistics.median(values), 4),
        "low": round(min(values), 4),
        "high": round(max(values), 4),
    }
