"""Files of fields by period: Qlib's bytes, read as they stand or refused."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qlib_period_files
from rollwright.errors import CorruptFileError, DataError, UnknownFieldError
from rollwright.market.as_of import AsOf
from rollwright.market.folder.adopt_changes import adopt_changes
from rollwright.market.folder.periods.records import encode_records
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.source import UNKNOWN_KIND, FieldKind

CODES = ("SH600519", "SZ000001", "PRN")
DAYS = pd.bdate_range("2007-01-01", "2019-12-31", freq="BMS")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A market without a manifest and without fields by period, as other tools make it."""
    rows = pd.MultiIndex.from_product([DAYS, CODES], names=["date", "symbol"]).to_frame(index=False)
    target = tmp_path_factory.mktemp("market") / "market"
    import_market(rows.assign(close=1.0), target)
    for name in ("rollwright.json", "rollwright.files"):
        (target / name).unlink()
    return target


@pytest.fixture
def market(plain, tmp_path) -> Path:
    shutil.copytree(plain, tmp_path / "market")
    return tmp_path / "market"


def read(market: Path, field: str = "roewa_q", code: str = "SH600519") -> list[tuple[str, int, float]]:
    found = QlibProvider(market).vintages(field, [code])
    rows = zip(
        found.known_at.astype("datetime64[D]").astype(str), found.period.tolist(), found.value.tolist(), strict=True
    )
    return list(rows)


def as_rows(rows) -> list[tuple[str, int, float]]:
    return [(f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}", period, value) for date, period, value in rows]


def encode(rows, interval: str) -> tuple[bytes, bytes]:
    """Encode rows as the writer does."""
    rows = sorted(rows, key=lambda row: row[:2])
    days = np.array([date for date, _, _ in as_rows(rows)], "datetime64[D]")
    return encode_records(days, np.array([row[1] for row in rows]), np.array([row[2] for row in rows]), interval)


def test_what_qlib_wrote_is_read_as_it_stands(market):
    qlib_period_files.write(market, "sh600519", "roewa_q", qlib_period_files.MOUTAI)
    assert read(market) == as_rows(qlib_period_files.MOUTAI)
    assert QlibProvider(market).period_fields() == ("roewa_q",)
    assert QlibProvider(market).field_kind("ROEWA_Q") == UNKNOWN_KIND


def test_a_record_has_the_published_bytes():
    data, index = encode([(20171101, 201703, float(np.float32(0.1)))], "q")
    assert data.hex() == "5dc93301e7130300000000a09999b93fffffffff"
    assert index == struct.pack("<5I", 2017, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0xFFFFFFFF)


def test_the_links_and_places_of_restated_values_are_the_published_ones():
    data, index = encode(qlib_period_files.MOUTAI, "q")
    assert struct.unpack_from("<I", data, 60 + 16)[0] == 80
    assert struct.unpack_from("<6I", index) == (2007, 0, 20, 40, 60, 100)
    assert index[-8:] == b"\xff" * 8  # of 2019 two quarters are known


PERIODS = {
    "q": st.builds(lambda year, part: year * 100 + part, st.integers(2005, 2009), st.integers(1, 4)),
    "a": st.integers(2001, 2012),
    "m": st.builds(lambda year, part: year * 100 + part, st.integers(2005, 2007), st.integers(1, 12)),
}
DATES = st.builds(lambda m, d: 20100000 + m * 100 + d, st.integers(1, 12), st.integers(1, 28))


@given(interval=st.sampled_from("qam"), data=st.data())
@settings(max_examples=60, deadline=None)
def test_bytes_are_those_of_qlibs_rules_whatever_is_restated(interval, data):
    row = st.tuples(DATES, PERIODS[interval], st.floats(allow_nan=False))
    rows = data.draw(st.lists(row, min_size=1, max_size=30))
    ordered = sorted(rows, key=lambda row: row[:2])
    assert encode(rows, interval) == qlib_period_files.dump(ordered, interval)


def test_of_two_values_of_one_day_the_later_in_the_chain_counts(market):
    rows = [(20080301, 200704, 1.0), (20080301, 200704, 2.0), (20080301, 200703, 3.0)]
    qlib_period_files.write(market, "sh600519", "roewa_q", rows)
    assert read(market) == [("2008-03-01", 200703, 3.0), ("2008-03-01", 200704, 2.0)]


def test_a_withdrawn_value_is_nan(market):
    qlib_period_files.write(market, "sh600519", "roewa_q", [(20080301, 200704, 1.0), (20080313, 200704, float("nan"))])
    assert np.isnan(read(market)[1][2])


@pytest.mark.parametrize(("field", "period"), [("x_q", 200704), ("x_a", 2007), ("x_m", 200712), ("x_d", 20071231)])
def test_quarters_years_and_months_are_read(market, field, period):
    qlib_period_files.write(market, "sh600519", field, [(20080301, period, 1.5)])
    assert read(market, field) == [("2008-03-01", period, 1.5)]


def test_instruments_come_in_the_order_asked_and_one_without_the_field_has_no_rows(market):
    qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    qlib_period_files.write(market, "_qlib_prn", "x_q", [(20080302, 200704, 2.0), (20080303, 200704, 3.0)])
    found = QlibProvider(market).vintages("x_q", ["PRN", "SZ000001", "SH600519"])
    assert found.offsets.tolist() == [0, 2, 2, 3]
    assert found.value.tolist() == [2.0, 3.0, 1.0]


def test_a_field_nobody_has_is_named_with_the_nearest(market):
    qlib_period_files.write(market, "sh600519", "revenue_q", [(20080301, 200704, 1.0)])
    with pytest.raises(UnknownFieldError) as caught:
        QlibProvider(market).vintages("revenu_q", ["SH600519"])
    assert "$$revenue_q" in str(caught.value.hint)
    with pytest.raises(UnknownFieldError, match="does not say what its periods are"):
        QlibProvider(market).vintages("revenue", ["SH600519"])


def test_files_whose_names_differ_only_in_case_are_refused_for_who_asks_for_them(market):
    path = qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    shutil.copy(path, path.with_name("X_q.data"))
    shutil.copy(path.with_suffix(".index"), path.with_name("X_q.index"))
    qlib_period_files.write(market, "sz000001", "x_q", [(20080301, 200704, 2.0)])
    if len(list(path.parent.glob("*.data"))) < 2:
        pytest.skip("not run: the file system does not tell case apart")
    with pytest.raises(CorruptFileError, match="differs from it only in case"):
        read(market, "x_q")
    assert read(market, "x_q", "SZ000001") == [("2008-03-01", 200704, 2.0)]


DAMAGES = {
    "ends in the middle of a record": lambda d, i: (d[:-7], i),
    "empty": lambda d, i: (b"", i),
    "a date that is none": lambda d, i: (struct.pack("<I", 20071331) + d[4:], i),
    "a date of no month": lambda d, i: (struct.pack("<I", 20070230) + d[4:], i),
    "dates that descend": lambda d, i: (struct.pack("<I", 20190101) + d[4:], i),
    "a period that is none": lambda d, i: (d[:4] + struct.pack("<I", 200705) + d[8:], i),
    "another period": lambda d, i: (d[:4] + struct.pack("<I", 200702) + d[8:], i),
    "a link to itself": lambda d, i: (d[:16] + struct.pack("<I", 0) + d[20:], i),
    "a link back": lambda d, i: (d[:96] + struct.pack("<I", 60) + d[100:], i),
    "a link out of the file": lambda d, i: (d[:76] + struct.pack("<I", 20_000) + d[80:], i),
    "a link into a record": lambda d, i: (d[:76] + struct.pack("<I", 83) + d[80:], i),
    "a link to another period": lambda d, i: (d[:76] + struct.pack("<I", 100) + d[80:], i),
    "a link that is missing": lambda d, i: (d[:76] + struct.pack("<I", 0xFFFFFFFF) + d[80:], i),
    "an index that ends early": lambda d, i: (d, i[:-16]),
    "an index that is empty": lambda d, i: (d, b""),
    "an index of no whole year": lambda d, i: (d, i[:-4]),
    "an index of another first year": lambda d, i: (d, struct.pack("<I", 2008) + i[4:]),
    "an index that leads elsewhere": lambda d, i: (d, i[:4] + struct.pack("<I", 20) + i[8:]),
    "an index that leads nowhere": lambda d, i: (d, i[:4] + struct.pack("<I", 0xFFFFFFFF) + i[8:]),
    "no index": lambda d, i: (d, None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_do_not_fit_themselves_are_refused_with_their_path(market, damage):
    path = qlib_period_files.write(market, "sh600519", "roewa_q", qlib_period_files.MOUTAI)
    index = path.with_suffix(".index")
    data, places = DAMAGES[damage](path.read_bytes(), index.read_bytes())
    path.write_bytes(data)
    if places is None:
        index.unlink()
    else:
        index.write_bytes(places)
    with pytest.raises(CorruptFileError) as caught:
        read(market)
    assert caught.value.path.parent == path.parent
    assert caught.value.path.stem == "roewa_q"


def test_damage_of_one_instrument_stops_only_who_asks_for_it(market):
    qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)]).write_bytes(b"torn")
    qlib_period_files.write(market, "sz000001", "x_q", [(20080301, 200704, 2.0)])
    assert read(market, "x_q", "SZ000001") == [("2008-03-01", 200704, 2.0)]
    with pytest.raises(CorruptFileError):
        read(market, "x_q")


def test_an_index_over_more_years_than_the_records_is_one_too(market):
    path = qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    index = path.with_suffix(".index")
    index.write_bytes(struct.pack("<I", 2006) + b"\xff" * 16 + index.read_bytes()[4:] + b"\xff" * 16)
    assert read(market, "x_q") == [("2008-03-01", 200704, 1.0)]


def test_a_changed_value_is_found_where_a_manifest_has_the_digest(market):
    path = qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    adopt_changes(market)
    assert read(market, "x_q") == [("2008-03-01", 200704, 1.0)]
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="not the ones that were imported"):
        read(market, "x_q")


def test_of_a_folder_that_was_adopted_damage_is_still_damage(market):
    path = qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    path.write_bytes(path.read_bytes()[:16] + struct.pack("<I", 0))
    adopt_changes(market)
    with pytest.raises(CorruptFileError, match="would not end"):
        read(market, "x_q")


def test_what_is_known_of_a_field_keeps_its_identity_when_another_changes(market):
    path = qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    qlib_period_files.write(market, "sh600519", "y_q", [(20080301, 200704, 1.0)])
    fields = (["x_q"], ["y_q"], ["x_q", "y_q"], ["y_q", "x_q"])
    before = [QlibProvider(market).vintage_generation(names) for names in fields]
    assert len(set(before)) == 3
    qlib_period_files.write(market, "sh600519", "y_q", [(20080301, 200704, 1.0), (20080401, 200801, 2.0)])
    after = [QlibProvider(market).vintage_generation(names) for names in fields]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False, False]
    path.write_bytes(path.read_bytes()[:8] + struct.pack("<d", 2.0) + path.read_bytes()[16:])
    assert QlibProvider(market).vintage_generation(["x_q"]) != after[0]


def test_a_folder_that_was_replaced_meanwhile_gives_no_value_of_the_new_one(market):
    qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    adopt_changes(market)
    opened = QlibProvider(market)
    adopt_changes(market)
    with pytest.raises(DataError, match="was replaced by an import"):
        opened.vintages("x_q", ["SH600519"])


def test_a_viewpoint_cuts_what_became_known_later(market):
    qlib_period_files.write(market, "sh600519", "roewa_q", qlib_period_files.MOUTAI)
    found = AsOf(QlibProvider(market), "2008-03-13").vintages("roewa_q", ["SH600519"])
    assert found.value.tolist() == [row[2] for row in qlib_period_files.MOUTAI[:5]]


def test_kinds_are_read_from_the_list_beside_the_files(market):
    qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    before = QlibProvider(market).vintage_generation(["x_q"])
    listed = market / "financial" / "fields.json"
    listed.write_text(
        '{"format": "rollwright fields by period", "version": 1, '
        '"fields": {"x_q": {"measure": "flow", "accrual": "cumulative"}}}'
    )
    assert QlibProvider(market).field_kind("x_q") == FieldKind("flow", "cumulative")
    assert QlibProvider(market).vintage_generation(["x_q"]) != before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format": "rollwright fields by period", "version": 2, "fields": {}}',
        '{"format": "rollwright fields by period", "version": 1}',
        '{"format": "rollwright fields by period", "version": 1, "fields": {"x_q": {"measure": "stock"}}}',
        '{"format": "rollwright fields by period", "version": 1, "fields": {"x_q": 1}}',
    ],
)
def test_a_damaged_list_of_kinds_is_refused(market, text):
    qlib_period_files.write(market, "sh600519", "x_q", [(20080301, 200704, 1.0)])
    (market / "financial" / "fields.json").write_text(text)
    with pytest.raises(CorruptFileError) as caught:
        QlibProvider(market).field_kind("x_q")
    assert caught.value.path.name == "fields.json"
