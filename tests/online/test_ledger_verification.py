"""Verifying a whole ledger: what was edited, removed, reordered or sealed anew is named, by us and from outside."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ledger_drafts import next_step
from rollwright.errors import LedgerError
from rollwright.online.ledger import Draft, ServingLedger, pool_of
from rollwright.online.verification import export_entries, verify_ledger
from rollwright.pool.store import NewTask
from rollwright.pool.urls import store_from_url

SCRIPT = Path(__file__).parents[2] / "examples" / "online" / "verify_chain.py"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pool.db"


@pytest.fixture
def ledger(file):
    """Return a ledger of 27 entries in an SQLite file, with texts and figures of all kinds."""
    store = store_from_url(f"sqlite:///{file}")
    store.migrate()
    made = ServingLedger("demo", store)
    while made.append(lambda state: next_step(state, days=5)):
        pass
    body = {"figures": [0.1, 1e-9, 12345678901.5, 3, -0.0], "text": "\u2028 é \U0001f600 \x1b[2J"}
    made.append(lambda _: Draft(kind="alarm", body=body, reason="a test"))
    yield made
    store.close()


def digest_of(entry):
    plain = {name: value for name, value in entry.items() if name != "digest"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def change(file, number, edit, *, seal=True):
    """Edit an entry in the database; `seal` gives it a digest that fits."""
    with closing(sqlite3.connect(file)) as database, database:
        rows = database.execute("SELECT id, result FROM task ORDER BY id").fetchall()
        task, result = rows[number - 1]
        entry = json.loads(result)
        edit(entry)
        if seal:
            entry["digest"] = digest_of(entry)
        database.execute("UPDATE task SET result = ? WHERE id = ?", (json.dumps(entry), task))


def rewrite(file, number, edit):
    """Edit an entry and seal it and all that follow anew."""
    with closing(sqlite3.connect(file)) as database, database:
        before = None
        for task, result in database.execute("SELECT id, result FROM task ORDER BY id").fetchall():
            entry = json.loads(result)
            if entry["number"] == number:
                edit(entry)
            if before is not None:
                entry["before"] = before
            before = entry["digest"] = digest_of(entry)
            text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            database.execute("UPDATE task SET result = ? WHERE id = ?", (text, task))


def run_sql(file, *statements):
    with closing(sqlite3.connect(file)) as database, database:
        for statement in statements:
            database.execute(statement)


def run_script(*arguments):
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout


def numbers_of(verification):
    return [problem.number for problem in verification.problems]


def set_reason(entry):
    entry["reason"] = "another"


def test_a_ledger_as_it_was_written_has_no_problem(ledger, file, tmp_path):
    found = verify_ledger(ledger)
    head = ledger.read_head()
    assert (found.entries, found.head, found.problems) == (27, head.digest, ())
    assert len(found.references) == 5
    known = {5: ledger.read(5).digest, 27: head.digest}
    assert verify_ledger(ledger, known=known).problems == ()
    export = tmp_path / "ledger.jsonl"
    export.write_text("\n".join(export_entries(ledger)) + "\n", encoding="utf-8")
    said = (0, f"27 entries, the last one {head.digest}\n")
    assert run_script(export) == said
    assert run_script(file, "online.demo") == said
    assert run_script(file, "online.demo", f"27:{head.digest}", f"5:{known[5]}") == said
    assert run_script(file, "online.other") == (1, "there is no entry\n")


@pytest.mark.parametrize(
    ("damage", "numbers", "said", "outside"),
    [
        (lambda file: change(file, 9, set_reason, seal=False), [9], "digest", "entry 9 was changed"),
        (lambda file: change(file, 9, set_reason), [10], "entry 9", "entry 10 does not hold the digest of entry 9"),
        (
            lambda file: run_sql(file, "DELETE FROM task WHERE id = 9"),
            [9],
            "entry 9 is missing",
            "entry 9 is missing",
        ),
        (
            lambda file: run_sql(file, "DELETE FROM task WHERE id BETWEEN 5 AND 9"),
            [5],
            "entries 5 to 9 are missing",
            "entry 5 is missing",
        ),
        (
            lambda file: run_sql(
                file,
                "CREATE TABLE kept AS SELECT id, result FROM task WHERE id IN (9, 10)",
                "UPDATE task SET result = (SELECT result FROM kept WHERE kept.id = 19 - task.id) WHERE id IN (9, 10)",
            ),
            [9, 10],
            "says that it is entry",
            "entry 9 is missing",
        ),
        (
            lambda file: run_sql(file, "UPDATE task SET result = '[1' WHERE id = 9"),
            [9],
            "no JSON of an entry",
            "line 9 is no entry",
        ),
        (
            lambda file: run_sql(file, "UPDATE task SET status = 'failed' WHERE id = 9"),
            [9, 9],
            "its task is failed",
            "entry 9 is missing",
        ),
        (
            lambda file: change(file, 1, lambda entry: entry.update(before="1" * 64)),
            [1, 2],
            "entry 1 does not hold",
            "entry 1 does not hold",
        ),
    ],
)
def test_what_was_damaged_is_named(ledger, file, damage, numbers, said, outside):
    damage(file)
    found = verify_ledger(ServingLedger("demo", ledger.store))
    assert numbers_of(found) == numbers
    assert said in found.problems[0].text
    code, text = run_script(file, "online.demo")
    assert (code, outside in text) == (1, True), text


def test_every_damaged_entry_is_named_not_only_the_first(ledger, file):
    change(file, 4, set_reason, seal=False)
    change(file, 12, set_reason, seal=False)
    run_sql(file, "DELETE FROM task WHERE id = 20")
    assert numbers_of(verify_ledger(ServingLedger("demo", ledger.store))) == [4, 12, 20]


def test_a_chain_written_anew_as_a_whole_is_shown_by_a_digest_that_left_the_machine(ledger, file):
    known = {27: ledger.read(27).digest}
    rewrite(file, 9, set_reason)
    again = ServingLedger("demo", ledger.store)
    assert verify_ledger(again).problems == ()
    assert numbers_of(verify_ledger(again, known=known)) == [27]
    assert run_script(file, "online.demo")[0] == 0
    code, text = run_script(file, "online.demo", f"27:{known[27]}")
    assert (code, "written anew" in text) == (1, True)


def test_a_ledger_that_was_cut_is_shown_by_a_digest_that_left_the_machine(ledger, file):
    known = {27: ledger.read(27).digest}
    run_sql(file, "DELETE FROM task WHERE id > 20")
    again = ServingLedger("demo", ledger.store)
    assert verify_ledger(again).problems == ()
    assert numbers_of(verify_ledger(again, known=known)) == [27]
    assert run_script(file, "online.demo", f"27:{known[27]}") == (1, "entry 27 was known, and is missing\n")


def test_an_entry_that_does_not_follow_is_named_though_the_chain_fits(ledger, file):
    def publish_again(entry):
        entry.update(kind="publish", body={"signal": entry["state"]["last"]["signal"]}, session="2024-01-03")

    rewrite(file, 27, publish_again)
    found = verify_ledger(ServingLedger("demo", ledger.store))
    assert numbers_of(found) == [27]
    assert "does not follow" in found.problems[0].text

    def lie(entry):
        entry["body"]["text"] = "x"
        entry["state"]["published"] = "2024-01-01"

    rewrite(file, 20, lie)
    assert 20 in numbers_of(verify_ledger(ServingLedger("demo", ledger.store)))


def test_what_is_no_entry_of_this_ledger_is_named_and_its_text_escaped(ledger):
    for definition in (
        {"serving": "demo\x1b[2J", "entry": 3},
        {"serving": "demo", "entry": "3"},
        {"class": "os.system"},
    ):
        ledger.store.put(pool_of("demo"), [NewTask.of(definition)])
    found = verify_ledger(ledger)
    assert numbers_of(found) == [None, None, None]
    assert all("\x1b" not in problem.text for problem in found.problems)


def test_scores_that_are_not_those_of_their_digest_are_named_once(ledger):
    asked = []

    def load(reference):
        asked.append(reference)
        if reference.artifact.endswith("-03"):
            raise LedgerError(f"the scores {reference.artifact} are gone")

    found = verify_ledger(ledger, load_signal=load)
    assert found.signals == len(asked) == 5
    assert [problem.text for problem in found.problems] == ["the scores 2024-01-03 are gone"]
    assert found.to_json()["problems"] == [{"number": 15, "text": "the scores 2024-01-03 are gone"}]


def test_a_question_about_entries_that_are_gone_is_an_error_and_ends(ledger, file):
    run_sql(file, "DELETE FROM task WHERE id BETWEEN 17 AND 20")
    with pytest.raises(LedgerError, match="are missing"):
        ServingLedger("demo", ledger.store).find_last(lambda entry: entry.number < 19)
