"""Numbers as people write them, and text files that are no plain table: read as they show it, or refused."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.errors import DataError, DataNotFoundError
from rollwright.market.ingest.options import ReadOptions
from rollwright.market.ingest.readers import read_rows

DAYS = ("2020-01-02", "2020-01-03")


def read(tmp_path, text: str, name: str = "A.csv", **options):
    path = tmp_path / name
    path.write_text(text, newline="")
    return read_rows(path, ReadOptions(**options))


def column(tmp_path, field: str, *cells: str, delimiter: str = ",", **options):
    lines = [
        delimiter.join(("date", field)),
        *(f"{day}{delimiter}{cell}" for day, cell in zip(DAYS, cells, strict=True)),
    ]
    return read(tmp_path, "\n".join(lines) + "\n", **options)


@pytest.mark.parametrize(
    ("field", "cells", "values"),
    [
        ("close", ('"1,234.5"', "999"), [1234.5, 999]),
        ("close", ('"1,001"', '"1,002"'), [1001, 1002]),
        ("volume", ('"1,234,567"', '"-1,000"'), [1234567, -1000]),
        ("close", ("$309.51", "-$1.5"), [309.51, -1.5]),
        ("volume", ("1.5M", "980.5K"), [1.5e6, 980500]),
        ("volume", ("1.2万", "3.4亿"), [12000, 3.4e8]),
        ("change", ("1.5%", "-0.5%"), [0.015, -0.005]),
        ("turnover", ("1.5%", "0"), [0.015, 0]),
    ],
)
def test_numbers_that_show_their_form_are_read(tmp_path, field, cells, values):
    rows = column(tmp_path, field, *cells)
    assert rows.values[field].tolist() == pytest.approx(values)
    assert any("percent" in note for note in rows.notes) == ("%" in cells[0])


@pytest.mark.parametrize(
    ("cells", "delimiter"),
    [
        (("1,500", "2,500"), ";"),
        (("1,5", "1.5"), ";"),
        (('"1,5"', '"1,234.5"'), ","),
        (('"12,34"', '"1.5"'), ","),
        (("1.5%", "0.015"), ","),
        (("1.2.3", "1"), ","),
        (("$", "1"), ","),
        (("+-1", "1"), ","),
    ],
)
def test_numbers_that_do_not_show_their_form_are_refused(tmp_path, cells, delimiter):
    with pytest.raises(DataError, match="not a number"):
        column(tmp_path, "close", *cells, delimiter=delimiter)


def test_a_decimal_comma_makes_of_a_point_a_sign_between_thousands(tmp_path):
    text = "date;close;volume\n2020-01-02;1,5;12.345\n2020-01-03;;1.012.345,5\n"
    rows = read(tmp_path, text)
    assert rows.values["volume"].tolist() == pytest.approx([12345, 1012345.5])
    assert str(rows.values["close"].tolist()) == "[1.5, nan]"
    assert any("decimal comma" in note for note in rows.notes)


def test_a_percentage_is_the_ratio_whatever_a_preset_says_of_its_column(tmp_path):
    rows = read(tmp_path, "日期,收盘,涨跌幅\n2020-01-02,1,1.5%\n", "SH600000.csv", preset="akshare")
    assert rows.values["change"].tolist() == pytest.approx([0.015])


def test_names_that_look_like_amounts_stay_text(tmp_path):
    rows = read(tmp_path, "date,close,issuer\n2020-01-02,1,3M\n")
    assert set(rows.values) == {"close"}
    assert rows.skipped == ("issuer",)


def test_a_frame_and_a_wide_table_read_numbers_as_a_file_does(tmp_path):
    frame = pd.DataFrame({"symbol": "A", "date": list(DAYS), "close": ["1,234.5", "999"]})
    assert read_rows(frame).values["close"].tolist() == [1234.5, 999]
    wide = read(tmp_path, 'date,A,B\n2020-01-02,"1,234.5",7\n', wide="close")
    assert wide.values["close"].tolist() == [1234.5, 7]


TWO_HEADINGS = {
    "prices first": "Price,Close,Close,Open,Open\nTicker,A,B,A,B\nDate,,,,\n2020-01-02,1,2,3,4\n",
    "tickers first": "Ticker,A,A,B,B\nPrice,Close,Open,Close,Open\nDate,,,,\n2020-01-02,1,3,2,4\n",
    "no names of the levels": ",Close,Close,Open,Open\r\n,A,B,A,B\r\nDate,,,,\r\n2020-01-02,1,2,3,4\r\n",
}


@pytest.mark.parametrize("text", TWO_HEADINGS.values(), ids=TWO_HEADINGS)
def test_two_lines_of_headings_are_fields_and_tickers(tmp_path, text):
    rows = read(tmp_path, text)
    assert rows.codes == ("A", "B")
    assert (rows.values["close"].tolist(), rows.values["open"].tolist()) == ([1, 2], [3, 4])


PLAIN = {
    "lines that end in CR": "date,close\r2020-01-02,1\r",
    "a line that names the delimiter": "sep=;\ndate;close\n2020-01-02;1\n",
    "headings in angle brackets": "<DATE>\t<CLOSE>\n2020.01.02\t1\n",
    "Nasdaq": "Date,Close/Last\n2020-01-02,$1\n",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_other_forms_of_a_table_are_read(tmp_path, text):
    assert read(tmp_path, text).values["close"].tolist() == [1]


NO_TABLES = {
    "a page": ("<!DOCTYPE html>\n<html>Too many requests</html>\n", "page"),
    "JSON": ('{"error": "limit"}\n', "JSON"),
    "lines above the headings": ("# made by hand\ndate,close\n2020-01-02,1\n", "what stands above"),
    "a cell too many": ("date,close\n2020-01-02,1,5\n", "is to stand in quotes"),
    "a spreadsheet": ("PK\x03\x04...", "save it as CSV"),
}


@pytest.mark.parametrize(("text", "why"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_refused_with_what_it_is(tmp_path, text, why):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert why in str(caught.value)


def test_files_that_add_no_rows_are_named(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "C.csv").write_text("date,close\n2020-01-02,1\n")
    with pytest.raises(DataNotFoundError, match=r"deep/C\.csv"):
        read_rows(tmp_path)
    (tmp_path / "A.csv").write_text("date,close\n2020-01-02,1\n")
    (tmp_path / "B.csv").write_text("date,close\n")
    notes = " ".join(read_rows(tmp_path).notes)
    assert "B.csv: there are no rows in it" in notes
    assert "deep/C.csv" in notes


def test_midnights_with_an_offset_are_the_days_of_yahoos_exchanges(tmp_path):
    text = "Date,Close\n2024-01-02 00:00:00-05:00,1\n2024-07-03 00:00:00-04:00,2\n"
    rows = read(tmp_path, text, preset="yahoo")
    assert [str(day)[:10] for day in rows.sessions] == ["2024-01-02", "2024-07-03"]
    stamps = pd.DatetimeIndex(["2024-01-02", "2024-07-03"], name="Date").tz_localize("Asia/Hong_Kong")
    frame = pd.DataFrame({"symbol": "0700.HK", "Close": [1.0, 2.0]}, index=stamps)
    assert read_rows(frame, ReadOptions(preset="yahoo")).sessions.tolist() == rows.sessions.tolist()
    for other in ({}, {"preset": "wind"}):
        with pytest.raises(DataError, match="time zone"):
            read(tmp_path, text, **other)
    with pytest.raises(DataError, match="time zone"):
        read(tmp_path, "Date,Close\n2024-01-02T05:00:00Z,1\n", preset="yahoo")


def test_headings_of_a_known_source_are_told_when_no_preset_is_given(tmp_path):
    text = "ts_code,trade_date,close,change,vol\n000001.SZ,20240103,9.2,-0.01,7\n"
    assert any("--preset tushare" in note for note in read(tmp_path, text).notes)
    assert not any("--preset" in note for note in read(tmp_path, text, preset="tushare").notes)


def test_frames_as_pandas_has_them_are_read(tmp_path):
    flat = pd.DataFrame({"instrument": "A", "datetime": pd.to_datetime(list(DAYS)), "$close": [1.0, 2.0]})
    grouped = pd.concat({"feature": flat.set_index(["datetime", "instrument"])}, axis=1)
    assert read_rows(grouped).codes == ("A",)
    unnamed = flat.drop(columns="instrument").set_index("datetime").rename_axis(None)
    assert len(read_rows(unnamed, ReadOptions(symbol="A"))) == 2
    lists = read_rows(flat.assign(x=[[1], [2]]))
    assert lists.skipped == ("x",)


@pytest.mark.parametrize("source", [None, {"A": 1}, [1], pd.Series([1.0])], ids=["None", "dict", "list", "Series"])
def test_what_is_no_frame_and_no_path_is_refused(source):
    with pytest.raises(DataError, match="no source of rows"):
        read_rows(source)
