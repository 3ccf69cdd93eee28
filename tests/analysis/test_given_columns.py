from __future__ import annotations

import pandas as pd
import pytest

from rollwright.analysis.given_columns import read_columns
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError


def test_codes_stay_text_and_numbers_are_numbers(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("instrument,industry,size\n000001,bank,3.5\n000002,,4\n", encoding="utf-8")
    found = read_columns(path)
    assert found.index.tolist() == ["000001", "000002"]
    assert found["size"].tolist() == [3.5, 4.0]
    assert found["industry"].isna().tolist() == [False, True]


def test_values_may_change_with_the_date(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("instrument,datetime,size\nA,2021-03-01,1\nA,2021-03-02,2\n", encoding="utf-8")
    found = read_columns(path)
    assert found.index.names == ["datetime", "instrument"]
    assert found.loc[(pd.Timestamp("2021-03-02"), "A"), "size"] == 2
    indexed = tmp_path / "mine.parquet"
    found.to_parquet(indexed)
    pd.testing.assert_frame_equal(read_columns(indexed), found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code,size\nA,1\n", "no column `instrument`"),
        ("instrument\nA\n", "no column beside"),
        ("instrument,size\nA,1\nA,2\n", "row of A more than once"),
        ("instrument,datetime,size\nA,soon,1\n", "no date"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path, text, said):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_columns(path)


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(DataNotFoundError):
        read_columns(tmp_path / "none.csv")
    with pytest.raises(DataError, match="no table of columns"):
        read_columns(tmp_path / "mine.xlsx")
    (tmp_path / "mine.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(CorruptFileError):
        read_columns(tmp_path / "mine.parquet")
    (tmp_path / "mine.csv").write_bytes(b"")
    with pytest.raises(CorruptFileError):
        read_columns(tmp_path / "mine.csv")
