"""What a result of version 0.1 notes of its validity, kept so that later versions go on understanding it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rollwright.config.context import current_settings, install
from rollwright.core.canonical import fingerprint
from rollwright.market.folder.provider import provider_from_settings
from rollwright.market.ingest.importer import import_market
from rollwright.training.data_dependency import Reading
from rollwright.training.validity import RESULT_SCHEMA, why_stale

KEPT: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "validity-format-1.json").read_text())
DAYS = pd.bdate_range("2020-01-01", periods=40)


def rows(days: pd.DatetimeIndex, *, more: int = 0) -> pd.DataFrame:
    """Return whole numbers: the same floats on every machine."""
    frames = []
    for place, code in enumerate(["SH600000", "SH600001", "SZ000001"]):
        close = [10 + place + DAYS.get_loc(day) % 7 + more for day in days]
        frames.append(pd.DataFrame({"symbol": code, "date": days, "open": close, "close": close, "volume": 100}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def market(project, tmp_path) -> Path:
    import_market(rows(DAYS[:35]), tmp_path / "market")
    install(current_settings().with_values({"data.provider_uri": str(tmp_path / "market")}, origin="test"))
    return tmp_path / "market"


def reason() -> str | None:
    return why_stale(
        KEPT["definition"], KEPT["validity"], generation=provider_from_settings().generation, reading=Reading()
    )


def test_the_same_imports_still_give_the_generation_that_was_noted(market):
    assert provider_from_settings().generation == KEPT["validity"]["data"]
    assert KEPT["validity"]["schema"] == RESULT_SCHEMA
    assert fingerprint(KEPT["definition"]) == KEPT["fingerprint"]
    assert reason() is None


def test_a_result_of_then_stands_on_days_that_came_later(market):
    import_market(rows(DAYS[35:]), market)
    assert provider_from_settings().generation != KEPT["validity"]["data"]
    assert reason() is None


def test_it_does_not_stand_on_a_price_that_was_revised(market):
    import_market(rows(DAYS[20:21], more=1), market, revise=True)
    assert "changed from 2020-01-29 on" in (reason() or "")


def test_one_that_noted_no_reading_stands_on_its_generation_alone(market):
    noted = {name: value for name, value in KEPT["validity"].items() if name != "reads"}
    generation = provider_from_settings().generation
    assert why_stale(KEPT["definition"], noted, generation=generation, reading=Reading()) is None
    import_market(rows(DAYS[35:]), market)
    generation = provider_from_settings().generation
    assert why_stale(KEPT["definition"], noted, generation=generation, reading=Reading()) == "the market data changed"


@pytest.mark.parametrize("reads", [[], {}, {"freq": "day"}, {"freq": 3, "stop": "x"}, {"freq": "day", "stop": None}])
def test_a_note_that_is_none_makes_the_result_stale_and_is_no_error(market, reads):
    import_market(rows(DAYS[35:]), market)
    generation = provider_from_settings().generation
    noted = {**KEPT["validity"], "reads": reads}
    found = why_stale(KEPT["definition"], noted, generation=generation, reading=Reading())
    assert "the market data changed" in (found or "")
