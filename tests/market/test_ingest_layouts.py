"""Files as well-known sources give them, from `data import` through `data check` to the cells of `D.features`."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from rollwright import D, init
from rollwright.cli.data import data_app

YAHOO = """Date,Open,High,Low,Close,Adj Close,Volume
2024-01-02,187.15,188.44,183.89,185.64,184.94,82488700
2024-01-03,184.22,185.88,183.43,184.25,183.56,58414500
2024-01-04,182.15,183.09,180.88,181.91,181.23,71983600
"""
YFINANCE = """Price,Adj Close,Close,High,Low,Open,Volume,Adj Close,Close,High,Low,Open,Volume
Ticker,AAPL,AAPL,AAPL,AAPL,AAPL,AAPL,MSFT,MSFT,MSFT,MSFT,MSFT,MSFT
Date,,,,,,,,,,,,
2024-01-02,184.94,185.64,188.44,183.89,187.15,82488700,368.12,370.87,375.90,366.77,373.86,25258600
2024-01-03,183.56,184.25,185.88,183.43,184.22,58414500,367.85,370.60,373.26,368.51,369.01,23083500
"""
TUSHARE = """ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount
000001.SZ,20240103,9.19,9.22,9.15,9.20,9.21,-0.01,-0.1086,733610.31,673673.614
000001.SZ,20240102,9.39,9.42,9.21,9.21,9.39,-0.18,-1.9169,1158366.45,1075742.252
600000.SH,20240103,6.58,6.61,6.55,6.59,6.58,0.01,0.152,213404.00,140425.313
600000.SH,20240102,6.63,6.65,6.58,6.58,6.62,-0.04,-0.6042,266544.12,175911.9
"""
TUSHARE_CHINESE = """\
股票代码,股票名称,交易日期,开盘价,最高价,最低价,收盘价,昨收价,涨跌额,涨跌幅(%),成交量(手),成交额(千元)
000001.SZ,平安银行,20240102,9.39,9.42,9.21,9.21,9.39,-0.18,-1.9169,1158366.45,1075742.252
000001.SZ,平安银行,20240103,9.19,9.22,9.15,9.20,9.21,-0.01,-0.1086,733610.31,673673.614
"""
AKSHARE = """,日期,股票代码,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率
0,2024-01-02,000001,9.39,9.21,9.42,9.21,1158366,1075742252.0,2.24,-1.92,-0.18,0.6
1,2024-01-03,000001,9.19,9.20,9.22,9.15,733610,673673614.0,0.76,-0.11,-0.01,0.38
"""
BAOSTOCK = """date,time,code,open,high,low,close,volume,amount,adjustflag
2024-01-02,20240102093500000,sh.600000,6.6300,6.6500,6.6200,6.6400,3000000,19900000.0000,3
2024-01-02,20240102094000000,sh.600000,6.6400,6.6400,6.6100,6.6200,1000000,6620000.0000,3
2024-01-03,20240103093500000,sh.600000,6.5800,6.6000,6.5700,6.5900,1500000,9885000.0000,3
"""
WIND = """\
代码,简称,日期,开盘价(元),最高价(元),最低价(元),收盘价(元),成交额(百万),成交量(股),涨跌幅(%),换手率(%),市盈率TTM
600000.SH,浦发银行,2024-01-02,6.63,6.65,6.58,6.58,175.9119,26654412,-0.6042,0.09,4.1
600000.SH,浦发银行,2024-01-03,6.58,6.61,6.55,6.59,140.4253,21340400,0.152,0.07,4.2
数据来源：Wind,,,,,,,,,,,
"""
JOINQUANT = """,time,code,open,close,high,low,volume,money
0,2024-01-02,600000.XSHG,6.63,6.58,6.65,6.58,26654412.0,175911900.0
1,2024-01-03,600000.XSHG,6.58,6.59,6.61,6.55,21340400.0,140425313.0
"""
JOINQUANT_MINUTES = """,open,close,high,low,volume,money
2024-01-02 09:31:00,6.63,6.64,6.65,6.62,100000.0,664000.0
2024-01-02 09:32:00,6.64,6.62,6.64,6.61,90000.0,596000.0
"""

CASES = {
    "yahoo": (
        {"AAPL.csv": YAHOO, "MSFT.csv": YAHOO.replace("185.64,184.94", "185.64,92.82")}, "utf-8", "day",
        {("AAPL", "2024-01-02", "$close"): 184.94, ("AAPL", "2024-01-02", "$open"): 187.15 * 184.94 / 185.64,
         ("AAPL", "2024-01-02", "$factor"): 184.94 / 185.64, ("MSFT", "2024-01-02", "$close"): 92.82,
         ("MSFT", "2024-01-02", "$volume"): 82488700 * 2},
    ),
    "tushare": (
        {"daily.csv": TUSHARE}, "utf-8", "day",
        {("SZ000001", "2024-01-02", "$close"): 9.21, ("SH600000", "2024-01-03", "$volume"): 21340400,
         ("SZ000001", "2024-01-03", "$amount"): 673673614, ("SH600000", "2024-01-02", "$change"): -0.006042},
    ),
    "tushare in Chinese": (
        {"行情.csv": TUSHARE_CHINESE}, "gbk", "day",
        {("SZ000001", "2024-01-02", "$close"): 9.21, ("SZ000001", "2024-01-02", "$volume"): 115836645,
         ("SZ000001", "2024-01-03", "$amount"): 673673614, ("SZ000001", "2024-01-03", "$change"): -0.001086},
    ),
    "akshare": (
        {"a.csv": AKSHARE}, "utf-8-sig", "day",
        {("SZ000001", "2024-01-02", "$high"): 9.42, ("SZ000001", "2024-01-03", "$volume"): 73361000,
         ("SZ000001", "2024-01-03", "$change"): -0.0011, ("SZ000001", "2024-01-02", "$turnover"): 0.6},
    ),
    "baostock": (
        {"5.csv": BAOSTOCK}, "utf-8", "5min",
        {("SH600000", "2024-01-02 09:35:00", "$close"): 6.64, ("SH600000", "2024-01-02 09:40:00", "$volume"): 1e6},
    ),
    "wind": (
        {"wind.csv": WIND}, "gb18030", "day",
        {("SH600000", "2024-01-02", "$amount"): 175911900, ("SH600000", "2024-01-03", "$volume"): 21340400,
         ("SH600000", "2024-01-03", "$turnover"): 0.07},
    ),
    "joinquant": (
        {"jq.csv": JOINQUANT}, "utf-8", "day",
        {("SH600000", "2024-01-02", "$amount"): 175911900, ("SH600000", "2024-01-03", "$open"): 6.58},
    ),
    "joinquant minutes": (
        {"600000.XSHG.csv": JOINQUANT_MINUTES}, "utf-8", "1min",
        {("SH600000", "2024-01-02 09:32:00", "$close"): 6.62},
    ),
}  # fmt: skip


def run(*words):
    return CliRunner().invoke(data_app, [str(word) for word in words])


@pytest.mark.parametrize("case", CASES)
def test_a_source_is_imported_checked_and_read_to_the_cell(tmp_path, case):
    files, encoding, freq, cells = CASES[case]
    source = tmp_path / "source"
    source.mkdir()
    for name, text in files.items():
        (source / name).write_bytes(text.encode(encoding))
    path = source if len(files) > 1 else source / next(iter(files))
    done = run("import", path, "--out", tmp_path / "m", "--preset", case.split()[0], "--freq", freq, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["ok"] is True
    assert f"preset {case.split()[0]}: " in answer["data"]["notes"][0]
    checked = run("check", tmp_path / "m", "--freq", freq)
    assert checked.exit_code == 0, checked.output
    init(provider_uri=str(tmp_path / "m"), region="cn")
    for (code, moment, field), value in cells.items():
        frame = D.features([code], [field], freq=freq)
        assert frame.loc[(code, pd.Timestamp(moment)), field] == pytest.approx(value, rel=1e-6), field


def test_a_table_of_yfinance_with_two_lines_of_headings(tmp_path):
    (tmp_path / "prices.csv").write_text(YFINANCE)
    assert run("import", tmp_path / "prices.csv", "--out", tmp_path / "m", "--preset", "yahoo").exit_code == 0
    init(provider_uri=str(tmp_path / "m"), region="us")
    frame = D.features(["AAPL", "MSFT"], ["$close", "$high"])
    assert frame.loc[("MSFT", pd.Timestamp("2024-01-03")), "$close"] == pytest.approx(367.85)
    assert frame.loc[("AAPL", pd.Timestamp("2024-01-02")), "$high"] == pytest.approx(188.44 * 184.94 / 185.64)


def test_raw_prices_beside_an_adjusted_close_are_told_and_kept(tmp_path, caplog):
    (tmp_path / "AAPL.csv").write_text(YAHOO)
    done = run("import", tmp_path / "AAPL.csv", "--out", tmp_path / "m")
    assert done.exit_code == 0, done.output
    assert "Close and Adj Close differ in 3 rows" in caplog.text
    assert "--adjust" in caplog.text
    assert "no symbol column: the rows are `AAPL`" in caplog.text
    init(provider_uri=str(tmp_path / "m"), region="us")
    assert D.features(["AAPL"], ["$close"]).iloc[0, 0] == np.float32(185.64)
    caplog.clear()
    assert run("import", tmp_path / "AAPL.csv", "--out", tmp_path / "n", "--adjust").exit_code == 0
    assert "prices were multiplied by Adj Close / Close" in caplog.text
    caplog.clear()
    assert run("import", tmp_path / "AAPL.csv", "--out", tmp_path / "o", "--no-adjust").exit_code == 0
    assert "Adj Close" not in caplog.text


def test_raw_prices_beside_a_factor_are_adjusted_when_it_is_said(tmp_path):
    rows = "symbol,date,close,volume,adj_factor\nA,2024-01-02,20,100,1\nA,2024-01-03,10,220,2\n"
    (tmp_path / "a.csv").write_text(rows)
    assert run("import", tmp_path / "a.csv", "--out", tmp_path / "m", "--adjust").exit_code == 0
    init(provider_uri=str(tmp_path / "m"), region="us")
    assert D.features(["A"], ["$close", "$volume", "$factor"]).to_numpy().tolist() == [[20, 100, 1], [20, 110, 2]]


def test_the_import_says_how_campaigns_find_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "AAPL.csv").write_text(YAHOO)
    done = run("import", "AAPL.csv", "--out", "my data", "--preset", "yahoo")
    assert 'provider_uri = "' in done.stderr
    assert "rollwright.toml" in done.stderr
    assert "it is not set" in done.stderr
