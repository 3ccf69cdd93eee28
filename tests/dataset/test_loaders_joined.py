"""Loaders of frames, files and handlers: joined as Qlib joins them, and whole after copying and re-opening (S8)."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright import DataHandler, DataHandlerLP, DatasetH, init
from rollwright.config.construct import init_instance_by_config
from rollwright.dataset.codec import DatasetCodec
from rollwright.dataset.loader import DataLoaderDH, NestedDataLoader, QlibDataLoader, StaticDataLoader
from rollwright.errors import ConfigError, DataError, UnsupportedArtifactError
from rollwright.market.ingest.importer import import_market
from rollwright.models.linear import LinearModel

DAYS = pd.bdate_range("2021-01-04", periods=10)
FIELDS = {"feature": (["$close"], ["C"]), "label": (["Ref($close, -1)/$close - 1"], ["L"])}


@pytest.fixture(autouse=True)
def market(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frame = pd.concat(
        pd.DataFrame({"symbol": code, "date": DAYS, "close": rng.lognormal(2, 0.1, 10)}) for code in ("A", "B", "C")
    )
    import_market(frame, tmp_path / "market")
    init(provider_uri=str(tmp_path / "market"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Write a column of the user's own, for two instruments of the market and one stranger, and return its file."""
    index = pd.MultiIndex.from_product([DAYS[2:], ["A", "C", "X"]], names=["datetime", "instrument"])
    frame = pd.DataFrame({("feature", "OWN"): np.arange(len(index), dtype=np.float32)}, index=index)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    frame.to_parquet(tmp_path / "own.parquet")
    return tmp_path / "own.parquet"


def nested(own: Path, **kwargs) -> NestedDataLoader:
    return NestedDataLoader([QlibDataLoader(FIELDS), StaticDataLoader(str(own))], **kwargs)


def test_a_file_joins_the_markets_universe(own: Path) -> None:
    frame = DataHandler("all", data_loader=nested(own)).fetch(col_set="feature")
    assert list(frame.columns) == ["C", "OWN"]
    assert len(frame) == 30
    assert set(frame.index.get_level_values("instrument")) == {"A", "B", "C"}
    assert frame["OWN"].notna().sum() == 16
    assert frame["OWN"].loc[(DAYS[2], "C")] == 1.0


def test_join_says_which_rows_stay(own: Path) -> None:
    assert len(nested(own, join="inner").load("all")) == 16
    outer = nested(own, join="outer").load("all")
    assert len(outer) == 38
    assert "X" in outer.index.get_level_values("instrument")


def test_codes_narrow_every_loader_that_knows_codes(own: Path) -> None:
    frame = nested(own, join="outer").load(["A"])
    assert set(frame.index.get_level_values("instrument")) == {"A"}
    files = NestedDataLoader([StaticDataLoader(str(own)), StaticDataLoader(str(own))])
    assert set(files.load(["C"]).index.get_level_values("instrument")) == {"C"}


def test_a_universe_that_no_loader_knows_is_not_passed_over(own: Path) -> None:
    files = NestedDataLoader([StaticDataLoader(str(own)), StaticDataLoader(str(own))])
    with pytest.raises(ConfigError, match="none of the loaders knows the universe `all`"):
        files.load("all")


def test_a_nested_loader_looks_as_far_ahead_as_the_farthest(own: Path) -> None:
    assert DataHandler("all", data_loader=nested(own)).label_reach.span == 1
    far = NestedDataLoader([QlibDataLoader(FIELDS), StaticDataLoader(str(own), label_lookahead=4)])
    assert DataHandler("all", data_loader=far).label_reach.span == 4


def test_a_nested_loader_is_built_from_a_configuration(own: Path) -> None:
    made = init_instance_by_config(
        {
            "class": "NestedDataLoader",
            "module_path": "qlib.data.dataset.loader",
            "kwargs": {
                "dataloader_l": [
                    {"class": "qlib.data.dataset.loader.QlibDataLoader", "kwargs": {"config": FIELDS}},
                    {"class": "qlib.data.dataset.loader.StaticDataLoader", "kwargs": {"config": str(own)}},
                ]
            },
        }
    )
    pd.testing.assert_frame_equal(made.load("all"), nested(own).load("all"))


def test_handlers_side_by_side_keep_their_groups_and_processors() -> None:
    one = DataHandlerLP("all", data_loader=QlibDataLoader({"feature": (["$close"], ["C"])}))
    two = DataHandlerLP(
        "all",
        data_loader=QlibDataLoader({"feature": (["$close"], ["C"])}),
        infer_processors=[{"class": "CSZScoreNorm", "kwargs": {"fields_group": "feature"}}],
    )
    loader = DataLoaderDH({"raw": one, "scaled": two}, fetch_kwargs={"col_set": "feature"}, is_group=True)
    frame = DataHandler(data_loader=loader).fetch(col_set=["raw", "scaled"])
    assert frame.columns.tolist() == [("raw", "C"), ("scaled", "C")]
    np.testing.assert_allclose(frame[("scaled", "C")].groupby(level=0).mean(), 0, atol=1e-6)
    with pytest.raises(ConfigError, match="instruments of its handlers"):
        loader.load(instruments="all")


def test_a_handler_nests_beside_the_market() -> None:
    handler = DataHandlerLP(["A", "B"], data_loader=QlibDataLoader({"feature": (["$close*2"], ["TWICE"])}))
    loader = NestedDataLoader([QlibDataLoader(FIELDS), DataLoaderDH(handler)])
    frame = DataHandler("all", data_loader=loader).fetch(col_set="feature")
    np.testing.assert_array_equal(frame["TWICE"].dropna(), frame["C"][frame["TWICE"].notna()] * 2)
    assert frame["TWICE"].notna().sum() == 20


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("used", [False, True])
def test_s8_a_copied_static_loader_has_its_configuration_and_data(own: Path, how, used) -> None:
    loader = StaticDataLoader(str(own), label_lookahead=3)
    expected = StaticDataLoader(str(own)).load()
    if used:
        loader.load()
    other = how(loader)
    pd.testing.assert_frame_equal(other.load(), expected)
    assert other.find_label_lookahead() == 3
    assert other.describe() == loader.describe()


def test_s8_a_stored_dataset_over_a_file_opens_again(own: Path, tmp_path: Path) -> None:
    made = DatasetH(DataHandlerLP(data_loader=StaticDataLoader(str(own))), {"test": (DAYS[3], DAYS[5])})
    DatasetCodec().write(made, tmp_path / "dataset.json")
    back = DatasetCodec().read(tmp_path / "dataset.json")
    pd.testing.assert_frame_equal(back.prepare("test"), made.prepare("test"))
    assert back.generation == made.generation


def test_a_dataset_over_a_frame_in_memory_says_why_it_cannot_be_stored(own: Path, tmp_path: Path) -> None:
    made = DatasetH(DataHandlerLP.from_df(pd.read_parquet(own)), {"test": (DAYS[3], DAYS[5])})
    with pytest.raises(UnsupportedArtifactError, match="exists in memory only"):
        DatasetCodec().write(made, tmp_path / "dataset.json")


def test_no_instruments_are_those_of_the_universe_all(tmp_path: Path) -> None:
    for name in ("rollwright.files", "rollwright.json"):  # a folder of Qlib's has neither
        (tmp_path / "market" / name).unlink()
    (tmp_path / "market/instruments/all.txt").write_text(f"A\t{DAYS[0]:%Y-%m-%d}\t{DAYS[-1]:%Y-%m-%d}\n")
    init(provider_uri=str(tmp_path / "market"))
    frame = DataHandlerLP(data_loader=QlibDataLoader(FIELDS)).fetch()
    assert set(frame.index.get_level_values("instrument")) == {"A"}


def test_what_is_no_frame_and_no_selector_is_said() -> None:
    handler = DataHandlerLP("all", data_loader=QlibDataLoader(FIELDS))
    with pytest.raises(DataError, match="are a DataFrame, and this is ndarray"):
        handler.fetch(proc_func=lambda frame: frame.to_numpy())
    with pytest.raises(ConfigError, match="a selector of rows is a slice"):
        handler.fetch({"a": slice(DAYS[0], DAYS[1])})


def test_a_model_may_predict_a_slice_of_dates() -> None:
    dataset = DatasetH(DataHandlerLP("all", data_loader=QlibDataLoader(FIELDS)), {"train": (DAYS[0], DAYS[5])})
    model = LinearModel()
    model.fit(dataset)
    assert len(model.predict(dataset, slice(DAYS[6], DAYS[7]))) == 6
