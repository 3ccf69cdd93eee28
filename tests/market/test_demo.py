"""The synthetic market: it is what it says, and the planted signal is as strong as stated."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rollwright.errors import ConfigError, DataError
from rollwright.market.demo import daily_ic, make_demo_market, planted_signal, simulate_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.check import check_data


def small(path, **changes):
    return make_demo_market(path, **{"instruments": 40, "sessions": 200, "seed": 5, **changes})


def snapshot(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    one = small(tmp_path / "one")
    small(tmp_path / "two")
    other = small(tmp_path / "other", seed=6)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    assert one.generation != other.generation


def test_it_is_made_again_over_itself_but_never_over_anything_else(tmp_path):
    small(tmp_path / "demo")
    assert small(tmp_path / "demo", seed=6, instruments=30).seed == 6
    assert len(list((tmp_path / "demo" / "features").iterdir())) == 31
    (tmp_path / "demo" / "demo.json").unlink()
    with pytest.raises(DataError, match="no synthetic market"):
        small(tmp_path / "demo")


def test_what_was_planted_and_what_came_out_is_stated(tmp_path):
    report = small(tmp_path / "demo")
    facts = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert facts["planted_ic"] == report.planted_ic == 0.08
    provider = QlibProvider(tmp_path / "demo")
    codes = [code for code in provider.instruments() if code != "INDEX"]
    close, volume = provider.load(["close", "volume"], codes, 0, 200).astype(float)
    measured = daily_ic(planted_signal(close, volume), close).mean()
    assert measured == pytest.approx(facts["realised_ic"], abs=1e-4)
    assert abs(report.realised_ic - report.planted_ic) < 3 * report.realised_se


@pytest.mark.parametrize("planted", [0.0, 0.05, 0.1])
def test_the_signal_is_as_strong_as_stated(planted):
    daily = []
    for seed in range(8):
        market = simulate_market(instruments=60, sessions=250, seed=seed, planted_ic=planted)
        close, volume = market.fields["close"], market.fields["volume"]
        daily.append(daily_ic(planted_signal(close, volume), close))
    every = np.concatenate(daily)
    assert abs(every.mean() - planted) < 2.5 * every.std() / np.sqrt(len(every))


def test_the_signal_reads_no_row_after_its_own():
    market = simulate_market(instruments=30, sessions=100, seed=1, planted_ic=0.08)
    close, volume = market.fields["close"].copy(), market.fields["volume"].copy()
    before = planted_signal(close, volume)[:70]
    close[70:], volume[70:] = 1.0, 7.0
    np.testing.assert_array_equal(planted_signal(close, volume)[:70], before)


def test_it_looks_like_a_market(tmp_path):
    make_demo_market(tmp_path / "demo", instruments=60, sessions=400, seed=2)
    provider = QlibProvider(tmp_path / "demo")
    lives = provider.members("all")
    first, last = provider.calendar().first, provider.calendar().last
    assert "INDEX" not in lives
    assert set(provider.members("index")) == {"INDEX"}
    assert sum(spans[0][0] > first for spans in lives.values()) == 9
    assert sum(spans[0][1] < last for spans in lives.values()) >= 1
    codes = sorted(lives)
    opened, high, low, close, vwap, factor = provider.load(
        ["open", "high", "low", "close", "vwap", "factor"], codes, 0, 400
    )
    with np.errstate(invalid="ignore"):
        assert not (low > np.minimum(opened, close) * 1.00001).any()
        assert not (high < np.maximum(opened, close) * 0.99999).any()
        assert not ((vwap > high * 1.00001) | (vwap < low * 0.99999)).any()
    suspended = [np.isnan(close[start:stop, at]).any() for at, (start, stop) in enumerate(provider.bounds(codes))]
    assert sum(suspended) >= 5
    assert sum(len(np.unique(column[~np.isnan(column)])) > 1 for column in factor.T) >= 5


def test_a_universe_changes_its_members_and_never_exceeds_its_size(tmp_path):
    make_demo_market(tmp_path / "demo", instruments=80, sessions=400, seed=2)
    provider = QlibProvider(tmp_path / "demo")
    lives = provider.members("top50")
    assert len(lives) > 50
    for session in provider.calendar().to_index()[::20]:
        assert 40 <= sum(any(start <= session <= end for start, end in spans) for spans in lives.values()) <= 50


def test_a_check_finds_nothing_but_its_suspensions(tmp_path):
    small(tmp_path / "demo")
    report = check_data(tmp_path / "demo")
    assert report.ok
    assert {finding.kind for finding in report.findings} <= {"gap", "jump"}


@pytest.mark.parametrize("wrong", [{"instruments": 5}, {"sessions": 10}, {"planted_ic": 0.9}, {"planted_ic": -0.1}])
def test_a_market_that_cannot_be_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match=r"are too few|is outside \[0, 0\.5\]"):
        small(tmp_path / "demo", **wrong)
    assert not (tmp_path / "demo").exists()
