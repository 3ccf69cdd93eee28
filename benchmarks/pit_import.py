"""Import of values by period: a million of them, and a thousand more on top.

    python benchmarks/pit_import.py [--values 1000000] [--dir DIR] [--repeats 3] [--json FILE]

A CSV of six quarterly fields of 3,000 instruments, each value with the day it became known, into a market that has
prices: 36,000 files in all. Then a thousand restatements of values that are drawn at random, and the same ones again.
Times are those of the call (`import_periods`), reading the file and bringing everything to the disk included. CPU time
is judged; the wall time, beside it in the figures, depends on the disk and on who else writes to it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import pandas as pd
import report

from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.periods.period_import import import_periods

INSTRUMENTS, MORE = 3000, 1000
FIELDS = ("cash", "debt", "equity", "income", "revenue", "roe")
IMPORT_SECONDS, APPEND_SECONDS, READ_SECONDS = 60, 2, 1


def make_values(count):
    """Return so many values: of each instrument and field as many quarters, known 20 to 89 days after their end."""
    codes = [f"SH{600000 + number}" for number in range(INSTRUMENTS)]
    quarters = -(-count // (INSTRUMENTS * len(FIELDS)))
    ends = pd.period_range("2008Q1", periods=quarters, freq="Q")
    draw = np.random.default_rng(0)
    rows = INSTRUMENTS * len(FIELDS) * quarters
    known = np.tile(ends.end_time.normalize().to_numpy(), rows // quarters)
    days = known + draw.integers(20, 90, rows).astype("timedelta64[D]")
    return pd.DataFrame(
        {
            "instrument": np.repeat(codes, rows // INSTRUMENTS),
            "date": days,
            "period": np.tile((ends.year * 100 + ends.quarter).to_numpy(), rows // quarters),
            "value": draw.normal(size=rows),
            "field": np.tile(np.repeat([f"{name}_q" for name in FIELDS], quarters), INSTRUMENTS),
        }
    )[:count]


def timed(call):
    """Return what a call returns, its CPU seconds and its wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = call()
    return found, time.process_time() - cpu, time.perf_counter() - wall


def measure(values, folder):
    """Return CPU and wall seconds of each step in a fresh folder."""
    market = folder / "market"
    codes = values["instrument"].unique()
    days = pd.bdate_range("2024-01-02", periods=3)
    prices = pd.MultiIndex.from_product([codes, days], names=["symbol", "date"]).to_frame(index=False)
    import_market(prices.assign(close=1.0), market)
    values.to_csv(folder / "values.csv", index=False)
    more = values.sample(MORE, random_state=1).assign(date=pd.Timestamp("2026-01-05"), value=5.0)
    more.to_csv(folder / "more.csv", index=False)
    found = {}
    for step, name, added in (("import", "values", len(values)), ("append", "more", MORE), ("again", "more", 0)):
        done, *seconds = timed(lambda name=name: import_periods(folder / f"{name}.csv", market))
        if done.added != added:
            raise SystemExit(f"{step}: {done.added} values were added, not {added}")
        found[step] = seconds
    opened = QlibProvider(market)
    _, *found["read"] = timed(lambda: opened.vintages("roe_q", opened.instruments()))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, help="a folder on the disk to measure; the system's for temporary files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.pin()
    values = make_values(options.values)
    found = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(dir=options.dir) as folder:
            found.append(measure(values, Path(folder)))
    case = f"{options.values:,} values of {INSTRUMENTS:,} instruments"
    rows = [
        report.row(work, [each[step][0] for each in found], limit, at_least=False, unit=" s", case=case)
        for work, step, limit in (
            ("import from CSV, CPU", "import", IMPORT_SECONDS),
            (f"{MORE:,} restated values on top, CPU", "append", APPEND_SECONDS),
            ("the same again, CPU", "again", APPEND_SECONDS),
            ("all values of one field read, CPU", "read", READ_SECONDS),
        )
    ]
    walls = {step: [each[step][1] for each in found] for step in found[0]}
    return report.finish(
        "pit_import", rows, path=options.json, repeats=options.repeats, figures={"wall seconds": walls}
    )


if __name__ == "__main__":
    sys.exit(main())
