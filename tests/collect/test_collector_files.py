"""Collectors in files: functions go along, recorders and experiments as references."""

from __future__ import annotations

import pytest

from rollwright.collect.collector import Collector, MergeCollector, RecorderCollector
from rollwright.core.references import from_reference, to_reference
from rollwright.errors import ExperimentNotFoundError
from rollwright.signing.serializable import Serializable
from rollwright.tracking.r import R
from rollwright.training.trainer import Trainer, TrainerR


@pytest.fixture
def experiment():
    for place in range(3):
        with R.start(experiment_name="exp"):
            R.log_params(place=place)
            R.save_objects(**{"pred.pkl": {"place": place}})
    return R.get_exp(experiment_name="exp")


def test_a_collector_comes_back_with_its_functions(experiment, tmp_path):
    scale = 10
    collector = RecorderCollector(
        experiment="exp",
        process_list=[lambda found: {key: value["place"] * scale for key, value in found.items()}],
        rec_key_func=lambda recorder: int(recorder.list_params()["place"]),
        rec_filter_func=lambda recorder: recorder.list_params()["place"] != "1",
    )
    MergeCollector({"a": collector}).to_pickle(tmp_path / "c.pkl")
    loaded = Collector.load(tmp_path / "c.pkl")
    assert loaded() == MergeCollector({"a": collector})() == {("a", "pred"): {0: 0, 2: 20}}
    assert Collector.pickle_backend == "dill"


def test_an_experiment_or_a_recorder_within_goes_as_its_reference(experiment, tmp_path):
    RecorderCollector(experiment=experiment).to_pickle(tmp_path / "c.pkl")
    loaded = RecorderCollector.load(tmp_path / "c.pkl")
    assert loaded.experiment == experiment
    assert len(loaded()["pred"]) == 3
    recorders = list(experiment.list_recorders().values())
    Serializable.general_dump(recorders, tmp_path / "r.pkl")
    assert Collector.get_backend().loads((tmp_path / "r.pkl").read_bytes()) == recorders
    assert b"SqlAlchemy" not in (tmp_path / "c.pkl").read_bytes()


def test_an_experiment_has_a_reference(experiment):
    reference = to_reference(experiment)
    assert from_reference(reference) == experiment
    with pytest.raises(ExperimentNotFoundError, match="999"):
        from_reference({**reference, "experiment_id": "999"})


def test_a_trainer_comes_back(tmp_path):
    TrainerR("exp", default_rec_name="mine").to_pickle(tmp_path / "t.pkl")
    loaded = Trainer.load(tmp_path / "t.pkl")
    assert (type(loaded), loaded.experiment_name, loaded.default_rec_name) == (TrainerR, "exp", "mine")
