"""Entries that somebody who may write to the database made up: an error that says so, and nothing done or written."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing

import pytest

from ledger_drafts import begin, next_step
from rollwright.errors import LedgerError, RollwrightError
from rollwright.online.audit import what_was_live
from rollwright.online.ledger import Draft, ServingLedger, pool_of
from rollwright.online.recorded_signals import list_pairs
from rollwright.online.roles import promote, publish_refused, roll_back, roll_back_models
from rollwright.online.signal_store import SignalStore
from rollwright.online.state import SignalReference
from rollwright.online.verification import export_entries, verify_ledger
from rollwright.pool.store import NewTask
from rollwright.pool.urls import store_from_url

SESSION = "2024-01-02"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "hostile.db"


@pytest.fixture
def store(file):
    made = store_from_url(f"sqlite:///{file}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def ledger(store):
    made = ServingLedger("demo", store)
    made.append(lambda _: begin("lgb", "xgb"))
    while made.append(lambda state: next_step(state, days=2)):
        pass
    roles = {"roles": {"lgb": "challenger", "xgb": "champion"}, "action": "promote", "before": {"lgb": "champion"}}
    made.append(lambda _: Draft(kind="roles", body=roles))
    return ServingLedger("demo", store)


def seal(entry):
    plain = {name: value for name, value in entry.items() if name != "digest"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**plain, "digest": hashlib.sha256(text.encode()).hexdigest()}


def change_last(file, edit):
    with closing(sqlite3.connect(file)) as database, database:
        task, result = database.execute("SELECT id, result FROM task ORDER BY id DESC LIMIT 1").fetchone()
        made = edit(json.loads(result))
        database.execute("UPDATE task SET result = ? WHERE id = ?", (made, task))


def sealed(edit):
    def change(entry):
        edit(entry)
        return json.dumps(seal(entry))

    return change


def deep(levels):
    value = None
    for _ in range(levels):
        value = [value]
    return value


def rename_strategy(entry):
    strategies = entry["state"]["strategies"]
    strategies["\x1b[2J../../etc"] = strategies.pop("lgb")


def put_models(entry):
    model = {"experiment": "../..", "recorder": "../../../etc/passwd", "serves_from": SESSION, "fit_key": "\x1b[2J"}
    entry["state"]["strategies"]["lgb"].update(online=[model], online_since=10**12)


HOSTILE = {
    "a state that is none": sealed(lambda entry: entry.update(state={})),
    "a state of lists": sealed(lambda entry: entry["state"].update(strategies=[1, 2])),
    "a state too deep": sealed(lambda entry: entry["state"].update(last=deep(300))),
    "a body too deep": sealed(lambda entry: entry.update(body={"roles": deep(300)})),
    "deeper than any reader goes": lambda entry: "[" * 200_000,
    "a role that is none": sealed(lambda entry: entry["state"]["strategies"]["lgb"].update(role="root")),
    "a role that is a list": sealed(lambda entry: entry["state"]["strategies"]["lgb"].update(role=["champion"])),
    "a name that steers a terminal": sealed(rename_strategy),
    "roles before that are none": sealed(lambda entry: entry["body"].update(before={"\x1b[2J": "champion"})),
    "roles before for nobody": sealed(lambda entry: entry["body"].update(before=7)),
    "models elsewhere": sealed(put_models),
    "a number of another type": sealed(lambda entry: entry.update(number=12.0)),
    "a kind that is none": sealed(lambda entry: entry.update(kind="\x1b[2Jeval")),
    "a time that is none": sealed(lambda entry: entry.update(at="now")),
    "an author that is a list": sealed(lambda entry: entry.update(by=["me"])),
    "a reason beyond all length": sealed(lambda entry: entry.update(reason="x" * 100_000)),
    "another serving": sealed(lambda entry: entry.update(serving="\x1b[2Jother")),
    "another format": sealed(lambda entry: entry.update(format="\x1b[2J")),
    "a signal of no rows": sealed(lambda entry: entry["state"]["last"]["signal"].update(rows=-1)),
    "more than can be read": lambda entry: json.dumps({"x": "y" * 5_000_000}),
    "a key twice": lambda entry: '{"format": 1, "format": 1}',
    "NaN": lambda entry: '{"format": NaN}',
    "nothing": lambda entry: None,
    "half of it": lambda entry: json.dumps(entry)[:100],
}


def ask(question, ledger):
    """Return what an error says, nothing where there was none."""
    try:
        question(ledger)
    except RollwrightError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_entry_is_an_error_or_data_and_changes_nothing(ledger, file, kind):
    change_last(file, HOSTILE[kind])
    before = file.read_bytes()
    questions = (
        lambda one: one.read_state(),
        lambda one: what_was_live(one, SESSION),
        lambda one: list(export_entries(one)),
        lambda one: list_pairs(one, one.read_state(), "lgb"),
        lambda one: roll_back(one, reason=""),
        lambda one: roll_back_models(one, "lgb", reason="why"),
        lambda one: publish_refused(one, reason="why"),
        lambda one: promote(one, "lgb", evidence=None),
    )
    for question in questions:
        said = ask(question, ServingLedger("demo", ledger.store))
        assert "\x1b" not in said
        assert len(said) < 5_000
    found = verify_ledger(ServingLedger("demo", ledger.store))
    assert found.problems or kind.startswith("roles before")  # what an author may write, and nobody can use
    assert not any("\x1b" in problem.text for problem in found.problems)
    assert file.read_bytes() == before


def test_tasks_of_other_makers_in_the_pool_are_no_entries(ledger):
    head = ledger.read_head()
    for definition in ({"serving": "demo", "entry": 10**15}, {"serving": "other", "entry": 1}, {"class": "os.system"}):
        ledger.store.put(pool_of("demo"), [NewTask.of(definition)])
    fresh = ServingLedger("demo", ledger.store)
    assert fresh.read_head() == head
    assert [problem.number for problem in verify_ledger(fresh).problems] == [None, None]


@pytest.mark.parametrize(
    ("recorder", "artifact"),
    [
        ("../../../etc", "passwd"),
        ("0" * 32, "../../../../etc/passwd"),
        ("/etc", "/etc/passwd"),
        ("x' OR '1'='1", "y"),
        ("\x1b[2J", "\x00"),
    ],
)
def test_a_reference_that_leads_elsewhere_finds_no_scores(recorder, artifact, tmp_path):
    (tmp_path / "etc").mkdir()
    before = sorted(tmp_path.rglob("*"))
    reference = SignalReference(recorder=recorder, artifact=artifact, sha256="a" * 64, rows=1)
    with pytest.raises(LedgerError) as caught:
        SignalStore("demo").load(reference)
    assert "\x1b" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
