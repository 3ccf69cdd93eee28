"""Promotion, rollback, and publishing after all: each one entry, with its reason, or an error and no entry."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from ledger_drafts import check_ledger, session_of
from rollwright.errors import ConfigError, LedgerError, OnlineError
from rollwright.online.evidence import Evidence, PairedMean, PromotionTerms
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.recorded_signals import list_pairs, load_pairs
from rollwright.online.roles import promote, publish_refused, roll_back, roll_back_models
from rollwright.online.state import OnlineModel, SignalReference, StrategyState
from rollwright.pool.stores.memory import MemoryStore

TERMS = PromotionTerms(min_days=20)
BETTER = Evidence(
    challenger="new", champions=("old",), first="2024-01-02", last="2024-02-02", days=30, label_span=2, level=0.95,
    topk=50, rank_ic=PairedMean(champion=0.01, challenger=0.04, difference=0.03, lower=0.01, upper=0.05, block=4),
    top_return=None,
)  # fmt: skip


@pytest.fixture
def ledger():
    made = ServingLedger("demo", MemoryStore())
    strategies = {
        "old": StrategyState(role="champion", definition="d").to_json(),
        "new": StrategyState(role="challenger", definition="e").to_json(),
        "dim": StrategyState(role="shadow", definition="f").to_json(),
    }
    add(made, Draft(kind="init", session=session_of(1), body={"strategies": strategies}))
    yield made
    check_ledger(made)


def add(ledger, *drafts):
    return [ledger.append(lambda _, draft=draft: draft) for draft in drafts]


def reference(session, name="signal"):
    return SignalReference(recorder="0" * 32, artifact=f"{session}/{name}", sha256="a" * 64, rows=3)


def model(number):
    return OnlineModel(experiment="x", recorder=f"{number:032x}", serves_from=session_of(1), fit_key=f"fit{number}")


def serve(ledger, number, *, new=None, last="publish", names=("old", "new", "dim"), stop=None):
    session = session_of(number)
    signal = reference(session).to_json()
    models = {} if new is None else {"old": [model(new).to_json()]}
    drafts = [
        Draft(kind="open", session=session, body={"generation": "g", "known": number}),
        Draft(kind="train", session=session, body={"models": models}),
        Draft(kind="switch", session=session, body={"models": models}),
        Draft(
            kind="score",
            session=session,
            body={"scores": {name: reference(session, name).to_json() for name in names}, "signal": signal},
        ),
        Draft(kind=last, session=session, body={"signal": signal, "checks": []}),
    ]
    return add(ledger, *drafts[:stop])


def roles_of(ledger):
    return {name: one.role for name, one in ledger.read_state().strategies.items()}


def test_a_promotion_swaps_both_in_one_entry_that_holds_the_evidence(ledger):
    entry = promote(ledger, "new", evidence=BETTER, terms=TERMS, reason="better for a month")
    assert roles_of(ledger) == {"old": "challenger", "new": "champion", "dim": "shadow"}
    assert (entry.number, entry.kind, entry.reason) == (2, "roles", "better for a month")
    assert Evidence.from_json(entry.body["evidence"]) == BETTER
    assert entry.body["before"] == {"old": "champion", "new": "challenger"}
    assert entry.body["override"] is False


@pytest.mark.parametrize(
    ("name", "evidence", "said"),
    [
        ("new", None, "no session has been compared"),
        ("new", replace(BETTER, days=19), "19 sessions"),
        ("new", replace(BETTER, rank_ic=replace(BETTER.rank_ic, lower=-0.001)), "may be 0"),
        ("new", replace(BETTER, rank_ic=replace(BETTER.rank_ic, lower=None)), "too few"),
        ("new", replace(BETTER, champions=("older",)), "the champion is old now"),
        ("new", replace(BETTER, challenger="dim"), "about dim"),
        ("dim", replace(BETTER, challenger="dim"), "shadow"),
        ("old", None, "champion already"),
        ("none\x1b", None, r"no strategy `none\\x1b`"),
    ],
)
def test_without_enough_evidence_nothing_is_changed(ledger, name, evidence, said):
    with pytest.raises(OnlineError, match=said) as caught:
        promote(ledger, name, evidence=evidence, terms=TERMS)
    assert caught.value.exit_code == 2
    assert ledger.read_head().number == 1


def test_an_override_needs_a_reason_and_records_what_was_lacking(ledger):
    with pytest.raises(ConfigError, match="reason"):
        promote(ledger, "dim", evidence=None, override=True, reason=" \n")
    entry = promote(ledger, "dim", evidence=None, override=True, reason="told to")
    assert entry.body["override"] is True
    assert [line.split()[0] for line in entry.body["lacking"]] == ["dim", "no"]
    assert roles_of(ledger)["dim"] == "champion"


def test_a_rollback_goes_back_one_promotion_each_time(ledger):
    promote(ledger, "new", evidence=BETTER, terms=TERMS)
    promote(ledger, "dim", evidence=None, override=True, reason="why not")
    with pytest.raises(ConfigError, match="reason"):
        roll_back(ledger, reason="")
    assert roll_back(ledger, reason="worse").body["of"] == 3
    assert roles_of(ledger) == {"old": "challenger", "new": "champion", "dim": "shadow"}
    serve(ledger, 1, names=("old", "new"))
    assert roll_back(ledger, reason="worse still").body["of"] == 2
    assert roles_of(ledger) == {"old": "champion", "new": "challenger", "dim": "shadow"}
    with pytest.raises(OnlineError, match="no promotion"):
        roll_back(ledger, reason="again")


def test_roles_of_a_strategy_that_is_gone_are_not_given_back(ledger):
    promote(ledger, "new", evidence=BETTER, terms=TERMS)
    add(ledger, Draft(kind="strategy", body={"action": "pause", "strategy": "old"}))
    with pytest.raises(OnlineError, match="old is not served now"):
        roll_back(ledger, reason="worse")


def test_the_models_before_the_last_switch_are_put_online_and_their_successors_withdrawn(ledger):
    with pytest.raises(OnlineError, match="no other models"):
        roll_back_models(ledger, "old", reason="worse")
    for number in (1, 2, 3):
        serve(ledger, number, new=number)
    serve(ledger, 4)
    roll_back_models(ledger, "old", reason="worse")
    old = ledger.read_state().strategies["old"]
    assert (old.online, old.withdrawn) == ((model(2),), (model(3),))
    roll_back_models(ledger, "old", reason="worse still")
    old = ledger.read_state().strategies["old"]
    assert (old.online, old.withdrawn) == ((model(1),), (model(3), model(2)))
    with pytest.raises(OnlineError, match="no other models"):
        roll_back_models(ledger, "old", reason="still")
    serve(ledger, 5, new=5)
    old = ledger.read_state().strategies["old"]
    assert (old.online, old.withdrawn) == ((model(5),), ())


def test_nobody_changes_roles_or_models_in_the_middle_of_a_session(ledger):
    serve(ledger, 1, new=1)
    serve(ledger, 2, new=2)
    serve(ledger, 3, stop=1)
    with pytest.raises(LedgerError, match="is open"):
        roll_back_models(ledger, "old", reason="worse")
    serve_rest = [Draft(kind=kind, session=session_of(3), body={"models": {}}) for kind in ("train", "switch")]
    signal = reference(session_of(3)).to_json()
    score = Draft(kind="score", session=session_of(3), body={"scores": {"old": signal}, "signal": signal})
    add(ledger, *serve_rest, score)
    before = ledger.read_head()
    with pytest.raises(LedgerError, match="not yet published"):
        promote(ledger, "new", evidence=BETTER, terms=TERMS)
    assert ledger.read_head() == before


def test_only_the_last_refused_session_is_published_after_all(ledger):
    with pytest.raises(OnlineError, match="none was served"):
        publish_refused(ledger, reason="fine")
    serve(ledger, 1, last="refuse")
    with pytest.raises(ConfigError, match="reason"):
        publish_refused(ledger, reason="")
    entry = publish_refused(ledger, reason="looked at it")
    assert (entry.kind, entry.session, entry.body["override"]) == ("publish", session_of(1), True)
    with pytest.raises(OnlineError, match="was published"):
        publish_refused(ledger, reason="again")
    serve(ledger, 2, last="refuse")
    serve(ledger, 3, stop=1)
    with pytest.raises(OnlineError, match="is open"):
        publish_refused(ledger, reason="late")


def test_a_serving_that_has_not_begun_is_an_error():
    empty = ServingLedger("empty", MemoryStore())
    for act in (
        lambda: promote(empty, "new", evidence=None),
        lambda: roll_back(empty, reason="x"),
        lambda: roll_back_models(empty, "old", reason="x"),
        lambda: publish_refused(empty, reason="x"),
    ):
        with pytest.raises(OnlineError, match="has not begun"):
            act()
    assert empty.read_head() is None


def test_a_reason_of_any_length_and_any_characters_can_be_read_again(ledger):
    promote(ledger, "new", evidence=BETTER, terms=TERMS, reason="x\x00\ud800" + "y" * 9_000)
    again = ServingLedger("demo", ledger.store).read_head()
    assert again.number == 2
    assert again.reason.startswith("x\\x00")


def test_an_entry_that_could_not_be_read_again_is_not_appended(ledger):
    with pytest.raises(LedgerError):
        add(ledger, Draft(kind="alarm", reason="x" * 5_000))
    assert ServingLedger("demo", ledger.store).read_head().number == 1


def test_sessions_are_compared_since_the_roles_are_so_and_refused_ones_left_out(ledger):
    for number in range(1, 4):
        serve(ledger, number)
    assert [pair.session for pair in list_pairs(ledger, ledger.read_state(), "new")] == [
        session_of(number) for number in (1, 2, 3)
    ]
    promote(ledger, "new", evidence=BETTER, terms=TERMS)
    serve(ledger, 4)
    serve(ledger, 5, last="refuse")
    serve(ledger, 6, names=("new",))
    serve(ledger, 7, last="refuse")
    publish_refused(ledger, reason="fine")
    serve(ledger, 8)
    state = ledger.read_state()
    pairs = list_pairs(ledger, state, "old")
    assert [pair.session for pair in pairs] == [session_of(number) for number in (4, 7, 8)]
    assert [pair.session for pair in list_pairs(ledger, state, "old", limit=2)] == [session_of(7), session_of(8)]
    champion, challenger = load_pairs(pairs, lambda one: pd.Series({"A": len(one.artifact)}))
    assert champion.keys() == challenger.keys() == {pair.session for pair in pairs}
    assert pairs[0].champion == reference(session_of(4))
    assert pairs[0].challenger == reference(session_of(4), "old")
