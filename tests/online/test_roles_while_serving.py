"""Roles and models that a person changes, and the days that are served afterwards."""

from __future__ import annotations

import pytest

from ledger_drafts import check_ledger
from rollwright.online.audit import what_was_live
from rollwright.online.checks import CheckBounds, build_checks
from rollwright.online.evidence import PromotionTerms, compare_signals
from rollwright.online.known_labels import read_known_labels
from rollwright.online.ledger import ServingLedger
from rollwright.online.manager import OnlineManager
from rollwright.online.recorded_signals import list_pairs, load_pairs
from rollwright.online.roles import promote, roll_back_models
from rollwright.online.signal_store import SignalStore
from rollwright.online.strategy import RollingStrategy
from rollwright.online.terms import ServingTerms
from rollwright.online.verification import verify_ledger
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tasks.rolling import RollingGen
from rollwright.tracking.r import R
from serving_market import DAYS, ServingMarket, make_task

BEGIN = "2020-05-20"


@pytest.fixture
def market(tmp_path):
    made = ServingMarket(tmp_path)
    made.pool = MemoryStore()
    made.grow(BEGIN)
    return made


def manage(market, *names, **kwargs):
    strategies = [RollingStrategy(name, make_task("linear"), RollingGen(step=5, trunc_days=3)) for name in names]
    return OnlineManager(strategies, None, BEGIN, name="demo", ledger=ServingLedger("demo", market.pool), **kwargs)


def serve(market, manager, first, last):
    for day in DAYS[(first <= DAYS) & (last >= DAYS)]:
        market.grow(f"{day:%Y-%m-%d}")
        result = manager.routine()
        assert result.outcome == "published", result.notes


def online_of(manager, name="lin"):
    return manager.ledger.read_state().strategies[name].online


def test_models_that_were_rolled_back_stay_so_until_the_next_window(market):
    manager = manage(market, "lin")
    manager.first_train()
    serve(market, manager, BEGIN, "2020-05-22")
    (first,) = online_of(manager)
    serve(market, manager, "2020-05-25", "2020-05-26")
    (second,) = online_of(manager)
    assert second != first
    roll_back_models(manager.ledger, "lin", reason="its scores look wrong")
    again = manage(market, "lin")  # another process
    serve(market, again, "2020-05-27", "2020-05-29")
    assert online_of(again) == (first,)
    live = what_was_live(again.ledger, "2020-05-29")
    assert live.strategies[0].online_entry.reason == "its scores look wrong"
    serve(market, again, "2020-06-01", "2020-06-01")
    (third,) = online_of(again)
    assert third.serves_from == "2020-06-01"
    check_ledger(again.ledger)


def test_a_challenger_is_compared_by_what_was_recorded_and_promoted(market):
    roles = {"lin": "champion", "other": "challenger"}
    manager = manage(market, "lin", "other", roles=roles)
    manager.first_train()
    serve(market, manager, BEGIN, "2020-06-19")
    state, signals = manager.ledger.read_state(), SignalStore("demo")
    pairs = list_pairs(manager.ledger, state, "other")
    champion, challenger = load_pairs(pairs, signals.load)
    (model,) = state.strategies["lin"].online
    labels = read_known_labels(R.get_recorder(recorder_id=model.recorder), pairs[0].session, pairs[-1].session)
    sessions = [pair.session for pair in pairs]
    evidence = compare_signals(
        champion,
        challenger,
        labels.values,
        names=("other", state.with_role("champion")),
        sessions=sessions,
        label_span=labels.span,
        terms=PromotionTerms(),
    )
    assert evidence.days == len(pairs) - labels.span
    assert (evidence.rank_ic.difference, labels.span) == (0, 2)  # the same model twice
    promote(manager.ledger, "other", evidence=evidence, override=True, reason="to see what happens")
    serve(market, manager, "2020-06-22", "2020-06-22")
    assert what_was_live(manager.ledger, "2020-06-22").strategies[1].role == "champion"
    found = verify_ledger(manager.ledger, load_signal=signals.load)
    assert (found.problems, found.signals > len(pairs)) == ((), True)


def test_sound_days_raise_none_of_the_checks(market):
    terms = ServingTerms(checks=build_checks(CheckBounds()))
    manager = manage(market, "lin", terms=terms)
    manager.first_train()
    serve(market, manager, BEGIN, "2020-06-05")
    assert len(what_was_live(manager.ledger, "2020-06-05").checks) == 10
