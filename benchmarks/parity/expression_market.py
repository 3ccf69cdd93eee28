"""What the comparisons with Qlib share: the market in Qlib's file layout, the peer's process, and the rules."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.testing.market import ArraySource, random_source

PEER = Path(__file__).with_name("expression_peer.py")


def market_of_prices(path: Path) -> ArraySource:
    """Return the market of a Parquet file with the columns symbol, date and fields; a field it lacks is NaN."""
    table = pd.read_parquet(path)
    wide = table.set_index(["date", "symbol"]).sort_index().unstack("symbol")
    names = sorted(table["symbol"].unique())
    fields = {field: wide[field][names].to_numpy(dtype=np.float32) for field in wide.columns.levels[0]}
    fields.setdefault("vwap", np.full_like(fields["close"], np.nan))
    present = ~np.isnan(fields["close"])
    bounds = np.stack([present.argmax(axis=0), len(present) - present[::-1].argmax(axis=0)], axis=1)
    return ArraySource(fields, names, calendar=TradingCalendar(wide.index), bounds=bounds)


def write_market(source: ArraySource, folder: Path) -> None:
    """Write `source` as a Qlib provider folder."""
    calendar = source.calendar()
    names = source.instruments()
    days = [str(value)[:10] for value in calendar.values]
    (folder / "calendars").mkdir(parents=True)
    (folder / "calendars" / "day.txt").write_text("\n".join(days) + "\n")
    bounds = source.bounds(names)
    own = source.field_bounds(source.fields, names)
    lines = [f"{name}\t{days[first]}\t{days[stop - 1]}\n" for name, (first, stop) in zip(names, bounds, strict=True)]
    (folder / "instruments").mkdir()
    (folder / "instruments" / "all.txt").write_text("".join(lines))
    fields = source.fields
    values = source.load(fields, names, 0, len(calendar))
    for column, name in enumerate(names):
        target = folder / "features" / name.lower()
        target.mkdir(parents=True)
        for index, field in enumerate(fields):
            first, stop = own[index, column]
            if first == stop:
                continue
            series = np.concatenate([[first], values[index, first:stop, column]]).astype("<f4")
            series.tofile(target / f"{field}.day.bin")


def ask_peer(
    python: Path, folder: Path, expressions: Sequence[str], *, start: int, stop: int, repeats: int = 0
) -> tuple[NDArray[np.float32], dict[str, list[float]]]:
    """Return Qlib's values ``[expressions, sessions, instruments]``, and its times when `repeats` is above 0."""
    with tempfile.TemporaryDirectory() as scratch:
        request = Path(scratch) / "request.json"
        answer = Path(scratch) / "answer.npz"
        request.write_text(
            json.dumps(
                {
                    "provider": str(folder),
                    "expressions": list(expressions),
                    "start": start,
                    "stop": stop,
                    "repeats": repeats,
                    "answer": str(answer),
                }
            )
        )
        done = subprocess.run([python, PEER, request], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the peer failed:\n{done.stderr[-4000:]}")
        with np.load(answer, allow_pickle=False) as found:
            times = {name: found[name].tolist() for name in ("wall", "cpu", "refused")}
            return found["values"], times


def ask_peer_for_each(
    python: Path, folder: Path, expressions: Sequence[str]
) -> list[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return for each expression Qlib's values ``[sessions, instruments]``, the rows it has, and where it raises."""
    with tempfile.TemporaryDirectory() as scratch:
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.npz"
        request.write_text(
            json.dumps({"provider": str(folder), "each": list(expressions), "repeats": 0, "answer": str(answer)})
        )
        done = subprocess.run([python, PEER, request], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the peer failed:\n{done.stderr[-4000:]}")
        with np.load(answer, allow_pickle=False) as found:
            return list(zip(found["values"], found["present"], found["raised"], strict=True))


def ask_us(
    source: ArraySource, expressions: Sequence[str], *, start: int, stop: int, threads: int = 1
) -> NDArray[np.float32]:
    """Return our values ``[expressions, sessions, instruments]``."""
    names = source.instruments()
    plan = compile_plan(expressions, allow_lookahead=True)
    values = np.empty((len(expressions), stop - start, len(names)), np.float32)
    for tile in evaluate(plan, source, instruments=names, start=start, stop=stop, threads=threads):
        rows = slice(tile.rows.start - start, tile.rows.stop - start)
        values[:, rows, tile.columns] = tile.values
    return values


def within_lifetimes(source: ArraySource, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `values` without the rows outside each instrument's series, as the peer gives them for a universe."""
    rows = np.arange(values.shape[1])[:, None]
    first, stop = source.bounds(source.instruments()).T
    return np.where((rows >= first) & (rows < stop), values, np.float32(np.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far two answers to one expression are apart."""

    expression: str
    cells: int
    patterns: int
    """Cells where one is NaN or infinite and the other is not the same."""
    beyond: int
    """Finite cells further apart than the rule allows."""
    residues: int
    """Cells that are rounding in the peer's running sums: exactly 0 here in flat windows, NaN for single values."""
    worst: float
    first: tuple[int, int] | None


def compare(
    expression: str,
    ours: NDArray[np.float32],
    peers: NDArray[np.float32],
    *,
    relative: float = 1e-5,
    absolute: float = 1e-6,
    may_leave_residue: bool = False,
    may_leave_infinities: bool = False,
) -> Difference:
    """Compare by the rules: the same NaN and infinities, and finite values within the tolerances."""
    one, two = ours.astype(np.float64), peers.astype(np.float64)
    finite = np.isfinite(one) & np.isfinite(two)
    same = finite | (np.isnan(one) & np.isnan(two)) | (one == two)
    distance = np.where(finite, np.abs(np.where(finite, one, 0.0) - np.where(finite, two, 0.0)), 0.0)
    beyond = distance > absolute + relative * np.abs(np.where(finite, two, 0.0))
    residue = beyond & (one == 0.0) if may_leave_residue else np.zeros_like(beyond)
    beyond &= ~residue
    if may_leave_infinities:
        residue |= np.isnan(one) & np.isinf(two)
        same |= residue
    bad = ~same | beyond
    return Difference(
        expression=expression,
        cells=one.size,
        patterns=int((~same).sum()),
        beyond=int(beyond.sum()),
        residues=int(residue.sum()),
        worst=float(np.where(residue, 0.0, distance).max(initial=0.0)),
        first=tuple(int(axis[0]) for axis in np.nonzero(bad)) if bad.any() else None,
    )


def market_of(options: argparse.Namespace) -> ArraySource:
    """Return the market the command line asks for: real prices, or a made-up one."""
    if options.prices is not None:
        return market_of_prices(options.prices)
    rng = np.random.default_rng(options.seed)
    return random_source(rng, sessions=options.sessions, instruments=options.instruments)


def arguments(description: str, *, instruments: int, sessions: int, seed: int) -> argparse.ArgumentParser:
    """Return the parser of the options all comparisons have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--prices", type=Path, help="a Parquet file instead of a made-up market")
    parser.add_argument("--instruments", type=int, default=instruments)
    parser.add_argument("--sessions", type=int, default=sessions)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--details", action="store_true")
    return parser


def report(differences: Sequence[Difference], *, details: bool) -> int:
    """Print a table; return the exit code."""
    bad = [difference for difference in differences if difference.patterns or difference.beyond]
    for difference in differences if details else bad:
        print(
            f"{difference.patterns:>8} NaN/inf {difference.beyond:>8} beyond  worst {difference.worst:.3g}"
            f"  {difference.expression}  {difference.first or ''}"
        )
    cells = sum(difference.cells for difference in differences)
    for difference in differences:
        if difference.residues:
            print(
                f"{difference.residues:>8} cells are rounding left in the peer's running sums: {difference.expression}"
            )
    print(f"{len(differences)} expressions, {cells:,} cells: {len(differences) - len(bad)} equal, {len(bad)} not")
    return 1 if bad else 0
