"""One measured process of `pit.py`: writes a market with fundamentals, or computes expressions by period on it.

Argument: JSON with the task (``market`` or ``features``), the folder, and the market's size or the expressions' count.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("parity")))
from pit_cases import FIELDS, expressions_by_period


def write(request: dict[str, Any]) -> dict[str, Any]:
    """Write the market: a close, and of each field as many quarters as asked for, of which every fifth is restated."""
    import numpy as np  # noqa: PLC0415 - only here: the other task is to take what its user takes
    import pandas as pd  # noqa: PLC0415 - as above
    from expression_market import write_market  # noqa: PLC0415 - as above

    from rollwright.calendar.trading import TradingCalendar  # noqa: PLC0415 - as above
    from rollwright.market.ingest.periods.period_import import import_periods  # noqa: PLC0415 - as above
    from rollwright.testing.market import ArraySource  # noqa: PLC0415 - as above

    rng, folder = np.random.default_rng(1), Path(request["folder"])
    names = [f"SX{number:05d}" for number in range(request["instruments"])]
    days = pd.bdate_range(end="2019-12-31", periods=request["sessions"])
    close = np.exp(rng.normal(0, 0.02, (len(days), len(names))).cumsum(axis=0)).astype(np.float32)
    write_market(ArraySource({"close": close}, names, calendar=TradingCalendar(days)), folder)
    quarters = pd.period_range(end="2019Q3", periods=request["quarters"], freq="Q")
    ends = quarters.end_time.normalize().to_numpy()
    shape = (len(FIELDS), len(names), len(quarters))
    known = ends + rng.integers(20, 60, shape).astype("timedelta64[D]")
    index = pd.MultiIndex.from_product(
        [FIELDS, names, quarters.year * 100 + quarters.quarter], names=["field", "instrument", "period"]
    )
    first = pd.DataFrame({"date": known.ravel(), "value": rng.normal(size=known.size)}, index=index)
    again = first[rng.random(len(first)) < 0.2]
    late = again["date"] + pd.to_timedelta(rng.integers(30, 300, len(again)), unit="D")
    again = again.assign(date=late, value=again["value"] * 1.1)
    rows = pd.concat([first, again[again["date"] < "2020-01-01"]]).reset_index()
    report = import_periods(rows, folder)
    return {"rows": len(rows), "report": type(report).__name__}


def features(request: dict[str, Any]) -> dict[str, Any]:
    """Call D.features once; return what it took."""
    from rollwright.config.context import init  # noqa: PLC0415 - as above
    from rollwright.features.api import D  # noqa: PLC0415 - as above

    init(provider_uri=request["folder"], kernels=request["kernels"])
    D.features(["SX00000"], ["$close"])  # what a first call imports and opens
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    frame = D.features("all", expressions_by_period(request["count"]))
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "cells": frame.size, "known": int(frame.notna().sum().sum())}


def main() -> None:
    request = json.loads(sys.argv[1])
    print(json.dumps(write(request) if request["task"] == "market" else features(request)))


if __name__ == "__main__":
    main()
