"""`online status`: how a serving stands is read from its ledger, and whatever is asked wrong is told."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rollwright.cli.root import run
from served_ledgers import begin, make_served, served_day


def ask(capsys, *words):
    code = run(["online", "status", *words])
    return code, capsys.readouterr()


def test_it_shows_strategies_models_and_the_last_session(fresh, capsys):
    make_served(fresh / "small.yaml", [begin("lgb", "xgb"), *served_day("2024-01-02")])
    code, said = ask(capsys)
    assert code == 0
    lines = said.out.splitlines()
    assert lines[0] == "small: session 2024-01-02 was published by entry 6"
    assert lines[2].split() == ["lgb", "champion", "00000000", "2024-01-02"]
    assert lines[3].split()[:2] == ["xgb", "challenger"]
    assert "6 entries" in lines[4]
    assert lines[5] == "next: rollwright online routine small"


@pytest.mark.parametrize(
    ("drafts", "said"),
    [
        ([], "no session was served yet; the first is 2024-01-02"),
        (served_day("2024-01-02")[:2], "session 2024-01-02 is open and not yet published"),
        (served_day("2024-01-02")[:4], "session 2024-01-02 is scored and not yet published"),
        (served_day("2024-01-02", "refuse"), "was refused by entry 6; the last published one is none yet"),
    ],
)
def test_it_says_in_one_line_how_far_the_serving_is(fresh, capsys, drafts, said):
    make_served(fresh / "small.yaml", [begin("lgb"), *drafts])
    assert said in ask(capsys)[1].out


def test_a_program_gets_the_whole_state(fresh, capsys):
    make_served(fresh / "small.yaml", [begin("lgb"), *served_day("2024-01-02")])
    data = json.loads(ask(capsys, "small", "--json")[1].out)["data"]
    assert (data["serving"], data["entry"], data["published"]) == ("small", 6, "2024-01-02")
    assert len(data["digest"]) == 64
    assert data["strategies"]["lgb"]["online"][0]["serves_from"] == "2024-01-02"


def test_whoever_asks_where_nothing_is_served_is_told_how_to_begin(fresh, capsys):
    code, said = ask(capsys)
    assert (code, said.out) == (2, "")
    assert "rollwright online init FILE.yaml" in said.err
    assert not (fresh / ".rollwright").exists()


@pytest.mark.parametrize("name", ["smal", "../small", "", "x" * 300, "\x1b[31mred"])
def test_a_name_that_is_not_served_ends_with_2(fresh, capsys, name):
    make_served(fresh / "small.yaml", [begin("lgb")])
    code, said = ask(capsys, name)
    assert code == 2
    assert "small" in said.err
    assert "\x1b" not in said.err


def test_of_several_one_has_to_be_named(fresh, capsys):
    for name in ("one", "two"):
        make_served(fresh / "small.yaml", [begin("lgb")], name=name)
    code, said = ask(capsys)
    assert code == 2
    assert "one, two" in said.err
    assert ask(capsys, "two")[0] == 0


def test_a_damaged_record_a_missing_file_and_a_missing_ledger_are_named(fresh, capsys):
    make_served(fresh / "small.yaml", [begin("lgb")])
    record = fresh / ".rollwright" / "online" / "small.json"
    text = record.read_text()
    for damaged in (
        "{}",
        "garbage",
        text.replace('"small"', '"other"'),
        text.replace('"file": "small.yaml"', '"file": 3'),
    ):
        record.write_text(damaged)
        code, said = ask(capsys)
        assert code != 0
        assert "small.json" in said.err
        assert "Traceback" not in said.err
    record.write_text(text)
    (fresh / "small.yaml").rename(fresh / "moved.yaml")
    assert "small.yaml" in ask(capsys)[1].err
    (fresh / "moved.yaml").rename(fresh / "small.yaml")
    (fresh / ".rollwright" / "pool.db").unlink()
    code, said = ask(capsys)
    assert code == 4
    assert "not there" in said.err


def test_who_only_looks_loads_no_frames(fresh):
    make_served(fresh / "small.yaml", [begin("lgb")])
    code = (
        "import sys\nfrom rollwright.cli.root import run\nassert run(['online', 'status']) == 0\n"
        "sys.exit(', '.join(sorted({'pandas', 'numpy', 'mlflow', 'sqlalchemy', 'lightgbm'} & sys.modules.keys())) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
