"""A simulation gives what serving would have given, bit for bit, and touches nothing."""

from __future__ import annotations

import logging

import pandas as pd
import pytest

from online_managers import BEGIN, CountingTrainer, list_sessions, make_manager, make_strategy
from rollwright.errors import ConfigError, TaskFailedError
from rollwright.online.online_tags import OnlineToolR
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tracking.r import R
from rollwright.training.delayed import DelayTrainerR
from rollwright.training.trainer import TrainerR
from serving_market import ServingMarket

END = "2020-06-10"


@pytest.fixture
def market(tmp_path):
    return ServingMarket(tmp_path, until=BEGIN)


def pair():
    return [make_strategy("lin"), make_strategy("gbm", "lightgbm")]


def served(market, trainer):
    manager = make_manager(MemoryStore(), *pair(), trainer=trainer)
    market.grow(BEGIN)
    manager.first_train()
    for day in list_sessions(BEGIN, END):
        market.grow(day)
        manager.routine()
    return manager.get_signals()


def simulated(market, trainer):
    market.grow("2020-06-20")
    return make_manager(MemoryStore(), *pair(), trainer=trainer).simulate(END)


@pytest.fixture
def expected(market):
    return served(market, TrainerR())


@pytest.mark.parametrize(
    ("run", "trainer"),
    [(simulated, TrainerR), (simulated, DelayTrainerR), (served, DelayTrainerR)],
    ids=["simulation", "simulation delayed", "online delayed"],
)
def test_all_four_combinations_give_the_same_signals(market, expected, run, trainer):
    for name in ("lin", "gbm"):  # so that nothing trained before is found
        R.delete_exp(experiment_name=name)
    found = run(market, trainer())
    assert list(found.index.get_level_values("datetime").unique()) == list(pd.to_datetime(list_sessions(BEGIN, END)))
    pd.testing.assert_series_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("trainer", [TrainerR, DelayTrainerR])
def test_nothing_goes_past_the_end(market, trainer):
    market.grow("2020-06-20")
    manager = make_manager(MemoryStore(), trainer=trainer())
    signals = manager.simulate("2020-05-27")
    assert signals.index.get_level_values("datetime").max() == pd.Timestamp("2020-05-27")
    tests = [recorder.load_object("task")["dataset"]["kwargs"]["segments"]["test"] for recorder in recorders("lin")]
    assert max(pd.Timestamp(test[1]) for test in tests) == pd.Timestamp("2020-05-27")
    preds = [recorder.load_object("pred.pkl") for recorder in recorders("lin")]
    assert max(pred.index.get_level_values("datetime").max() for pred in preds) == pd.Timestamp("2020-05-27")


def begin_of(recorder):
    return f"{recorder.load_object('task')['dataset']['kwargs']['segments']['test'][0]:%Y-%m-%d}"


def recorders(experiment):
    return list(R.list_recorders(experiment_name=experiment).values())


def test_each_window_is_trained_once(market):
    market.grow(END)
    trainer = CountingTrainer()
    manager = make_manager(MemoryStore(), trainer=trainer)
    first = manager.simulate()
    count = trainer.trained
    assert count == len(recorders("lin")) == 5
    assert manager.simulate().equals(first)
    assert trainer.trained == count


def test_a_serving_that_has_begun_is_not_touched(market):
    pool = MemoryStore()
    manager = make_manager(pool)
    manager.first_train()
    manager.routine()
    market.grow(END)
    before = [entry.digest for entry in manager.ledger.list_entries()]
    tags = [recorder.id for recorder in OnlineToolR("lin").online_models()]
    artifacts = {recorder.id: recorder.list_digests() for recorder in recorders("lin")}
    signals = manager.simulate()
    assert len(signals.index.get_level_values("datetime").unique()) == len(list_sessions(BEGIN, END))
    assert [entry.digest for entry in manager.ledger.list_entries()] == before
    assert [recorder.id for recorder in OnlineToolR("lin").online_models()] == tags
    assert {recorder.id: recorder.list_digests() for recorder in recorders("lin")} == artifacts
    assert OnlineToolR("lin-simulation").online_models() == []
    assert len(manager.get_signals()) == 8
    assert [*manager.history] == [pd.Timestamp(BEGIN)]


def test_where_nothing_was_served_the_manager_answers_with_the_simulation(market):
    market.grow(END)
    manager = make_manager(MemoryStore())
    signals = manager.simulate()
    assert manager.get_signals().equals(signals)
    assert OnlineToolR("lin").online_models() == []
    history = manager.history
    assert [*history] == list(pd.to_datetime(list_sessions(BEGIN, END)))
    serving = {begin_of(models[manager.strategies[0]][0]) for models in history.values()}
    assert serving == {"2020-05-18", "2020-05-25", "2020-06-01", "2020-06-08"}
    collected = manager.get_collector()()
    assert set(collected) == {("lin", "pred")}
    manager.first_train()
    assert manager.get_signals() is None


def test_the_status_is_that_of_before_also_after_an_error(market):
    market.grow(END)
    seen = []

    class Failing(TrainerR):
        def train(self, tasks, *args, **kwargs):
            seen.append(manager.status)
            raise TaskFailedError([("0", "ValueError: no")])

    manager = make_manager(MemoryStore(), trainer=Failing())
    level = logging.getLogger("rollwright").level
    with pytest.raises(Exception, match="no"):
        manager.simulate()
    assert seen == ["simulating"]
    assert manager.status == manager.STATUS_ONLINE
    assert logging.getLogger("rollwright").level == level


def test_a_delayed_simulation_whose_training_failed_goes_on_where_it_was(market):
    market.grow(END)

    class Flaky(DelayTrainerR):
        broken = True

        def end_train(self, models, *args, **kwargs):
            if self.broken:
                super().end_train(models[:2], *args, **kwargs)
                raise TaskFailedError([("2", "ConnectionError: away")])
            return super().end_train(models, *args, **kwargs)

    trainer = Flaky()
    manager = make_manager(MemoryStore(), trainer=trainer)
    assert manager.delay_prepare() is None
    with pytest.raises(TaskFailedError):
        manager.simulate()
    trainer.broken = False
    signals = manager.delay_prepare()
    assert manager.delay_prepare() is None
    assert signals.equals(make_manager(MemoryStore()).simulate())
    assert len(recorders("lin")) == 5


def test_a_calendar_that_grew_after_construction_is_seen(market):
    manager = make_manager(MemoryStore())
    market.grow(END)
    assert manager.simulate().index.get_level_values("datetime").max() == pd.Timestamp(END)


def test_a_simulation_without_a_session_is_refused(market):
    with pytest.raises(ConfigError, match="has no session"):
        make_manager(MemoryStore()).simulate("2020-05-19")


def test_signals_are_made_by_the_function_that_is_given(market):
    market.grow("2020-05-22")
    manager = make_manager(MemoryStore(), *pair())
    plain = manager.simulate()
    only = manager.simulate(signal_kwargs={"prepare_func": lambda scores: scores["gbm"]})
    assert only.groupby(level="datetime").std().max() < plain.groupby(level="datetime").std().max()
