"""The two flows of online serving that Qlib's users know, by the imports and calls that they write."""

from __future__ import annotations

import pandas as pd
import pytest
from rollwright.model.ens.ensemble import AverageEnsemble
from rollwright.model.trainer import DelayTrainerR, DelayTrainerRM, TrainerR, TrainerRM
from rollwright.workflow.online.manager import OnlineManager
from rollwright.workflow.online.strategy import RollingStrategy
from rollwright.workflow.online.update import LabelUpdater
from rollwright.workflow.online.utils import OnlineToolR
from rollwright.workflow.task.gen import RollingGen

from rollwright.config.context import current_context, install
from rollwright.pool.urls import store_from_url
from rollwright.tracking.r import R
from serving_market import DAYS, ServingMarket, make_task

BEGIN = "2020-05-20"
SERVED = DAYS[DAYS.slice_indexer("2020-05-21", "2020-05-27")]


@pytest.fixture
def market(tmp_path):
    """Make a market, a tracker and a pool of tasks."""
    pool = store_from_url(f"sqlite:///{tmp_path}/pool.db")
    pool.migrate()
    made = ServingMarket(tmp_path, until=BEGIN)
    grow = made.grow

    def grow_with_pool(until):
        grow(until)
        context = current_context()
        install(type(context)(settings=context.settings, market=context.market, pool=pool))

    made.grow = grow_with_pool
    made.grow(BEGIN)
    return made


def make_strategies(*models):
    rolling = RollingGen(step=5, rtype=RollingGen.ROLL_SD, trunc_days=3)
    return [RollingStrategy(name_id=f"rolling_{model}", task_template=make_task(model), rolling_gen=rolling)
            for model in models]  # fmt: skip


def sessions_of(signals):
    return signals.index.get_level_values("datetime").unique()


TRAINERS = {
    "TrainerR": TrainerR,
    "DelayTrainerR": DelayTrainerR,
    "TrainerRM": lambda: TrainerRM("rolled", task_pool="rolled"),
    "DelayTrainerRM": lambda: DelayTrainerRM("rolled", task_pool="rolled"),
}


@pytest.mark.parametrize("trainer", ["TrainerR", "DelayTrainerRM"])
def test_rolling_online_management(market, trainer):
    manager = OnlineManager(make_strategies("linear", "lightgbm"), trainer=TRAINERS[trainer]())
    manager.first_train()
    assert set(manager.get_collector()()) == {("rolling_linear", "pred"), ("rolling_lightgbm", "pred")}
    for day in SERVED[:2]:
        market.grow(day)
        manager.routine()
    assert list(sessions_of(manager.get_signals())) == [pd.Timestamp(BEGIN), *SERVED[:2]]

    again = OnlineManager(make_strategies("linear", "lightgbm"), trainer=TRAINERS[trainer]())  # after a restart
    again.add_strategy(make_strategies_of_its_own())
    for day in SERVED[2:]:
        market.grow(day)
        again.routine(signal_kwargs={"prepare_func": AverageEnsemble()})
    assert list(sessions_of(again.get_signals())) == [pd.Timestamp(BEGIN), *SERVED]
    assert not again.get_signals().index.has_duplicates
    for strategy in again.strategies:
        (online,) = OnlineToolR(strategy.experiment).online_models()
        assert strategy.tool.get_online_tag(online) == OnlineToolR.ONLINE_TAG
        assert sessions_of(online.load_object("pred.pkl"))[-1] == SERVED[-1]
        LabelUpdater(online).update()
    collected = again.get_collector()()
    for (name, _), by_model in collected.items():
        (scores,) = by_model.values()
        assert not scores.index.has_duplicates, name
        assert sessions_of(scores)[-1] == SERVED[-1]


def make_strategies_of_its_own():
    rolling = RollingGen(step=3, rtype=RollingGen.ROLL_EX, trunc_days=3)
    return [RollingStrategy("added", make_task("linear"), rolling)]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_online_management_simulate(market, trainer):
    end = "2020-05-27"
    market.grow("2020-06-03")
    manager = OnlineManager(make_strategies("linear"), trainer=TRAINERS[trainer](), begin_time=BEGIN)
    manager.simulate(end_time=end)
    signals = manager.get_signals()
    assert list(sessions_of(signals if signals is not None else pd.DataFrame())) == [pd.Timestamp(BEGIN), *SERVED]
    assert manager.status == OnlineManager.STATUS_ONLINE
    ((_, by_model),) = manager.get_collector()().items()
    (scores,) = by_model.values()
    assert sessions_of(scores)[-1] == pd.Timestamp(end)  # and nothing past it (defect O7)
    assert list(manager.history) == [pd.Timestamp(BEGIN), *SERVED]
    assert R.list_recorders(experiment_name="rolling_linear") or trainer.endswith("RM")
