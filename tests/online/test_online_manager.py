"""Days are served once and in order, whatever happens, and the manager knows everything again after a restart."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pandas as pd
import pytest

from ledger_drafts import check_ledger
from online_managers import BEGIN, CountingTrainer, FixedClock, list_sessions, make_manager, make_strategy
from rollwright.config.context import Context, current_context, install
from rollwright.errors import DataNotArrivedError, OnlineError, SignalRefusedError
from rollwright.market.frame import FrameSource
from rollwright.online.checks.check import CheckResult
from rollwright.online.strategy import RollingStrategy
from rollwright.online.terms import ServingTerms
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tasks.rolling import RollingGen
from rollwright.tracking.r import R
from rollwright.training.delayed import DelayTrainerR
from rollwright.training.trainer import TrainerR
from serving_market import CODES, DAYS, ServingMarket, make_task


@pytest.fixture
def market(tmp_path):
    made = ServingMarket(tmp_path)
    made.pool = MemoryStore()
    made.grow(BEGIN)
    return made


def manage(market, *strategies, **kwargs):
    return make_manager(market.pool, *strategies, **kwargs)


def test_days_are_served_one_after_the_other(market):
    manager = manage(market)
    manager.first_train()
    for day in list_sessions(BEGIN, "2020-06-01"):
        market.grow(day)
        result = manager.routine()
        assert (result.session, result.outcome) == (day, "published")
    entries = check_ledger(manager.ledger)
    assert [entry.session for entry in entries if entry.kind == "publish"] == list_sessions(BEGIN, "2020-06-01")
    signals = manager.get_signals()
    assert list(signals.index.get_level_values("datetime").unique()) == list(
        pd.to_datetime(list_sessions(BEGIN, "2020-06-01"))
    )
    assert not signals.index.has_duplicates


def test_a_window_is_trained_when_it_begins_and_switched_on_that_day(market):
    manager = manage(market, trainer=CountingTrainer())
    manager.first_train()
    assert manager.trainer.trained == 2
    serves = {}
    for day in list_sessions(BEGIN, "2020-06-05"):
        market.grow(day)
        manager.routine()
        (model,) = manager.ledger.read_state().strategies["lin"].online
        serves[day] = model.serves_from
    assert [day for day in serves if serves[day] == day] == ["2020-05-25", "2020-06-01"]
    assert manager.trainer.trained == 4
    (tagged,) = manager.strategies[0].tool.online_models()
    assert tagged.id == model.recorder
    history = manager.history
    assert [recorder.id for recorder in history[pd.Timestamp("2020-06-05")][manager.strategies[0]]] == [model.recorder]


def test_a_day_that_is_served_again_gets_the_same_answer_and_writes_nothing(market):
    manager = manage(market)
    manager.first_train()
    for day in list_sessions(BEGIN, "2020-05-26"):
        market.grow(day)
        manager.routine()
    number = manager.ledger.read_head().number
    first = [manager.serve(day) for day in list_sessions(BEGIN, "2020-05-26")]
    other = manage(market)
    assert [other.serve(day) for day in list_sessions(BEGIN, "2020-05-26")] == first
    assert {one.outcome for one in first} == {"published"}
    assert other.ledger.read_head().number == number


def test_a_repeated_first_training_trains_nothing_and_changes_nothing(market):
    manage(market).first_train()
    manager = manage(market, trainer=CountingTrainer())
    number = manager.ledger.read_head().number
    manager.first_train()
    assert (manager.trainer.trained, manager.ledger.read_head().number) == (0, number)


def test_missed_days_are_served_in_order_with_the_windows_of_their_days(market):
    one = manage(market)
    one.first_train()
    for day in list_sessions(BEGIN, "2020-06-03"):
        market.grow(day)
        one.routine()
    expected = one.get_signals()
    market.pool = MemoryStore()
    other = manage(market)
    market.grow(BEGIN)
    other.first_train()
    market.grow("2020-06-03")
    other.routine()
    pd.testing.assert_series_equal(other.get_signals(), expected, check_exact=True)
    kinds = [(entry.kind, entry.session) for entry in check_ledger(other.ledger) if entry.kind == "publish"]
    assert kinds == [("publish", day) for day in list_sessions(BEGIN, "2020-06-03")]


@pytest.mark.parametrize(
    ("policy", "window", "served", "skipped"),
    [
        ("all", None, ("2020-05-21", "2020-05-29"), None),
        ("all", 3, ("2020-05-27", "2020-05-29"), ("2020-05-21", "2020-05-26")),
        ("latest", None, ("2020-05-29", "2020-05-29"), ("2020-05-21", "2020-05-28")),
        ("none", None, None, ("2020-05-21", "2020-05-29")),
    ],
)
def test_catching_up_serves_or_skips_what_was_missed(market, policy, window, served, skipped):
    manager = manage(market)
    manager.first_train()
    manager.routine()
    market.grow("2020-05-29")
    results = manager.catch_up(policy, window)
    published = [one.session for one in results if one.outcome == "published"]
    assert published == ([] if served is None else list_sessions(*served))
    if skipped is not None:
        assert (results[0].outcome, results[0].session) == ("skipped", skipped[1])
        assert manager.serve(skipped[0]).outcome == "skipped"
        assert manager.serve(skipped[0]).session == skipped[0]
    assert manager.catch_up(policy, window) == []
    market.grow("2020-06-01")
    assert manager.routine().outcome == "published"
    assert check_ledger(manager.ledger)[-1].session == "2020-06-01"


def test_a_window_that_began_on_a_day_that_was_skipped_is_trained_with_the_next(market):
    manager = manage(market, terms=ServingTerms(catch_up="latest"))
    manager.first_train()
    manager.routine()
    market.grow("2020-06-03")
    manager.routine()
    (model,) = manager.ledger.read_state().strategies["lin"].online
    assert model.serves_from == "2020-06-01"
    assert manager.ledger.read_state().strategies["lin"].next == ()


def test_data_are_waited_for_until_the_deadline(market):
    clock = FixedClock("2020-05-21T09:59")
    terms = ServingTerms(deadline=time(18, 0), timezone="Asia/Shanghai")
    manager = manage(market, clock=clock, terms=terms)
    manager.first_train()
    manager.routine()
    number = manager.ledger.read_head().number
    assert manager.serve("2020-05-21").outcome == "waiting"
    clock.moment = datetime(2020, 5, 21, 10, 0, tzinfo=UTC)
    with pytest.raises(DataNotArrivedError) as caught:
        manager.serve("2020-05-21")
    assert caught.value.session == "2020-05-21"
    assert manager.ledger.read_head().number == number
    market.grow("2020-05-21")
    assert manager.serve("2020-05-21").outcome == "published"


def test_a_day_without_a_session_is_the_one_before_it(market):
    manager = manage(market)
    manager.first_train()
    market.grow("2020-05-25")
    assert manager.serve("2020-05-24").session == "2020-05-22"
    assert manager.ledger.read_state().reached == "2020-05-22"


def test_a_day_before_the_first_is_refused(market):
    manager = manage(market)
    manager.first_train()
    with pytest.raises(OnlineError, match="before 2020-05-20"):
        manager.serve("2020-05-19")


class Bound:
    """Refuses the days that it is given."""

    name = "bound"

    def __init__(self, *days):
        self.days = days
        self.seen = []

    def check(self, context):
        self.seen.append(context)
        violated = context.session in self.days
        return CheckResult(
            name=self.name, value=1.0, bound=0.5, violated=violated, text=f"bound 1 > 0.5: {context.session}"
        )


def test_a_signal_that_violates_a_bound_is_recorded_and_not_published_and_the_next_day_is_served(market):
    bound = Bound("2020-05-21")
    manager = manage(market, terms=ServingTerms(checks=(bound,)))
    manager.first_train()
    manager.routine()
    market.grow("2020-05-21")
    with pytest.raises(SignalRefusedError, match=r"bound 1 > 0\.5"):
        manager.routine()
    with pytest.raises(SignalRefusedError, match=r"bound 1 > 0\.5"):
        manage(market).serve("2020-05-21")
    market.grow("2020-05-22")
    assert manager.routine().outcome == "published"
    days = manager.get_signals().index.get_level_values("datetime").unique()
    assert list(days) == [pd.Timestamp("2020-05-20"), pd.Timestamp("2020-05-22")]
    assert pd.Timestamp("2020-05-21") in manager.get_signals("lin").index.get_level_values("datetime")
    last = bound.seen[-1]
    assert (last.session, last.generation_session, len(last.members)) == ("2020-05-22", "2020-05-22", 8)
    assert last.previous.equals(manager.get_signals(end="2020-05-20").droplevel("datetime"))
    assert len(last.history) == 1


@pytest.mark.parametrize(("bound", "outcome"), [(0.1, "refused"), (0.2, "published")])
def test_a_day_that_lacks_too_much_of_the_universe_is_refused(market, bound, outcome):
    members = dict.fromkeys((*CODES, "SZ000001", "SZ000002"), ((DAYS[0], DAYS[-1]),))
    days = market.frame.index.get_level_values("datetime")
    source = FrameSource(market.frame[days <= pd.Timestamp(BEGIN)], universes={"wide": members})
    install(Context(settings=market.settings, market=source))
    task = make_task()
    task["dataset"]["kwargs"]["handler"]["kwargs"]["instruments"] = "wide"
    wide = RollingStrategy("lin", task, RollingGen(step=5, trunc_days=3))
    manager = manage(market, wide, terms=ServingTerms(max_missing_share=bound))
    manager.first_train()
    if outcome == "refused":
        with pytest.raises(SignalRefusedError, match="20% of 10 members missing"):
            manager.routine()
    else:
        assert manager.routine().entry.body["coverage"] == [
            {"universe": "wide", "expected": 10, "predicted": 8}
            | {"by_cause": {"no series": 2, "suspended": 0, "dropped": 0}}
        ]


def test_several_champions_make_one_signal_and_the_others_are_recorded_beside_it(market):
    roles = {"other": "challenger", "quiet": "shadow"}
    models = {"lin": "linear", "gbm": "lightgbm", "other": "linear", "quiet": "lightgbm"}
    manager = manage(market, *(make_strategy(name, model) for name, model in models.items()), roles=roles)
    manager.first_train()
    manager.routine()
    signal = manager.get_signals()
    assert signal.groupby(level="datetime").mean().abs().max() < 1e-12  # the mean of z-scores
    assert not signal.equals(manager.get_signals("lin"))
    assert manager.get_signals("other").equals(manager.get_signals("lin"))
    assert manager.get_signals("quiet").equals(manager.get_signals("gbm"))
    again = manager.prepare_signals()
    assert again.equals(signal)
    only = manager.prepare_signals(lambda scores: scores["gbm"], over_write=True)
    assert only.equals(manager.get_signals("gbm"))


def test_a_strategy_is_added_while_serving_and_served_again_after_a_restart(market):
    manager = manage(market)
    manager.first_train()
    manager.routine()
    manager.add_strategy(make_strategy("gbm", "lightgbm"), role="challenger", reason="tried")
    manager.add_strategy([manager.strategies[1]])
    market.grow("2020-05-21")
    manager.routine()
    assert manager.get_signals("gbm").index.get_level_values("datetime").unique() == [pd.Timestamp("2020-05-21")]
    market.grow("2020-05-22")
    with pytest.raises(OnlineError, match="gbm"):
        manage(market).routine()
    again = manage(market, make_strategy(), make_strategy("gbm", "lightgbm"))
    assert again.routine().outcome == "published"
    with pytest.raises(OnlineError, match="third"):
        manage(market, make_strategy(), make_strategy("gbm", "lightgbm"), make_strategy("third")).routine()


def test_another_definition_under_the_same_name_is_an_error(market):
    manage(market).first_train()
    with pytest.raises(OnlineError, match="another than the one that is served"):
        manage(market, make_strategy("lin", "lightgbm")).routine()


def test_training_that_fails_leaves_the_day_open_and_is_made_up_for(market):
    class Failing(CountingTrainer):
        broken = True

        def train(self, tasks, *args, **kwargs):
            if self.broken:
                tasks = [{**task, "model": {**task["model"], "kwargs": {"estimator": "none"}}} for task in tasks]
            return super().train(tasks, *args, **kwargs)

    trainer = Failing()
    manager = manage(market, trainer=TrainerR())
    manager.first_train()
    manager.trainer = trainer
    market.grow("2020-05-25")
    with pytest.raises(OnlineError, match="2020-05-25 stays open"):
        manager.routine()
    assert manager.ledger.read_state().published == "2020-05-22"
    trainer.broken = False
    assert manager.routine().outcome == "published"
    (model,) = manager.ledger.read_state().strategies["lin"].online
    assert model.serves_from == "2020-05-25"


def test_training_that_fails_may_be_passed_over(market):
    class Failing(TrainerR):
        def train(self, tasks, *args, **kwargs):
            tasks = [{**task, "model": {**task["model"], "kwargs": {"estimator": "none"}}} for task in tasks]
            return super().train(tasks, *args, **kwargs)

    manage(market).first_train()
    manager = manage(market, trainer=Failing(), terms=ServingTerms(on_training_failure="keep"))
    market.grow("2020-05-25")
    result = manager.routine()
    assert result.outcome == "published"
    assert any("lin was not trained" in note for note in result.notes)
    manager.trainer = TrainerR()
    market.grow("2020-05-26")
    manager.routine()
    (model,) = manager.ledger.read_state().strategies["lin"].online
    assert model.serves_from == "2020-05-25"


def test_a_trainer_in_two_phases_gives_the_same(market):
    found = []
    for trainer in (TrainerR(), DelayTrainerR()):
        market.pool = MemoryStore()
        R.delete_exp(experiment_name="lin") if found else None
        manager = manage(market, trainer=trainer, name=f"s{len(found)}")
        market.grow(BEGIN)
        manager.first_train()
        market.grow("2020-05-26")
        manager.routine()
        found.append(manager.get_signals())
    pd.testing.assert_series_equal(*found, check_exact=True)


def test_who_follows_is_told_of_each_day_and_again_when_it_is_asked_for(market):
    told = []
    manager = manage(market, on_closed=told.append)
    manager.first_train()
    market.grow("2020-05-21")
    manager.routine()
    manager.routine()
    assert [one.session for one in told] == ["2020-05-20", "2020-05-21", "2020-05-21"]
    assert told[1] == told[2]


def test_late_sessions_and_rewritten_history_are_noted_and_nothing_is_published_twice(market):
    manager = manage(market)
    manager.first_train()
    kept = market.frame
    market.frame = kept[kept.index.get_level_values("datetime") != pd.Timestamp("2020-05-21")]
    for day in ("2020-05-20", "2020-05-22"):
        market.grow(day)
        manager.routine()
    market.frame = kept
    market.grow("2020-05-25")

    def unchanged(generation):
        return list(DAYS).index(pd.Timestamp("2020-05-21"))

    current_context().market.unchanged_before = unchanged
    result = manager.routine()
    assert any("the history was rewritten from 2020-05-21 on" in note for note in result.notes)
    assert any("2020-05-21 came after a later session" in note for note in result.notes)
    with pytest.raises(OnlineError, match="came when 2020-05-22 had been served"):
        manager.serve("2020-05-21")
    assert manage(market).serve("2020-05-25") == result


def test_where_the_next_session_is_known_its_window_is_trained_the_day_before(market):
    plain = manage(market, name="plain")
    plain.first_train()
    for day in list_sessions(BEGIN, "2020-05-27"):
        market.grow(day)
        plain.routine()
    R.delete_exp(experiment_name="lin")
    trainer = CountingTrainer()
    manager = manage(market, trainer=trainer)
    market.grow(BEGIN, future=5)
    manager.first_train()
    for day in list_sessions(BEGIN, "2020-05-22"):
        market.grow(day, future=5)
        manager.routine()
    (ahead,) = manager.ledger.read_state().strategies["lin"].next
    assert (ahead.serves_from, trainer.trained) == ("2020-05-25", 3)
    assert manager.ledger.read_head().body["ahead"] is True
    number = manager.ledger.read_head().number
    manager.routine()
    assert (manager.ledger.read_head().number, trainer.trained) == (number, 3)
    assert manager.serve("2020-05-25").outcome == "waiting"
    for day in list_sessions("2020-05-25", "2020-05-27"):
        market.grow(day, future=5)
        manager.routine()
    assert manager.ledger.read_state().strategies["lin"].online == (ahead,)
    assert trainer.trained == 3
    pd.testing.assert_series_equal(manager.get_signals(), plain.get_signals(), check_exact=True)


def test_what_cannot_be_trained_ahead_is_trained_on_its_day(market):
    class Failing(CountingTrainer):
        broken = False

        def train(self, tasks, *args, **kwargs):
            if self.broken:
                tasks = [{**task, "model": {**task["model"], "kwargs": {"estimator": "none"}}} for task in tasks]
            return super().train(tasks, *args, **kwargs)

    manager = manage(market, trainer=Failing())
    manager.first_train()
    manager.trainer.broken = True
    market.grow("2020-05-22", future=5)
    assert manager.routine().outcome == "published"
    assert manager.ledger.read_state().strategies["lin"].next == ()
    manager.trainer.broken = False
    market.grow("2020-05-25", future=5)
    assert manager.routine().outcome == "published"
    assert manager.ledger.read_state().strategies["lin"].online[0].serves_from == "2020-05-25"
