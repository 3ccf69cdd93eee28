"""The ledger of a serving: entries in order, each accepted once, none that does not follow."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from rollwright.errors import LedgerError
from rollwright.online.entry import NO_DIGEST, LedgerEntry
from rollwright.online.ledger import Draft, ServingLedger, pool_of
from rollwright.online.state import OnlineModel, ServingState, SignalReference, StrategyState
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.urls import store_from_url


def start(*names):
    """Return the draft that begins a serving of these strategies, the first its champion."""
    strategies = {
        name: StrategyState(role="champion" if name == names[0] else "challenger", definition="d").to_json()
        for name in names
    }
    return Draft(kind="init", session="2024-01-02", body={"strategies": strategies})


def model(number, serves_from="2024-01-02"):
    return OnlineModel(experiment="lgb", recorder=f"{number:032x}", serves_from=serves_from, fit_key="f")


def reference(session, name="champion"):
    return SignalReference(recorder="0" * 32, artifact=f"{session}/{name}", sha256="a" * 64, rows=3)


def day(session):
    """Return the drafts that serve one session."""
    signal = reference(session).to_json()
    return [
        Draft(kind="open", session=session, body={"generation": "g", "known": 1}),
        Draft(kind="train", session=session, body={"models": {}}),
        Draft(kind="switch", session=session, body={"models": {}}),
        Draft(kind="score", session=session, body={"scores": {"lgb": signal}, "signal": signal}),
        Draft(kind="publish", session=session, body={"signal": signal, "checks": []}),
    ]


@pytest.fixture
def ledger():
    return ServingLedger("demo", MemoryStore())


def add(ledger, *drafts):
    for draft in drafts:
        ledger.append(lambda _, draft=draft: draft)


def test_entries_follow_one_another_by_number_and_digest(ledger):
    add(ledger, start("lgb"), *day("2024-01-02"))
    entries = list(ledger.list_entries())
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry.before for entry in entries] == [NO_DIGEST, *(entry.digest for entry in entries[:-1])]
    assert ledger.read_state().published == "2024-01-02"


def test_what_is_stored_says_how_the_serving_stands(ledger):
    add(ledger, start("lgb"), Draft(kind="train", session="2024-01-02", body={"models": {"lgb": [model(1).to_json()]}}))
    again = ServingLedger("demo", ledger.store).read_state()
    assert again.strategies["lgb"].next == (model(1),)
    assert ServingState.from_json(again.to_json()) == again


@pytest.mark.parametrize(
    ("drafts", "said"),
    [
        ([Draft(kind="open", session="2024-01-01", body={"generation": "g", "known": 1})], "from 2024-01-02 on"),
        ([*day("2024-01-02"), day("2024-01-02")[0]], "after 2024-01-02"),
        ([*day("2024-01-02"), day("2024-01-02")[-1]], "none is open"),
        ([*day("2024-01-02")[:1], day("2024-01-03")[0]], "while 2024-01-02 is"),
        ([*day("2024-01-02")[:3], day("2024-01-02")[-1]], "not the one that was made"),
        ([*day("2024-01-02")[:4], day("2024-01-02")[3]], "scored already"),
        ([*day("2024-01-02")[:1], day("2024-01-02")[3]], "before its models are online"),
        ([start("lgb")], "once"),
        (
            [Draft(kind="switch", session="2024-01-02", body={"models": {"lgb": [model(1, "2024-01-03").to_json()]}})],
            "its first session is 2024-01-03",
        ),
        ([Draft(kind="roles", body={"roles": {"lgb": "shadow"}})], "nothing would be published"),
        ([Draft(kind="strategy", body={"action": "pause", "strategy": "lgb"})], "nothing would be published"),
        ([Draft(kind="strategy", body={"action": "pause", "strategy": "xgb"})], "no strategy `xgb`"),
        ([*day("2024-01-02")[:4], Draft(kind="roles", body={"roles": {"lgb": "champion"}})], "yet published"),
        ([*day("2024-01-02"), Draft(kind="skip", session="2024-01-02", body={})], "was reached"),
    ],
)
def test_what_does_not_follow_is_refused_and_changes_nothing(ledger, drafts, said):
    add(ledger, start("lgb"), *drafts[:-1])
    before = [entry.digest for entry in ledger.list_entries()]
    with pytest.raises(LedgerError, match=said):
        add(ledger, drafts[-1])
    assert [entry.digest for entry in ledger.list_entries()] == before


def test_a_refused_session_is_published_only_by_an_override_and_once(ledger):
    drafts = day("2024-01-02")
    add(ledger, start("lgb"), *drafts[:4], replace(drafts[4], kind="refuse"))
    assert ledger.read_state().published is None
    override = replace(drafts[4], body={**drafts[4].body, "override": True}, reason="looked at it")
    add(ledger, override)
    assert ledger.read_state().published == "2024-01-02"
    with pytest.raises(LedgerError, match="refused"):
        add(ledger, override)


def test_many_that_append_at_once_append_one_after_the_other(tmp_path):
    url = f"sqlite:///{tmp_path}/pool.db"
    first = ServingLedger("demo", store_from_url(url))
    first.store.migrate()
    add(first, start("lgb", "xgb"))

    def append_many():
        ledger = ServingLedger("demo", store_from_url(url))
        for _ in range(5):
            ledger.append(lambda _: Draft(kind="roles", body={"roles": {"xgb": "shadow"}}))

    threads = [threading.Thread(target=append_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = list(ServingLedger("demo", store_from_url(url)).list_entries())
    assert [entry.number for entry in entries] == list(range(1, 22))
    assert [entry.before for entry in entries[1:]] == [entry.digest for entry in entries[:-1]]


def test_who_decides_is_asked_again_when_somebody_was_first(ledger):
    other = ServingLedger("demo", ledger.store)
    add(ledger, start("lgb", "xgb"))
    seen = []

    def decide(state):
        seen.append(state.strategies["xgb"].role)
        if len(seen) == 1:
            add(other, Draft(kind="roles", body={"roles": {"xgb": "shadow"}}))
        return None if seen[-1] == "shadow" else Draft(kind="roles", body={"roles": {"xgb": "shadow"}})

    assert ledger.append(decide) is None
    assert seen == ["challenger", "shadow"]


def test_who_took_an_entry_and_died_holds_up_nobody(ledger):
    add(ledger, start("lgb"))
    pool = pool_of("demo")
    ledger.store.put(pool, [ledger._task(2)])  # as `append` does before it is killed
    ledger.store.claim(ClaimRequest(pool=pool, owner="dead", lease=1e-9))
    add(ledger, Draft(kind="roles", body={"roles": {"lgb": "champion"}}))
    assert ledger.read_head().number == 2
    ledger.store.put(pool, [ledger._task(3)])
    ledger.store.amend(pool, parse({"status": "waiting"}), Amendment(status=Status.CANCELLED))
    add(ledger, Draft(kind="roles", body={"roles": {"lgb": "champion"}}))
    assert ledger.read_head().number == 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 40, 65, 130])
def test_the_last_entry_is_found_however_many_there_are(ledger, count):
    add(ledger, start("lgb", "xgb"))
    add(ledger, *[Draft(kind="roles", body={"roles": {"xgb": "shadow"}})] * (count - 1))
    fresh = ServingLedger("demo", ledger.store)
    assert fresh.read_head().number == count
    for wanted in {1, count // 2, count - 1, count} - {0}:
        assert fresh.find_last(lambda entry, wanted=wanted: entry.number <= wanted).number == wanted
    assert fresh.find_last(lambda entry: False) is None
    assert [entry.number for entry in fresh.list_entries(2, count)] == list(range(2, count))


def test_an_entry_of_another_number_serving_or_content_is_refused(ledger):
    add(ledger, start("lgb"))
    stored = ledger.read(1).to_json()
    for changed in (
        {**stored, "reason": "another"},
        {**stored, "number": 2},
        {**stored, "serving": "other"},
        {**stored, "format": 9},
        {**stored, "more": 1},
        {**stored, "by": "me"},
        [],
        None,
    ):
        with pytest.raises(LedgerError):
            LedgerEntry.from_json(changed, serving="demo", number=1)
    assert LedgerEntry.from_json(stored, serving="demo", number=1) == ledger.read(1)


def test_a_serving_needs_a_name_that_can_name_a_folder():
    for name in ("", "../x", "a/b", "x" * 300):
        with pytest.raises(Exception, match="names no serving"):
            pool_of(name)


def test_the_state_names_the_entries_that_gave_a_role_and_put_models_online(ledger):
    switch = Draft(kind="switch", session="2024-01-02", body={"models": {"lgb": [model(1).to_json()]}})
    roles = Draft(kind="roles", body={"roles": {"lgb": "champion", "xgb": "shadow"}})
    add(ledger, start("lgb", "xgb"), switch, roles, switch)
    strategies = ledger.read_state().strategies
    assert {name: (one.role_since, one.online_since) for name, one in strategies.items()} == {
        "lgb": (1, 2),
        "xgb": (3, 0),
    }
