"""Fields by period in a changed market: what became known later is other, and what was known before is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from audited_market import audit_toy, found_columns, toy_market
from rollwright.campaign.audit.changed_market import ChangedMarket, MarketChange, MarketExcerpt
from rollwright.dataset.processors import Processor
from rollwright.market.current import current_market
from rollwright.market.frame import FrameSource
from rollwright.testing.market_contract import VintageSourceContract

ROWS = np.array([*range(20, 60), *range(90, 180)], np.int64)
START = 100
KINDS = ("none", "noise", "nan or split", "members", "base", "start")
EVERY = 5
"""Sessions between two announcements of an instrument, each with the value before it restated."""


@pytest.fixture(scope="module")
def market():
    arrays = toy_market()
    days, codes = arrays.calendar().to_index(), arrays.instruments()
    values = arrays.load(arrays.fields, codes, 0, len(days))
    index = pd.MultiIndex.from_product([days, codes], names=["datetime", "instrument"])
    frame = pd.DataFrame({f"${name}": part.ravel() for name, part in zip(arrays.fields, values, strict=True)}, index)
    rng, rows = np.random.default_rng(0), []
    for number, code in enumerate(codes):
        for period, known in enumerate(range(number % EVERY, len(days), EVERY)):
            rows.append((code, 2000 + period, days[known], rng.lognormal()))
            if period:
                rows.append((code, 1999 + period, days[known], rng.lognormal()))  # restated
    reports = pd.DataFrame(rows, columns=["instrument", "period", "known_at", "value"])
    return FrameSource(frame.dropna(how="all"), by_period={"roe_a": reports})


def changed(market, kind):
    excerpt = MarketExcerpt(market, ROWS, market.instruments())
    whole = kind in ("none", "base")
    return ChangedMarket(excerpt, MarketChange(kind=kind, start=0 if whole else START, stop=0 if whole else len(ROWS)))


class TestContract(VintageSourceContract):
    @pytest.fixture
    def period_field(self):
        return "roe_a"

    @pytest.fixture(params=KINDS)
    def source(self, request, market):
        return changed(market, request.param)


@pytest.mark.parametrize("kind", ["noise", "nan or split"])
def test_what_became_known_after_the_change_is_other_and_nothing_before(market, kind):
    other = changed(market, kind)
    codes = other.instruments()
    was, now = market.vintages("roe_a", codes), other.vintages("roe_a", codes)
    for one, two in zip(was[:3], now[:3], strict=True):  # who, what about, since when
        np.testing.assert_array_equal(one, two)
    later = was.known_at > other.calendar()[START - 1].to_datetime64()
    assert 0.2 < later.mean() < 0.8
    np.testing.assert_array_equal(was.value[~later], now.value[~later])
    assert not (was.value[later] == now.value[later]).any()


def test_an_instrument_that_is_listed_later_has_announced_nothing(market):
    other = changed(market, "members")
    (new,) = set(other.instruments()) - set(market.instruments())
    assert other.vintages("roe_a", [new]).offsets.tolist() == [0, 0]


class LatestReport(Processor):
    """Adds the last value that was ever announced, known then or not."""

    def __call__(self, df):
        codes = df.index.get_level_values("instrument").unique().tolist()
        found = current_market().vintages("roe_a", codes)
        latest = pd.Series(
            [
                np.nan_to_num(found.value[low:high][-1]) if high > low else 0.0
                for low, high in zip(found.offsets[:-1], found.offsets[1:], strict=True)
            ],
            index=codes,
        )
        made = df.copy()
        for column in made["feature"].columns:
            made["feature", column] += latest.reindex(made.index.get_level_values("instrument")).to_numpy()
        return made


def test_a_value_before_it_was_announced_is_found(market):
    report = audit_toy(market=market, infer_processors=[LatestReport()])
    assert found_columns(report, "processors") == {"F0"}
