"""Windows without the rows that lack a label: slices of the store, with the bits of a copy, growing with the data."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset import handler_tables
from rollwright.dataset.alpha import Alpha158
from rollwright.dataset.dataset import DatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.dataset.processors import CSZScoreNorm, DropnaLabel, RobustZScoreNorm
from rollwright.features.row_layout import RowLayout
from rollwright.features.store import file as store_file
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.size import prune
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.testing.market import random_source

SEGMENTS = {"train": ("2020-02-03", "2020-04-30"), "test": ("2020-06-01", "2020-07-31")}
FEATURES = (["Mean($close, 5)/$close", "$open/$close"], ["MA5", "OPEN0"])
LABEL = (["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"])


@pytest.fixture
def source():
    return random_source(np.random.default_rng(8), sessions=160, instruments=10, suspensions=0.05)


def dataset(store: Path | FeatureStore, source, **kwargs) -> DatasetH:
    kept = store if isinstance(store, FeatureStore) else FeatureStore(store)
    return DatasetH(Alpha158("all", source=source, store=kept, **kwargs), SEGMENTS)


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler_tables, "_read_labelled", lambda *_: None)


def bits(made: DatasetH, segment: str) -> tuple:
    fold = made.fold(segment, data_key="learn")
    return fold.features.tobytes(), fold.label.tobytes(), fold.index.tolist(), fold.names


@pytest.mark.parametrize("segment", ["train", "test"])
def test_a_window_that_drops_rows_is_a_slice_and_the_same_bits_as_a_copy(
    tmp_path: Path, source, segment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path / "a")
    made = dataset(store, source)
    fold = made.fold(segment, data_key="learn")
    assert len(fold.features) < len(made.fold(segment, data_key="raw").features)
    assert not fold.features.flags.writeable
    assert np.shares_memory(fold.features, dataset(store, source).fold(segment, data_key="learn").features)
    got = bits(made, segment)
    monkeypatch.setattr(handler_tables, "_read_labelled", lambda *_: None)
    assert bits(dataset(tmp_path / "b", source), segment) == got


def test_processors_after_and_before_see_the_same(tmp_path: Path, source, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(folder: str) -> list[tuple]:
        span = {"fit_start_time": "2020-02-03", "fit_end_time": "2020-04-30"}
        scaled = [RobustZScoreNorm("2020-02-03", "2020-04-30", fields_group="feature")]
        return [
            bits(dataset(tmp_path / folder, source, learn_processors=[DropnaLabel(), *scaled]), "train"),
            bits(dataset(tmp_path / folder, source, infer_processors=scaled, **span), "train"),
            bits(dataset(tmp_path / folder, source, learn_processors=[CSZScoreNorm("label"), DropnaLabel()]), "train"),
        ]

    ready = made("a")
    monkeypatch.setattr(handler_tables, "_read_labelled", lambda *_: None)
    assert made("b") == ready


@pytest.mark.usefixtures("copying")
def test_without_the_slices_rows_are_copied(tmp_path: Path, source) -> None:
    fold = dataset(tmp_path, source).fold("train", data_key="learn")
    assert not np.shares_memory(fold.features, dataset(tmp_path, source).handler.panel.matrices[0].values)


def frame(sessions: int) -> pd.DataFrame:
    whole = random_source(np.random.default_rng(5), sessions=400, instruments=8, suspensions=0.05)
    names, days = whole.instruments(), whole.calendar().to_index()
    values = whole.load(whole.fields, names, 0, 400)
    bounds = whole.bounds(names)
    rows = [
        (name, days[day], *values[:, day, column])
        for column, name in enumerate(names)
        for day in range(int(bounds[column, 0]), min(sessions, int(bounds[column, 1])))
    ]
    return pd.DataFrame(rows, columns=["symbol", "date", *whole.fields])


def test_an_append_grows_the_same_file_and_gives_what_a_new_build_gives(tmp_path: Path) -> None:
    def labelled(folder: str):
        store = FeatureStore(tmp_path / folder)
        source = QlibProvider(tmp_path / "market")
        return store.matrix_with_labels(FEATURES[0], LABEL[0], source)

    import_market(frame(380), tmp_path / "market")
    old = labelled("store")
    before = np.array(old.view(0, old.layout.sessions))
    import_market(frame(385), tmp_path / "market")
    grown, built = labelled("store"), labelled("other")
    assert grown.header.data == old.header.data
    assert grown.layout.sessions == 385
    assert grown.layout.rows > old.layout.rows
    assert grown.view(0, 385).tobytes() == built.view(0, 385).tobytes()
    assert grown.header.sums == built.header.sums
    assert old.view(0, 380).tobytes() == before.tobytes()


def test_damage_is_built_anew_by_who_meets_it(tmp_path: Path, source) -> None:
    want = bits(dataset(tmp_path, source), "train")
    (path,) = (path for path in tmp_path.rglob("*.f32") if "+" in path.parent.name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    assert bits(dataset(tmp_path, source), "train") == want


def test_a_layout_with_rows_left_out_survives_its_json_and_agrees_up_to_its_difference() -> None:
    rng = np.random.default_rng(4)
    spans = np.array([[0, 0, 30], [1, 3, 25], [2, 10, 30]], dtype=np.int64)
    whole = RowLayout(instruments=("A", "B", "C"), spans=spans, sessions=30)
    kept = rng.random(whole.rows) < 0.7
    layout = RowLayout(instruments=("A", "B", "C"), spans=spans, sessions=30, present=kept)
    back = RowLayout.from_json(layout.to_json())
    assert back.rows == layout.rows == int(kept.sum())
    assert np.array_equal(back.has_row(0, 30), layout.has_row(0, 30))
    assert layout.has_row(4, 17).sum() == layout.offsets[17] - layout.offsets[4]
    assert layout.first_difference(back) == 30
    other = kept.copy()
    row = int(whole.offsets[12]) + 1
    other[row] ^= True
    assert (
        layout.first_difference(RowLayout(instruments=("A", "B", "C"), spans=spans, sessions=30, present=other)) == 12
    )
    assert layout.first_difference(whole) == int(whole.locate(0, 30)[0][np.flatnonzero(~kept)[0]])


# frames over the store's own pages


@pytest.fixture
def mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Map frames however small."""
    monkeypatch.setattr(store_file, "MAPPED_BYTES", 1)


def handler(store: FeatureStore, source, **kwargs) -> DataHandlerLP:
    loader = QlibDataLoader({"feature": FEATURES, "label": LABEL})
    return DataHandlerLP("all", data_loader=loader, source=source, store=store, **kwargs)


@pytest.mark.usefixtures("mapping")
@pytest.mark.parametrize("original", [True, False])
def test_a_frame_is_the_callers_own_whether_its_pages_were_copied_or_not(
    tmp_path: Path, source, original: bool
) -> None:
    store = FeatureStore(tmp_path)
    made = handler(store, source, fetch_orig=original)
    file = made.panel.matrices[0].folder / made.panel.matrices[0].header.data
    before = file.read_bytes()
    one, two = made.fetch(col_set="feature"), made.fetch(col_set="feature")
    want = two.copy(deep=True)
    one.iloc[:, :] = 7.0
    one.iloc[3, 1] = 8.0
    one["new"] = 1.0
    assert file.read_bytes() == before
    pd.testing.assert_frame_equal(two, want)
    pd.testing.assert_frame_equal(made.fetch(col_set="feature"), want)
    pd.testing.assert_frame_equal(handler(FeatureStore(tmp_path), source).fetch(col_set="feature"), want)


@pytest.mark.usefixtures("mapping")
def test_an_original_frame_keeps_its_file_from_being_pruned(tmp_path: Path, source) -> None:
    shown = handler(FeatureStore(tmp_path), source).fetch(col_set="feature")
    want = shown.copy(deep=True)
    gc.collect()
    prune(tmp_path, max_bytes=0)
    pd.testing.assert_frame_equal(shown, want)
    assert [path for path in tmp_path.rglob("*.f32") if path.stat().st_size]
    del shown
    gc.collect()
    prune(tmp_path, max_bytes=0)
    assert not list(tmp_path.rglob("*.f32"))


@pytest.mark.usefixtures("mapping")
def test_frames_by_either_way_are_equal_also_in_part(tmp_path: Path, source) -> None:
    store = FeatureStore(tmp_path)
    for selector in (slice(None), slice("2020-03-02", "2020-03-31"), "2020-03-10"):
        for columns in ("__all", "__raw", "feature", ["label", "feature"]):
            one = handler(store, source).fetch(selector, col_set=columns)
            two = handler(store, source, fetch_orig=False).fetch(selector, col_set=columns)
            pd.testing.assert_frame_equal(one, two)


def test_small_frames_take_no_descriptors(tmp_path: Path, source) -> None:
    made = handler(FeatureStore(tmp_path), source)
    before = len(list(Path("/proc/self/fd").iterdir()))
    frames = [made.fetch(day, col_set="feature") for day in made.panel.dates]
    assert len(list(Path("/proc/self/fd").iterdir())) - before < 10
    assert len(frames) == 160
