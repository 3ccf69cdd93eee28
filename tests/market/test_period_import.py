"""Importing fields by period: in any order, once, all of it or nothing."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qlib_period_files
from period_market import give, make_market, read
from rollwright.errors import ConfigError, DataError, DataNotFoundError, LookAheadError, UnknownFieldError
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.periods.period_import import declare_kind
from rollwright.market.source import FieldKind

COLUMNS = ["date", "period", "value", "field", "instrument"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """A market of two instruments without fields by period."""
    return make_market(tmp_path_factory.mktemp("market") / "market")


@pytest.fixture
def market(empty, tmp_path) -> Path:
    shutil.copytree(empty, tmp_path / "market")
    return tmp_path / "market"


def frame(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


def one(
    date: object, period: object, value: object, field: object = "roe_q", code: object = "SH600519"
) -> pd.DataFrame:
    return frame((date, period, value, field, code))


def files(market: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((market / "financial").rglob("*.*"))}


def snapshot(market: Path) -> dict[str, tuple[int, bytes]]:
    found = sorted(path for path in market.rglob("*") if path.is_file())
    return {path.relative_to(market).as_posix(): (path.stat().st_ino, path.read_bytes()) for path in found}


def test_what_is_imported_is_read_back_and_lies_there_in_qlibs_bytes(market):
    rows = [(str(date), period, value, "ROEWA", "SH600519") for date, period, value in qlib_period_files.MOUTAI]
    report = give(market, frame(*rows[::-1]), interval="quarterly")
    assert (report.kind, report.added, report.restated, report.corrected) == ("periods", len(rows), 3, 0)
    assert report.fields == {"roewa_q": "unknown"}
    data, index = qlib_period_files.dump(qlib_period_files.MOUTAI, "q")
    assert files(market) == {"roewa_q.data": data, "roewa_q.index": index}
    assert [row[1:] for row in read(market, "roewa_q")] == [row[1:] for row in qlib_period_files.MOUTAI]


def test_values_are_stored_in_float64(market):
    give(market, one("2008-04-01", 200801, 0.1))
    assert read(market) == [("2008-04-01", 200801, 0.1)]


ROWS = st.tuples(
    st.sampled_from(["2009-04-20", "2009-05-04", "2009-08-30", "2010-03-01"]),
    st.sampled_from([200703, 200802, 200804, 200901]),
    st.sampled_from([1.0, 2.0, float("nan")]),
    st.sampled_from(["roe_q", "income_q"]),
    st.sampled_from(["SH600519", "SZ000001"]),
)


@given(
    rows=st.lists(ROWS, min_size=1, max_size=12, unique_by=lambda row: (row[0], row[1], row[3], row[4])),
    data=st.data(),
)
@settings(max_examples=10, deadline=None)
def test_law_the_same_rows_give_the_same_files_however_they_come(empty, tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("law")
    shutil.copytree(empty, folder / "whole")
    shutil.copytree(empty, folder / "parts")
    give(folder / "whole", frame(*rows))
    mixed = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=2)))
    for low, high in itertools.pairwise([0, *cuts, len(rows)]):
        if low < high:
            give(folder / "parts", frame(*mixed[low:high], *mixed[:low]))  # with what was there already
    assert files(folder / "parts") == files(folder / "whole")


@pytest.mark.parametrize(
    ("later", "periods"),
    [
        (("2009-05-01", 200604, 1.0), [200901, 200604]),  # before the first year: Qlib's dumper ends in an OSError
        (("2009-08-01", 200902, 1.0), [200901, 200902]),  # of a year that is there: Qlib's dumper skips it
        (("2009-08-01", 200901, 2.0), [200901, 200901]),  # restated: Qlib's dumper overwrites what was known first
    ],
    ids=["earlier year", "same year", "restated"],
)
def test_what_qlibs_dumper_loses_or_overwrites_is_added(market, later, periods):
    give(market, one("2009-04-20", 200901, 1.0))
    give(market, one(*later))
    found = read(market)
    assert found[0] == ("2009-04-20", 200901, 1.0)
    assert [row[1] for row in found] == periods


def test_rows_given_again_change_nothing(market):
    rows = frame(
        ("2009-04-20", 200901, 1.0, "roe_q", "SH600519"), ("2009-04-20", 200804, float("nan"), "roe_q", "SH600519")
    )
    give(market, rows, kind="stock")
    before = snapshot(market)
    report = give(market, rows, kind="stock")
    assert (report.kind, report.added, report.repeated, report.series) == ("none", 0, 2, 0)
    assert report.generation == QlibProvider(market).manifest.generation
    assert snapshot(market) == before


def test_only_what_changes_is_written(market):
    rows = [("2009-04-20", 200901, 1.0, field, code) for field in ("x_q", "y_q") for code in ("SH600519", "SZ000001")]
    give(market, frame(*rows))
    before, opened = snapshot(market), QlibProvider(market)
    generations = {field: opened.vintage_generation([field]) for field in ("x_q", "y_q")}
    report = give(market, frame(*rows[:3], ("2009-05-20", 200901, 2.0, "y_q", "SZ000001")))
    after, now = snapshot(market), QlibProvider(market)
    moved = {name for name in after if before.get(name) != after[name]}
    assert moved == {"financial/sz000001/y_q.data", "rollwright.json", "rollwright.files"}
    assert now.vintage_generation(["x_q"]) == generations["x_q"]
    assert now.vintage_generation(["y_q"]) != generations["y_q"]
    assert (report.added, report.repeated, report.series, report.first_changed) == (1, 3, 1, "2009-05-20")


def test_an_import_of_prices_keeps_what_is_known_by_period(market):
    give(market, one("2009-04-20", 200901, 1.0), kind="stock")
    before = QlibProvider(market).vintage_generation(["roe_q"])
    import_market(pd.DataFrame({"symbol": ["SH600519"], "date": ["2011-01-03"], "close": [1.0]}), market)
    assert read(market) == [("2009-04-20", 200901, 1.0)]
    assert QlibProvider(market).vintage_generation(["roe_q"]) == before


def test_the_copy_of_the_last_sessions_counts_on(tmp_path):
    days = pd.bdate_range("2008-01-01", periods=400)
    import_market(pd.DataFrame({"symbol": "AAA", "date": days, "close": np.arange(400.0)}), tmp_path / "market")
    give(tmp_path / "market", one("2009-04-20", 200901, 1.0, code="AAA"))
    opened = QlibProvider(tmp_path / "market")
    series = tmp_path / "market" / "features" / "aaa" / "close.day.bin"
    series.write_bytes(series.read_bytes()[:-4] + b"\0\0\0\0")  # who reads the copy does not notice
    assert opened.load(["close"], ["AAA"], 399, 400).tolist() == [[[399.0]]]


def test_another_value_of_the_same_day_comes_after_and_is_told(market):
    give(market, one("2009-04-20", 200901, 1.0))
    report = give(market, one("2009-04-20", 200901, 2.0))
    assert (report.added, report.corrected, report.restated) == (1, 1, 0)
    assert report.corrections == ("roe_q of sh600519 for 200901 on 2009-04-20: 1, then 2",)
    assert "the last counts" in report.notes[-1]
    assert read(market) == [("2009-04-20", 200901, 2.0)]
    assert (
        files(market)["roe_q.data"]
        == qlib_period_files.dump([(20090420, 200901, 1.0), (20090420, 200901, 2.0)], "q")[0]
    )
    assert give(market, one("2009-04-20", 200901, 1.0)).kind == "none"  # the old file again undoes nothing
    assert read(market) == [("2009-04-20", 200901, 2.0)]


@pytest.mark.parametrize(
    ("there", "given", "chain"),
    [
        ([], [1, 2, 1], [1, 2, 1]),
        ([], [1, 1, 2, 2], [1, 2]),
        ([1, 2], [1, 2], [1, 2]),
        ([1, 2], [2], [1, 2]),
        ([1, 2], [2, 3], [1, 2, 3]),
        ([1, 2, 1], [1, 2, 1], [1, 2, 1]),
        ([1], [2, 1], [1, 2, 1]),
        ([1, 2], [2, 1], [1, 2, 1]),
        ([np.nan], [1, np.nan], [np.nan, 1, np.nan]),
        ([np.nan, 0.0], [-0.0], [np.nan, 0.0]),
    ],
)
def test_values_of_one_day_are_a_chain_that_grows_at_its_end(market, there, given, chain):
    def rows(values):
        return frame(*(("2009-04-20", 200901, float(value), "roe_q", "SH600519") for value in values))

    if there:
        give(market, rows(there))
    give(market, rows(given))
    expected = qlib_period_files.dump([(20090420, 200901, float(value)) for value in chain], "q")[0]
    assert files(market)["roe_q.data"] == expected
    give(market, rows(given))
    assert files(market)["roe_q.data"] == expected


def test_withdrawn_values_are_counted(market):
    report = give(market, one("2009-04-20", 200901, None))
    assert report.withdrawn == 1
    assert np.isnan(read(market)[0][2])


def test_replacing_takes_the_source_for_all_there_is_of_its_series(market):
    rows = [
        ("2009-04-20", 200901, 1.0, "roe_q", "SH600519"),
        ("2009-08-20", 200902, 2.0, "roe_q", "SH600519"),
        ("2009-08-20", 200902, 3.0, "roe_q", "SZ000001"),
    ]
    give(market, frame(*rows))
    before = snapshot(market)
    assert give(market, frame(*rows), replace=True).kind == "none"
    assert snapshot(market) == before
    report = give(market, frame(rows[1], ("2009-08-21", 200902, 2.5, "roe_q", "SH600519")), replace=True)
    assert (report.added, report.removed, report.series, report.first_changed) == (1, 1, 1, "2009-04-20")
    assert read(market) == [("2009-08-20", 200902, 2.0), ("2009-08-21", 200902, 2.5)]
    assert read(market, code="SZ000001") == [("2009-08-20", 200902, 3.0)]


def test_replacing_tells_the_order_of_a_day_apart(market):
    values = [("2009-04-20", 200901, value, "roe_q", "SH600519") for value in (1.0, 2.0)]
    give(market, frame(*values))
    give(market, frame(*values[::-1]), replace=True)
    assert read(market) == [("2009-04-20", 200901, 1.0)]


def test_a_dry_run_tells_all_and_writes_nothing(market):
    before = snapshot(market)
    report = give(market, one("2009-04-20", 200901, 1.0), dry_run=True)
    assert (report.dry_run, report.kind, report.added, report.series) == (True, "periods", 1, 1)
    assert report.generation == QlibProvider(market).manifest.generation
    assert snapshot(market) == before


@pytest.mark.parametrize(
    ("field", "given", "period"),
    [
        ("x_q", 200901, 200901),
        ("x_q", 200901.0, 200901),
        ("x_q", "200901", 200901),
        ("x_q", "2009Q1", 200901),
        ("x_q", "2009-q1", 200901),
        ("x_q", "2009-03-31", 200901),
        ("x_q", 20090331, 200901),
        ("x_q", pd.Timestamp("2009-03-31"), 200901),
        ("x_q", pd.Period("2009Q1"), 200901),
        ("x_q", "2009年一季报", 200901),
        ("x_q", "2008年年报", 200804),
        ("x_a", "2008年年报", 2008),
        ("x_a", 2008, 2008),
        ("x_a", "2008-12-31", 2008),
        ("x_m", 200902, 200902),
        ("x_m", "2009-02", 200902),
        ("x_m", "2009年2月", 200902),
        ("x_m", "2009/02/28", 200902),
        ("x_d", "2009-05-17", 20090517),
        ("x_d", 20090517, 20090517),
    ],
)
def test_periods_are_what_their_text_shows(market, field, given, period):
    give(market, one("2009-04-20", given, 1.0, field))
    assert [row[1] for row in read(market, field)] == [period]


@pytest.mark.parametrize(
    ("rows", "options", "error", "words"),
    [
        (one("2009-04-20", 200905, 1.0), {}, DataError, ("row 0", "'200905' is no quarter", "months belong")),
        (one("2009-04-20", "2009-02-28", 1.0), {}, DataError, ("row 0", "is no quarter", "months belong")),
        (one("2009-04-20", "2009-03-15", 1.0), {}, DataError, ("row 0", "is no quarter", "201903")),
        (one("2009-04-20", 2009, 1.0), {}, DataError, ("'2009' is no quarter",)),
        (one("2009-04-20", 200901, 1.0, "x_a"), {}, DataError, ("'200901' is no year",)),
        (one("2009-04-20", 200913, 1.0, "x_m"), {}, DataError, ("'200913' is no month",)),
        (one("2009-04-20", None, 1.0), {}, DataError, ("row 0", "there is no period")),
        (one("2009-04-20", "2008年三季报", 1.0, "x_a"), {}, DataError, ("is no year",)),
        (one(None, 200901, 1.0), {}, DataError, ("row 0", "is not a date", "column 'date'", "--date-column")),
        (one("04/05/2009", 200901, 1.0), {}, DataError, ("does not show which number is the month",)),
        (one("2009-04-20 10:30", 200901, 1.0), {}, DataError, ("time of day", "the next one", "same_day = false")),
        (one("2009-03-30", 200901, 1.0), {}, LookAheadError, ("row 0", "before that period ended", "2009-03-30")),
        (one("2020-01-03", 200901, 1.0), {}, LookAheadError, ("row 0", "that day has not come")),
        (one("2009-04-20", 200901, "much"), {}, DataError, ("row 0", "'much', not a number")),
        (one("2009-04-20", 200901, True), {}, DataError, ("bool",)),
        (one("2009-04-20", 200901, 1.0, "roe"), {}, DataError, ("row 0", "does not say what its periods are")),
        (one("2009-04-20", 200901, 1.0, "a/b"), {}, DataError, ("row 0", "cannot be a field")),
        (one("2009-04-20", 200901, 1.0, None), {}, DataError, ("row 0", "there is no field")),
        (one("2009-04-20", 200901, 1.0, code=600519), {}, DataError, ("codes of instruments are text",)),
        (one("2009-04-20", 200901, 1.0, code="../up"), {}, DataError, ("row 0", "cannot be the code")),
        (one("2009-04-20", 2009, 1.0, "x_a"), {"interval": "quarterly"}, DataError, ("ends as a field of a year",)),
        (one("2009-04-20", 200901, 1.0), {"interval": "weekly"}, ConfigError, ("'weekly' is no interval",)),
        (one("2009-04-20", 200901, 1.0), {"kind": "flows"}, ConfigError, ("'flows' is no kind",)),
        (one("2009-04-20", 200901, 1.0), {"kind": {"y_q": "stock"}}, DataError, ("has no field `y_q`",)),
        (one("2009-04-20", 200901, 1.0), {"kind": {"y": "stock"}}, UnknownFieldError, ("periods are",)),
        (one("2009-04-20", 200901, 1.0), {"period_column": "p"}, DataError, ("no period column `p`",)),
        (one("2009-04-20", 200901, 1.0).drop(columns="value"), {}, DataError,
         ("no value column", "--fields COLUMN,COLUMN=FIELD")),
        (one("2009-04-20", 200901, 1.0).drop(columns="field"), {}, DataError,
         ("no field column", "--fields COLUMN,COLUMN=FIELD")),
        (one("2009-04-20", 200901, 1.0).drop(columns="instrument"), {}, DataError, ("no symbol column",)),
        (one("2009-04-20", 200901, 1.0).set_axis([*COLUMNS[:4], "date"], axis=1), {}, DataError, ("`date` twice",)),
        (one("2009-04-20", 200901, 1.0)[:0], {}, DataError, ("there are no rows",)),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_and_nothing_is_written(market, rows, options, error, words):
    before = snapshot(market)
    full = len(rows) and list(rows.columns) == COLUMNS and rows["value"].dtype != bool
    with pytest.raises(error) as caught:
        give(market, pd.concat([rows, one("2009-05-20", 200804, 2.0)]) if full else rows, **options)
    for word in words:
        assert word in f"{caught.value} {caught.value.hint}"
    assert snapshot(market) == before


def test_percentages_are_told_and_stand_among_none_but_their_like(market):
    rows = pd.concat([one("2009-04-20", 200901, "12.5%"), one("2009-08-20", 200902, "0"),
                      one("2009-04-20", 200901, "7", "x_q")])  # fmt: skip
    assert "`roe_q` is in percent, and 1% was stored as 0.01" in give(market, rows).notes
    assert [row[2] for row in read(market, "roe_q")] == [0.125, 0.0]
    before = snapshot(market)
    mixed = pd.concat([one("2009-10-20", 200903, "13.1%"), one("2010-04-20", 200904, "14.2")], ignore_index=True)
    with pytest.raises(DataError, match=r"row 1: the value of roe_q is '14\.2', and others of it have a percent sign"):
        give(market, mixed)
    assert snapshot(market) == before


def test_forecasts_are_taken_when_they_are_declared(market):
    give(market, one("2009-03-01", 200901, 1.0), allow_early=True)
    assert read(market) == [("2009-03-01", 200901, 1.0)]


def test_what_holds_from_a_day_on_may_be_known_before(market):
    give(market, one("2009-05-01", "2009-06-15", 1.0, "hs300_d"))
    assert read(market, "hs300_d") == [("2009-05-01", 20090615, 1.0)]


def test_the_day_of_the_periods_end_and_today_are_taken(market):
    rows = [("2009-03-31", 200901, 1.0, "roe_q", "A"), ("2020-01-02", 201904, 1.0, "roe_q", "A")]
    report = give(market, frame(*rows))
    assert report.added == 2  # it is 2020-01-02 in the east already


def test_codes_are_one_instrument_however_they_are_spelled(market):
    report = give(market, one("2009-04-20", 200901, 1.0, code="600519.SH"))
    assert "600519.SH is SH600519" in report.notes[0]
    assert read(market) == [("2009-04-20", 200901, 1.0)]
    give(market, one("2009-08-20", 200902, 1.0, code="sh600519"))
    assert len(read(market)) == 2
    both = frame(*(("2009-08-20", 200902, 2.0, "roe_q", code) for code in ("600519.SH", "SH600519")))
    with pytest.raises(DataError, match="which are one instrument"):
        give(market, both)


def test_instruments_without_prices_are_told(market):
    report = give(market, one("2009-04-20", 200901, 1.0, code="SH688981"))
    assert report.without_series == ("SH688981",)
    assert "no expression reads them: SH688981" in report.notes[0]
    assert (market / "financial" / "sh688981" / "roe_q.data").exists()


def test_kinds_are_declared_once(market):
    rows = frame(("2009-04-20", 200901, 1.0, "x_q", "SH600519"), ("2009-04-20", 200901, 1.0, "y_q", "SH600519"))
    report = give(market, rows, kind={"x_q": "flow-cumulative"})
    assert report.fields == {"x_q": "flow-cumulative", "y_q": "unknown"}
    opened = QlibProvider(market)
    assert opened.field_kind("x_q") == FieldKind("flow", "cumulative")
    before = snapshot(market)
    with pytest.raises(DataError, match="declared as flow-cumulative, and is to be stock"):
        give(market, rows.assign(value=2.0), kind="stock")
    assert snapshot(market) == before
    report = give(market, rows, kind={"y_q": "stock"})  # no new value, and a new kind
    assert (report.kind, report.series) == ("periods", 0)
    now = QlibProvider(market)
    assert now.field_kind("y_q") == FieldKind("stock")
    assert now.vintage_generation(["x_q"]) == opened.vintage_generation(["x_q"])
    assert now.vintage_generation(["y_q"]) != opened.vintage_generation(["y_q"])


def test_a_column_may_say_the_kind(market):
    rows = frame(("2009-04-20", 200901, 1.0, "x_q", "SH600519"), ("2009-08-20", 200902, 1.0, "x_q", "SH600519"))
    report = give(market, rows.assign(kind=["flow-discrete", None]))
    assert report.fields == {"x_q": "flow-discrete"}
    with pytest.raises(DataError, match=r"row 1: `x_q` is stock, and flow-discrete further up"):
        give(market, rows.assign(kind=["flow-discrete", "stock"]))
    with pytest.raises(DataError, match="row 1: 'flat' is no kind"):
        give(market, rows.assign(kind=["stock", "flat"]))
    with pytest.raises(DataError, match="is to be stock, and the source says flow-discrete"):
        give(market, rows.assign(kind="flow-discrete"), kind="stock")


def test_a_kind_is_declared_later_and_changed_only_on_purpose(market):
    give(market, one("2009-04-20", 200901, 1.0))
    assert declare_kind(market, "ROE_Q", FieldKind("stock")) == FieldKind()
    before = snapshot(market)
    assert declare_kind(market, "roe_q", FieldKind("stock")) == FieldKind("stock")
    assert snapshot(market) == before
    with pytest.raises(DataError, match="--change"):
        declare_kind(market, "roe_q", FieldKind("flow", "discrete"))
    declare_kind(market, "roe_q", FieldKind("flow", "discrete"), change=True)
    assert QlibProvider(market).field_kind("roe_q") == FieldKind("flow", "discrete")
    with pytest.raises(UnknownFieldError):
        declare_kind(market, "roa_q", FieldKind("stock"))
    declare_kind(market, "roe_q", FieldKind(), change=True)
    assert "roe_q" not in (market / "financial" / "fields.json").read_text()


def test_files_of_other_programs_are_read_by_their_headings(market, tmp_path):
    source = tmp_path / "income.csv"
    source.write_text("股票代码,公告日期,报告期,指标,数值,备注\n600519.SH,20090420,20090331,revenue_q,1.2亿,x\n")
    report = give(market, source)
    assert report.skipped == ("备注",)
    assert read(market, "revenue_q") == [("2009-04-20", 200901, 1.2e8)]


def test_a_folder_of_files_for_qlibs_dumper_is_one_instrument_a_file(market, tmp_path):
    source = tmp_path / "csv"
    source.mkdir()
    for name, value in (("sh600519", 1.0), ("sz000001", 2.0)):
        (source / f"{name}.csv").write_text(f"date,period,value,field\n2009-04-20,200901,{value},roe\n")
    give(market, source, interval="quarterly")
    assert read(market)[0][2] == 1.0
    assert read(market, code="SZ000001")[0][2] == 2.0


def test_a_parquet_file_and_an_indexed_frame_say_the_same(market, tmp_path):
    rows = one("2009-04-20", 200901, 1.5)
    rows.to_parquet(tmp_path / "rows.parquet")
    give(market, tmp_path / "rows.parquet")
    assert give(market, rows.set_index(["instrument", "date"])).kind == "none"


def test_one_field_of_one_instrument_needs_no_columns_of_them(market):
    rows = one("2009-04-20", 200901, 1.5).drop(columns=["field", "instrument"])
    give(market, rows, field="roe_q", symbol="SH600519")
    assert read(market) == [("2009-04-20", 200901, 1.5)]


def test_a_folder_of_other_tools_gets_a_manifest_and_keeps_its_values(market):
    for name in ("rollwright.json", "rollwright.files"):
        (market / name).unlink()
    qlib_period_files.write(market, "sh600519", "roe_q", [(20090420, 200901, 1.0)])
    give(market, one("2009-08-20", 200902, 2.0))
    assert read(market) == [("2009-04-20", 200901, 1.0), ("2009-08-20", 200902, 2.0)]
    assert QlibProvider(market).manifest is not None


def test_fields_by_period_need_a_market_to_stand_beside(tmp_path):
    with pytest.raises(DataNotFoundError, match="no daily data"):
        give(tmp_path / "nothing", one("2009-04-20", 200901, 1.0))
    assert not (tmp_path / "nothing").exists()


def test_progress_counts_the_files_that_are_written(market):
    told: list[tuple[int, int]] = []
    rows = [("2009-04-20", 200901, 1.0, field, "SH600519") for field in ("x_q", "y_q", "z_q")]
    give(market, frame(*rows), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]
