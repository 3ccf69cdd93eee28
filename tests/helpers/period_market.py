"""A small market to import fields by period into, on a day that is past all of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.periods.period_import import import_periods

DAYS = pd.bdate_range("2007-01-01", "2010-12-31", freq="BQE")


class Noon:
    """Noon of a day that is past all rows."""

    def now(self) -> datetime:
        return datetime(2020, 1, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError


def make_market(target):
    """Make a market of two instruments without fields by period at `target`, and return it."""
    rows = pd.MultiIndex.from_product([DAYS, ["SH600519", "SZ000001"]], names=["date", "symbol"])
    import_market(rows.to_frame(index=False).assign(close=1.0), target)
    return target


def give(market, source, **options):
    """Import `source` as at noon of a later day."""
    return import_periods(source, market, clock=Noon(), **options)


def read(market, field="roe_q", code="SH600519"):
    """Return the day, the period and the value of each vintage of a field of an instrument."""
    found = QlibProvider(market).vintages(field, [code])
    days = found.known_at.astype("datetime64[D]").astype(str)
    return list(zip(days.tolist(), found.period.tolist(), found.value.tolist(), strict=True))
