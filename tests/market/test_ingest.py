"""Import: what was given is what is read back, all or nothing."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from rollwright.errors import DataError, DataNotFoundError
from rollwright.market.folder import atomic_replace as publication
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market

FIELDS = ("open", "high", "low", "close", "volume")


def frame_of(codes=("AAA", "BBB", "000001"), start="2020-01-01", sessions=12, seed=0):
    rng = np.random.default_rng(seed)
    days = pd.bdate_range(start, periods=sessions)
    rows = []
    for place, code in enumerate(codes):
        rows.extend((code, day, *rng.uniform(1, 100, len(FIELDS)).round(3)) for day in days[place:])
    return pd.DataFrame(rows, columns=["symbol", "date", *FIELDS])


def read_back(path: Path, fields=FIELDS) -> pd.DataFrame:
    """Return everything the provider reads as rows, in the order of symbol and date."""
    provider = QlibProvider(path)
    calendar, codes = provider.calendar(), provider.instruments()
    block = provider.load(fields, codes, 0, len(calendar))
    pieces = []
    for place, code in enumerate(codes):
        low, high = provider.bounds([code])[0]
        piece = pd.DataFrame(dict(zip(fields, block[:, low:high, place], strict=True)))
        piece.insert(0, "symbol", code)
        piece.insert(1, "date", calendar.to_index()[low:high])
        pieces.append(piece)
    return pd.concat(pieces, ignore_index=True)


def expected(frame: pd.DataFrame) -> pd.DataFrame:
    wanted = frame.sort_values(["symbol", "date"], ignore_index=True)
    return wanted.astype(dict.fromkeys(FIELDS, "float32"))


def assert_holds(path: Path, frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(read_back(path), expected(frame), check_dtype=False, check_index_type=False)


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_frame_is_read_back_as_it_was(tmp_path):
    frame = frame_of()
    report = import_market(frame, tmp_path / "market")
    assert (report.kind, report.rows, report.instruments, report.missing) == ("create", 33, 3, ("vwap", "factor"))
    assert_holds(tmp_path / "market", frame)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_say_the_same_as_the_frame(tmp_path, suffix):
    frame = frame_of()
    file = tmp_path / f"prices.{suffix}"
    frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    import_market(file, tmp_path / "market")
    assert_holds(tmp_path / "market", frame)


def test_a_folder_of_files_named_by_instrument(tmp_path):
    frame = frame_of(codes=("AAA", "000001"))
    (tmp_path / "csv").mkdir()
    for code, rows in frame.groupby("symbol"):
        rows.drop(columns="symbol").to_csv(tmp_path / "csv" / f"{code}.csv", index=False)
    import_market(tmp_path / "csv", tmp_path / "market")
    assert_holds(tmp_path / "market", frame)


def test_columns_go_by_their_aliases_in_any_case(tmp_path):
    frame = frame_of()
    renamed = frame.rename(columns={"symbol": "Ticker", "date": "Timestamp", "close": "$CLOSE", "volume": "Vol"})
    import_market(renamed, tmp_path / "market")
    assert_holds(tmp_path / "market", frame)


def test_an_indexed_frame_is_taken_like_qlibs(tmp_path):
    frame = frame_of()
    indexed = frame.rename(columns={"symbol": "instrument", "date": "datetime"}).set_index(["datetime", "instrument"])
    import_market(indexed.rename(columns=lambda name: f"${name}"), tmp_path / "market")
    assert_holds(tmp_path / "market", frame)


def test_tickers_that_look_like_other_things_stay_text(tmp_path):
    frame = frame_of(codes=("000001", "NA", "NAN", "TRUE", "1E5", "NULL"))
    frame.to_csv(tmp_path / "prices.csv", index=False)
    import_market(tmp_path / "prices.csv", tmp_path / "market")
    assert QlibProvider(tmp_path / "market").instruments() == ("000001", "1E5", "NA", "NAN", "NULL", "TRUE")
    assert_holds(tmp_path / "market", frame)


def test_rows_in_any_order_give_the_same_bytes(tmp_path):
    frame = frame_of()
    import_market(frame, tmp_path / "one")
    import_market(frame.sample(frac=1, random_state=3), tmp_path / "two")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_the_same_rows_again_change_nothing(tmp_path):
    first = import_market(frame_of(), tmp_path / "market")
    before = snapshot(tmp_path / "market")
    again = import_market(frame_of(), tmp_path / "market")
    assert (again.kind, again.generation) == ("none", first.generation)
    assert snapshot(tmp_path / "market") == before


def test_new_sessions_are_appended_and_the_first_of_them_is_told(tmp_path):
    frame = frame_of(sessions=12)
    old, new = frame[frame["date"] <= "2020-01-13"], frame[frame["date"] > "2020-01-13"]
    first = import_market(old, tmp_path / "market")
    second = import_market(new, tmp_path / "market")
    assert (second.kind, second.first_changed, second.added_sessions) == ("append", "2020-01-14", 3)
    assert_holds(tmp_path / "market", frame)
    provider = QlibProvider(tmp_path / "market")
    assert provider.unchanged_before(first.generation) == 9
    assert provider.unchanged_before(second.generation) == 12
    assert provider.unchanged_before("somewhere-1-else") == 0


def test_a_changed_value_needs_to_be_a_revision(tmp_path):
    frame = frame_of()
    first = import_market(frame, tmp_path / "market")
    before = snapshot(tmp_path / "market")
    changed = frame.copy()
    changed.loc[5, "close"] += 1
    with pytest.raises(DataError, match=r"1 values .*AAA 2020-01-08 close .* becomes"):
        import_market(changed, tmp_path / "market")
    assert snapshot(tmp_path / "market") == before
    report = import_market(changed, tmp_path / "market", revise=True)
    assert (report.kind, report.changed_cells, report.first_changed) == ("revise", 1, "2020-01-08")
    assert QlibProvider(tmp_path / "market").unchanged_before(first.generation) == 5
    assert_holds(tmp_path / "market", changed)


def test_a_session_in_the_middle_moves_every_series(tmp_path):
    frame = frame_of()
    hole = frame[frame["date"] != "2020-01-07"]
    import_market(hole, tmp_path / "market")
    report = import_market(frame[frame["date"] == "2020-01-07"].query("symbol == 'AAA'"), tmp_path / "market")
    assert report.first_changed == "2020-01-07"
    got = read_back(tmp_path / "market")
    whole = got.dropna(subset="close").reset_index(drop=True)
    wanted = expected(frame[(frame["date"] != "2020-01-07") | (frame["symbol"] == "AAA")])
    pd.testing.assert_frame_equal(whole, wanted, check_dtype=False)
    assert int(got["close"].isna().sum()) == 2


def test_a_new_instrument_joins(tmp_path):
    import_market(frame_of(codes=("AAA",)), tmp_path / "market")
    report = import_market(frame_of(codes=("BBB",), start="2020-01-03", sessions=5, seed=4), tmp_path / "market")
    assert (report.added_instruments, report.first_changed) == (1, "2020-01-03")
    assert QlibProvider(tmp_path / "market").instruments() == ("AAA", "BBB")


def test_a_failure_in_the_middle_leaves_the_old_data_and_nothing_else(tmp_path, monkeypatch):
    frame = frame_of()
    import_market(frame[frame["date"] <= "2020-01-10"], tmp_path / "market")
    before = snapshot(tmp_path / "market")
    written = []

    def break_down(path, data):
        written.append(path)
        if len(written) == 7:
            raise OSError(28, "No space left on device")
        publication.write_file(path, data)

    monkeypatch.setattr("rollwright.market.ingest.importer.write_file", break_down)
    with pytest.raises(DataError, match=r"left as it was.*No space left"):
        import_market(frame, tmp_path / "market")
    assert len(written) == 7
    assert snapshot(tmp_path / "market") == before
    assert {path.name for path in tmp_path.iterdir()} - {"work", "home"} == {"market"}


def test_a_failed_first_import_leaves_no_folder(tmp_path, monkeypatch):
    def break_down(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rollwright.market.ingest.importer.write_file", break_down)
    with pytest.raises(DataError, match="No space left"):
        import_market(frame_of(), tmp_path / "market")
    assert {path.name for path in tmp_path.iterdir()} <= {"work", "home"}


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="no market data"):
        import_market(frame_of(), tmp_path / "letters")
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["letter.txt"]


def test_nothing_to_import(tmp_path):
    with pytest.raises(DataNotFoundError, match="there is no such file or folder"):
        import_market(tmp_path / "absent.csv", tmp_path / "market")


values = st.floats(width=32, allow_nan=True, allow_infinity=False)


@settings(max_examples=15, deadline=None)
@given(
    cells=st.dictionaries(
        st.tuples(st.sampled_from(["A", "b", "000001", "con", "X.Y"]), st.integers(0, 30)), values, min_size=1
    ),
    cut=st.integers(0, 30),
)
def test_law_import_then_load_is_the_frame_however_it_is_cut(tmp_path_factory, cells, cut):
    folder = tmp_path_factory.mktemp("law") / "market"
    days = pd.bdate_range("2021-03-01", periods=31)
    frame = pd.DataFrame([(code, days[day], value) for (code, day), value in cells.items()])
    frame.columns = ["symbol", "date", "close"]
    for part in (frame[frame["date"] < days[cut]], frame[frame["date"] >= days[cut]]):
        if len(part):
            import_market(part, folder)
    got = read_back(folder, ("close",)).set_index(["symbol", "date"])["close"]
    wanted = frame.set_index(["symbol", "date"])["close"].astype("float32")
    pd.testing.assert_series_equal(got.reindex(wanted.index), wanted, check_index_type=False)
    assert got.drop(wanted.index).isna().all()
