"""Jumps of the size of a split, over a whole market, as a value that a campaign's health can read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.frame import FrameSource
from rollwright.market.price_jumps import find_jumps, find_price_jumps, name_ratio

DAYS = pd.bdate_range("2020-01-01", periods=20)


def market(splits: int, calm: int, *, factor: bool = False, adjusted: bool = False) -> FrameSource:
    parts = []
    for number in range(splits + calm):
        close = 20 + 0.1 * np.arange(20.0)
        steps = np.where(np.arange(20) >= 10, 2.0, 1.0)
        raw = close / steps if number < splits and not adjusted else close
        part = pd.DataFrame({"close": raw}, index=[DAYS, [f"S{number:02}"] * 20])
        parts.append(part.assign(factor=steps) if factor else part)
    frame = pd.concat(parts)
    frame.index.names = ["datetime", "instrument"]
    return FrameSource(frame)


def test_a_market_of_unadjusted_prices_is_told_as_one(caplog):
    found = find_price_jumps(market(10, 10))
    assert (found.instruments, found.jumps, found.names, found.with_factor) == (20, 10, 10, 0)
    assert found.likely_unadjusted
    assert found.describe().startswith("likely unadjusted prices: 10 jumps on 10 names, as S00 2020-01-15 -50%")


def test_raw_prices_beside_a_factor_are_certain_from_the_first(caplog):
    found = find_price_jumps(market(1, 19, factor=True))
    assert (found.jumps, found.with_factor, found.likely_unadjusted) == (1, 1, True)
    assert not find_price_jumps(market(1, 19, factor=True, adjusted=True)).likely_unadjusted


def test_one_name_that_jumps_is_no_market_of_raw_prices():
    found = find_price_jumps(market(1, 19))
    assert (found.jumps, found.likely_unadjusted) == (1, False)


def test_a_range_and_some_instruments_may_be_asked():
    source = market(10, 10)
    assert find_price_jumps(source, ["S00", "S15"]).names == 1
    assert find_price_jumps(source, start=0, stop=10).jumps == 0
    assert find_price_jumps(source, start=19).jumps == 0


def test_the_synthetic_market_is_adjusted(tmp_path):
    make_demo_market(tmp_path / "m", instruments=40, sessions=400)
    assert not find_price_jumps(QlibProvider(tmp_path / "m")).likely_unadjusted


def test_a_move_is_named_after_its_split():
    assert [name_ratio(np.log(ratio)) for ratio in (0.5, 0.52, 1 / 3, 0.1, 2, 10.2, 0.75, 1.25)] == [
        "2:1", "2:1", "3:1", "10:1", "1:2", "1:10", "", "",
    ]  # fmt: skip


def dividends(ratio: float, *, raw: bool, seed: int = 1, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Return a close and a factor that changes four times by `ratio`."""
    moves = np.random.default_rng(seed).normal(0, noise, 400)
    factor = ratio ** np.floor(np.arange(400) / 80)
    close = 20 * np.exp(np.cumsum(moves))
    return (close / factor if raw else close), factor


@pytest.mark.parametrize("ratio", [1.05, 1.1, 1.2, 0.9])
def test_small_changes_of_the_factor_tell_raw_prices_together(ratio):
    for seed in range(20):
        assert find_jumps(*dividends(ratio, raw=True, seed=seed))[2].sum() >= 2
        assert not find_jumps(*dividends(ratio, raw=False, seed=seed))[2].any()


def test_a_factor_that_hardly_changes_tells_nothing():
    assert not find_jumps(*dividends(1.005, raw=True))[2].any()
