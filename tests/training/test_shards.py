"""A task in shards: what it gives, that a pool changes no byte of it, and that nothing is learnt twice."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from rolling_project import CODES
from rollwright.dataset.instrument_part import InstrumentPart
from rollwright.errors import ConfigError, ModelError, TaskFailedError
from rollwright.models.lightgbm import LGBModel
from rollwright.models.sharded import ShardedModel
from rollwright.pool.manager import TaskManager
from rollwright.tasks.identity import fit_key, task_fingerprint
from rollwright.tracking.r import R
from rollwright.training.delayed import DelayTrainerRM
from rollwright.training.execute import task_train
from rollwright.training.kept_fit import load_validity
from rollwright.training.pooled import TrainerRM, train_in_pool
from sharded_tasks import GROUPS, build_market, task, use_project

SEEDS = {"by": "seeds", "count": 3}
DATES = {"by": "dates", "every": "2M"}
PARTS = {"by": "instruments", "count": 3}
GROUPED = {"by": "instruments", "groups": GROUPS}
KINDS = pytest.mark.parametrize("shards", [SEEDS, DATES, PARTS, GROUPED], ids=["seeds", "dates", "parts", "groups"])


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return build_market(tmp_path_factory.mktemp("sharded") / "market")


@pytest.fixture(autouse=True)
def project(tmp_path, market):
    return use_project(tmp_path / "one", market)


@pytest.fixture
def fits(monkeypatch):
    """Count what learns."""
    seen = []
    real = LGBModel.fit

    def fit(model, dataset, **terms):
        seen.append(type(dataset).__name__)
        return real(model, dataset, **terms)

    monkeypatch.setattr(LGBModel, "fit", fit)
    return seen


def pred(recorder):
    return recorder.load_object("pred.pkl")


def digests(recorder):
    return {
        name: sha
        for name, sha in recorder.list_digests().items()
        if name not in ("provenance", "validity", "shards", "task")
    }


# -- what it gives ---------------------------------------------------------------------------------------------------


def test_by_seeds_the_score_is_the_mean_of_the_same_task_with_each_seed_to_the_last_bit():
    alone = [pred(task_train(task(seed=seed), "alone"))["score"].to_numpy() for seed in (0, 1, 2)]
    assert not np.array_equal(alone[0], alone[1])
    joined = pred(task_train(task(SEEDS), "joined"))
    assert np.array_equal(joined["score"].to_numpy(), (alone[0] + alone[1] + alone[2]) / 3)


def test_seeds_follow_the_seed_of_the_task_unless_they_are_listed():
    counted = task_train(task({"by": "seeds", "count": 2}, seed=5), "counted")
    listed = task_train(task({"by": "seeds", "seeds": [5, 6]}), "listed")
    pd.testing.assert_frame_equal(pred(counted), pred(listed), check_exact=True)


@pytest.mark.parametrize("shards", [DATES, PARTS, {**GROUPED, "mode": "predict"}], ids=["dates", "parts", "groups"])
def test_shards_that_only_predict_give_what_the_whole_gives(shards, fits):
    whole = task_train(task(), "whole")
    assert len(fits) == 1
    joined = task_train(task(shards), "joined")
    assert len(fits) == 2  # one model, whatever the number of shards
    pd.testing.assert_frame_equal(pred(joined), pred(whole), check_exact=True)
    assert joined.list_digests()["params.pkl"] == whole.list_digests()["params.pkl"]
    assert isinstance(joined.load_object("params.pkl"), LGBModel)


def test_a_group_is_scored_by_a_model_that_learnt_from_it_alone():
    joined = pred(task_train(task(GROUPED), "joined"))["score"]
    recorder = task_train(task(), "whole")
    dataset = recorder.load_object("dataset")
    for name, codes in GROUPS.items():
        part = InstrumentPart(dataset, {"group": name, "groups": GROUPS})
        model = LGBModel(**task()["model"]["kwargs"], seed=1)
        model.fit(part)
        own = joined[joined.index.get_level_values("instrument").isin(codes)]
        assert own.index.equals(part.inference_index("test"))
        assert set(part.fold("train", data_key="learn").index.get_level_values("instrument")) == set(codes)
    assert not np.array_equal(joined.to_numpy(), pred(recorder)["score"].to_numpy())


def test_processors_see_all_instruments_in_every_shard():
    seen = task_train(task(), "whole").load_object("dataset")
    part = InstrumentPart(seen, {"number": 0, "count": 2})
    fold, whole = part.fold("test", data_key="infer"), seen.fold("test", data_key="infer")
    place = whole.index.get_indexer(fold.index)
    assert 0 < len(place) < len(whole.index)
    assert np.array_equal(fold.features, whole.features[place], equal_nan=True)


@KINDS
def test_the_stored_model_scores_what_the_shards_scored(shards):
    recorder = task_train(task(shards), "joined")
    model, dataset = recorder.load_object("params.pkl"), recorder.load_object("dataset")
    scores = model.predict(dataset)
    again = scores if isinstance(scores, pd.Series) else scores["score"]
    assert np.array_equal(again.to_numpy(), pred(recorder)["score"].to_numpy())


@KINDS
def test_one_recorder_holds_the_result_and_names_those_of_its_shards(shards):
    recorder = task_train(task(shards), "joined")
    (only,) = R.list_recorders(experiment_name="joined")
    assert only == recorder.id
    beside = R.list_recorders(experiment_name="joined.shards")
    named = recorder.load_object("shards")
    assert {one["recorder"] for one in named[-len(beside) :]} <= {*beside}
    assert len({one["shard"] for one in named}) == len(named)


def test_a_model_of_shards_does_not_learn():
    with pytest.raises(ModelError, match="does not learn"):
        ShardedModel().fit(None)


def test_what_the_shards_read_is_what_the_task_has_read():
    recorder = task_train(task(DATES), "e")
    whole, joined = load_validity(task_train(task(), "whole")), load_validity(recorder)
    assert set(joined.fit.reads) == set(whole.fit.reads)
    last = max(scope.stop for scope in whole.records[0].reads)
    assert max(scope.stop for scope in joined.records[0].reads) == last
    (_, *parts) = [
        R.get_recorder(recorder_id=one["recorder"], experiment_name="e.shards")
        for one in recorder.load_object("shards")
    ]
    theirs = {scope for part in parts for record in load_validity(part).records for scope in record.reads}
    assert theirs
    assert theirs <= set(joined.records[0].reads)


# -- identity --------------------------------------------------------------------------------------------------------


def test_shards_that_learn_apart_are_another_model_and_all_shards_are_another_task():
    whole = task()
    for shards, apart in ((SEEDS, True), (GROUPED, True), (DATES, False), (PARTS, False)):
        assert (fit_key(task(shards)) != fit_key(whole)) is apart
        assert task_fingerprint(task(shards)) != task_fingerprint(whole)
    spelled = [
        task(SEEDS),
        task({"by": "seeds", "seeds": [0, 1, 2]}),
        task({"seeds": (0, 1, 2), "by": "seeds"}, seed=9),
    ]
    assert len({task_fingerprint(one) for one in spelled}) == 1
    assert task_fingerprint(task(SEEDS)) != task_fingerprint(task({"by": "seeds", "count": 4}))


@pytest.mark.parametrize("shards", [DATES, PARTS, {**GROUPED, "mode": "predict"}], ids=["dates", "parts", "groups"])
def test_shards_that_only_predict_take_the_model_that_the_whole_task_has_learnt(shards, fits):
    TrainerRM("joined").train([task()])
    (recorder,) = TrainerRM("joined").train([task(shards)])
    assert len(fits) == 1
    pd.testing.assert_frame_equal(pred(recorder), pred(task_train(task(), "whole")), check_exact=True)


# -- through a pool --------------------------------------------------------------------------------------------------


@KINDS
def test_a_pool_gives_the_same_bytes_and_learns_nothing_twice(shards, fits, tmp_path, market):
    sequential = digests(task_train(task(shards), "joined"))
    learnt = len(fits)
    use_project(tmp_path / "other", market)
    (recorder,) = TrainerRM("joined").train([task(shards)])
    assert digests(recorder) == sequential
    assert len(fits) == 2 * learnt
    TrainerRM("joined").train([task(shards)])
    assert len(fits) == 2 * learnt
    states = TaskManager("joined").task_stat()
    assert states["done"] == len(R.list_recorders(experiment_name="joined.shards")) + 1


def test_tasks_with_and_without_shards_stand_in_one_pool():
    recorders = TrainerRM("joined").train([task(seed=7), task(SEEDS), task(DATES)])
    assert [len(R.list_recorders(experiment_name="joined")), len(recorders)] == [3, 3]
    pd.testing.assert_frame_equal(pred(recorders[1]), pred(task_train(task(SEEDS), "again")), check_exact=True)


def test_prepared_tasks_make_their_shards_where_they_are_trained(fits):
    trainer = DelayTrainerRM("joined")
    recorders = trainer.train([task(SEEDS)])
    assert not fits
    (ended,) = trainer.end_train(recorders)
    assert (len(fits), ended.id) == (3, recorders[0].id)
    pd.testing.assert_frame_equal(pred(ended), pred(task_train(task(SEEDS), "again")), check_exact=True)


def test_a_shard_that_fails_fails_the_task_and_names_itself_and_trying_again_makes_what_failed_alone(monkeypatch, fits):
    real = LGBModel.fit
    poison = {"on": True}

    def fit(model, dataset, **terms):
        if poison["on"] and len(fits) == 1:
            raise TypeError("this seed is poison")
        return real(model, dataset, **terms)

    monkeypatch.setattr(LGBModel, "fit", fit)
    manager = TaskManager("joined", max_attempts=1)
    with pytest.raises(TaskFailedError) as caught:
        TrainerRM("joined").train([task(SEEDS)])
    ((_, reason),) = caught.value.failures
    assert "shards have no result: shard seed 1 failed: TypeError: this seed is poison" in reason
    assert manager.task_stat()["failed"] == 3
    done = len(fits)
    poison["on"] = False
    manager.reset_status({"status": "failed", "def.shards": {"$exists": True}}, "waiting")
    (recorder,) = TrainerRM("joined").train([task(SEEDS)])
    assert len(fits) == 3
    assert done == 1
    pd.testing.assert_frame_equal(pred(recorder), pred(task_train(task(SEEDS), "again")), check_exact=True)


def test_a_shard_whose_result_was_removed_is_made_again_by_who_joins(fits):
    manager = TaskManager("joined")
    manager.create_task([task(SEEDS)])
    train_in_pool(manager, experiment_name="joined", function=task_train)
    (parent,) = manager.query({"def.shards": {"$exists": True}})
    lost = next(iter(R.list_recorders(experiment_name="joined.shards")))
    R.get_recorder(recorder_id=lost, experiment_name="joined.shards").delete_artifact("pred.pkl")
    manager.reset_status({"_id": parent["_id"]}, "waiting")
    for recorder in R.get_exp(experiment_name="joined").list_recorders("list"):
        R.get_exp(experiment_name="joined").delete_recorder(recorder_id=recorder.id)
    train_in_pool(manager, experiment_name="joined", function=task_train)
    assert len(fits) == 3
    pd.testing.assert_frame_equal(
        pred(manager.re_query(parent["_id"])["res"]), pred(task_train(task(SEEDS), "again")), check_exact=True
    )


# -- what is refused -------------------------------------------------------------------------------------------------


def test_an_instrument_that_no_group_has_is_named():
    with pytest.raises(
        ConfigError, match=f"1 instruments of the data stand in no group of `shards.groups`: {CODES[-1]}"
    ):
        task_train(task({"by": "instruments", "groups": {"few": CODES[:3], "many": CODES[3:-1]}}), "joined")


def test_a_dataset_of_windows_is_refused_by_instruments():
    windows = deepcopy(task(GROUPED))
    windows["dataset"]["class"] = "TSDatasetH"
    with pytest.raises(ConfigError, match="shards by instruments cannot cut"):
        InstrumentPart(_dataset(windows), {"group": "few", "groups": GROUPS}).prepare(
            "train", col_set=["feature"], data_key="learn"
        )


def _dataset(definition):
    from rollwright.config.construct import init_instance_by_config  # noqa: PLC0415

    return init_instance_by_config(definition["dataset"], slot="dataset")
