"""`C.mem_cache_size_limit`: megabytes of decoded series, and what it bounds is measured here."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright import C, D, init
from rollwright.market.folder import provider as provider_module
from rollwright.market.folder.bins import Span
from rollwright.market.folder.field_cache import OVERHEAD, FieldCache
from rollwright.market.folder.provider import QlibProvider, provider_from_settings
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2021-01-04", periods=200)
FIELDS = ["open", "close", "volume"]
CODES = [f"S{number:02}" for number in range(10)]
SERIES = 4 * len(DAYS) + OVERHEAD


def span(rows: int) -> Span:
    return Span(start=0, stop=rows, first=0, values=np.zeros(rows, np.float32))


@pytest.fixture
def market(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    frames = []
    for number, code in enumerate(CODES):
        own = DAYS[number:]
        values = {field: rng.lognormal(2, 0.1, len(own)) for field in FIELDS}
        frames.append(pd.DataFrame({"symbol": code, "date": own, **values}))
    import_market(pd.concat(frames), tmp_path / "market")
    return tmp_path / "market"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that were read, in order."""
    seen: list[Path] = []
    original = provider_module.read_span

    def counted(path, *args, **kwargs):
        seen.append(path)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(provider_module, "read_span", counted)
    return seen


def test_what_is_kept_never_exceeds_the_limit() -> None:
    cache = FieldCache(3 * (400 + OVERHEAD))
    for number in range(10):
        cache.put(number, span(100))
        assert cache.size <= cache.limit
    assert len(cache) == 3
    assert [cache.get(number) is not None for number in range(6, 10)] == [False, True, True, True]


def test_the_least_recently_used_leaves_first() -> None:
    cache = FieldCache(2 * (400 + OVERHEAD))
    cache.put("a", span(100))
    cache.put("b", span(100))
    assert cache.get("a") is not None
    cache.put("c", span(100))
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    cache = FieldCache(1000)
    cache.put("small", span(10))
    cache.put("large", span(1000))
    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_putting_twice_counts_once_and_shrinking_takes_effect_at_once() -> None:
    cache = FieldCache(10_000)
    cache.put("a", span(100))
    cache.put("a", span(200))
    assert cache.size == 800 + OVERHEAD
    cache.resize(0)
    assert (cache.size, len(cache)) == (0, 0)


def test_a_kept_series_is_not_read_again_and_reads_the_same(market: Path, reads: list[Path]) -> None:
    plain = QlibProvider(market)
    kept = QlibProvider(market, cache=FieldCache(1_000_000))
    reads.clear()
    for start, stop in ((0, 200), (3, 50), (0, 5), (150, 200), (7, 7)):
        expected = plain.load(FIELDS, CODES, start, stop)
        np.testing.assert_array_equal(kept.load(FIELDS, CODES, start, stop), expected)
    per_call = len(FIELDS) * len(CODES)
    assert len(reads) == 5 * per_call + per_call
    assert kept.cache.size == sum(4 * (len(DAYS) - number) + OVERHEAD for number in range(len(CODES))) * len(FIELDS)


def test_k1_the_limit_given_to_init_bounds_what_the_market_keeps(market: Path, reads: list[Path]) -> None:
    init(provider_uri=str(market), mem_cache_size_limit=5 * SERIES / 1e6)
    D.features(CODES, ["$close", "$open"])
    cache = provider_from_settings().cache
    assert 0 < cache.size <= 5 * SERIES
    C.mem_cache_size_limit = 0
    assert provider_from_settings().cache.size == 0
    reads.clear()
    D.features(CODES[:3], ["$close"])
    D.features(CODES[:3], ["$close"])
    assert len(reads) == 6
    C["mem_cache_size_limit"] = 100
    reads.clear()
    first = D.features(CODES[:3], ["$close"])
    pd.testing.assert_frame_equal(D.features(CODES[:3], ["$close"]), first)
    assert len(reads) == 3


def test_new_data_are_read_anew(market: Path) -> None:
    init(provider_uri=str(market))
    before = D.features(["S00"], ["$close"])
    more = pd.DataFrame({"symbol": "S00", "date": [DAYS[-1] + pd.Timedelta(days=3)], **dict.fromkeys(FIELDS, 9.0)})
    import_market(more, market)
    after = D.features(["S00"], ["$close"])
    assert len(after) == len(before) + 1
    assert after["$close"].iloc[-1] == 9.0


def test_a_copy_of_a_provider_has_an_empty_cache_of_the_same_limit(market: Path) -> None:
    kept = QlibProvider(market, cache=FieldCache(1_000_000))
    kept.load(["close"], CODES, 0, 200)
    other = copy.copy(kept)
    assert (other.cache.limit, other.cache.size) == (1_000_000, 0)


def test_the_limit_is_about_memory_not_about_counting(tmp_path: Path) -> None:
    days = pd.bdate_range("2001-01-01", periods=5000)
    frame = pd.concat(pd.DataFrame({"symbol": code, "date": days, "close": 1.0, "open": 2.0}) for code in CODES)
    import_market(frame, tmp_path / "market")
    del frame
    limit = 100_000
    market = QlibProvider(tmp_path / "market", cache=FieldCache(limit))
    for code in CODES:  # what is made once: index, digests
        market.load(["close"], [code], 0, 1)
    market.cache.resize(0)
    market.cache.resize(limit)
    gc.collect()
    tracemalloc.start()
    for code in CODES:
        market.load(["close", "open"], [code], 0, 5000)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.7 * limit < market.cache.size <= limit
    assert kept < 1.3 * limit
