"""The market of the campaigns that are rolled again."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolling_project import DAYS, rows
from rollwright.market.ingest.importer import import_market


@pytest.fixture
def market(tmp_path) -> Path:
    import_market(rows(DAYS[:200]), tmp_path / "market")
    return tmp_path / "market"
