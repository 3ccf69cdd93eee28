"""The rolling example with Qlib's imports: each verb, with each trainer, on each store."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pandas as pd
import pytest

from rollwright.market.demo import make_demo_market
from rollwright.pool.urls import close_shared_stores
from rollwright.tracking.r import R
from rollwright.training.delayed import DelayTrainerR, DelayTrainerRM
from rollwright.training.pooled import TrainerRM
from rollwright.training.trainer import TrainerR

SCRIPT = Path(__file__).parents[2] / "examples" / "task_manager_rolling.py"
WINDOWS = [("2016-04-01", "2016-08-18"), ("2016-08-19", "2016-12-30")]


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market") / "demo"
    make_demo_market(folder, instruments=20, sessions=560)
    return folder


@pytest.fixture
def run(market, tmp_path, monkeypatch):
    """Return a function that runs a verb of the example in a fresh project."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("task_manager_rolling_example", SCRIPT)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)

    def call(verb, *options):
        return example.run([verb, "--provider-uri", str(market), "--rolling-step", "100", *options])

    call.example = example
    yield call
    close_shared_stores()


def check(collected):
    assert list(collected) == ["pred"]
    assert list(collected["pred"]) == [("LGBModel",)]
    pred = collected["pred"][("LGBModel",)]
    days = pred.index.get_level_values("datetime")
    assert (days.min(), days.max()) == (pd.Timestamp(WINDOWS[0][0]), pd.Timestamp(WINDOWS[-1][1]))
    assert pred.index.is_unique
    assert pred["score"].notna().all()


def test_main_trains_one_task_after_another(run, capsys):
    check(run("main"))
    assert "4 tasks in" in capsys.readouterr().out
    run("reset")
    assert run("task_collecting") == {}


def test_main_prepares_all_before_it_trains_without_a_pool_too(run, capsys):
    check(run("main", "--trainer", "DelayTrainerR"))
    assert "4 tasks are prepared" in capsys.readouterr().out


STORES = ("memory", "sqlite", "postgres", "mongo")


@pytest.mark.parametrize("trainer", ["TrainerRM", "DelayTrainerRM"])
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k == "sqlite" else pytest.mark.slow) for k in STORES])
def test_main_trains_through_a_pool(run, kind, trainer, request, tmp_path):
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'pool.db'}"}.get(kind)
    pool = ["--trainer", trainer, "--task-pool", "rolling", "--task-url", url or request.getfixturevalue(f"{kind}_url")]
    check(run("main", *pool))
    check(run("task_collecting", *pool))
    run("worker", *pool)  # which finds nothing left
    assert {
        recorder.list_tags()["train_status"] for recorder in R.list_recorders(experiment_name="rolling_exp").values()
    } == {"end_task_train"}
    run("reset", *pool)
    assert run("task_collecting", *pool) == {}


def test_a_worker_trains_what_was_prepared(run):
    example = run.example.RollingTaskExample(provider_uri="m", rolling_step=100, trainer="DelayTrainerRM")
    example.trainer.train(example.task_generating())
    assert example.task_collecting() == {}
    options = ["--provider-uri", "m", "--trainer", "DelayTrainerRM"]
    run("worker", *options)
    check(run("task_collecting", *options))


def test_each_step_is_a_verb_and_a_trainer_of_its_own_is_there_for_it(run):
    tasks = run("task_generating")
    days = [task["dataset"]["kwargs"]["segments"]["test"] for task in tasks]
    assert [(f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}") for start, end in days] == 2 * WINDOWS
    assert run("task_training") is None
    check(run("task_collecting"))
    example = run.example.RollingTaskExample
    here = {"provider_uri": os.fspath(Path.cwd() / "m")}
    assert type(example(**here).trainer) is TrainerR
    assert type(example(**here, task_pool="p").trainer) is TrainerRM
    assert type(example(**here, trainer="DelayTrainerR").trainer) is DelayTrainerR
    assert type(example(**here, trainer="DelayTrainerRM").trainer) is DelayTrainerRM
    with pytest.raises(SystemExit, match="DelayTrainerR has no pool"):
        example(**here, trainer="DelayTrainerR", task_pool="p")
    with pytest.raises(SystemExit, match="a worker needs a pool"):
        run("worker")
