"""The markets on which frames are compared: the demo market, a rough one, and real prices; and how frames compare."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from expression_market import write_market
from handler_frames import load
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.market.demo import simulate_market
from rollwright.testing.market import ArraySource, random_source

PEER = Path(__file__).with_name("handler_peer.py")
FIELDS = ("open", "high", "low", "close", "volume", "vwap")


def demo_source(*, instruments: int, sessions: int, seed: int) -> ArraySource:
    """Return the demo market in memory."""
    market = simulate_market(instruments=instruments, sessions=sessions, seed=seed, planted_ic=0.03)
    fields = {name: market.fields[name] for name in FIELDS}
    return ArraySource(fields, market.codes, calendar=TradingCalendar(market.sessions), bounds=market.listed)


def rough_source(*, instruments: int, sessions: int, seed: int) -> ArraySource:
    """Return a market with flat stretches, zero volumes and many suspensions."""
    return random_source(np.random.default_rng(seed), sessions=sessions, instruments=instruments)


def write_with_universe(source: ArraySource, folder: Path) -> None:
    """Write `source` in Qlib's layout, with a universe ``some`` that members join, leave and join again."""
    write_market(source, folder)
    days = [str(value)[:10] for value in source.calendar().values]
    last = len(days) - 1
    lines = []
    for place, code in enumerate(source.instruments()):
        if place % 3 == 1:
            continue
        spans = ((0, last),) if place % 3 == 0 else ((last // 5, last // 2), (last * 6 // 10, last * 9 // 10))
        lines += [f"{code}\t{days[low]}\t{days[high]}\n" for low, high in spans]
    (folder / "instruments" / "some.txt").write_text("".join(lines))


def ask_peer_frames(
    python: Path, folder: Path, cases: Sequence[dict[str, Any]]
) -> list[tuple[str | None, list[tuple[pd.DataFrame, list[str]]]]]:
    """Return, for each case, what the peer raised, or its frames and their dtypes."""
    with tempfile.TemporaryDirectory() as scratch:
        request = Path(scratch) / "request.json"
        request.write_text(json.dumps({"provider": str(folder), "cases": list(cases), "kernels": 2, "answer": scratch}))
        done = subprocess.run([python, PEER, request], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the peer failed:\n{done.stderr[-4000:]}")
        notes = json.loads((Path(scratch) / "notes.json").read_text())
        return [
            (
                note["error"],
                [load(Path(scratch) / f"{number}-{place}.npz") for place in range(note["frames"])],
            )
            for number, note in enumerate(notes)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameDifference:
    """What two frames differ in."""

    what: str
    cells: int
    shape: str | None
    """Rows, columns or dtypes that are not the same, in words; the cells were not compared unless it is None."""
    patterns: int
    """Cells where one is NaN or infinite and the other is not the same."""
    beyond: int
    """Finite cells further apart than the rule allows."""
    worst: float
    columns: tuple[str, ...]
    """Those with such cells."""

    @property
    def equal(self) -> bool:
        return self.shape is None and not self.patterns and not self.beyond


def compare_frames(
    what: str,
    ours: pd.DataFrame,
    peers: pd.DataFrame,
    dtypes: Sequence[str],
    *,
    absolute: NDArray[np.float64],
    relative: NDArray[np.float64],
    residue: NDArray[np.bool_] | None = None,
    widened: bool = False,
) -> FrameDifference:
    """Compare rows, columns, dtypes and cells.

    Parameters
    ----------
    absolute, relative : [columns]
        Tolerances; they add up.
    residue : [columns], optional
        Where 0 of ours may stand against what the peer's running sums have left.
    widened : bool
        Admits float32 against the peer's float64: ranks there become float64 in the middle of a float32 frame.
    """
    shape = _shape_difference(ours, peers, dtypes, widened=widened)
    if shape is not None:
        return FrameDifference(what=what, cells=0, shape=shape, patterns=0, beyond=0, worst=0.0, columns=())
    one, two = ours.to_numpy(dtype=np.float64), peers.to_numpy(dtype=np.float64)
    finite = np.isfinite(one) & np.isfinite(two)
    same = finite | (np.isnan(one) & np.isnan(two)) | (one == two)
    distance = np.abs(np.subtract(one, two, where=finite, out=np.zeros_like(one)))
    beyond = distance > absolute + relative * np.abs(np.where(finite, two, 0.0))
    if residue is not None:
        beyond &= ~((one == 0.0) & residue)
    bad = (~same | beyond).any(axis=0)
    return FrameDifference(
        what=what,
        cells=one.size,
        shape=None,
        patterns=int((~same).sum()),
        beyond=int(beyond.sum()),
        worst=float(np.where(beyond, distance, 0.0).max(initial=0.0)),
        columns=tuple(str(name) for name in ours.columns[bad]),
    )


def _shape_difference(ours: pd.DataFrame, peers: pd.DataFrame, dtypes: Sequence[str], *, widened: bool) -> str | None:
    if ours.shape != peers.shape:
        return f"shape {ours.shape}, the peer's {peers.shape}"
    if list(ours.columns) != list(peers.columns):
        return f"columns {list(ours.columns)[:4]}, the peer's {list(peers.columns)[:4]}"
    if list(ours.index.names) != list(peers.index.names):
        return f"index {list(ours.index.names)}, the peer's {list(peers.index.names)}"
    for level in ours.index.names:
        one, two = ours.index.get_level_values(level), peers.index.get_level_values(level)
        same = (one == two).all() if level == "datetime" else list(one) == list(two)
        if not same:
            return f"labels of `{level}`, from row {int(np.argmax(np.asarray(one) != np.asarray(two)))}"
    kinds = [str(dtype) for dtype in ours.dtypes]
    for place, pair in enumerate(zip(kinds, dtypes, strict=True)):
        if pair[0] == pair[1] or (widened and pair == ("float32", "float64")):
            continue
        return f"dtype {pair[0]} of {ours.columns[place]}, the peer's {pair[1]}"
    return None


def report_frames(differences: Sequence[FrameDifference], *, details: bool) -> int:
    """Print what differs; return the exit code."""
    bad = [difference for difference in differences if not difference.equal]
    for found in differences if details else bad:
        verdict = "equal" if found.equal else "DIFFERS"
        print(f"{verdict:8} {found.what}: {found.cells:,} cells", end="")
        if found.shape is not None:
            print(f"; {found.shape}", end="")
        elif not found.equal:
            print(f"; {found.patterns} NaN/inf, {found.beyond} beyond, worst {found.worst:.3g}", end="")
            print(f"; in {len(found.columns)} columns: {', '.join(found.columns[:6])}", end="")
        print()
    cells = sum(difference.cells for difference in differences)
    print(f"{len(differences)} frames, {cells:,} cells: {len(differences) - len(bad)} equal, {len(bad)} not")
    return 1 if bad else 0
