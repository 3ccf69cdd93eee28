"""Headings, symbols, times and encodings as they come: taken by what they show, told, or refused with the way out."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import ConfigError, DataError
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market

DAYS = ("2020-01-02", "2020-01-03")


def table(headings: str, *rows: str) -> str:
    return "\n".join([headings, *rows]) + "\n"


def take(tmp_path, text, name="prices.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    report = import_market(path, tmp_path / "m", **options)
    return report, QlibProvider(tmp_path / "m", freq=options.get("freq", "day"))


@pytest.mark.parametrize(
    ("headings", "left_out"),
    [
        (",symbol,date,close", ("Unnamed: 0",)),
        ("Unnamed: 0,symbol,date,close", ("Unnamed: 0",)),
        ("pe/ttm,symbol,date,close", ("pe/ttm",)),
        ("mood(%),symbol,date,close", ("mood(%)",)),
        ("a b#c,symbol,date,close", ("a b#c",)),
        ("day,symbol,date,close", ("day",)),
    ],
)
def test_a_column_that_cannot_be_a_field_is_left_out_and_told(tmp_path, caplog, headings, left_out):
    report, _ = take(tmp_path, table(headings, "0,A,2020-01-02,1", "1,A,2020-01-03,2"))
    assert (report.skipped, report.fields) == (left_out, ("close",))
    assert f"import.columns_left_out names={left_out[0]}" in caplog.text


def test_a_column_may_be_mapped_and_another_dropped(tmp_path):
    text = table("id,when,last,pe/ttm,x", "A,2020-01-02,1,9,5", "A,2020-01-03,2,8,5")
    columns = {"id": "symbol", "when": "date", "last": "$close", "pe/ttm": "pe"}
    report, provider = take(tmp_path, text, columns=columns, drop=["x"])
    assert report.fields == ("close", "pe")
    assert provider.load(["pe"], ["A"], 0, 2).ravel().tolist() == [9, 8]


@pytest.mark.parametrize("options", [{"columns": {"none": "pe"}}, {"drop": ["none"]}, {"time_column": "none"}])
def test_a_column_that_is_named_and_not_there_is_an_error(tmp_path, options):
    text = table("symbol,date,close", "A,2020-01-02 09:30:00,1")
    with pytest.raises(DataError, match="`none`"):
        take(tmp_path, text, freq="1min", **options)


def test_two_columns_of_one_field_are_an_error_that_names_drop(tmp_path):
    with pytest.raises(DataError, match="--drop") as caught:
        take(tmp_path, table("symbol,date,vol,成交量(手)", "A,2020-01-02,1,1"))
    assert "two columns for the field `volume`: `vol` and `成交量(手)`" in str(caught.value)


def test_a_heading_that_means_a_field_stands_for_itself_beside_the_field_of_that_name(tmp_path):
    report, provider = take(tmp_path, table("symbol,date,收盘,close,adj_factor,factor", "A,2020-01-02,1,2,3,4"))
    assert report.fields == ("adj_factor", "close", "factor", "收盘")
    assert provider.load(["收盘", "close"], ["A"], 0, 1).ravel().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("heading", "field", "value"),
    [
        ("开盘价(元)", "open", 5), ("收盘价（元）", "close", 5), ("成交量(万股)", "volume", 50_000),
        ("成交额(亿元)", "amount", 5e8), ("成交额", "amount", 5), ("换手率(%)", "turnover", 5),
        ("Adj. Close", "adjclose", 5),
        ("开盘", "open", 5), ("复权因子", "factor", 5), ("$close", "close", 5),
    ],
)  # fmt: skip
def test_headings_that_are_known_are_their_fields_in_shares_and_yuan(tmp_path, heading, field, value):
    _, provider = take(tmp_path, table(f"股票代码,交易日期,{heading}", "A,2020-01-02,5"))
    assert provider.fields() == (field,)
    assert provider.load([field], ["A"], 0, 1).item() == np.float32(value)


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-8", "utf-8-sig", "utf-16"])
def test_an_encoding_that_the_bytes_show_is_read(tmp_path, encoding):
    text = table("代码,名称,日期,收盘", "000001,平安银行,2020-01-02,1.5")
    report, provider = take(tmp_path, text.encode(encoding))
    assert provider.load(["close"], ["000001"], 0, 1).item() == 1.5
    assert any("read as gb18030" in note for note in report.notes) == encoding.startswith("gb")


@pytest.mark.parametrize("encoding", ["utf-16-le", "big5", "cp1252"])
def test_another_encoding_is_an_error_that_names_the_option(tmp_path, encoding):
    letter = "é" if encoding == "cp1252" else "碼"
    text = table(f"symbol,date,close,{letter}", "A,2020-01-02,1.5,1").encode(encoding)
    with pytest.raises(DataError, match="--encoding"):
        take(tmp_path, text)
    _, provider = take(tmp_path, text, encoding=encoding)
    assert provider.load(["close"], ["A"], 0, 1).item() == 1.5
    with pytest.raises(ConfigError, match="is not an encoding"):
        take(tmp_path, text, encoding="martian")


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_sign_between_cells_is_the_one_in_the_headings(tmp_path, sign):
    _, provider = take(tmp_path, table("symbol,date,close", "A,2020-01-02,1.5").replace(",", sign))
    assert provider.load(["close"], ["A"], 0, 1).item() == 1.5


TIMES = {
    "text": ("09:35:00", "15:00:00"), "minutes": ("9:35", "15:00"), "digits": ("93500", "150000"),
    "hours and minutes": ("935", "1500"), "padded": ("0935", "1500"), "milliseconds": ("93500000", "150000000"),
    "baostock": ("20200102093500000", "20200102150000000"), "fractions": ("09:35:00.000", "15:00:00.000"),
    "whole": ("2020-01-02 09:35:00", "2020-01-02 15:00:00"),
}  # fmt: skip


@pytest.mark.parametrize("form", TIMES)
@pytest.mark.parametrize("day", ["2020-01-02", "20200102", "2020/1/2"])
def test_a_time_in_a_column_of_its_own_is_joined_to_the_date(tmp_path, form, day):
    rows = [f"A,{day},{time},1" for time in TIMES[form]]
    _, provider = take(tmp_path, table("symbol,date,time,close", *rows), freq="5min")
    assert [str(moment) for moment in provider.calendar()] == ["2020-01-02 09:35:00", "2020-01-02 15:00:00"]


def test_times_of_a_frame_are_joined_too(tmp_path):
    moments = [dt.time(9, 35), dt.time(15)]
    spans = pd.to_timedelta(["09:35:00", "15:00:00"])
    for number, times in enumerate(
        (moments, spans, [93500, 150000], pd.to_datetime(["2020-01-02 09:35", "2020-01-02 15:00"]))
    ):
        frame = pd.DataFrame({"symbol": "A", "date": pd.Timestamp("2020-01-02"), "bar": times, "close": 1.0})
        import_market(frame, tmp_path / str(number), freq="5min", time_column="bar")
        provider = QlibProvider(tmp_path / str(number), freq="5min")
        assert [str(moment) for moment in provider.calendar()] == ["2020-01-02 09:35:00", "2020-01-02 15:00:00"]


@pytest.mark.parametrize(
    ("headings", "row", "said"),
    [
        ("symbol,date,bar,close", "A,2020-01-02,09:35,1", "--time-column"),
        ("symbol,date,time,close", "A,2020-01-02,25:00,1", "'25:00', which is not a time of day"),
        ("symbol,date,time,close", "A,2020-01-02,,1", "which is not a time of day"),
        ("symbol,date,time,close", "A,2020-01-02,2020-01-03 09:35:00,1", "the date is another: 2020-01-02"),
    ],
)
def test_bars_are_never_dropped_to_midnight(tmp_path, headings, row, said):
    with pytest.raises(DataError) as caught:
        take(tmp_path, table(headings, row), freq="5min")
    assert said in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_a_date_without_a_time_among_bars_is_an_error(tmp_path):
    with pytest.raises(DataError, match="row 3: '2020-01-03' shows no time of day"):
        take(tmp_path, table("symbol,date,close", "A,2020-01-02 09:35,1", "A,2020-01-03,1"), freq="5min")


@pytest.mark.parametrize(
    ("date", "option"),
    [("04/01/2020", "--date-form"), ("13/01/2020", "--date-form"), ("1577929200", "epoch-s"), ("43831", "spreadsheet")],
)
def test_a_date_that_does_not_show_itself_names_the_option(tmp_path, date, option):
    with pytest.raises(DataError, match=option):
        take(tmp_path, table("symbol,date,close", f"A,{date},1"))


def test_the_form_of_dates_may_be_declared(tmp_path):
    _, provider = take(tmp_path, table("symbol,date,close", "A,04/01/2020,1"), date_form="dmy")
    assert str(provider.calendar().first)[:10] == "2020-01-04"
    text = table("symbol,date,close", "A,1577929200000,1")
    with pytest.raises(DataError, match="--timezone"):
        take(tmp_path, text, date_form="epoch-ms", freq="1min")
    path = tmp_path / "prices.csv"
    import_market(path, tmp_path / "e", date_form="epoch-ms", freq="1min", timezone="Asia/Shanghai")
    assert str(QlibProvider(tmp_path / "e", freq="1min").calendar().first) == "2020-01-02 09:40:00"


SYMBOLS = {
    "BTC/USDT": "BTC-USDT", ".DJI": "_DJI", "ES1!": "ES1_", "^GSPC": "^GSPC", "BRK.B": "BRK.B", "EURUSD=X": "EURUSD=X",
    "NASDAQ:AAPL": "NASDAQ_AAPL", "600000.SH": "600000.SH", "000001": "000001", " MSFT ": "MSFT",
}  # fmt: skip


def test_symbols_that_no_folder_can_be_named_after_are_rewritten_and_told(tmp_path, caplog):
    report, provider = take(tmp_path, table("symbol,date,close", *(f"{symbol},2020-01-02,1" for symbol in SYMBOLS)))
    assert set(provider.instruments()) == set(SYMBOLS.values())
    assert "BTC/USDT is BTC-USDT" in report.notes[0]
    assert "BTC/USDT is BTC-USDT" in caplog.text


def test_symbols_that_would_be_one_are_an_error(tmp_path):
    with pytest.raises(DataError, match="would both be `BTC-USDT`"):
        take(tmp_path, table("symbol,date,close", "BTC/USDT,2020-01-02,1", "BTC-USDT,2020-01-02,1"))


@pytest.mark.parametrize("symbol", ["600000.SH", "sh.600000", "SH600000", "600000.XSHG", "600000.SS", "sh600000"])
def test_symbols_become_those_of_qlib_on_demand(tmp_path, symbol):
    _, provider = take(tmp_path, table("symbol,date,close", f"{symbol},2020-01-02,1"), symbols="qlib")
    assert provider.instruments() == ("SH600000",)


def test_codes_that_lost_their_zeros_are_an_error_or_filled_up(tmp_path):
    text = table("symbol,date,close", "1,2020-01-02,1", "600000,2020-01-02,2")
    with pytest.raises(DataError, match="--symbol-digits 6"):
        take(tmp_path, text)
    _, provider = take(tmp_path, text, symbol_digits=6)
    assert provider.instruments() == ("000001", "600000")
    with pytest.raises(DataError, match="--symbol-digits 1"):
        take(tmp_path, table("symbol,date,close", "1,2020-01-02,1", "2,2020-01-02,2"), name="few.csv")
    assert import_market(tmp_path / "few.csv", tmp_path / "few", symbol_digits=1).instruments == 2
    frame = pd.DataFrame({"symbol": [1, 600000], "date": DAYS[0], "close": 1.0})
    with pytest.raises(DataError, match="--symbol-digits 6"):
        import_market(frame, tmp_path / "f")
    import_market(frame, tmp_path / "f", symbol_digits=6)
    assert QlibProvider(tmp_path / "f").instruments() == ("000001", "600000")


WIDE = table("date,AAPL,MSFT,NVDA,TSLA", "2020-01-02,1.5,2.5,3.5,", "2020-01-03,1.6,2.6,3.6,4.6")
TURNED = table("code,2020-01-02,2020-01-03", "AAPL,1.5,1.6", "TSLA,,4.6", "MSFT,2.5,2.6", "NVDA,3.5,3.6")


@pytest.mark.parametrize("text", [WIDE, TURNED, WIDE.replace("date", ""), TURNED.replace("code", "")])
def test_a_wide_table_is_read_once_its_field_is_said(tmp_path, text):
    with pytest.raises(DataError, match=r"--wide|has no date column"):
        take(tmp_path, text)
    _, provider = take(tmp_path, text, wide="close")
    assert provider.instruments() == ("AAPL", "MSFT", "NVDA", "TSLA")
    assert provider.load(["close"], ["AAPL", "TSLA"], 0, 2)[0].tolist()[1] == [np.float32(1.6), np.float32(4.6)]
    assert provider.members("all")["TSLA"][0][0] == pd.Timestamp("2020-01-03")


def test_a_column_of_prices_makes_no_instruments(tmp_path):
    with pytest.raises(DataError, match=r"holds numbers such as 1\.5, not symbols"):
        take(tmp_path, WIDE, symbol_column="AAPL")
    assert not (tmp_path / "m").exists()


def test_a_file_without_a_symbol_column_is_named_after_its_instrument(tmp_path):
    text = table("Date,Open,Close", "2020-01-02,1,2")
    report, provider = take(tmp_path, text, name="AAPL.csv")
    assert provider.instruments() == ("AAPL",)
    assert "after the file's name" in report.notes[0]
    import_market(tmp_path / "AAPL.csv", tmp_path / "n", symbol="MSFT")
    assert QlibProvider(tmp_path / "n").instruments() == ("MSFT",)


def test_rows_twice_point_to_the_column_that_tells_them_apart(tmp_path):
    text = table("date,time,sector,close", "2020-01-02,09:30,x,1", "2020-01-02,09:31,y,1")
    with pytest.raises(DataError, match="--time-column, or the symbol, with --symbol-column"):
        take(tmp_path, text, name="A.csv")


@pytest.mark.parametrize("options", [{"preset": "yaho"}, {"symbols": "x"}, {"date_form": "ymdd"}, {"symbol_digits": 0}])
def test_an_option_that_is_none_is_an_error_with_the_choices(tmp_path, options):
    with pytest.raises(ConfigError):
        take(tmp_path, table("symbol,date,close", "A,2020-01-02,1"), **options)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("order", [["Price", "Ticker"], ["Ticker", "Price"]])
def test_a_frame_of_yfinance_has_its_tickers_as_symbols(tmp_path, order):
    columns = pd.MultiIndex.from_product([["Close", "Volume"], ["AAPL", "MSFT"]], names=["Price", "Ticker"])
    frame = pd.DataFrame([[1.5, 2.5, 10, 20], [1.6, np.nan, 11, np.nan]], pd.DatetimeIndex(DAYS, name="Date"), columns)
    import_market(frame.reorder_levels(order, axis=1), tmp_path / "m")
    provider = QlibProvider(tmp_path / "m")
    assert provider.instruments() == ("AAPL", "MSFT")
    assert provider.load(["close"], ["AAPL", "MSFT"], 0, 1).ravel().tolist() == [1.5, 2.5]
    assert str(provider.members("all")["MSFT"][0][1])[:10] == "2020-01-02"
