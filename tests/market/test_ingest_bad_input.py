"""Rows that cannot be taken as they stand: an error that says where, and nothing written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import ConfigError, DataError, RollwrightError
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.readers import read_rows

DAYS = pd.bdate_range("2020-01-01", periods=7)


def frame(**changes):
    columns = {"symbol": ["A"] * 7, "date": DAYS, "close": np.arange(7) + 1.0}
    return pd.DataFrame({**columns, **changes})


def texts(at: int, text: str) -> list[str]:
    written = [f"{day:%Y-%m-%d}" for day in DAYS]
    written[at] = text
    return written


BAD_FRAMES = {
    "codes read as numbers": (frame(symbol=[1] * 7), "codes of instruments are text"),
    "codes mixed with numbers": (frame(symbol=pd.Series(["A"] * 6 + [600000], dtype=object)), "row 6"),
    "no code": (frame(symbol=["A"] * 3 + [None] + ["A"] * 3), "row 3: there is no symbol"),
    "a code that is a path": (frame(symbol=["A"] * 6 + ["../A"]), "row 6"),
    "a code with NUL": (frame(symbol=["A"] * 6 + ["A\x00"]), "row 6"),
    "a code turned about": (frame(symbol=["A"] * 6 + ["A\u202eB"]), "row 6"),
    "codes that differ in case": (frame(symbol=["A"] * 6 + ["a"]), "differ only in case"),
    "a row twice": (frame(date=[DAYS[0]] * 2 + list(DAYS[2:])), "1 rows are there twice: A on 2020-01-01"),
    "more rows twice": (
        pd.concat([frame(), frame()]),
        "A on 2020-01-01, A on 2020-01-02, A on 2020-01-03, A on 2020-01-06, A on 2020-01-07 and 2 more",
    ),
    "a time zone": (frame(date=DAYS.tz_localize("Asia/Shanghai")), "time zone Asia/Shanghai"),
    "a time zone in text": (
        frame(date=[f"{day:%Y-%m-%d}T00:00:00+08:00" for day in DAYS]),
        "a time zone, as '2020-01-01T00:00:00+08:00'",
    ),
    "a time zone in some rows": (frame(date=texts(4, "2020-01-07T00:00:00+08:00")), "row 4"),
    "a time of day": (frame(date=DAYS + pd.Timedelta(hours=16)), "row 0: 2020-01-01T16:00:00 has a time of day"),
    "no date": (frame(date=texts(2, "soon")), "row 2: 'soon' is not a date"),
    "no day of any month": (
        frame(date=texts(2, "2020-02-30")),
        "row 2: '2020-02-30' is not a date: there is no such day",
    ),
    "a date left out": (frame(date=[*DAYS[:6], pd.NaT]), "row 6"),
    "dates as fractions": (frame(date=np.arange(7) / 2), "not dates"),
    "no number": (frame(close=["1", "2", "x", "4", "5", "6", "7"]), "row 2: close is 'x', not a number"),
    "a number with commas": (frame(close=["1", "2", "1,234", "4", "5", "6", "7"]), "row 2: close is '1,234'"),
    "a price that is a date": (frame(close=DAYS), "close holds datetime64"),
    "beyond float32": (frame(close=[1, 2, 3, 4, 5, 6, 1e39]), "row 6: close is 1e+39, beyond float32"),
    "no symbol column": (frame().drop(columns="symbol"), "has no symbol column"),
    "no date column": (frame().rename(columns={"date": "when"}), "has no date column"),
    "no column of numbers": (frame().drop(columns="close"), "no column of numbers"),
    "two columns for one field": (frame(**{"$close": 1.0}), "two columns for the field `close`"),
    "no rows": (frame().iloc[:0], "there are no rows"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_frame_that_cannot_be_taken(tmp_path, case):
    source, reason = BAD_FRAMES[case]
    with pytest.raises(DataError) as caught:
        import_market(source, tmp_path / "market")
    assert reason in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "market").exists()


BAD_FILES = {
    "a row too long.csv": (b"symbol,date,close\nA,2020-01-01,1,2\n", "cannot be read"),
    "a row too short.csv": (b"symbol,date,close\nA,2020-01-01,1\nA,2020-01-02\n", "cannot be read"),
    "no number.csv": (b"symbol,date,close\nA,2020-01-01,1\nA,2020-01-02,x\n", "row 3: close is 'x'"),
    "a column twice.csv": (b"symbol,date,close,close\nA,2020-01-01,1,2\n", "the column `close` twice"),
    "not text.csv": (b"symbol,date,close\n\xff\xfe,2020-01-01,1\n", "cannot be read"),
    "nothing.csv": (b"", "cannot be read"),
    "a header alone.csv": (b"symbol,date,close\n", "no rows"),
    "no parquet.parquet": (b"PAR1 and nothing else PAR1", "cannot be read as parquet"),
    "a torn parquet.parquet": (b"PAR1", "cannot be read as parquet"),
    "a letter.doc": (b"dear", "neither CSV nor Parquet"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_taken(tmp_path, name):
    data, reason = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        import_market(tmp_path / name, tmp_path / "market")
    assert reason in str(caught.value)
    assert name in str(caught.value) or name == "a header alone.csv"
    assert not (tmp_path / "market").exists()


@pytest.mark.parametrize("arguments", [{"timezone": "Mars/Olympus"}, {"freq": "often"}, {"universe": "../x"}])
def test_an_argument_that_cannot_be(tmp_path, arguments):
    source = frame(date=DAYS.tz_localize("UTC"))
    with pytest.raises(
        RollwrightError,
        match=r"is no time zone|is no frequency|cannot be a universe|is not a time zone|is not a frequency",
    ):
        import_market(source, tmp_path / "market", **arguments)
    assert not (tmp_path / "market").exists()
    with pytest.raises(ConfigError, match=r"'Mars/Olympus' is (no|not a) time zone"):
        import_market(source, tmp_path / "market", timezone="Mars/Olympus")


def test_dates_with_a_zone_become_the_markets_days(tmp_path):
    shanghai = DAYS.tz_localize("Asia/Shanghai")
    import_market(frame(date=shanghai.tz_convert("UTC")), tmp_path / "market", timezone="Asia/Shanghai")
    assert list(QlibProvider(tmp_path / "market").calendar()) == list(DAYS)


@pytest.mark.parametrize("form", ["%Y%m%d", "%Y/%m/%d", "%Y-%m-%d 00:00:00"])
@pytest.mark.parametrize("kind", ["frame", "csv"])
def test_the_usual_spellings_of_dates(tmp_path, form, kind):
    source = frame(date=[day.strftime(form) for day in DAYS])
    if kind == "csv":
        source.to_csv(tmp_path / "prices.csv", index=False)
        source = tmp_path / "prices.csv"
    import_market(source, tmp_path / "market")
    assert list(QlibProvider(tmp_path / "market").calendar()) == list(DAYS)


def test_a_column_of_text_is_left_out_and_told(tmp_path):
    report = import_market(frame(sector=["bank"] * 7, listed=DAYS, halted=[True] * 7), tmp_path / "market")
    assert report.skipped == ("halted", "listed", "sector")
    assert report.fields == ("close",)


def test_infinite_values_are_stored_and_counted(tmp_path):
    report = import_market(frame(ratio=[1, 2, np.inf, 4, 5, 6, -np.inf]), tmp_path / "market")
    assert report.infinite == 2
    assert np.isinf(QlibProvider(tmp_path / "market").load(["ratio"], ["A"], 2, 3)).all()


def test_volumes_that_turn_to_fractions_late_in_a_file(tmp_path):
    lines = [f"A{place:05d},2020-01-01,{place}" for place in range(60_000)]
    (tmp_path / "prices.csv").write_text("\n".join(["symbol,date,volume", *lines, "B,2020-01-01,0.5"]) + "\n")
    rows = read_rows(tmp_path / "prices.csv")
    assert len(rows) == 60_001
    assert rows.values["volume"][-1] == 0.5
