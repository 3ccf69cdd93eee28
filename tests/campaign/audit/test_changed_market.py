"""A changed market is a market: the same contract, and nothing but what was changed differs."""

from __future__ import annotations

import numpy as np
import pytest

from audited_market import toy_market
from rollwright.campaign.audit.changed_market import ChangedMarket, MarketChange, MarketExcerpt
from rollwright.testing.market_contract import DataSourceContract

ROWS = np.array([*range(20, 60), *range(90, 180)], np.int64)
CHANGES = [
    MarketChange(kind="none"),
    MarketChange(kind="noise", start=100, stop=130),
    MarketChange(kind="nan or split", start=100, stop=130),
    MarketChange(kind="members", start=100, stop=130),
    MarketChange(kind="base"),
    MarketChange(kind="start", start=12),
]


@pytest.fixture
def excerpt():
    market = toy_market(dropouts=2)
    return MarketExcerpt(market, ROWS, market.instruments())


class TestContract(DataSourceContract):
    @pytest.fixture(params=CHANGES, ids=[change.kind for change in CHANGES])
    def source(self, request, excerpt):
        return ChangedMarket(excerpt, request.param)


def values_of(market, field="close"):
    names = [name for name in market.instruments() if "N" not in name]
    return market.load([field], names, 0, len(market.calendar()))[0]


@pytest.mark.parametrize("kind", ["noise", "nan", "split", "nan or split"])
def test_what_lies_before_a_change_stays_to_the_bit(excerpt, kind):
    before = values_of(ChangedMarket(excerpt, MarketChange(kind="none")))
    after = values_of(ChangedMarket(excerpt, MarketChange(kind=kind, start=100, stop=110)))
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    assert same[:100].all()
    assert same[110:].all()
    assert (~same[100:110]).mean() > 0.8


def test_a_split_halves_prices_and_doubles_volumes(excerpt):
    plain, split = (
        ChangedMarket(excerpt, change)
        for change in (MarketChange(kind="none"), MarketChange(kind="split", start=100, stop=130))
    )
    for field, factor in (("close", 0.5), ("volume", 2.0)):
        np.testing.assert_array_equal(values_of(split, field)[100:], values_of(plain, field)[100:] * np.float32(factor))


def test_another_base_is_exact(excerpt):
    plain, other = (ChangedMarket(excerpt, MarketChange(kind=kind)) for kind in ("none", "base"))
    ratio = values_of(other) / values_of(plain)
    assert set(ratio[:, excerpt.is_rescaled][np.isfinite(ratio[:, excerpt.is_rescaled])].tolist()) == {32.0, 1 / 32}
    money = values_of(other) * values_of(other, "volume")
    np.testing.assert_array_equal(money, values_of(plain) * values_of(plain, "volume"))


def test_who_is_listed_later_never_is_and_others_take_their_place(excerpt):
    plain = ChangedMarket(excerpt, MarketChange(kind="none"))
    changed = ChangedMarket(excerpt, MarketChange(kind="members", start=100, stop=130))
    (new,) = set(changed.instruments()) - set(plain.instruments())
    assert changed.bounds([new]).tolist() == [[100, len(ROWS)]]
    members = changed.members("all")
    last = changed.calendar()[99]
    ended = [code for code, spans in members.items() if spans[-1][1] == last]
    assert len(ended) == 2  # one is delisted, one left the universe
    assert members[new][0][0] == changed.calendar()[100]
    np.testing.assert_array_equal(values_of(changed)[:100], values_of(plain)[:100])


def test_generations_differ(excerpt):
    assert len({ChangedMarket(excerpt, change).generation for change in CHANGES}) == len(CHANGES)
