"""The last sessions in one file: what it spares, and that it never decides what a value is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import CorruptFileError
from rollwright.market.folder import provider as provider_module
from rollwright.market.folder.adopt_changes import adopt_changes
from rollwright.market.folder.manifest import FileEntry
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.folder.recent_sessions import RECENT_SESSIONS, gather_recent_sessions, recent_sessions_name
from rollwright.market.ingest.check import check_data
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2018-01-01", periods=2 * RECENT_SESSIONS + 60)
TAIL = recent_sessions_name("day")


def frame(days=DAYS, codes=("AAA", "BBB", "CCC")) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    whole = pd.DataFrame(
        [(code, day, *rng.uniform(1, 9, 3)) for code in ("AAA", "BBB", "CCC") for day in DAYS],
        columns=["symbol", "date", "close", "open", "volume"],
    )
    whole.loc[whole["symbol"].eq("BBB") & whole["date"].gt(DAYS[-90]), "open"] = np.nan
    late = whole["symbol"].eq("CCC") & whole["date"].lt(DAYS[-30])
    return whole[whole["date"].isin(days) & whole["symbol"].isin(codes) & ~late]


@pytest.fixture
def market(tmp_path: Path) -> Path:
    import_market(frame(DAYS[:-5]), tmp_path / "market")
    import_market(frame(DAYS[-8:], codes=("AAA", "CCC")), tmp_path / "market")
    return tmp_path / "market"


def last(path: Path, *, recent: bool = True, start: int = -70) -> bytes:
    provider = QlibProvider(path, use_recent_copy=recent)
    stop = len(provider.calendar())
    return provider.load(
        ["volume", "close", "open", "vwap"], provider.instruments()[::-1], stop + start, stop
    ).tobytes()


@pytest.mark.parametrize("start", [-1, -5, -70, -RECENT_SESSIONS])
def test_the_copy_of_recent_sessions_holds_what_the_series_hold_bit_by_bit(market: Path, start: int) -> None:
    assert (market / TAIL).is_file()
    assert last(market, start=start) == last(market, recent=False, start=start)


def test_series_stand_in_order_of_their_names_whatever_the_order_of_files(tmp_path: Path) -> None:
    # forty folders: a set of them comes in this order once in 10^47 seeds of the hash
    names = [f"{exchange}{number:02}" for number in range(20) for exchange in ("sz", "sh")]
    files = {
        f"features/{name}/{field}.day.bin": FileEntry(digest="") for name in names for field in ("volume", "close")
    }
    sessions = 2 * RECENT_SESSIONS + 1

    def given(folder: str, field: str) -> tuple[int, np.ndarray]:
        return sessions - 1, np.float32([names.index(folder)])

    found = gather_recent_sessions(tmp_path, files, "day", sessions=sessions, given=given)
    assert found is not None
    assert found.folders == tuple(sorted(names))
    assert found.fields == ("close", "volume")
    np.testing.assert_array_equal(found.values[0, -1], [names.index(name) for name in found.folders])


def test_an_append_opens_no_series(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(provider_module, "read_span", lambda path, *_, **__: opened.append(path))
    last(market)
    assert opened == []


def test_sweep_a_damaged_copy_of_recent_sessions_is_left_aside(market: Path) -> None:
    want = last(market, recent=False)
    path = market / TAIL
    data = path.read_bytes()
    rng = np.random.default_rng(2)
    for bit in rng.integers(0, 8 * len(data), 200).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        assert last(market) == want
    for length in rng.integers(0, len(data), 50).tolist():
        path.write_bytes(data[:length])
        assert last(market) == want
    path.write_bytes(data[:1000] + bytes(4096) + data[5096:])
    assert last(market) == want


def test_a_copy_for_another_state_is_left_aside(market: Path, tmp_path: Path) -> None:
    old = (market / TAIL).read_bytes()
    changed = frame(DAYS[-3:])
    changed["close"] += 1
    import_market(changed, market, revise=True)
    new = last(market)
    (market / TAIL).write_bytes(old)
    assert last(market) == new == last(market, recent=False)


def test_a_check_reads_the_series_and_adopting_changes_drops_the_recent_sessions(market: Path) -> None:
    path = market / "features" / "ccc" / "close.day.bin"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    assert [finding.kind for finding in check_data(market).findings if finding.severity == "error"] == ["corrupt"]
    with pytest.raises(CorruptFileError, match=r"close\.day\.bin is corrupt"):
        last(market, recent=False)
    adopt_changes(market)
    assert not (market / TAIL).exists()
    assert last(market) == last(market, recent=False)


def test_a_damaged_series_keeps_no_import_from_succeeding_and_is_not_copied_with_the_others(market: Path) -> None:
    path = market / "features" / "bbb" / "close.day.bin"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    import_market(frame(DAYS[-2:], codes=("AAA",)).assign(close=5.0), market, revise=True)
    assert not (market / TAIL).exists()
    with pytest.raises(CorruptFileError, match=r"\.day\.bin is corrupt"):
        last(market)


def test_a_short_market_needs_none(tmp_path: Path) -> None:
    import_market(frame(DAYS[-100:]), tmp_path / "market")
    assert not (tmp_path / "market" / TAIL).exists()
