"""Signals of other programs: every usual table is read, and what is wrong with one is told before anything is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.given_signal import (
    DEFAULT_LABEL,
    arrange_signal,
    compute_label,
    find_label,
    fit_to_market,
    read_signal,
)
from rollwright.codecs.registry import codecs
from rollwright.dataset.alpha import LABEL
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError, ExpressionError, UnknownInstrumentError
from rollwright.testing.market import expression_values, random_source

MARKET = random_source(np.random.default_rng(0), sessions=40, instruments=5)
DAYS = pd.DatetimeIndex(MARKET.calendar().values, name="datetime")
INDEX = pd.MultiIndex.from_product([DAYS[5:30], list(MARKET.instruments())], names=["datetime", "instrument"])
SCORE = pd.Series(np.random.default_rng(1).normal(size=len(INDEX)), index=INDEX, name="score")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "head",
    ["date,instrument,score", "datetime,code,pred", "Trade_Date, Symbol ,SIGNAL", "day,ticker,my_factor"],
)
@pytest.mark.parametrize("dates", ["%Y-%m-%d", "%Y%m%d", "%Y-%m-%d 00:00:00", "%d %b %Y"])
def test_csv_files_are_read_under_the_usual_names(tmp_path, head, dates):
    lines = [f"{day:{dates}},000001,{value}" for (day, _), value in SCORE.iloc[::5].items()]
    found = read_signal(write(tmp_path / "s.csv", "\n".join([head, *lines])))
    assert found.index.names == ["datetime", "instrument"]
    assert found.index.unique("instrument").tolist() == ["000001"]
    assert found.index.unique("datetime").tolist() == DAYS[5:30].tolist()
    assert found.to_numpy().tolist() == SCORE.iloc[::5].tolist()
    assert (found.name, found.dtype) == ("score", np.float64)


@pytest.mark.parametrize("form", ["ours", "indexed", "flat", "shuffled", "numbers"])
def test_parquet_files_are_read_whoever_wrote_them(tmp_path, form):
    path = tmp_path / "s.parquet"
    flat = SCORE.reset_index()
    if form == "ours":
        codecs.for_kind("parquet").write(SCORE.to_frame(), path)
    elif form == "indexed":
        SCORE.to_frame().to_parquet(path)
    elif form == "flat":
        flat.assign(datetime=flat["datetime"].dt.tz_localize("UTC")).to_parquet(path, index=False)
    elif form == "shuffled":
        flat.sample(frac=1, random_state=1)[["score", "instrument", "datetime"]].to_parquet(path)
    else:
        flat.assign(date=flat["datetime"].dt.strftime("%Y%m%d").astype(int)).drop(columns="datetime").to_parquet(path)
    pd.testing.assert_series_equal(read_signal(path), SCORE, check_freq=False, check_index_type=False)


def test_rows_without_a_score_are_left_out(tmp_path):
    found = read_signal(write(tmp_path / "s.csv", "date,code,score\n2020-01-02,A,1\n2020-01-02,B,\n2020-01-03,A,nan\n"))
    assert found.to_dict() == {(pd.Timestamp("2020-01-02"), "A"): 1.0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("date;code;score\n2020-01-02;A;1\n", "separate columns by commas, not by ';'"),
        ("date,code,score\n04/01/2020,A,1\n", "dates such as 04/01/2020 .* may begin with the day or with the month"),
        ("date,A,B\n2020-01-02,1,high\n", "'high' in its column `score`, which is no number"),
        ("a,b\n1\n1,2,3,4\n", "cannot be read as CSV"),
        ("when,code,score\n2020-01-02,A,1\n", "no column that is its date: it has when, code, score"),
        ("date,who,score\n2020-01-02,A,1\n", "no column that is its instrument"),
        ("date,code,x,y\n2020-01-02,A,1,2\n", "2 columns beside date and instrument, and none is called `score`: x, y"),
        ("date,code\n2020-01-02,A\n", "none is called `score`: none"),
        ("date,code,score\n", "no row with a score"),
        ("date,code,score\n2020-01-02,A,\n", "no row with a score"),
        ("date,code,score\n2020-01-02,A,high\n", "'high' in its column `score`, which is no number"),
        ("date,code,score\n2020-01-02,A,inf\n", "infinite"),
        ("date,code,score\nyesterday,A,1\n", "no date"),
        ("date,code,score\n2020-01-32,A,1\n", "no date"),
        ("date,code,score\n,A,1\n", "without a date"),
        ("date,code,score\n2020-01-02,,1\n", "without an instrument"),
        ("date,code,score\n2020-01-02 09:30,A,1\n", "times of day"),
        ("date,code,score\n2020-01-02,A,1\n2020-01-02,A,2\n", "the row of A on 2020-01-02 more than once"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, text, told):
    with pytest.raises(DataError, match=told) as caught:
        read_signal(write(tmp_path / "s.csv", text))
    assert "s.csv" in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataNotFoundError, match="no such file of scores"):
        read_signal(tmp_path / "s.csv")
    (tmp_path / "s.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptFileError, match=r"s\.parquet"):
        read_signal(tmp_path / "s.parquet")
    (tmp_path / "t.csv").write_bytes(b"date,code,score\n2020-01-02,\xff,1\n")
    with pytest.raises(CorruptFileError, match=r"t\.csv"):
        read_signal(tmp_path / "t.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(CorruptFileError, match=r"folder\.csv"):
        read_signal(tmp_path / "folder.csv")
    with pytest.raises(DataError, match="no table of scores"):
        read_signal(tmp_path / "s.pkl")


@pytest.mark.parametrize("head", ["date,", ",", "Trade_Date,"])
def test_a_wide_table_has_a_column_for_each_instrument(tmp_path, head):
    text = f"{head}000001,000002\n2020-01-02,1,2\n2020-01-03,,3\n"
    found = read_signal(write(tmp_path / "s.csv", text))
    days = pd.to_datetime(["2020-01-02", "2020-01-03"])
    assert found.to_dict() == {(days[0], "000001"): 1.0, (days[0], "000002"): 2.0, (days[1], "000002"): 3.0}


@pytest.mark.parametrize("form", ["wide", "wide and nameless", "nameless", "swapped and nameless"])
def test_frames_of_a_notebook_need_no_names(form):
    wide = SCORE.unstack("instrument")
    given = {
        "wide": wide,
        "wide and nameless": wide.rename_axis(index=None, columns=None),
        "nameless": SCORE.rename_axis([None, None]),
        "swapped and nameless": SCORE.swaplevel().rename_axis([None, None]),
    }[form]
    pd.testing.assert_series_equal(arrange_signal(given, where="it"), SCORE, check_freq=False, check_index_type=False)


def test_midnights_of_any_zone_are_the_dates_that_they_show(tmp_path):
    text = "date,code,score\n2020-01-02 00:00:00-05:00,A,1\n2020-07-02 00:00:00-04:00,A,2\n2020-07-03 00:00:00Z,A,3\n"
    found = read_signal(write(tmp_path / "s.csv", text))
    assert found.index.get_level_values(0).strftime("%Y-%m-%d").tolist() == ["2020-01-02", "2020-07-02", "2020-07-03"]
    turned = SCORE.reset_index().assign(datetime=lambda rows: rows["datetime"].dt.tz_localize("Asia/Shanghai"))
    pd.testing.assert_series_equal(arrange_signal(turned, where="it"), SCORE, check_freq=False, check_index_type=False)
    turned["datetime"] = turned["datetime"].dt.tz_convert("UTC")
    with pytest.raises(DataError, match="times of day") as caught:
        arrange_signal(turned, where="it")
    assert "tz_convert" in str(caught.value.hint)


def test_a_message_lists_a_few_of_many_columns_and_counts_rows_that_are_there_twice(tmp_path):
    columns = ",".join(f"c{number}" for number in range(30))
    with pytest.raises(DataError, match=r"c0, c1.* and 22 more\n") as caught:
        read_signal(write(tmp_path / "s.csv", f"{columns}\n{columns}\n"))
    assert "c9" not in caught.value.message
    rows = "2020-01-02,A,1\n2020-01-02,B,1\n" * 2
    with pytest.raises(DataError, match="the row of A on 2020-01-02 more than once, and 1 rows more like it") as caught:
        read_signal(write(tmp_path / "t.csv", f"date,code,score\n{rows}"))
    assert "keep the one score" in str(caught.value.hint)


def test_frames_are_arranged_as_files_are():
    pd.testing.assert_series_equal(
        arrange_signal(SCORE.swaplevel().sample(frac=1), where="it"), SCORE, check_freq=False
    )
    pd.testing.assert_series_equal(arrange_signal(SCORE.reset_index(), where="it"), SCORE, check_freq=False)


def test_instruments_are_spelled_as_the_market_spells_them():
    given = SCORE.rename(index=str.lower, level="instrument")
    pd.testing.assert_series_equal(fit_to_market(given, MARKET), SCORE, check_index_type=False, check_freq=False)
    assert fit_to_market(SCORE, MARKET) is SCORE
    for form in ("{1}.{0}", "{0}.{1}", "{1}_{0}"):
        other = SCORE.rename(index=lambda code, form=form: form.format(code[:2], code[2:]), level="instrument")
        pd.testing.assert_series_equal(fit_to_market(other, MARKET), SCORE, check_index_type=False, check_freq=False)
    with pytest.raises(UnknownInstrumentError) as caught:
        fit_to_market(SCORE.rename(index=lambda code: f"{code[2:]} equity", level="instrument"), MARKET)
    assert "the market spells them as SH600000" in str(caught.value.hint)
    with pytest.raises(DataError, match="in two ways"):
        fit_to_market(pd.concat([SCORE, SCORE.iloc[:1].rename(index={"SH600000": "600000.SH"})]), MARKET)
    with pytest.raises(UnknownInstrumentError, match="1 of the 6 instruments") as caught:
        fit_to_market(pd.concat([SCORE, pd.Series({(DAYS[5], "SH60000"): 1.0})]).rename_axis(INDEX.names), MARKET)
    assert "did you mean" in str(caught.value.hint)


def test_days_that_are_no_sessions_are_refused():
    weekend = pd.Series(
        [1.0], index=pd.MultiIndex.from_tuples([(pd.Timestamp("2020-01-04"), "SH600000")], names=INDEX.names)
    )
    with pytest.raises(DataError, match="1 of the 1 days of the prediction are no sessions"):
        fit_to_market(weekend, MARKET)


def test_a_label_is_computed_from_its_expression():
    found = compute_label(DEFAULT_LABEL, INDEX, MARKET)
    cells = expression_values(MARKET, DEFAULT_LABEL)[0]
    expected = pd.DataFrame(cells, DAYS, pd.Index(MARKET.instruments())).stack(future_stack=True).reindex(INDEX)
    np.testing.assert_array_equal(found.values.to_numpy(), expected.to_numpy())
    close = MARKET.load(["close"], ["SH600000"], 0, len(DAYS))[0, :, 0]
    assert found.values[(DAYS[10], "SH600000")] == pytest.approx(close[12] / close[11] - 1, rel=1e-5)
    assert (found.span, found.horizon, found.text) == (2, 1, DEFAULT_LABEL)
    assert found.values.index.equals(INDEX)


def test_a_label_is_an_expression_a_file_a_table_or_that_of_alpha158(tmp_path):
    assert LABEL[0] == [DEFAULT_LABEL]
    usual = find_label(None, SCORE, MARKET)
    assert usual.text == DEFAULT_LABEL
    longer = find_label("Ref($close,-6)/Ref($close,-1)-1", SCORE, MARKET)
    assert (longer.span, longer.horizon) == (6, 5)
    SCORE.rename("label").iloc[:20].to_frame().to_parquet(tmp_path / "mine.parquet")
    given = find_label(str(tmp_path / "mine.parquet"), SCORE, MARKET, span=2, horizon=1)
    assert (given.text, given.span, given.horizon) == ("mine.parquet", 2, 1)
    assert given.values.index.equals(SCORE.index)
    assert given.values.notna().sum() == 20
    assert find_label(SCORE, SCORE, None).values.equals(SCORE)
    with pytest.raises(DataError, match="needs market data"):
        find_label(None, SCORE, None)
    with pytest.raises(ExpressionError):
        find_label("Ref($close,", SCORE, MARKET)
