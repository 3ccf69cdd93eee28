"""A recorder in memory, a dataset of two days, and the small market of portfolio records."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest

from portfolio_market import CALENDAR, NAMES, make_market, make_predictions
from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import ArtifactNotFoundError
from rollwright.expression.label_reach import LabelReach
from rollwright.testing.market import ArraySource


class MemoryRecorder:
    """Keeps objects by path, in the order they came."""

    def __init__(self) -> None:
        self.objects: dict[str, object] = {}
        self.metrics: dict[str, float] = {}
        self.tags: dict[str, str] = {}

    def save_objects(self, *, artifact_path=None, **objects):
        for name, value in objects.items():
            self.objects[f"{artifact_path}/{name}" if artifact_path else name] = copy.deepcopy(value)

    def load_object(self, name):
        if name not in self.objects:
            raise ArtifactNotFoundError(f"no {name}")
        return self.objects[name]

    def list_artifacts(self, artifact_path=None):
        prefix = f"{artifact_path}/" if artifact_path else ""
        return [name for name in self.objects if name.startswith(prefix) and "/" not in name[len(prefix) :]]

    def log_metrics(self, step=None, **metrics):
        self.metrics |= metrics

    def set_tags(self, **tags):
        self.tags |= tags

    def list_tags(self):
        return self.tags


class TwoDays:
    """A dataset whose test segment has two days and one row that is scored but has no label yet."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.index = pd.MultiIndex.from_product(
            [pd.to_datetime(["2021-01-04", "2021-01-05"]), [f"S{n}" for n in range(10)]],
            names=["datetime", "instrument"],
        )
        self.label = pd.DataFrame({"LABEL0": rng.normal(size=20), "LABEL1": -1.0}, index=self.index)
        self.label.iloc[3, 0] = np.nan
        self.asked = []

        self.label_reach = LabelReach.of_expressions(["Ref($close,-2)/Ref($close,-1)-1"])

    def inference_index(self, segment):
        return self.index

    def prepare(self, segments, col_set="__all", data_key="infer"):
        self.asked.append((segments, col_set, data_key))
        return self.label


class Scorer:
    """A model whose score is half the truth."""

    def __init__(self, dataset) -> None:
        self.scores = dataset.label["LABEL0"].fillna(0) + np.linspace(-1, 1, len(dataset.index))
        self.recorded = None

    def fit(self, dataset, reweighter=None):
        raise NotImplementedError

    def predict(self, dataset, segment="test"):
        return self.scores


@pytest.fixture
def recorder():
    return MemoryRecorder()


@pytest.fixture
def two_days():
    return TwoDays()


@pytest.fixture
def scorer(two_days):
    return Scorer(two_days)


@pytest.fixture
def portfolio_market(tmp_path):
    """The market of `portfolio_market`, in the context."""
    settings = load_settings({"data.region": "cn"}, start=tmp_path, environ={})
    source = ArraySource(make_market(), NAMES, calendar=TradingCalendar(CALENDAR))
    with using(settings, market=source):
        yield source


@pytest.fixture
def predicted(recorder):
    """A recorder with predictions of that market."""
    recorder.objects["pred.pkl"] = make_predictions()
    return recorder
