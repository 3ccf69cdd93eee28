"""Windows of sessions: the frame's own rows, gaps and all, gathered and never copied whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.config.context import init
from rollwright.dataset.alpha import Alpha158
from rollwright.dataset.codec import DatasetCodec
from rollwright.dataset.dataset import TSDatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.handler_tables import IndexedColumnBlock
from rollwright.dataset.loader import QlibDataLoader
from rollwright.dataset.sampler import TSDataSampler
from rollwright.errors import ConfigError, SampleNotFoundError, SegmentError, UnknownSettingError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.table import Table
from rollwright.market.demo import make_demo_market
from rollwright.testing.market import ArraySource, random_source

FIELDS = {
    "feature": (["$open/$close", "Mean($close, 5)/$close", "$volume"], ["OPEN", "MA5", "VOLUME"]),
    "label": (["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]),
}
SEGMENTS = {
    "train": ("2020-02-03", "2020-04-30"),
    "valid": ("2020-05-04", "2020-05-29"),
    "test": ("2020-06-01", "2020-07-31"),
}
COLUMNS = ["feature", "label"]


def market(seed: int = 8) -> ArraySource:
    return random_source(np.random.default_rng(seed), sessions=160, instruments=10)


def dataset(tmp_path: Path, *, step_len: int = 12, learn=("DropnaLabel",), infer=(), **kwargs) -> TSDatasetH:
    handler = DataHandlerLP(
        "all",
        data_loader=QlibDataLoader(FIELDS),
        learn_processors=list(learn),
        infer_processors=list(infer),
        source=market(),
        store=FeatureStore(tmp_path / "store"),
    )
    return TSDatasetH(step_len, handler=handler, segments=kwargs.pop("segments", SEGMENTS), **kwargs)


def by_definition(made: TSDatasetH, segment: str, *, fillna_type: str, data_key: str) -> tuple[np.ndarray, list]:
    """Return the windows as a reader of Qlib's documentation would make them, from frames and with loops."""
    frame = made.handler.fetch(col_set=COLUMNS, data_key=data_key)
    sessions = made.handler.panel.dates
    start, end = (pd.Timestamp(moment) for moment in made.segments[segment])
    windows, labels = [], []
    for code, own in frame.groupby(level="instrument"):
        whole = own.droplevel("instrument").reindex(sessions)
        there = pd.Series(sessions.isin(own.index.get_level_values("datetime")), index=sessions)
        for moment in own.index.get_level_values("datetime"):
            if not start <= moment <= end:
                continue
            place = sessions.get_loc(moment)
            window = whole.iloc[max(0, place - made.step_len + 1) : place + 1].to_numpy()
            lived = there.iloc[max(0, place - made.step_len + 1) : place + 1].to_numpy()
            pad = made.step_len - len(window)
            window = np.vstack([np.full((pad, window.shape[1]), np.nan, np.float32), window])
            lived = np.concatenate([np.zeros(pad, bool), lived])
            rows = pd.Series(np.where(lived, np.arange(made.step_len), np.nan))
            if fillna_type != "none":
                rows = rows.ffill()
            if fillna_type == "ffill+bfill":
                rows = rows.bfill()
            chosen = [window[int(row)] if row == row else np.full(window.shape[1], np.nan) for row in rows]
            windows.append(np.array(chosen, np.float32))
            labels.append((moment, code))
    return np.array(windows), labels


@pytest.mark.parametrize("fillna_type", ["none", "ffill", "ffill+bfill"])
@pytest.mark.parametrize("data_key", ["infer", "learn"])
@pytest.mark.parametrize("segment", ["train", "test"])
def test_every_window_is_the_frames(tmp_path: Path, segment: str, data_key: str, fillna_type: str) -> None:
    made = dataset(tmp_path)
    sampler = made.prepare(segment, col_set=COLUMNS, data_key=data_key)
    sampler.config(fillna_type=fillna_type)
    expected, labels = by_definition(made, segment, fillna_type=fillna_type, data_key=data_key)
    assert sampler.get_index().tolist() == labels
    assert len(sampler) == len(labels) > 100
    np.testing.assert_array_equal(sampler[list(range(len(sampler)))], expected)
    np.testing.assert_array_equal(np.array(list(sampler)), expected)
    assert sampler[0].shape == (made.step_len, 4)
    assert sampler[0].dtype == np.float32


def test_the_index_of_all_samples_is_that_of_the_rows(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    assert made.prepare("test").get_index().sort_values().equals(made.inference_index("test"))


def test_a_sample_is_found_by_its_label_and_by_a_day_that_is_no_session(tmp_path: Path) -> None:
    sampler = dataset(tmp_path).prepare("test", col_set=COLUMNS)
    moment, code = sampler.get_index()[30]
    np.testing.assert_array_equal(sampler[moment, code], sampler[30])
    np.testing.assert_array_equal(sampler["2020-06-07", code], sampler["2020-06-05", code])
    np.testing.assert_array_equal(sampler[[(moment, code), (moment, code)]][1], sampler[30])


def test_the_last_session_has_samples_by_label_too_at_any_time_of_its_day(tmp_path: Path) -> None:
    sampler = dataset(tmp_path).prepare("test", col_set=COLUMNS)
    index = sampler.get_index()
    place = int(index.get_level_values(0).argmax())
    moment, code = index[place]
    assert moment == sampler.end
    np.testing.assert_array_equal(sampler[moment, code], sampler[place])
    np.testing.assert_array_equal(sampler[moment + pd.Timedelta(hours=15), code], sampler[place])


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (-1, "no sample -1"),
        (10**6, "no sample 1000000"),
        ([0, 10**6], "no sample 1000000"),
        (("2019-01-02", "SH600001"), "outside the sessions"),
        (("2020-08-03", "SH600001"), "outside the sessions"),
    ],
)
def test_what_does_not_exist_is_no_neighbour(tmp_path: Path, key, told: str) -> None:
    sampler = dataset(tmp_path).prepare("test")
    with pytest.raises(SampleNotFoundError, match=told):
        sampler[key]


@pytest.mark.parametrize("key", ["2020-06-05", 1.5, True, ("2020-06-05",), [0.5]])
def test_what_is_no_key_is_an_error(tmp_path: Path, key) -> None:
    with pytest.raises(
        ConfigError, match=r"are chosen by number or by \(datetime, instrument\)|is named by \(datetime, instrument\)"
    ):
        dataset(tmp_path).prepare("test")[key]


def test_no_window_knows_a_later_session(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    whole = made.prepare(slice("2020-02-03", "2020-07-31"))
    cut = made.prepare("train")
    chosen = [place for place, label in enumerate(whole.get_index()) if label[0] <= pd.Timestamp("2020-04-30")]
    np.testing.assert_array_equal(whole[chosen], cut[list(range(len(cut)))])


def test_features_are_gathered_from_the_memory_map_without_a_copy(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    matrix = made.handler.panel.matrices[0].values
    for data_key in ("infer", "learn"):  # learn drops rows by their label
        blocks = made.prepare("train", col_set="feature", data_key=data_key)._blocks
        assert len(blocks) == 1
        assert np.shares_memory(blocks[0][0], matrix)


def test_a_window_may_be_written_to_and_changes_no_other(tmp_path: Path) -> None:
    sampler = dataset(tmp_path).prepare("test")
    before = sampler[50].copy()
    sampler[50][:] = 0
    np.testing.assert_array_equal(sampler[50], before)


def test_processors_work_on_the_history_before_the_segment_too(tmp_path: Path) -> None:
    made = dataset(tmp_path, infer=["CSZScoreNorm"], learn=[])
    expected, _ = by_definition(made, "valid", fillna_type="none", data_key="infer")
    sampler = made.prepare("valid", col_set=COLUMNS)
    np.testing.assert_allclose(sampler[list(range(len(sampler)))], expected, rtol=1e-6)


def test_rows_that_the_filter_refuses_are_history_and_no_samples(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    every, some = made.prepare("train"), made.prepare("train", flt_col="LABEL0")
    labels = made.handler.fetch(slice(*SEGMENTS["train"]), col_set="label")["LABEL0"]
    kept = labels[labels.notna() & (labels != 0)].index
    assert sorted(some.get_index()) == sorted(kept)
    assert 0 < len(some) < len(every)
    np.testing.assert_array_equal(some[some.get_index()[5]], every[some.get_index()[5]])


def test_a_filter_may_be_a_feature_that_no_processor_touches(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    some = made.prepare("train", col_set=COLUMNS, data_key="learn", flt_col="VOLUME")
    frame = made.handler.fetch(slice(*SEGMENTS["train"]), col_set="feature", data_key="learn")
    kept = frame.index[frame["VOLUME"].notna() & (frame["VOLUME"] != 0)]
    assert sorted(some.get_index()) == sorted(kept)
    assert len(kept) < len(frame)


@pytest.mark.parametrize(
    "learn",
    [
        [],
        ["DropnaLabel"],
        ["DropnaLabel", {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label"}}],
        [{"class": "DropnaProcessor", "kwargs": {"fields_group": "feature"}}],
        ["DropnaLabel", {"class": "Fillna", "kwargs": {"fields_group": ["feature"]}}],
        ["DropnaLabel", "Fillna"],
        [{"class": "DropCol", "kwargs": {"col_list": ["MA5"]}}],
    ],
)
def test_leaving_columns_where_they_lie_changes_no_value(tmp_path: Path, learn: list) -> None:
    made = dataset(tmp_path, learn=learn)
    reach = range(10, 140)
    view, plain = made.handler.table_view(reach, "learn"), made.handler.table(reach, "learn")
    assert view.rows.to_index().equals(plain.rows.to_index())
    assert view.columns() == plain.columns()
    for one, other in zip(view.blocks, plain.blocks, strict=True):
        values = one.values[one.where] if isinstance(one, IndexedColumnBlock) else one.values
        np.testing.assert_array_equal(values, other.values)


def test_a_filter_of_several_columns_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="means 3: OPEN, MA5, VOLUME"):
        dataset(tmp_path, flt_col="feature").prepare("train")


def test_several_segments_and_ranges(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    train, test = made.prepare(["train", "test"], col_set=COLUMNS, data_key="learn")
    assert train.start == pd.Timestamp("2020-02-03")
    assert test.end == pd.Timestamp("2020-07-31")
    pair = made.prepare(("2020-06-01", "2020-07-31"), col_set=COLUMNS, data_key="learn")
    assert pair.get_index().equals(test.get_index())
    assert train.columns == ("OPEN", "MA5", "VOLUME", "LABEL0")


def test_nothing_unknown_is_swallowed(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    with pytest.raises(UnknownSettingError, match="trian"):
        made.prepare("trian")
    with pytest.raises(UnknownSettingError, match="colset"):
        made.prepare("train", colset="feature")
    with pytest.raises(UnknownSettingError, match="backfill"):
        made.prepare("train").config(fillna_type="backfill")
    with pytest.raises(UnknownSettingError, match="step_len"):
        made.prepare("train").config(step_len=3)
    with pytest.raises(ConfigError, match="7 names no segment"):
        made.prepare(7)
    with pytest.raises(SegmentError, match="it ends after the handler does"):
        dataset(tmp_path, segments={"test": ("2020-06-01", "2031-01-01")}).prepare("test")


@pytest.mark.parametrize("step_len", [0, -1, 1.5, True, "3"])
def test_a_window_has_at_least_one_session(tmp_path: Path, step_len) -> None:
    with pytest.raises(ConfigError, match="step_len"):
        dataset(tmp_path, step_len=step_len)


def test_a_window_of_one_session_is_its_row(tmp_path: Path) -> None:
    made = dataset(tmp_path, step_len=1)
    sampler = made.prepare("test")
    assert sampler[0].shape == (1, 4)
    np.testing.assert_array_equal(sampler[7][0], dataset(tmp_path).prepare("test")[7][-1])


def test_config_changes_the_step(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    made.config(step_len=3, segments={"test": SEGMENTS["test"]})
    assert made.prepare("test")[0].shape == (3, 4)
    assert list(made.segments) == ["test"]


def test_a_segment_without_rows_gives_no_samples() -> None:
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2020-01-01", periods=3), ["A"]], names=["datetime", "instrument"]
    )
    table = Table.from_frame(pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=index))
    dates = pd.bdate_range("2020-01-01", periods=5)
    sampler = TSDataSampler.of_table(table, dates, first=3, step_len=2)
    assert sampler.empty
    assert len(sampler.get_index()) == 0
    assert sampler[[]].shape == (0, 2, 1)


def test_a_stored_dataset_comes_back_with_its_step(tmp_path: Path) -> None:
    make_demo_market(tmp_path / "market", instruments=25, sessions=120, seed=5)
    init(provider_uri=str(tmp_path / "market"))
    sessions = Alpha158("all").panel.dates
    segments = {"train": (sessions[20], sessions[60]), "test": (sessions[70], sessions[100])}
    made = TSDatasetH(8, handler=Alpha158("all"), segments=segments)
    made.config(step_len=7)
    DatasetCodec().write(made, tmp_path / "dataset.json")
    back = DatasetCodec().read(tmp_path / "dataset.json")
    assert isinstance(back, TSDatasetH)
    np.testing.assert_array_equal(back.prepare("test")[[0, 9]], made.prepare("test")[[0, 9]])
