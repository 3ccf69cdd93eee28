"""One small artifact of every kind: it comes back, and not one of its bits flips unseen."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rollwright.app.verify import verify
from rollwright.codecs.registry import codecs
from rollwright.dataset.dataset import DatasetH, Fold
from rollwright.errors import CorruptArtifactError
from rollwright.models.catboost import CatBoostModel
from rollwright.models.double_ensemble import DEnsembleModel
from rollwright.models.lightgbm import LGBModel
from rollwright.models.linear import LinearModel
from rollwright.models.sharded import ShardedModel
from rollwright.models.sklearn import SklearnModel
from rollwright.models.torch.dnn import DNNModelPytorch
from rollwright.models.xgboost import XGBModel
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder


def fitted(model: Any) -> Any:
    rng = np.random.default_rng(3)
    days = pd.bdate_range("2020-01-01", periods=10)
    index = pd.MultiIndex.from_product([days, ["A", "B", "C", "D"]], names=["datetime", "instrument"])
    features = rng.normal(size=(40, 2)).astype(np.float32)
    label = (features[:, 0] - features[:, 1]).astype(np.float32)
    fold = Fold(features=features, label=label, index=index, names=("a", "b"))
    model.fit(SimpleNamespace(segments={"train": ("", "")}, fold=lambda segment, data_key: fold))
    return model


def dataset() -> DatasetH:
    loader = {
        "class": "QlibDataLoader",
        "module_path": "rollwright.dataset.loader",
        "kwargs": {"config": {"feature": [["$close"], ["C"]]}},
    }
    handler = {"class": "DataHandlerLP", "kwargs": {"instruments": "all", "data_loader": loader}}
    return DatasetH(handler=handler, segments={"train": ("2020-01-01", "2020-02-01")})


def network() -> DNNModelPytorch:
    model = DNNModelPytorch(max_steps=1, eval_steps=1, pt_model_kwargs={"input_dim": 2, "layers": [2]})
    return fitted(model)


SAMPLES = {
    "parquet": lambda: pd.DataFrame({"score": [1.0, 2.0]}, pd.Index(["x", "y"], name="i")),
    "npy": lambda: np.arange(5, dtype=np.float32),
    "json": lambda: {"a": [1, "two", None]},
    "typed": lambda: (1, {"day": pd.Timestamp("2020-01-02"), None: b"x"}),
    "dataset": dataset,
    "envelope": lambda: Fraction(1, 3),
    "lightgbm": lambda: fitted(LGBModel(num_boost_round=1, num_leaves=2, min_data_in_leaf=2)),
    "double_ensemble": lambda: fitted(DEnsembleModel(num_models=2, epochs=1, num_leaves=2, min_data_in_leaf=2)),
    "linear": lambda: fitted(LinearModel()),
    "xgboost": lambda: fitted(XGBModel(num_boost_round=1, max_depth=1)),
    "catboost": lambda: fitted(CatBoostModel(num_boost_round=1, depth=1)),
    "skops": lambda: fitted(SklearnModel("sklearn.linear_model.Ridge")),
    "network": network,
    "sharded": lambda: ShardedModel([fitted(LinearModel()), fitted(LinearModel(estimator="ridge", alpha=0.1))]),
}


@pytest.fixture(autouse=True)
def a_project(memory_project):
    return memory_project


@pytest.fixture(params=SAMPLES)
def recorder(request) -> Recorder:
    with R.start(experiment_name="exp"):
        R.save_objects(**{"object.pkl": SAMPLES[request.param]()})
        found = R.get_recorder()
    store = found.location.files_of(found.experiment_id, found.id)
    assert [ref.kind for ref in store.list()] == [request.param]
    return found


class Mine(LGBModel):
    """A model of the user's own that only looks like one we know."""

    def verdict(self) -> str:
        return "mine"


def test_a_subclass_is_not_taken_for_the_class_it_comes_from():
    model = fitted(Mine(num_boost_round=1, num_leaves=2, min_data_in_leaf=2))
    with R.start(experiment_name="exp"):
        R.save_objects(**{"params.pkl": model})
        loaded = R.load_object("params.pkl")
    assert type(loaded).__name__ == "Mine"
    assert loaded.verdict() == "mine"


def file_of(recorder: Recorder) -> Path:
    return Path(recorder.download_artifact("object.pkl"))


def test_there_is_a_sample_of_every_kind():
    assert set(SAMPLES) == set(codecs.kinds()), "give the new kind a sample here: its bits are flipped below"


def test_it_comes_back(recorder):
    (ref,) = recorder.location.files_of(recorder.experiment_id, recorder.id).list()
    assert type(recorder.load_object("object.pkl")) is type(SAMPLES[ref.kind]())


def flips(recorder: Recorder, *, step: int) -> None:
    """Flip every `step`-th bit of the artifact and see that it is refused each time."""
    path = file_of(recorder)
    whole = path.read_bytes()
    store = recorder.location.files_of(recorder.experiment_id, recorder.id)
    (ref,) = store.list()
    with path.open("r+b", buffering=0) as file:
        for place in range(0, len(whole) * 8, step):
            file.seek(place // 8)
            file.write(bytes([whole[place // 8] ^ 1 << place % 8]))
            with pytest.raises(CorruptArtifactError, match="SHA-256"):
                store.verify(ref)
            file.seek(place // 8)
            file.write(whole[place // 8 : place // 8 + 1])
    assert store.verify(ref) == path


def test_flipped_bits_are_seen_wherever_they_are(recorder):
    flips(recorder, step=29)


@pytest.mark.slow
def test_every_flipped_bit_is_seen(recorder):
    flips(recorder, step=1)


def test_a_damaged_artifact_is_refused_before_its_codec_sees_it(recorder, monkeypatch):
    path = file_of(recorder)
    (ref,) = recorder.location.files_of(recorder.experiment_id, recorder.id).list()
    monkeypatch.setattr(type(codecs.for_kind(ref.kind)), "read", lambda *_args, **_kw: pytest.fail("it was read"))
    whole = path.read_bytes()
    for broken in (whole[:-1], whole + b"\0", b"", bytes([whole[0] ^ 1]) + whole[1:], whole[::-1]):
        path.write_bytes(broken)
        with pytest.raises(CorruptArtifactError, match=r"object\.\w+ has ([\d,]+ bytes|another SHA-256)"):
            recorder.load_object("object.pkl")
    path.unlink()
    with pytest.raises(CorruptArtifactError, match="gone"):
        recorder.load_object("object.pkl")


def test_verify_reads_it(recorder, a_project, tmp_path):
    (tmp_path / "rollwright.toml").write_text(f'[tracking]\nuri = "{a_project.tracking.uri}"\n')
    report = verify(project=tmp_path)
    assert report.findings == []
    assert report.artifacts == 1
