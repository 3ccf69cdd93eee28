"""`online history` and `online audit`: what they print, what they refuse, and that hostile entries steer nothing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rollwright.app.online.record import open_ledger
from rollwright.cli.root import run
from rollwright.online.ledger import Draft
from served_ledgers import begin, make_served, served_day

SCRIPT = Path(__file__).parents[2] / "examples" / "online" / "verify_chain.py"
CHECK = {"name": "turnover", "value": 0.25, "bound": 0.9, "violated": False, "text": "turnover 0.25 <= 0.9: \x1b[2J"}


@pytest.fixture
def served(fresh):
    """A project with a ledger of 12 entries: one session published, one refused, roles changed."""
    roles = {"roles": {"lgb": "challenger", "xgb": "champion"}, "action": "promote", "override": True}
    refused = served_day("2024-01-03", "refuse")
    refused[-1] = replace(refused[-1], body={**refused[-1].body, "checks": [CHECK], "violations": ["turnover"]})
    drafts = [
        begin("lgb", "xgb"),
        *served_day("2024-01-02"),
        *refused,
        Draft(kind="roles", body=roles, reason="because \x1b[31mred\x1b[0m"),
    ]
    make_served(fresh / "small.yaml", drafts)
    return fresh


def ask(capsys, *words):
    code = run(["online", *map(str, words)])
    return code, capsys.readouterr()


def database(folder):
    (found,) = folder.glob(".rollwright/pool*.db")
    return found


def read_digest(number):
    with open_ledger() as opened:
        return opened.ledger.read(number).digest


def test_history_lists_entries_in_order_with_who_when_and_why(served, capsys):
    code, said = ask(capsys, "history")
    lines = said.out.splitlines()
    assert (code, len(lines), lines[-1]) == (0, 14, "12 of 12 entries of small")
    assert [line.split()[0] for line in lines[1:-1]] == [str(number) for number in range(1, 13)]
    assert "promote, lgb: challenger, xgb: champion, override, because" in lines[12]
    assert "\x1b" not in said.out


def test_history_is_narrowed_by_kind_day_and_number(served, capsys):
    assert "2 of 12" in ask(capsys, "history", "--kind", "publish", "--kind", "refuse")[1].out
    assert "0 of 12" in ask(capsys, "history", "--since", "2999-01-01")[1].out
    assert "12 of 12" in ask(capsys, "history", "--since", "2020-01-01")[1].out
    data = json.loads(ask(capsys, "history", "small", "--last", "2", "--json")[1].out)["data"]
    assert [entry["number"] for entry in data["entries"]] == [11, 12]
    code, said = ask(capsys, "history", "--kind", "publsh")
    assert (code, "kinds: init" in said.err) == (2, True)
    assert ask(capsys, "history", "--since", "yesterday")[0] == 2


def test_audit_tells_what_was_live_and_the_entries_that_led_there(served, capsys):
    code, said = ask(capsys, "audit", "--at", "2024-01-03")
    assert code == 0
    assert said.out.startswith("small, session 2024-01-03: refused; the signal of session 2024-01-03 was made and not")
    assert "last published: 2024-01-02" in said.out
    assert "check: turnover 0.25 <= 0.9" in said.out
    assert "\x1b" not in said.out
    assert [line.split()[0] for line in said.out.splitlines()[-5:]] == ["7", "8", "9", "10", "11"]
    data = json.loads(ask(capsys, "audit", "--at", "2024-01-02", "--json")[1].out)["data"]
    assert (data["outcome"], data["strategies"][0]["role"]) == ("published", "champion")
    assert data["entries"][-1]["digest"] == read_digest(6)
    assert data["strategies"][0]["models"][0]["recorder"] == f"{1:032x}"


def test_audit_answers_as_the_ledger_stood_at_a_time(served, capsys):
    with open_ledger() as opened:
        then = opened.ledger.read(9).at
    said = ask(capsys, "audit", "--at", "2024-01-03", "--time", then.replace("Z", "+00:00"))[1]
    assert "2024-01-03: open" in said.out
    assert ask(capsys, "audit", "--at", "2024-01-03", "--time", "2024-01-03T10:00")[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--at", "2024-01-02", "--verify"),
        ("--signals",),
        ("--time", "2024-01-03T10:00:00Z"),
        ("--at", "2024-01-02", "--known", f"1:{'0' * 64}"),
        ("--verify", "--known", "1:abc"),
        ("--verify", "--known", f"one:{'0' * 64}"),
        ("--at", "yesterday"),
        ("--at", "2024-13-01"),
        ("--at", "2024-01-02", "--time", "noon"),
        ("other", "--verify"),
    ],
)
def test_what_is_asked_wrongly_is_told_and_nothing_is_written(served, capsys, words):
    before = hashlib.sha256(database(served).read_bytes()).hexdigest()
    code, said = ask(capsys, "audit", *words)
    assert (code, said.out) == (2, "")
    assert hashlib.sha256(database(served).read_bytes()).hexdigest() == before


def test_a_sound_ledger_is_verified_and_its_export_too(served, capsys):
    head = read_digest(12)
    code, said = ask(capsys, "audit", "--verify", "--known", f"12:{head}")
    assert (code, said.out) == (0, f"small: 12 entries, as they were written; the last one is {head}\n")
    code, said = ask(capsys, "audit", "--export", "ledger.jsonl")
    assert (code, said.out) == (0, f"ledger.jsonl: 12 entries, the last one {head}\n")
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), "ledger.jsonl"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"12 entries, the last one {head}\n"
    assert ask(capsys, "audit", "--export", "none/there/ledger.jsonl")[0] != 0 or Path("none").exists()


def test_a_damaged_ledger_ends_with_exit_4_and_names_the_entry(served, capsys):
    with closing(sqlite3.connect(database(served))) as opened, opened:
        opened.execute("UPDATE task SET result = replace(result, '2024-01-03', '2024-01-04') WHERE id = 9")
    code, said = ask(capsys, "audit", "--verify")
    assert code == 4
    assert "entry 9 of serving small does not have the digest of what it says" in said.err
    assert "1 problems" in said.out or "2 problems" in said.out
    code, said = ask(capsys, "audit", "--verify", "--json")
    found = json.loads(said.out)
    assert (code, found["ok"], found["data"]["problems"][0]["number"]) == (4, False, 9)
    code, said = ask(capsys, "audit", "--export", "ledger.jsonl")
    assert (code, Path("ledger.jsonl").exists()) == (4, False)


def test_a_known_digest_shows_a_ledger_that_is_another(served, capsys):
    code, said = ask(capsys, "audit", "--verify", "--known", f"5:{'0' * 64}", "--known", f"40:{'1' * 64}")
    assert code == 4
    assert "entry 5 is not the one that was known" in said.err
    assert "entry 40 was known by its digest, and is not there" in said.err
