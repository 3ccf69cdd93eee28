"""A network finds the planted signal of the demo market, and the same bytes each time."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from rollwright.codecs.registry import codecs
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.dataset.alpha import Alpha158
from rollwright.dataset.dataset import DatasetH
from rollwright.market.demo import make_demo_market
from rollwright.models.torch.dnn import DNNModelPytorch

pytest.importorskip("torch")
pytestmark = pytest.mark.slow
SEGMENTS = {
    "train": ("2015-06-01", "2017-06-30"),
    "valid": ("2017-07-05", "2017-12-29"),
    "test": ("2018-01-04", "2019-11-29"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("learns")
    make_demo_market(home / "market")
    return home


@pytest.fixture
def dataset(home):
    settings = load_settings({"data.provider_uri": str(home / "market"), "data.region": "us"}, start=home, environ={})
    with using(settings):
        handler = Alpha158(
            instruments="all",
            start_time="2015-01-05",
            end_time="2019-12-31",
            infer_processors=[
                {"class": "CSZScoreNorm", "kwargs": {"fields_group": "feature"}},
                {"class": "Fillna", "kwargs": {"fields_group": "feature"}},
            ],
            learn_processors=[
                {"class": "DropnaLabel"},
                {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label"}},
            ],
        )
        yield DatasetH(handler, SEGMENTS)


def learn(dataset, **kwargs):
    given = {
        "max_steps": 600, "eval_steps": 20, "batch_size": 2000, "early_stop_rounds": 8, "lr": 0.001, "seed": 1,
        "optimizer": "adam", "weight_decay": 0.01, "metric": "ic",
        "pt_model_kwargs": {"input_dim": 158, "layers": [32]},
    }  # fmt: skip
    model = DNNModelPytorch(**{**given, **kwargs})
    model.fit(dataset)
    return model


def daily_correlation(scores, label) -> float:
    frame = pd.DataFrame({"score": scores, "label": label}).dropna()
    return float(frame.groupby(level="datetime").apply(lambda day: day["score"].corr(day["label"])).mean())


def test_what_a_perceptron_finds_is_between_a_third_and_a_fifth_above_what_was_planted(dataset, home, tmp_path):
    planted = json.loads((home / "market" / "demo.json").read_text())["planted_ic"]
    models = [learn(dataset) for _ in range(2)]
    scores = models[0].predict(dataset)
    label = dataset.prepare("test", col_set="label", data_key="infer").iloc[:, 0]
    found = daily_correlation(scores, label)
    assert planted / 3 <= found <= 1.2 * planted, f"{found:.4f} of {planted}"
    files = [tmp_path / "one", tmp_path / "two"]
    for model, file in zip(models, files, strict=True):
        codecs.for_object(model).write(model, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert models[1].predict(dataset).equals(scores)
