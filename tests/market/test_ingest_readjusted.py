"""Prices that were adjusted anew after an earlier import: refused with values, and imported as a whole on demand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import DataError
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2020-01-01", periods=12)


def prices(first: int, last: int, ratio: float = 1.0, symbol: str = "A") -> pd.DataFrame:
    places = np.arange(first, last)
    return pd.DataFrame({"symbol": symbol, "date": DAYS[first:last], "close": (20 + 0.1 * places) * ratio})


@pytest.mark.parametrize("ratio", [0.5, 2.0, 0.985])
@pytest.mark.parametrize("revise", [False, True])
def test_an_append_of_newly_adjusted_prices_is_refused_with_the_way_out(tmp_path, ratio, revise):
    import_market(prices(0, 8), tmp_path / "m")
    before = QlibProvider(tmp_path / "m").generation
    with pytest.raises(DataError, match="--replace") as caught:
        import_market(prices(5, 12, ratio), tmp_path / "m", revise=revise)
    assert f"close of A is {ratio:g} times that in" in str(caught.value)
    assert "on all 3 sessions of both (2020-01-08: 20.5 there" in str(caught.value)
    assert QlibProvider(tmp_path / "m").generation == before


def test_the_whole_history_replaces_what_is_there(tmp_path):
    import_market(pd.concat([prices(0, 8), prices(0, 8, symbol="B")]), tmp_path / "m")
    report = import_market(prices(2, 12, 0.5), tmp_path / "m", replace=True)
    assert (report.kind, report.added_sessions) == ("revise", 4)
    assert report.first_changed == "2020-01-01"
    provider = QlibProvider(tmp_path / "m")
    close = provider.load(["close"], ["A", "B"], 0, 12)[0]
    assert np.isnan(close[:2, 0]).all()
    np.testing.assert_allclose(close[2:, 0], (20 + 0.1 * np.arange(2, 12)) * 0.5, rtol=1e-6)
    np.testing.assert_allclose(close[:8, 1], 20 + 0.1 * np.arange(8), rtol=1e-6)
    assert import_market(prices(2, 12, 0.5), tmp_path / "m", replace=True).kind == "none"


def test_a_source_with_every_row_needs_revise_alone(tmp_path):
    import_market(prices(0, 8), tmp_path / "m")
    with pytest.raises(DataError, match="to replace these values: --revise"):
        import_market(prices(0, 12, 0.5), tmp_path / "m")
    assert import_market(prices(0, 12, 0.5), tmp_path / "m", revise=True).kind == "revise"


def test_a_correction_is_no_adjustment(tmp_path):
    import_market(prices(0, 8), tmp_path / "m")
    fixed = prices(5, 12)
    fixed.loc[1, "close"] *= 0.5
    assert import_market(fixed, tmp_path / "m", revise=True).changed_cells == 1


def test_an_append_that_does_not_go_on_from_the_last_price_is_told(tmp_path, caplog):
    import_market(prices(0, 8), tmp_path / "m")
    report = import_market(prices(8, 12, 0.5), tmp_path / "m")
    assert "close of A goes from 20.7 to 10.4 where the source begins" in report.notes[0]
    assert "--replace" in caplog.text
    assert import_market(prices(0, 12, symbol="C"), tmp_path / "m").notes == ()
