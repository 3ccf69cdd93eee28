"""What a check finds, and where it says it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import DataNotFoundError
from rollwright.market.ingest.check import check_data
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2020-01-01", periods=10)


def sound(**changes) -> pd.DataFrame:
    close = np.linspace(10, 11, 10)
    columns = {"symbol": "AAA", "date": DAYS, "open": close, "high": close + 1, "low": close - 1, "close": close}
    return pd.DataFrame({**columns, "volume": 5.0, "factor": 1.0, "vwap": close, **changes})


def with_value(name: str, at: int, value: float) -> pd.DataFrame:
    frame = sound()
    frame.loc[at, name] = value
    return frame


def split() -> pd.DataFrame:
    """Return prices that halve on the sixth day, with the factor standing still."""
    return sound().assign(
        close=[10.0] * 5 + [4.0] * 5, open=[10.0] * 5 + [4.0] * 5, high=11.0, low=3.0, vwap=[10.0] * 5 + [4.0] * 5
    )


def findings(path, **wanted):
    report = check_data(path)
    return [f for f in report.findings if all(getattr(f, name) == value for name, value in wanted.items())]


def test_sound_data_have_no_findings(tmp_path):
    import_market(sound(), tmp_path / "market")
    report = check_data(tmp_path / "market")
    assert (report.ok, report.findings, report.instruments, report.sessions, report.files) == (True, (), 1, 10, 7)


CASES = {
    "a price of zero": (with_value("open", 3, 0.0), "price", "error", "AAA 2020-01-06", "open is not positive (0)"),
    "a negative volume": (with_value("volume", 3, -1.0), "volume", "error", "AAA 2020-01-06", "volume is negative"),
    "an infinite price": (with_value("close", 3, np.inf), "infinite", "error", "AAA 2020-01-06", "close is infinite"),
    "a gap": (with_value("close", 3, np.nan), "gap", "warning", "AAA 2020-01-06", "close has no value"),
    "a close above the high": (with_value("high", 3, 1.0), "bar", "warning", "AAA 2020-01-06", "close is above high"),
    "a close below the low": (with_value("low", 3, 10.9), "bar", "warning", "AAA 2020-01-06", "close is below low"),
    "a jump": (split(), "jump", "warning", "AAA 2020-01-08", "close jumps from 10 to 4"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_found_and_placed(tmp_path, case):
    frame, kind, severity, where, message = CASES[case]
    import_market(frame, tmp_path / "market")
    (found,) = [item for item in findings(tmp_path / "market", kind=kind) if message in item.message]
    assert (found.severity, found.where) == (severity, where)
    assert check_data(tmp_path / "market").ok == (severity == "warning")


def test_a_jump_is_found_on_the_day_the_factor_changes_too(tmp_path):
    import_market(split().assign(factor=[1.0] * 5 + [2.5] * 5), tmp_path / "market")
    (found,) = findings(tmp_path / "market", kind="jump")
    assert found.where == "AAA 2020-01-08"
    assert "on the day the factor goes from 1 to 2.5: the prices are raw" in found.message


def test_adjusted_prices_beside_a_factor_have_no_finding(tmp_path):
    import_market(sound().assign(factor=[1.0] * 5 + [2.5] * 5), tmp_path / "market")
    assert findings(tmp_path / "market", kind="jump") == []


def moved(move: float) -> pd.DataFrame:
    """Return a market whose only price moves by `move` on the sixth day, and little on the others."""
    close = np.r_[[20, 20.2, 20.1, 20.3, 20.0], 20.0 * (1 + move) * np.array([1, 1.01, 1, 0.99, 1])]
    return pd.DataFrame({"symbol": "AAA", "date": DAYS, "close": close})


@pytest.mark.parametrize("move", [-0.5, -0.495, -0.46, -0.52, -2 / 3, -0.9, 1.0, 0.9, 2.1, 9.0])
def test_a_move_of_the_size_of_a_split_is_found_either_way(tmp_path, move):
    import_market(moved(move), tmp_path / "market")
    (found,) = findings(tmp_path / "market", kind="jump")
    assert found.where == "AAA 2020-01-08"
    assert "as at a split of" in found.message


@pytest.mark.parametrize("move", [-0.35, -0.2, -0.42, 0.1, 0.44, 0.6])
def test_a_bad_day_or_a_good_one_is_no_finding(tmp_path, move):
    import_market(moved(move), tmp_path / "market")
    assert findings(tmp_path / "market", kind="jump") == []


def test_a_market_of_raw_prices_is_told_in_sum(tmp_path):
    many = pd.concat([moved(-0.5).assign(symbol=f"S{number:02}") for number in range(20)])
    calm = pd.concat([moved(0.0).assign(symbol=f"T{number:02}") for number in range(20)])
    import_market(pd.concat([many, calm]), tmp_path / "market")
    (found,) = findings(tmp_path / "market", kind="jump")
    assert found.where == "20 of 40 instruments"
    assert found.message.startswith("likely unadjusted prices: 20 jumps on 20 names, as S00 2020-01-08: close jumps")


def test_a_negative_price_is_a_warning_of_its_own(tmp_path):
    import_market(with_value("close", 3, -37.63), tmp_path / "market")
    (found,) = findings(tmp_path / "market", kind="price")
    assert (found.severity, found.message) == ("warning", "close is negative (-37.63)")


def test_every_damaged_series_is_listed_not_only_the_first(tmp_path):
    import_market(sound(), tmp_path / "market")
    folder = tmp_path / "market" / "features" / "aaa"
    for name in ("open", "close"):
        (folder / f"{name}.day.bin").write_bytes(b"\x00\x00\x00")
    (folder / "low.day.bin").unlink()
    damaged = findings(tmp_path / "market", kind="corrupt")
    assert [item.severity for item in damaged] == ["error"] * len(damaged)
    named = " ".join(item.where for item in damaged)
    assert all(f"{name}.day.bin" in named for name in ("open", "close", "low"))


def test_a_damaged_calendar_is_one_finding(tmp_path):
    import_market(sound(), tmp_path / "market")
    for name in ("rollwright.json", "rollwright.files"):
        (tmp_path / "market" / name).unlink()
    (tmp_path / "market" / "calendars" / "day.txt").write_text("2020-01-02\n2020-01-01\n")
    report = check_data(tmp_path / "market")
    assert [(item.kind, item.severity) for item in report.findings] == [("corrupt", "error")]
    assert "line 2" in report.findings[0].message
    assert not report.ok


def test_universes_are_held_against_the_series(tmp_path):
    import_market(sound(), tmp_path / "market")
    (tmp_path / "market" / "instruments" / "mine.txt").write_text(
        "AAA\t2020-01-01\t2020-01-09\nZZZ\t2020-01-01\t2020-01-09\n"
    )
    messages = {(item.kind, item.message.split(";")[0]) for item in check_data(tmp_path / "market").findings}
    assert ("universe", "no series for ZZZ") in messages
    assert ("unlisted", "other tools made it") in messages


def test_series_of_other_tools_are_reported(tmp_path):
    import_market(sound(), tmp_path / "market")
    (tmp_path / "market" / "features" / "aaa" / "mine.day.bin").write_bytes(np.zeros(2, "<f4").tobytes())
    (found,) = findings(tmp_path / "market", kind="unlisted")
    assert found.where == "features/aaa/mine.day.bin"


def test_nothing_to_check(tmp_path):
    with pytest.raises(DataNotFoundError, match="there is no such folder"):
        check_data(tmp_path / "absent")
