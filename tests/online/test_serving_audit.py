"""What was live for a session, and why, in a few queries however long the ledger is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger_drafts import session_of
from rollwright.errors import LedgerError, OnlineError
from rollwright.online.audit import what_was_live
from rollwright.online.ledger import Author, Draft, ServingLedger
from rollwright.online.state import OnlineModel, SignalReference, StrategyState
from rollwright.pool.stores.memory import MemoryStore


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.time = datetime(2024, 1, 1, tzinfo=UTC)

    def now(self):
        self.time += timedelta(minutes=1)
        return self.time

    def monotonic(self):
        return self.time.timestamp()

    def sleep(self, seconds):
        self.time += timedelta(seconds=seconds)


class CountingStore(MemoryStore):
    """Counts the queries."""

    queries = 0

    def find(self, pool, query=None):
        self.queries += 1
        return super().find(pool, query)


@pytest.fixture
def ledger():
    return ServingLedger("demo", CountingStore(), clock=Clock(), author=Author(user="ann", host="desk", version="1"))


def add(ledger, *drafts):
    return [ledger.append(lambda _, draft=draft: draft) for draft in drafts]


def model(number, serves_from):
    return OnlineModel(experiment="lgb", recorder=f"{number:032x}", serves_from=serves_from, fit_key=f"fit{number}")


def reference(session, name="champion"):
    return SignalReference(recorder="0" * 32, artifact=f"{session}/{name}", sha256="a" * 64, rows=3)


CHECK = {"name": "turnover", "value": 0.25, "bound": 0.9, "violated": False, "text": "turnover 0.25 <= 0.9"}


def begin(ledger):
    strategies = {
        "lgb": StrategyState(role="champion", definition="d").to_json(),
        "xgb": StrategyState(role="challenger", definition="e").to_json(),
    }
    add(ledger, Draft(kind="init", session=session_of(1), body={"strategies": strategies}))


def serve(ledger, number, *, new=None, last="publish", names=("lgb", "xgb")):
    """Append the entries of session `number`; `new` is the number of a model that is trained and put online."""
    session = session_of(number)
    signal = reference(session).to_json()
    models = {} if new is None else {"lgb": [model(new, session).to_json()]}
    scores = {name: reference(session, name).to_json() for name in names}
    return add(
        ledger,
        Draft(kind="open", session=session, body={"generation": f"g{number}", "known": number}),
        Draft(kind="train", session=session, body={"models": models}),
        Draft(kind="switch", session=session, body={"models": models}),
        Draft(kind="score", session=session, body={"scores": scores, "signal": signal}),
        Draft(kind=last, session=session, body={"signal": signal, "checks": [CHECK]}),
    )


def test_a_published_session_is_told_with_roles_models_signal_checks_and_entries(ledger):
    begin(ledger)
    first = serve(ledger, 1, new=7)
    serve(ledger, 2)
    asked = serve(ledger, 3)
    serve(ledger, 4, new=8)
    live = what_was_live(ledger, session_of(3))
    assert (live.outcome, live.generation, live.signal) == ("published", "g3", reference(session_of(3)))
    assert live.entries == tuple(asked)
    lgb, xgb = live.strategies
    assert (lgb.role, lgb.role_entry.number) == ("champion", 1)
    assert lgb.models[0].model == model(7, session_of(1))
    assert (lgb.models[0].trained, lgb.online_entry) == (first[1], first[2])
    assert lgb.models[0].trained.by.user == "ann"
    assert (xgb.role, xgb.models, xgb.scores) == ("challenger", (), reference(session_of(3), "xgb"))
    assert [check.to_json() for check in live.checks] == [CHECK]
    assert live.to_json()["entries"][-1]["digest"] == asked[-1].digest


def test_what_happened_later_changes_no_answer(ledger):
    begin(ledger)
    serve(ledger, 1, new=7)
    before = what_was_live(ledger, session_of(1))
    add(ledger, Draft(kind="roles", body={"roles": {"xgb": "champion", "lgb": "challenger"}}, reason="better"))
    for number in range(2, 6):
        serve(ledger, number, new=number)
        assert what_was_live(ledger, session_of(1)) == before
    roles = what_was_live(ledger, session_of(5)).strategies
    assert [(one.name, one.role, one.role_entry.reason) for one in roles] == [
        ("lgb", "challenger", "better"),
        ("xgb", "champion", "better"),
    ]


def test_a_refused_session_that_was_published_after_all_says_both_by_when(ledger):
    begin(ledger)
    serve(ledger, 1)
    refused = serve(ledger, 2, last="refuse")
    signal = reference(session_of(2)).to_json()
    (override,) = add(
        ledger,
        Draft(kind="publish", session=session_of(2), body={"signal": signal, "override": True}, reason="looked at it"),
    )
    live = what_was_live(ledger, session_of(2))
    assert (live.outcome, live.published) == ("published", session_of(2))
    assert live.entries == (*refused, override)
    then = what_was_live(ledger, session_of(2), at=datetime.fromisoformat(refused[-1].at))
    assert (then.outcome, then.published, then.entries) == ("refused", session_of(1), tuple(refused))


def test_a_session_that_is_open_skipped_passed_over_or_not_reached_says_so(ledger):
    begin(ledger)
    serve(ledger, 2)
    add(ledger, Draft(kind="skip", session=session_of(6), body={}))
    serve(ledger, 9)
    add(ledger, Draft(kind="open", session=session_of(10), body={"generation": "g", "known": 10}))
    outcomes = {number: what_was_live(ledger, session_of(number)).outcome for number in range(12)}
    assert outcomes == {
        0: "not served", 1: "not served", 2: "published", 3: "skipped", 4: "skipped", 5: "skipped", 6: "skipped",
        7: "not served", 8: "not served", 9: "published", 10: "open", 11: "not served",
    }  # fmt: skip
    assert what_was_live(ledger, session_of(8)).published == session_of(2)
    assert "begins with" in what_was_live(ledger, session_of(0)).text
    assert "not reached" in what_was_live(ledger, session_of(11)).text
    assert [strategy.name for strategy in what_was_live(ledger, session_of(8)).strategies] == ["lgb", "xgb"]


def test_a_model_that_was_put_online_again_is_told_from_its_first_training(ledger):
    begin(ledger)
    first = serve(ledger, 1, new=7)
    second = serve(ledger, 2, new=8)
    back = {"models": {"lgb": [model(7, session_of(1)).to_json()]}, "action": "rollback", "of": second[2].number}
    (rollback,) = add(ledger, Draft(kind="switch", session=session_of(2), body=back, reason="worse"))
    serve(ledger, 3)
    (lgb, _) = what_was_live(ledger, session_of(3)).strategies
    assert (lgb.online_entry, lgb.models[0].trained) == (rollback, first[1])
    assert what_was_live(ledger, session_of(2)).strategies[0].models[0].trained == second[1]


def test_the_number_of_queries_does_not_grow_with_the_ledger(ledger):
    begin(ledger)
    serve(ledger, 1, new=1)
    counts = []
    for start, stop in ((2, 40), (40, 300)):
        for number in range(start, stop):
            serve(ledger, number, new=number if number % 20 == 1 else None)
        fresh = ServingLedger("demo", ledger.store)
        before = ledger.store.queries
        live = what_was_live(fresh, session_of(stop // 2))
        counts.append(ledger.store.queries - before)
        assert live.outcome == "published"
        assert live.strategies[0].models[0].trained.kind == "train"
    assert counts[1] <= counts[0] + 6
    assert max(counts) < 25


def test_a_question_that_has_no_answer_is_an_error(ledger):
    with pytest.raises(OnlineError, match="no entry"):
        what_was_live(ledger, session_of(1))
    begin(ledger)
    with pytest.raises(LedgerError, match="written as 2024-05-17"):
        what_was_live(ledger, "yesterday")
    with pytest.raises(OnlineError, match="no time zone"):
        what_was_live(ledger, session_of(1), at=datetime(2024, 1, 1))  # noqa: DTZ001 - that is the point
    with pytest.raises(OnlineError, match="no entry at"):
        what_was_live(ledger, session_of(1), at=datetime(2023, 1, 1, tzinfo=UTC))
