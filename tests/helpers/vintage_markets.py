"""Markets with fields by period, for tests of what was known on a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pytest

from rollwright.market.frame import FrameSource
from rollwright.market.source import DataSource, FieldKind
from rollwright.testing.market import expression_values

Row = tuple[int, str, float]
NAN = float("nan")
FLOW = FieldKind("flow", "cumulative")
ALONE = FieldKind("flow", "discrete")
STOCK = FieldKind("stock")
QUARTERS: tuple[Row, ...] = tuple(
    (year * 100 + quarter, f"{year + (quarter == 4)}-{(5, 8, 11, 3)[quarter - 1]:02d}-01", year - 2010 + quarter / 10)
    for year in (2016, 2017, 2018)
    for quarter in (1, 2, 3, 4)
)
CUMULATIVE: tuple[Row, ...] = (
    (201701, "2017-05-01", 1), (201702, "2017-08-01", 3), (201703, "2017-11-01", 6), (201704, "2018-03-01", 10),
    (201801, "2018-05-01", 2), (201802, "2018-08-01", 5), (201803, "2018-11-01", 9), (201804, "2019-03-01", 14),
    (201901, "2019-05-01", 3),
)  # fmt: skip
SINGLE: tuple[Row, ...] = tuple(
    (period, day, value - (CUMULATIVE[place - 1][2] if period % 100 > 1 else 0))
    for place, (period, day, value) in enumerate(CUMULATIVE)
)


def market(
    fields: Mapping[str, Mapping[str, Iterable[Row]]],
    *,
    kinds: Mapping[str, FieldKind] | None = None,
    start: str = "2019-01-01",
    end: str = "2019-07-19",
    codes: Iterable[str] = ("A",),
) -> FrameSource:
    """Return a market of some instruments, with the rows (period, known at, value) of each field and instrument."""
    days = pd.bdate_range(start, end)
    index = pd.MultiIndex.from_product([days, list(codes)], names=["datetime", "instrument"])
    frame = pd.DataFrame({"close": np.arange(len(index)) + 1.0}, index=index)
    columns = ["instrument", "period", "known_at", "value"]
    by_period = {
        field: pd.DataFrame(
            [(code, *row) for code, found in instruments.items() for row in found], columns=columns
        ).astype({"period": int, "value": float})
        for field, instruments in fields.items()
    }
    return FrameSource(frame, by_period=by_period, kinds=kinds)


def answer(source: DataSource, expression: str, *dates: str) -> list[float]:
    """Return the values of the first instrument on some sessions."""
    days = source.calendar().to_index()
    values = expression_values(source, expression)[0, :, 0]
    return [float(values[days.get_loc(pd.Timestamp(date))]) for date in dates]


def close_to(*values: float) -> object:
    return pytest.approx(list(values), rel=1e-6, nan_ok=True)


def random_market(seed: int = 3, *, codes: int = 9) -> FrameSource:
    """Return a market with restated, late and missing reports."""
    rng = np.random.default_rng(seed)
    names = [f"C{number}" for number in range(codes)]
    fields: dict[str, dict[str, list[Row]]] = {"x_q": {}, "y_q": {}}
    for rows in fields.values():
        for name in names[1:]:
            found: dict[tuple[int, str], float] = {}
            for period in [year * 100 + quarter for year in (2016, 2017, 2018) for quarter in (1, 2, 3, 4)]:
                for _ in range(int(rng.integers(0, 4))):
                    end = pd.Timestamp(year=period // 100, month=period % 100 * 3, day=28)
                    day = end + pd.Timedelta(days=int(rng.integers(10, 400)))
                    found[period, f"{day:%Y-%m-%d}"] = NAN if rng.random() < 0.05 else float(rng.normal())
            rows[name] = [(period, day, value) for (period, day), value in found.items()]
    return market(fields, kinds={"x_q": FLOW}, start="2016-03-01", end="2019-12-31", codes=names)
