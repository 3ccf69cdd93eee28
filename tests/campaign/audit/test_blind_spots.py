"""Where an audit might be wrong: a user's own classes, ties, suspensions, empty and constant columns, sequences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from audited_market import SEGMENTS, ToyMarket, audit_task, audit_toy, found_columns, task_of, toy_market
from rollwright.config.context import current_settings, using
from rollwright.dataset.dataset import DatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import DataLoader
from rollwright.dataset.processors import Processor
from rollwright.features.api import D
from rollwright.market.current import current_market

CLEAN = ["$close/Ref($close,1)-1", "Mean($close,5)/$close"]


class OwnLoader(DataLoader):
    """Reads the current market, as Qlib's loaders of a user's own do."""

    universes = "any"
    shift = 0

    def load(self, instruments=None, start_time=None, end_time=None):
        names = list(current_market().instruments())
        frame = D.features(names, ["$close/$open"], start_time, end_time).swaplevel().sort_index()
        frame.columns = pd.MultiIndex.from_tuples([("feature", "OWN")])
        return frame.groupby(level="instrument").shift(-self.shift) if self.shift else frame


class PeekingLoader(OwnLoader):
    shift = 1


class Padded(DatasetH):
    """Fills a test segment from its end."""

    def prepare(self, segments, **kwargs):
        made = super().prepare(segments, **kwargs)
        return made.groupby(level="instrument").shift(-1) if segments == "test" else made


class PeekingHandler(DataHandlerLP):
    """Fetches more than it should."""

    def fetch(self, *args, **kwargs):
        made = super().fetch(*args, **kwargs)
        return made - made.mean()


class Components(Processor):
    """Multiplies each row by a matrix: the same values in sums of another order."""

    def __call__(self, df):
        made = df.copy()
        values = np.nan_to_num(df["feature"].to_numpy(np.float64))
        made["feature"] = values @ np.full((values.shape[1], values.shape[1]), 0.1)
        return made


class Smoothed(Processor):
    """Means over sessions to come of a column of whatever origin."""

    def __call__(self, df):
        made = df.copy()
        table = df["feature", "A"].unstack("instrument")[::-1].rolling(3, min_periods=1).mean()[::-1]
        made["feature", "A"] = table.stack().reindex(df.index)
        return made


@pytest.mark.parametrize(("loader", "found"), [(OwnLoader(), set()), (PeekingLoader(), {"OWN"})])
def test_a_loader_that_reads_the_current_market_is_given_the_changed_one(loader, found):
    report = audit_toy(loader=loader, instruments=None)
    assert found_columns(report, "feature") == found_columns(report) == found
    assert report.power.blind == ()


def test_what_a_dataset_of_ones_own_prepares_is_compared():
    task = task_of(toy_market(), CLEAN)
    task["dataset"] = {**task["dataset"], "class": "Padded", "module_path": __name__}
    with using(current_settings().with_values({"trust.modules": (__name__,)}, origin="test")):
        report = audit_task(toy_market(), task)
    assert {leak.kind for leak in report.leaks} == {"processors"}
    assert "as the dataset prepares it" in report.leaks[0].message


def test_what_a_handler_of_ones_own_fetches_is_compared():
    task = task_of(toy_market(), CLEAN)
    handler = task["dataset"]["kwargs"]["handler"]
    task["dataset"]["kwargs"]["handler"] = PeekingHandler(**handler["kwargs"])
    assert found_columns(audit_task(toy_market(), task)) == {"F0", "F1"}


def test_sequences_are_compared_sample_by_sample():
    task = task_of(toy_market(), CLEAN, dataset={"step_len": 6})
    task["dataset"]["class"] = "TSDatasetH"
    assert audit_task(toy_market(), task).leaks == ()


def test_sums_in_another_order_are_no_leak():
    assert audit_toy([*CLEAN, "$high/$low"], infer_processors=[Components()]).ok


def test_processors_over_a_column_from_a_file_are_seen():
    market = toy_market()
    index = pd.MultiIndex.from_product(
        [market.calendar().to_index(), market.instruments()], names=["datetime", "instrument"]
    )
    values = np.random.default_rng(0).normal(size=len(index))
    frame = pd.DataFrame({("feature", "A"): values}, index=index)
    loader = {"class": "StaticDataLoader", "kwargs": {"config": frame}}
    report = audit_toy(market=market, loader=loader, instruments=None, infer_processors=[Smoothed()])
    (leak,) = report.leaks
    assert (leak.kind, leak.columns) == ("processors", ("A",))
    assert "not the market's" in leak.proof.change
    assert audit_toy(market=market, loader=loader, instruments=None).ok


def test_constant_and_empty_columns_are_told_as_what_they_are():
    power = audit_toy([*CLEAN, "$close*0+1", "$close/0*0"]).power
    assert power.blind == () or power.blind == ("F2",)
    assert power.empty == ("F3",)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_ties_and_long_suspensions_raise_no_alarm(share):
    plain = toy_market(3)
    rng = np.random.default_rng(1)
    length, names = len(plain.calendar()), plain.instruments()
    away = rng.random((length, len(names))) < share
    fields = {}
    for name in plain.fields:
        values = plain.load([name], names, 0, length)[0].copy()
        values = np.round(values, 0 if name == "volume" else 1)
        values[away] = np.nan
        fields[name] = values
    market = ToyMarket(fields, names, bounds=plain.bounds(names))
    features = ["CSRank($close/Ref($close,3))", "Rank($close,9)", "IdxMax($high,7)", "Corr($close,$volume,9)"]
    features += ["Count($close>$open,5)", "Quantile($close,9,0.4)/$close", "Mad($close,9)/$close"]
    assert audit_toy(features, market=market).leaks == ()


def test_a_gap_wider_than_the_label_needs_is_no_leak_and_an_open_test_none_either():
    market = toy_market()
    places = {**SEGMENTS, "train": (20, 60), "valid": (90, 100)}
    assert audit_task(market, task_of(market, CLEAN, places=places)).ok
    task = task_of(market, CLEAN)
    segments = dict(task["dataset"]["kwargs"]["segments"])
    task["dataset"]["kwargs"]["segments"] = {**segments, "test": (segments["test"][0], None)}
    assert audit_task(market, task).ok


def test_segments_without_valid_are_audited():
    market = toy_market()
    places = {"train": (20, 100), "test": (101, 180)}
    report = audit_task(market, task_of(market, CLEAN, places=places))
    assert {leak.kind for leak in report.leaks} == {"label"}
    assert report.leaks[0].proof is not None
