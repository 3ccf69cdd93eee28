"""Datasets: folds are frames without pandas, segments are what they say, and a stored one comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.codecs.registry import codecs
from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import init
from rollwright.dataset.alpha import Alpha158
from rollwright.dataset.dataset import DatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.errors import (
    ConfigError,
    CorruptArtifactError,
    DataError,
    SegmentError,
    UnknownSettingError,
    UnsupportedArtifactError,
)
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.demo import make_demo_market
from rollwright.testing.market import ArraySource, random_source

SEGMENTS = {
    "train": ("2020-02-03", "2020-04-30"),
    "valid": ("2020-05-04", "2020-05-29"),
    "test": ("2020-06-01", "2020-07-31"),
}


def market(*, quiet: bool = False, seed: int = 8) -> ArraySource:
    return random_source(np.random.default_rng(seed), sessions=160, instruments=10, suspensions=0.0 if quiet else 0.05)


def dataset(tmp_path: Path, source: ArraySource | None = None, segments=None, **kwargs) -> DatasetH:
    handler = Alpha158("all", source=source or market(), store=FeatureStore(tmp_path / "store"), **kwargs)
    return DatasetH(handler, segments or SEGMENTS)


@pytest.mark.parametrize("key", ["raw", "infer", "learn"])
@pytest.mark.parametrize("segment", ["train", "valid", "test"])
def test_a_fold_is_the_frame(tmp_path: Path, key: str, segment: str) -> None:
    made = dataset(tmp_path)
    fold = made.fold(segment, data_key=key)
    frame = made.prepare(segment, col_set=["feature", "label"], data_key=key)
    np.testing.assert_array_equal(fold.features, frame["feature"].to_numpy())
    np.testing.assert_array_equal(fold.label, frame[("label", "LABEL0")].to_numpy())
    assert fold.index.equals(frame.index)
    assert list(fold.names) == frame["feature"].columns.tolist()
    assert fold.features.dtype == fold.label.dtype == np.float32
    assert fold.features.flags.c_contiguous


def test_a_fold_that_keeps_every_row_is_a_view_of_the_store(tmp_path: Path) -> None:
    source = market(quiet=True)
    handler = Alpha158(
        [code for code, (first, stop) in zip(source.instruments(), source.bounds(source.instruments()), strict=True)
         if (first, stop) == (0, 160)],
        source=source, store=FeatureStore(tmp_path / "store"),
    )  # fmt: skip
    made = DatasetH(handler, SEGMENTS)
    matrix = handler.panel.matrices[0].values
    for key in ("infer", "learn"):
        fold = made.fold("train", data_key=key)
        assert np.shares_memory(fold.features, matrix)
        assert not fold.features.flags.writeable


def test_two_windows_share_what_they_share(tmp_path: Path) -> None:
    source = market()
    store = FeatureStore(tmp_path / "store")
    one = DatasetH(Alpha158("all", source=source, store=store), {"test": ("2020-03-02", "2020-05-29")})
    two = DatasetH(Alpha158("all", source=source, store=store), {"test": ("2020-04-01", "2020-06-30")})
    assert np.shares_memory(one.fold("test", data_key="raw").features, two.fold("test", data_key="raw").features)


def test_features_before_a_day_do_not_know_what_comes_after(tmp_path: Path) -> None:
    source = market()
    names = source.instruments()
    fields = {n: source.load([n], names, 0, 160)[0] for n in ("open", "high", "low", "close", "volume", "vwap")}
    for values in fields.values():
        values[110:] = values[110:][::-1] * 1.7
    changed = ArraySource(fields, names, bounds=source.bounds(names))
    cut = source.calendar()[109]
    segments = {"test": ("2020-02-03", cut)}
    one = dataset(tmp_path / "one", source, segments).fold("test", data_key="infer")
    two = dataset(tmp_path / "two", changed, segments).fold("test", data_key="infer")
    assert one.features.tobytes() == two.features.tobytes()
    assert one.label.tobytes() != two.label.tobytes()  # the label does, which is why it is one


def test_the_same_question_gets_the_same_bytes(tmp_path: Path) -> None:
    folds = [dataset(tmp_path / name).fold("train", data_key="learn") for name in ("a", "b")]
    assert folds[0].features.tobytes() == folds[1].features.tobytes()
    assert folds[0].label.tobytes() == folds[1].label.tobytes()
    assert folds[0].index.equals(folds[1].index)


def test_the_index_to_predict_is_that_of_the_inference_rows(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    assert made.inference_index("test").equals(made.prepare("test").index)
    dropping = dataset(tmp_path, infer_processors=["DropnaProcessor"])
    assert dropping.inference_index("test").equals(dropping.prepare("test").index)
    assert len(dropping.inference_index("test")) < len(made.inference_index("test"))


def test_what_a_trainer_asks_of_a_dataset(tmp_path: Path) -> None:
    source = market()
    made = dataset(tmp_path, source)
    assert made.label_lookahead == 2
    assert made.generation == source.generation
    assert made.segments == SEGMENTS
    assert (made.get_min_time(SEGMENTS), made.get_max_time(SEGMENTS)) == ("2020-02-03", "2020-07-31")
    assert made.get_max_time({"a": ("2020-01-01", None)}) is None


def test_segments_come_alone_in_lists_and_as_dates(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    frames = made.prepare(["train", "valid"], col_set="label")
    assert len(frames) == 2
    pd.testing.assert_frame_equal(frames[0], made.prepare("train", col_set="label"))
    pd.testing.assert_frame_equal(
        made.prepare(slice("2020-05-04", "2020-05-29"), col_set="label"), frames[1], check_index_type=False
    )
    assert made.prepare("2020-05-05", col_set="label").index.get_level_values(0).nunique() == 1
    dates = [pd.Timestamp("2020-05-04"), pd.Timestamp("2020-05-29")]
    for pair in (dates, tuple(dates)):
        pd.testing.assert_frame_equal(made.prepare(pair, col_set="label"), frames[1], check_index_type=False)
    rows = list(frames[1].index[[3, 8]])  # neither names nor dates: rows, as the handler takes them
    assert list(made.prepare(rows, level=None, col_set="label").index) == rows


@pytest.mark.parametrize(
    "segments",
    [
        {"train": ("2020-05-29", "2020-05-04")},
        {"train": ("2020-02-03", "2020-05-05"), "valid": ("2020-05-04", "2020-05-29")},
        {"train": ("2020-05-04", "2020-05-04"), "valid": ("2020-05-04", "2020-05-29")},
        {"train": ("2020-02-03", "2020-05-29"), "test": ("2020-03-02", "2020-03-31")},
        {"train": ("2020-02-03", None), "test": ("2020-06-01", "2020-06-30")},
        {"train": "2020-02-03"},
        {"train": ("2020-02-03",)},
    ],
)
def test_segments_that_make_no_sense_are_refused_at_once(tmp_path: Path, segments: dict) -> None:
    with pytest.raises(SegmentError, match=r"ends before it starts|shares sessions with|no pair of dates"):
        dataset(tmp_path, segments=segments)


def test_a_day_that_two_segments_share_belongs_to_the_later_one_and_that_is_said(tmp_path: Path, caplog) -> None:
    shared = {"train": ("2020-02-03", "2020-05-04"), "valid": ("2020-05-04", "2020-05-29")}
    made = dataset(tmp_path, segments=shared)
    days = [made.prepare(role).index.get_level_values("datetime") for role in ("train", "valid")]
    assert (days[0].max(), days[1].min()) == (pd.Timestamp("2020-05-01"), pd.Timestamp("2020-05-04"))
    assert "dataset.segment_cut segment=train end=2020-05-03 00:00:00 shared_with=valid" in caplog.text
    handler = Alpha158("all", source=market(), store=FeatureStore(tmp_path / "store"))
    assert DatasetH(handler, shared, allow_overlap=True).segments == shared


def test_an_overlap_can_be_asked_for(tmp_path: Path) -> None:
    handler = Alpha158("all", source=market(), store=FeatureStore(tmp_path / "store"))
    segments = {"train": ("2020-02-03", "2020-05-29"), "test": ("2020-03-02", "2020-03-31")}
    assert DatasetH(handler, segments, allow_overlap=True).prepare("test").shape[1] == 159


def test_a_segment_the_data_do_not_cover_is_an_error_and_no_shorter_answer(tmp_path: Path) -> None:
    made = dataset(tmp_path, segments={"test": ("2020-06-01", "2021-06-01")})
    for ask in (lambda: made.fold("test", data_key="infer"), lambda: made.prepare("test"),
                lambda: made.inference_index("test")):  # fmt: skip
        with pytest.raises(SegmentError, match="ends after"):
            ask()


def test_unknown_names_carry_the_nearest(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    with pytest.raises(UnknownSettingError, match="did you mean `train`"):
        made.prepare("trian")
    with pytest.raises(UnknownSettingError, match="did you mean `test`"):
        made.fold("tst", data_key="infer")
    with pytest.raises(UnknownSettingError, match="did you mean `infer`"):
        made.fold("test", data_key="inver")
    with pytest.raises(UnknownSettingError, match="did you mean `segments`"):
        made.config(segment={})


def test_a_window_without_labels_is_named(tmp_path: Path) -> None:
    last = market().calendar()[159]
    made = dataset(tmp_path, segments={"train": (market().calendar()[158], last)})
    with pytest.raises(DataError, match="train"):
        made.fold("train", data_key="learn")


def test_several_labels_need_frames(tmp_path: Path) -> None:
    two = (["Ref($close, -1)/$close", "Ref($close, -2)/$close"], ["A", "B"])
    made = dataset(tmp_path, label=two)
    with pytest.raises(ConfigError, match="2 labels"):
        made.fold("train", data_key="learn")
    assert made.prepare("train", col_set="label").shape[1] == 2


def test_a_dataset_without_groups_has_features_only() -> None:
    source = market()
    handler = DataHandlerLP.from_df(
        QlibDataLoader(["$close", "$open"]).panel(None, None, None, source=source, store=FeatureStore(Path("s")))
        .table(0, 160).to_frame()
    )  # fmt: skip
    fold = DatasetH(handler, {"train": ("2020-02-03", "2020-03-31")}).fold("train", data_key="raw")
    assert fold.label is None
    assert fold.names == ("$close", "$open")


def test_segments_and_range_can_be_changed(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    made.config(segments={"test": ("2020-03-02", "2020-03-31")}, handler_kwargs={"end_time": "2020-03-31"})
    made.setup_data(handler_kwargs={"init_type": DataHandlerLP.IT_LS})
    assert made.prepare("test").index.get_level_values(0).max() <= pd.Timestamp("2020-03-31")


@pytest.fixture
def demo(tmp_path: Path) -> dict:
    make_demo_market(tmp_path / "market", instruments=30, sessions=200, seed=1)
    init(provider_uri=str(tmp_path / "market"), region="us")
    return {
        "class": "DatasetH",
        "module_path": "qlib.data.dataset",
        "kwargs": {
            "handler": {
                "class": "Alpha158",
                "module_path": "qlib.contrib.data.handler",
                "kwargs": {
                    "instruments": "all",
                    "start_time": "2015-01-05",
                    "end_time": "2015-09-30",
                    "fit_start_time": "2015-01-05",
                    "fit_end_time": "2015-05-29",
                    "infer_processors": [{"class": "RobustZScoreNorm", "kwargs": {"fields_group": "feature"}}],
                },
            },
            "segments": {"train": ("2015-02-02", "2015-05-29"), "test": ("2015-06-01", "2015-09-01")},
        },
    }


def test_a_stored_dataset_comes_back_with_what_its_processors_learnt(tmp_path: Path, demo: dict) -> None:
    made = init_instance_by_config(demo)
    path = tmp_path / "dataset.json"
    codec = codecs.for_object(made)
    assert codec.kind == "dataset"
    codec.write(made, path)
    again = tmp_path / "again.json"
    codec.write(init_instance_by_config(demo), again)
    assert path.read_bytes() == again.read_bytes()
    back = codec.read(path)
    one, two = made.fold("test", data_key="infer"), back.fold("test", data_key="infer")
    assert one.features.tobytes() == two.features.tobytes()
    assert back.segments.keys() == made.segments.keys()
    # what was learnt is kept, not learnt anew from other data
    back.handler.config(end_time="2015-09-30", processor_kwargs={})
    back.handler.panel.matrices[0].header  # noqa: B018 - opened
    assert back.handler.infer_processors[0].state()["scale"].tobytes() == (
        made.handler.infer_processors[0].state()["scale"].tobytes()
    )


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1, "dataset": 3}', '{"format": 1, "states": [3]}'])
def test_a_file_that_is_no_dataset_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(text)
    with pytest.raises(
        CorruptArtifactError,
        match=r"dataset\.json(: the state of a processor)? is no (JSON|dataset of format 1|mapping)",
    ):
        codecs.for_kind("dataset").read(path)


def test_a_dataset_over_a_frame_in_memory_cannot_be_stored(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"x": [1.0, 2.0]},
        index=pd.MultiIndex.from_product(
            [pd.bdate_range("2020-01-01", periods=2), ["A"]], names=["datetime", "instrument"]
        ),
    )
    made = DatasetH(DataHandlerLP.from_df(frame), {"train": ("2020-01-01", "2020-01-02")})
    with pytest.raises(UnsupportedArtifactError, match="memory only"):
        codecs.for_kind("dataset").write(made, tmp_path / "x.json")
