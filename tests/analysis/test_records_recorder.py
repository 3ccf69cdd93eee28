"""The templates over a real recorder and a real model: names, folders, codecs and metrics fit together."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.records import SigAnaRecord, SignalRecord
from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.errors import ArtifactNotFoundError
from rollwright.models.lightgbm import LGBModel
from rollwright.tracking.r import R

NAMES = ("a", "b", "c")


@dataclass
class Fold:
    features: np.ndarray
    label: np.ndarray
    index: pd.MultiIndex
    names: tuple[str, ...] = NAMES


class Data:
    """Three segments of noise with a weak signal."""

    label_reach = None

    def __init__(self):
        rng = np.random.default_rng(5)
        stocks = [f"S{n}" for n in range(12)]
        self.folds = {}
        for segment, first in (("train", "2020-01-01"), ("valid", "2020-04-01"), ("test", "2020-06-01")):
            days = pd.bdate_range(first, periods=30)
            index = pd.MultiIndex.from_product([days, stocks], names=["datetime", "instrument"])
            features = rng.normal(size=(len(index), len(NAMES))).astype(np.float32)
            label = (features[:, 0] + rng.normal(size=len(index))).astype(np.float32)
            self.folds[segment] = Fold(features, label, index)
        self.segments = dict.fromkeys(self.folds)

    def fold(self, segment, *, data_key):
        return self.folds[segment]

    def inference_index(self, segment):
        return self.folds[segment].index

    def prepare(self, segments, col_set="__all", data_key="infer"):
        fold = self.folds[segments]
        return pd.DataFrame({"LABEL0": fold.label}, index=fold.index)


@pytest.fixture
def recorder(tmp_path):
    context.install(load_settings({"tracking.uri": f"memory:{uuid.uuid4().hex}"}, start=tmp_path, environ={}))
    with R.start(experiment_name="templates"):
        yield R.get_recorder()


@pytest.fixture
def data():
    return Data()


@pytest.fixture
def model(data):
    model = LGBModel(num_leaves=4, num_boost_round=20, early_stopping_rounds=5)
    model.fit(data)
    return model


def test_signal_and_analysis_end_up_where_collectors_look(recorder, data, model):
    signal, analysis = SignalRecord(model, data, recorder), SigAnaRecord(recorder)
    with pytest.raises(ArtifactNotFoundError, match=r"pred\.pkl, label\.pkl"):
        analysis.generate()
    signal.generate()
    analysis.generate()
    signal.check(include_self=True)
    analysis.check(include_self=True)
    pred = recorder.load_object("pred.pkl")
    assert pred["score"].equals(model.predict(data))
    assert recorder.load_object("expected_index.pkl").index.equals(pred.index)
    assert recorder.load_object("label.pkl").equals(data.prepare("test"))
    ic = recorder.load_object("sig_analysis/ic.pkl")
    metrics = recorder.list_metrics()
    assert metrics["IC"] == pytest.approx(ic.mean())
    assert metrics["best_iteration"] == model.best_iteration_
    assert {"ICIR", "Rank IC", "Rank ICIR", "l2.train", "l2.valid"} <= set(metrics)


def test_the_model_comes_back_with_everything_it_learnt(recorder, data, model):
    """S10: the peer drops every attribute whose name starts with an underscore."""
    recorder.save_objects(**{"params.pkl": model})
    found = recorder.load_object("params.pkl")
    assert found.predict(data).equals(model.predict(data))
    assert found.evals_result_ == model.evals_result_
    assert found.best_iteration_ == model.best_iteration_


def test_two_windows_of_the_same_data_leave_the_same_bytes(recorder, data, model, tmp_path):
    again = LGBModel(num_leaves=4, num_boost_round=20, early_stopping_rounds=5)
    again.fit(data)
    for name, made in (("one", model), ("two", again)):
        recorder.save_objects(artifact_path=name, **{"params.pkl": made, "pred.pkl": made.predict(data).to_frame()})
    for artifact in ("params.pkl", "pred.pkl"):
        first, second = (recorder.download_artifact(f"{name}/{artifact}") for name in ("one", "two"))
        with open(first, "rb") as one, open(second, "rb") as two:
            assert one.read() == two.read()
