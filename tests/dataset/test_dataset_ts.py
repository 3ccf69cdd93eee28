"""Sequences: a sample is the last sessions of one instrument."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset.dataset import TSDatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.dataset.reweighter import Reweighter
from rollwright.errors import ConfigError, SegmentError, UnknownInstrumentError, UnknownSettingError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import random_source

SEGMENTS = {"train": ("2020-02-03", "2020-04-30"), "test": ("2020-06-01", "2020-07-31")}
STEPS = 5


@pytest.fixture
def dataset(tmp_path: Path) -> TSDatasetH:
    source = random_source(np.random.default_rng(8), sessions=160, instruments=10)
    loader = QlibDataLoader(
        {
            "feature": (["$close", "$open/$close"], ["C", "O"]),
            "label": (["Ref($close, -1)/$close"], ["L"]),
            "flag": (["$close > $open"], ["UP"]),
        }
    )
    handler = DataHandlerLP(
        "all", data_loader=loader, learn_processors=["DropnaLabel"], source=source, store=FeatureStore(tmp_path / "s")
    )
    return TSDatasetH(STEPS, handler=handler, segments=SEGMENTS)


def by_hand(dataset: TSDatasetH, key: str, date: pd.Timestamp, code: str) -> np.ndarray:
    frame = dataset.handler.fetch(col_set="feature", data_key=key)
    days = frame.index.get_level_values(0).unique()
    last = days.get_loc(date)
    wide = frame.xs(code, level="instrument").reindex(days[max(0, last - STEPS + 1) : last + 1])
    values = wide.to_numpy()
    return np.concatenate([np.full((STEPS - len(values), values.shape[1]), np.nan, np.float32), values])


@pytest.mark.parametrize("key", ["infer", "learn"])
@pytest.mark.parametrize("segment", ["train", "test"])
def test_a_sample_is_the_last_sessions_of_its_instrument(dataset: TSDatasetH, key: str, segment: str) -> None:
    sampler = dataset.prepare(segment, col_set="feature", data_key=key)
    index = sampler.get_index()
    rows = dataset.handler.fetch(slice(*SEGMENTS[segment]), col_set="feature", data_key=key).index
    assert set(index) == set(rows)
    assert len(sampler) == len(rows)
    for number in range(0, len(sampler), 37):
        np.testing.assert_array_equal(sampler[number], by_hand(dataset, key, *index[number]))


def test_a_batch_is_its_samples(dataset: TSDatasetH) -> None:
    sampler = dataset.prepare("test", col_set="feature")
    numbers = [3, 0, len(sampler) - 1, 3]
    batch = sampler[numbers]
    assert batch.shape == (4, STEPS, 2)
    np.testing.assert_array_equal(batch, np.stack([sampler[number] for number in numbers]))


def test_a_sample_can_be_named(dataset: TSDatasetH) -> None:
    sampler = dataset.prepare("test", col_set="feature")
    date, code = sampler.get_index()[11]
    np.testing.assert_array_equal(sampler[date, code], sampler[11])
    with pytest.raises(UnknownInstrumentError, match="did you mean"):
        sampler[date, "SH60000"]
    with pytest.raises(IndexError, match="there is no sample 375"):
        sampler[len(sampler)]
    with pytest.raises(IndexError, match="there is no sample -1"):
        sampler[-1]


def test_missing_sessions_can_be_filled(dataset: TSDatasetH) -> None:
    sampler = dataset.prepare("train", col_set="feature", data_key="learn")
    plain = sampler[list(range(len(sampler)))]
    sampler.config(fillna_type="ffill")
    filled = sampler[list(range(len(sampler)))]
    for one, two in zip(plain, filled, strict=True):
        gone = np.isnan(one).all(axis=1)
        want = pd.DataFrame(np.where(gone[:, None], np.nan, one))
        last = pd.Series(np.where(gone, np.nan, np.arange(STEPS))).ffill()
        expected = want.reindex(last.fillna(0).astype(int)).to_numpy(copy=True)
        expected[last.isna()] = np.nan
        np.testing.assert_array_equal(two, expected)
    with pytest.raises(UnknownSettingError, match="unknown name `bfil`"):
        sampler.config(fillna_type="bfil")


def test_rows_that_are_no_samples_still_are_history(dataset: TSDatasetH) -> None:
    everything = dataset.prepare("train", col_set="feature")
    some = dataset.prepare("train", col_set="feature", flt_col="flag")
    assert 0 < len(some) < len(everything)
    date, code = some.get_index()[7]
    np.testing.assert_array_equal(some[7], everything[date, code])


def test_samplers_come_in_lists_and_for_dates(dataset: TSDatasetH) -> None:
    two = dataset.prepare(["train", "test"], data_key="learn", dtype="float64")
    assert [sampler[0].dtype for sampler in two] == [np.float64, np.float64]
    assert two[0][0].shape == (STEPS, 4)
    dates = dataset.prepare(slice("2020-06-01", "2020-06-05"), col_set="label").get_index().get_level_values(0)
    assert dates.min() == pd.Timestamp("2020-06-01")


def test_what_makes_no_sense_is_refused(dataset: TSDatasetH) -> None:
    with pytest.raises(ConfigError, match="step_len"):
        TSDatasetH(0, handler=dataset.handler, segments=SEGMENTS)
    with pytest.raises(UnknownSettingError, match="did you mean `test`"):
        dataset.prepare("tets")
    dataset.config(segments={"test": ("2020-06-01", "2031-01-01")}, step_len=3)
    assert dataset.step_len == 3
    with pytest.raises(SegmentError, match="it ends after the handler does"):
        dataset.prepare("test")


def test_a_reweighter_must_say_how() -> None:
    with pytest.raises(TypeError, match="reweight"):
        Reweighter()
