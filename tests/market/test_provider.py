"""Reading Qlib's layout: what the files hold, or an error that names file and reason."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.config.settings import load_settings
from rollwright.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    DataNotFoundError,
    UnknownFieldError,
    UnknownInstrumentError,
)
from rollwright.market.folder.bins import read_span
from rollwright.market.folder.provider import QlibProvider, provider_from_settings
from rollwright.market.ingest.check import check_data
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2020-01-01", periods=10)


def pack(start: float, values, order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(values) + 1}f", start, *values)


def foreign(root: Path, *, calendar: bytes | None = None, instruments: bytes | None = None, **bins: bytes) -> Path:
    """Write a folder as other tools would: calendar of ten days, and `close` of the folders named."""
    text = "".join(f"{day:%Y-%m-%d}\n" for day in DAYS).encode()
    (root / "calendars").mkdir(parents=True)
    (root / "calendars" / "day.txt").write_bytes(text if calendar is None else calendar)
    (root / "instruments").mkdir()
    rows = b"SH600000\t2020-01-01\t2020-01-14\n" if instruments is None else instruments
    (root / "instruments" / "all.txt").write_bytes(rows)
    for name, data in (bins or {"sh600000": pack(2, [1.5, 2.5, 3.5])}).items():
        (root / "features" / name).mkdir(parents=True)
        (root / "features" / name / "close.day.bin").write_bytes(data)
    return root


@pytest.fixture
def market(tmp_path):
    frame = pd.DataFrame(
        {
            "symbol": ["AAA"] * 10 + ["BBB"] * 6,
            "date": [*DAYS, *DAYS[4:]],
            "close": np.arange(16) + 1.0,
            "volume": np.arange(16) * 100.0,
        }
    )
    import_market(frame, tmp_path / "market")
    return tmp_path / "market"


def test_rows_come_from_their_places_in_the_calendar(tmp_path):
    provider = QlibProvider(foreign(tmp_path / "q"))
    assert provider.instruments() == ("SH600000",)
    assert provider.bounds(["SH600000"]).tolist() == [[2, 5]]
    nan = np.nan
    np.testing.assert_array_equal(provider.load(["close"], ["SH600000"], 0, 6)[0, :, 0], [nan, nan, 1.5, 2.5, 3.5, nan])
    np.testing.assert_array_equal(provider.load(["close"], ["SH600000"], 3, 4)[0, :, 0], [2.5])
    assert provider.load(["close"], ["SH600000"], 7, 7).shape == (1, 0, 1)


def test_every_part_of_a_range_is_that_part_of_the_whole(market):
    provider = QlibProvider(market)
    whole = provider.load(["close", "volume"], ["BBB", "AAA"], 0, 10)
    assert whole.shape == (2, 10, 2)
    assert whole.dtype == np.float32
    for start in range(11):
        for stop in range(start, 11):
            part = provider.load(["close", "volume"], ["BBB", "AAA"], start, stop)
            np.testing.assert_array_equal(part, whole[:, start:stop])


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 11), (4, 3)])
def test_a_range_outside_the_calendar_is_refused(market, start, stop):
    with pytest.raises(DataError, match="10 sessions"):
        QlibProvider(market).load(["close"], ["AAA"], start, stop)


BAD_BINS = {
    "no bytes": (b"", "0 bytes"),
    "one byte": (b"\x00", "1 bytes"),
    "three bytes": (b"\x00\x00\x00", "3 bytes"),
    "a torn tail": (pack(0, [1.0, 2.0])[:-1], "11 bytes"),
    "start is NaN": (pack(float("nan"), [1.0]), "start index is nan"),
    "start is infinite": (pack(float("inf"), [1.0]), "start index is inf"),
    "start is negative": (pack(-1.0, [1.0]), "start index is -1.0"),
    "start is a fraction": (pack(0.5, [1.0]), "start index is 0.5"),
    "start is 1e30": (pack(1e30, [1.0]), "float32 cannot hold"),
    "start beyond 2**24": (pack(2**24 + 2, [1.0]), "float32 cannot hold"),
    "start beyond the calendar": (pack(10, [1.0]), "beyond the calendar"),
    "longer than the calendar": (pack(0, [1.0] * 11), "1 beyond the calendar"),
    "big-endian": (pack(2, [1.5, 2.5], ">"), "big-endian"),
    "big-endian from the first session": (pack(0, [1.5, 22.5], ">"), "big-endian"),
    "big-endian, huge when read in the other order": (pack(0, [0.0]) + b"\x41\x20\x00\x7e", "big-endian"),
}


@pytest.mark.parametrize("case", BAD_BINS)
def test_a_file_that_is_no_series_is_an_error_with_its_path(tmp_path, case):
    data, reason = BAD_BINS[case]
    provider = QlibProvider(foreign(tmp_path / "q", sh600000=data))
    with pytest.raises(CorruptFileError, match=r"close\.day\.bin") as caught:
        provider.load(["close"], ["SH600000"], 0, 10)
    assert reason in caught.value.reason
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("low", "high", "rows"), [(0, 0, []), (8, 10, []), (0, 2, []), (3, 9, [2.5, 3.5])])
def test_part_of_a_series_says_where_the_whole_of_it_lies(tmp_path, low, high, rows):
    path = foreign(tmp_path / "q") / "features" / "sh600000" / "close.day.bin"
    span = read_span(path, low, high, sessions=10)
    assert (span.start, span.stop) == (2, 5)
    assert span.values.tolist() == rows


def test_a_head_without_rows_is_an_empty_series(tmp_path):
    provider = QlibProvider(foreign(tmp_path / "q", sh600000=pack(3, [])))
    assert np.isnan(provider.load(["close"], ["SH600000"], 0, 10)).all()


BAD_CALENDARS = {
    "empty": (b"", "no sessions"),
    "a session twice": (b"2020-01-01\n2020-01-02\n2020-01-02\n", "line 3"),
    "out of order": (b"2020-01-01\n2020-01-03\n2020-01-02\n", "line 3"),
    "no date": (b"2020-01-01\ntomorrow\n", "line 2"),
    "no day of any month": (b"2020-02-28\n2020-02-30\n", "line 2"),
    "a time of day": (b"2020-01-01 00:00:00\n2020-01-02 09:30:00\n", "line 2"),
    "not text": (b"2020-01-01\n\xff\xfe\x00\n", "not text"),
}


@pytest.mark.parametrize("case", BAD_CALENDARS)
def test_a_calendar_that_is_none_is_an_error_with_its_line(tmp_path, case):
    data, reason = BAD_CALENDARS[case]
    with pytest.raises(CorruptFileError, match=r"day\.txt") as caught:
        QlibProvider(foreign(tmp_path / "q", calendar=data))
    assert reason in caught.value.reason


@pytest.mark.parametrize("form", ["crlf", "bom", "no last end of line"])
def test_other_tools_line_ends_are_read(tmp_path, form):
    text = "".join(f"{day:%Y-%m-%d}\n" for day in DAYS).encode()
    forms = {"crlf": text.replace(b"\n", b"\r\n"), "bom": b"\xef\xbb\xbf" + text, "no last end of line": text[:-1]}
    provider = QlibProvider(foreign(tmp_path / "q", calendar=forms[form]))
    assert list(provider.calendar()) == list(DAYS)


def test_a_session_at_a_weekend_is_kept_and_told(tmp_path, caplog):
    weekend = b"2020-01-03\n2020-01-04\n2020-01-06\n2020-01-07\n2020-01-08\n"
    with caplog.at_level(logging.WARNING, "rollwright.market"):
        provider = QlibProvider(foreign(tmp_path / "q", calendar=weekend))
    assert provider.calendar().known == 5
    assert [record.getMessage() for record in caplog.records if "2020-01-04" in record.getMessage()]


def test_future_sessions_are_known_but_hold_no_data(tmp_path):
    root = foreign(tmp_path / "q")
    ahead = pd.bdate_range("2020-01-01", periods=14)
    (root / "calendars" / "day_future.txt").write_text("".join(f"{day:%Y-%m-%d}\n" for day in ahead))
    provider = QlibProvider(root)
    assert (provider.calendar().known, len(provider.calendar())) == (10, 14)
    assert np.isnan(provider.load(["close"], ["SH600000"], 10, 14)).all()
    (root / "features" / "sh600000" / "close.day.bin").write_bytes(pack(0, [1.0] * 12))
    with pytest.raises(CorruptFileError, match="2 beyond the calendar"):
        provider.load(["close"], ["SH600000"], 0, 14)


BAD_UNIVERSES = {
    "too few columns": (b"SH600000\t2020-01-01\n", "line 1"),
    "spaces for tabs": (b"SH600000 2020-01-01 2020-01-02\n", "line 1"),
    "no date": (b"SH600000\t2020-01-01\t2020-01-09\nSH1\tnow\t2020-01-09\n", "line 2"),
    "backwards": (b"SH600000\t2020-01-09\t2020-01-01\n", "before its start"),
    "case twins": (b"SH1\t2020-01-01\t2020-01-09\nsh1\t2020-01-01\t2020-01-09\n", "differ only in case"),
    "a path": (b"../../x\t2020-01-01\t2020-01-09\n", "line 1"),
    "not text": (b"\xff\xfe\n", "not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_UNIVERSES)
def test_an_instruments_file_that_is_none_is_an_error_with_its_line(tmp_path, case):
    data, reason = BAD_UNIVERSES[case]
    provider = QlibProvider(foreign(tmp_path / "q", instruments=data))
    with pytest.raises(CorruptFileError, match=r"all\.txt") as caught:
        provider.members("all")
    assert reason in caught.value.reason


def test_several_lines_are_several_lifetimes_in_order(tmp_path):
    rows = b"000001\t2020-01-09\t2020-01-14\r\n000001\t2020-01-01\t2020-01-03\r\n"
    provider = QlibProvider(foreign(tmp_path / "q", instruments=rows))
    day = pd.Timestamp
    spans = ((day("2020-01-01"), day("2020-01-03")), (day("2020-01-09"), day("2020-01-14")))
    assert provider.members("all") == {"000001": spans}
    assert provider.members("ALL") == provider.members("all")


def test_an_unknown_universe_suggests_the_nearest(market):
    with pytest.raises(UnknownInstrumentError, match="did you mean `all`"):
        QlibProvider(market).members("al")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "", ".", "..", "a\x00b", "a\\b", 7])
def test_no_name_leaves_the_folder(market, name):
    provider = QlibProvider(market)
    with pytest.raises(UnknownInstrumentError, match="cannot be a universe"):
        provider.members(name)
    with pytest.raises(
        UnknownInstrumentError, match=r"cannot be the code of an instrument|codes of instruments are text"
    ):
        provider.load(["close"], [name], 0, 1)
    with pytest.raises(UnknownFieldError, match="cannot be a field"):
        provider.load([name], ["AAA"], 0, 1)


def test_an_instrument_is_found_in_any_case_and_an_unknown_one_is_not(market):
    provider = QlibProvider(market)
    np.testing.assert_array_equal(provider.load(["close"], ["aaa"], 0, 10), provider.load(["CLOSE"], ["AAA"], 0, 10))
    with pytest.raises(UnknownInstrumentError, match="did you mean `AAA`"):
        provider.load(["close"], ["AAB"], 0, 1)
    with pytest.raises(UnknownInstrumentError, match="codes of instruments are text"):
        provider.load(["close"], [1], 0, 1)


def test_folders_named_like_devices_keep_their_codes(tmp_path):
    provider = QlibProvider(
        foreign(tmp_path / "q", instruments=b"", _qlib_lpt1=pack(0, [1.0]), _qlib_con=pack(0, [2.0]))
    )
    assert provider.instruments() == ("CON", "LPT1")
    assert provider.load(["close"], ["LPT1"], 0, 1).item() == 1.0


def test_two_folders_that_differ_only_in_case_are_refused_to_who_asks_for_them(tmp_path):
    root = foreign(tmp_path / "q", sh1=pack(0, [1.0]), sh600000=pack(2, [1.5]))
    try:
        (root / "features" / "SH1").mkdir()
    except FileExistsError:
        pytest.skip("this file system has no case twins")
    assert QlibProvider(root).load(["close"], ["SH600000"], 2, 3).item() == 1.5
    with pytest.raises(CorruptFileError, match="differ only in case"):
        QlibProvider(root).load(["close"], ["SH1"], 0, 1)
    assert "differ only in case" in " ".join(finding.message for finding in check_data(root).findings)


STRAYS = {
    "instruments/notes.txt": b"lists made in January\n",
    "instruments/._all.txt": b"\x00\x05\x16\x07" + bytes(60),
    "instruments/.DS_Store": bytes(8),
    "instruments/Thumbs.db": bytes(8),
    "instruments/all.txt~": b"old",
    "instruments/all (copy).txt": b"SH600000\t2020-01-01\t2020-01-14\n",
    "instruments/old.txt/all.txt": b"SH600000\n",
    "instruments/names.txt": "SH600000\t2020-01-01\t2020-01-14\t\u94f6\u884c\n".encode("gbk"),
    "calendars/._day.txt": b"\x00\x05",
    "calendars/notes.txt": b"none",
    "calendars/day.txt.bak": b"none",
    "features/.DS_Store": bytes(8),
    "features/readme.md": b"none",
    "features/.ipynb_checkpoints/close.day.bin": b"none",
    "features/sh600000/._close.day.bin": bytes(5),
    "features/sh600000/close (1).day.bin": bytes(5),
    "features/sh600000/backup/close.day.bin": bytes(5),
    "features/sh600001/close.day.bin": b"torn",
}


@pytest.mark.parametrize("name", STRAYS)
@pytest.mark.parametrize("kind", ["foreign", "imported"])
def test_what_lies_beside_the_data_stops_nobody_who_reads_the_data(tmp_path, name, kind):
    root = foreign(tmp_path / "q")
    if kind == "imported":
        shutil.rmtree(root)
        import_market(pd.DataFrame({"symbol": "SH600000", "date": DAYS, "close": np.arange(10) + 1.5}), root)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(STRAYS[name])
    provider = QlibProvider(root)
    assert list(provider.members("all")) == ["SH600000"]
    assert np.isfinite(provider.load(["close"], ["SH600000"], 2, 5)).all()
    assert provider.fields() == ("close",)
    assert provider.is_current
    assert provider.generation == QlibProvider(root).generation
    if name != "instruments/names.txt":  # it can be read after all
        where = " ".join(finding.where for finding in check_data(root).findings)
        assert Path(name).parts[1] in where
    report = import_market(pd.DataFrame({"symbol": "B", "date": DAYS, "close": 1.0}), tmp_path / "other")
    assert report.kind == "create"


def test_an_import_into_a_folder_with_strays_goes_on(tmp_path):
    frame = pd.DataFrame({"symbol": "A", "date": DAYS, "close": np.arange(10) + 1.5})
    import_market(frame, tmp_path / "m")
    for name in ("instruments/notes.txt", "calendars/._day.txt", "features/.DS_Store", "instruments/all (copy).txt"):
        (tmp_path / "m" / name).write_bytes(b"\x00none")
    import_market(frame.assign(symbol="B"), tmp_path / "m")
    assert QlibProvider(tmp_path / "m").instruments() == ("A", "B")


def test_two_universes_that_differ_only_in_case_are_refused_to_who_asks_for_them(tmp_path):
    root = foreign(tmp_path / "q")
    for name in ("mine", "MINE"):
        (root / "instruments" / f"{name}.txt").write_text("SH600000\t2020-01-01\t2020-01-14\n")
    if len(list((root / "instruments").iterdir())) < 3:
        pytest.skip("this file system has no case twins")
    assert list(QlibProvider(root).members("all")) == ["SH600000"]
    assert QlibProvider(root).instruments() == ("SH600000",)
    with pytest.raises(CorruptFileError, match="differ only in case"):
        QlibProvider(root).members("mine")


def test_an_import_takes_a_folder_that_holds_hidden_files_alone_for_empty(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / ".DS_Store").write_bytes(bytes(8))
    frame = pd.DataFrame({"symbol": "A", "date": DAYS, "close": np.arange(10) + 1.5})
    assert import_market(frame, tmp_path / "m").kind == "create"


def test_a_missing_base_field_is_nan_and_told_once(market, caplog):
    provider = QlibProvider(market)
    assert provider.missing_fields(["close", "vwap", "factor"]) == ("vwap", "factor")
    with caplog.at_level(logging.WARNING, "rollwright.market"):
        block = provider.load(["vwap", "close"], ["AAA"], 0, 10)
        provider.load(["vwap"], ["BBB"], 0, 10)
    assert np.isnan(block[0]).all()
    assert not np.isnan(block[1]).any()
    assert [record.getMessage() for record in caplog.records] == [
        f"data.field_missing field=$vwap source={market} action=nan"
    ]


def test_a_mistyped_field_is_an_error_and_suggests_the_nearest(market):
    with pytest.raises(UnknownFieldError, match=r"did you mean `\$close`"):
        QlibProvider(market).load(["cloes"], ["AAA"], 0, 1)


def test_nothing_there_says_what_to_do(tmp_path, market):
    with pytest.raises(DataNotFoundError, match="rollwright data demo") as caught:
        QlibProvider(tmp_path / "absent")
    assert caught.value.exit_code == 3
    with pytest.raises(DataNotFoundError, match=r"no calendar of frequency 5min \(there: day\)"):
        QlibProvider(market, freq="5min")
    with pytest.raises(ConfigError, match="no frequency"):
        QlibProvider(market, freq="often")


@pytest.mark.parametrize("spelling", ["day", "1d", "D", "1day"])
def test_a_frequency_has_several_spellings(market, spelling):
    assert QlibProvider(market, freq=spelling).freq == "day"


def test_the_provider_of_the_settings_follows_the_folder(tmp_path, market):
    settings = load_settings({"data.provider_uri": str(market)}, start=tmp_path, environ={})
    first = provider_from_settings(settings)
    assert provider_from_settings(settings) is first
    frame = pd.DataFrame({"symbol": ["AAA"], "date": [pd.Timestamp("2020-01-15")], "close": [9.0]})
    import_market(frame, market)
    second = provider_from_settings(settings)
    assert second is not first
    assert second.calendar().known == 11
    with pytest.raises(DataNotFoundError, match=r"data\.provider_uri"):
        provider_from_settings(load_settings(start=tmp_path, environ={}))


def test_an_opened_provider_never_mixes_two_versions(market):
    provider = QlibProvider(market)
    provider.load(["close"], ["AAA"], 0, 10)
    frame = pd.DataFrame({"symbol": ["BBB"], "date": [DAYS[5]], "close": [99.0]})
    import_market(frame, market, revise=True)
    with pytest.raises(DataError, match="replaced by an import"):
        provider.load(["close"], ["BBB"], 0, 10)
    assert not provider.is_current
    assert QlibProvider(market).load(["close"], ["BBB"], 5, 6).item() == 99.0


def test_the_generation_follows_every_change(tmp_path, market):
    seen = {QlibProvider(market).generation}
    (market / "instruments" / "mine.txt").write_text("AAA\t2020-01-01\t2020-01-14\n")
    provider = QlibProvider(market)
    seen.add(provider.generation)
    assert set(provider.members("mine")) == {"AAA"}
    assert provider.unchanged_before(provider.generation.partition("+")[0]) == 10
    root = foreign(tmp_path / "q")
    first = QlibProvider(root).generation
    assert QlibProvider(root).generation == first
    os.utime(root / "features" / "sh600000" / "close.day.bin", ns=(1, 1))
    seen |= {first, QlibProvider(root).generation}
    assert len(seen) == 4
    assert QlibProvider(root).unchanged_before(first) == 0


def test_a_copy_of_a_folder_has_the_same_generation(tmp_path, market):
    shutil.copytree(market, tmp_path / "copy")
    assert QlibProvider(tmp_path / "copy").generation == QlibProvider(market).generation


def _read(provider: QlibProvider, queue: multiprocessing.Queue) -> None:
    queue.put(provider.load(["close"], ["AAA"], 0, 10).tolist())


def test_a_provider_travels_to_another_process(market):
    provider = QlibProvider(market)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=_read, args=(provider, queue))
    worker.start()
    assert queue.get(timeout=20) == provider.load(["close"], ["AAA"], 0, 10).tolist()
    worker.join(20)
    make, arguments = provider.__reduce__()
    assert make(*arguments).generation == provider.generation


def test_intraday_sessions_lie_beside_daily_ones(market):
    minutes = pd.date_range("2020-01-02 09:35", periods=6, freq="5min")
    frame = pd.DataFrame({"symbol": "AAA", "date": minutes, "close": np.arange(6.0)})
    before = QlibProvider(market)
    import_market(frame, market, freq="5min")
    intraday = QlibProvider(market, freq="5minute")
    assert (intraday.freq, intraday.instruments(), intraday.calendar().known) == ("5min", ("AAA",), 6)
    np.testing.assert_array_equal(intraday.load(["close"], ["AAA"], 0, 6)[0, :, 0], np.arange(6.0))
    daily = QlibProvider(market)
    assert daily.unchanged_before(before.generation) == 10
    assert daily.load(["close"], ["AAA"], 0, 1).item() == 1.0
