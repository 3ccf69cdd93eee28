"""The verbs of a serving: strategies are added and paused, signals are read back, and mistakes are told."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from rollwright.app.online.record import open_ledger
from rollwright.cli.root import run
from served_project import CAMPAIGN, arrive, make_arriving, session

KNOWN = 120
SECOND = """\
vary:
  - {name: daily}
  - {name: ols, model.kwargs: {estimator: ols}}
"""


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch):
    """Random prices make random signals, which the usual bounds refuse now and then."""
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A project that serves one member and has served its first session; to be copied."""
    folder = tmp_path_factory.mktemp("online") / "project"
    make_arriving(folder, known=KNOWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())
        assert run(["online", "init", "daily.yaml"]) == 0
        assert run(["online", "routine"]) == 0
    return folder


@pytest.fixture
def project(begun, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "project"
    shutil.copytree(begun, folder)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    return folder


def ask(capsys, *words):
    code = run(["online", *words])
    return code, capsys.readouterr()


def count_entries(folder):
    with open_ledger(project=folder) as opened:
        return opened.read_head()[0].number


def test_a_routine_says_what_became_of_each_session(project, capsys):
    arrive(project, KNOWN, KNOWN)
    code, said = ask(capsys, "routine")
    assert code == 0
    assert said.out.startswith(f"{session(KNOWN)}: published by entry ")
    assert "30 names" in said.out
    code, said = ask(capsys, "routine")
    assert (code, "nothing to do" in said.out) == (0, True)
    data = json.loads(ask(capsys, "routine", "daily", "--json")[1].out)["data"]
    assert data["idle"]
    assert data["sessions"][0]["outcome"] == "published"
    assert ask(capsys, "catch-up")[1].out == "daily: no session was missed\n"


def test_a_second_member_is_added_as_a_challenger_and_scored_beside_the_champion(project, capsys):
    (project / "daily.yaml").write_text(f"{CAMPAIGN}{SECOND}")
    assert ask(capsys, "strategy", "add", "ols")[0] == 2
    code, said = ask(capsys, "strategy", "add", "ols", "--reason", "try it")
    assert code == 0
    assert "ols is active, and challenger of daily, by entry" in said.out
    assert "it was so before" in ask(capsys, "strategy", "add", "ols", "--reason", "again")[1].out
    arrive(project, KNOWN, KNOWN)
    assert ask(capsys, "routine")[0] == 0
    published = pd.read_csv(project / _write(capsys, "--session", session(KNOWN)))
    champion = pd.read_csv(project / _write(capsys, "--strategy", "daily"))
    challenger = pd.read_csv(project / _write(capsys, "--role", "challenger"))
    assert published["of"].unique().tolist() == ["published"]
    assert challenger["of"].unique().tolist() == ["ols"]
    assert published["score"].tolist() == champion["score"].tolist()
    assert published["score"].tolist() != challenger["score"].tolist()


def _write(capsys, *words):
    assert ask(capsys, "signals", *words, "--out", "signals.csv")[0] == 0
    return "signals.csv"


def test_a_strategy_is_paused_resumed_and_removed_once_and_with_a_reason(project, capsys):
    (project / "daily.yaml").write_text(f"{CAMPAIGN}{SECOND}")
    assert ask(capsys, "strategy", "add", "ols", "--reason", "try it", "--role", "shadow")[0] == 0
    for action, status in (("pause", "paused"), ("resume", "active"), ("remove", "removed")):
        assert ask(capsys, "strategy", action, "ols")[0] == 2
        before = count_entries(project)
        code, said = ask(capsys, "strategy", action, "ols", "--reason", "because", "--json")
        assert code == 0
        assert json.loads(said.out)["data"]["status"] == status
        assert count_entries(project) == before + 1
        if action != "remove":
            assert "nothing was done" in ask(capsys, "strategy", action, "ols", "--reason", "again")[1].out
            assert count_entries(project) == before + 1
    assert "does not come back" in ask(capsys, "strategy", "resume", "ols", "--reason", "x")[1].err
    assert "does not come back" in ask(capsys, "strategy", "add", "ols", "--reason", "x")[1].err
    (project / "daily.yaml").write_text(CAMPAIGN)
    assert ask(capsys, "routine")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["strategy", "pause", "daily", "--reason", "x"], 4, "nothing would be published"),
        (["strategy", "pause", "dail", "--reason", "x"], 2, "did you mean `daily`?"),
        (["strategy", "add", "dail", "--reason", "x"], 2, "did you mean `daily`?"),
        (["strategy", "add", "daily", "--reason", "  "], 2, "no reason is given"),
        (["signals", "--strategy", "dail"], 2, "did you mean `daily`?"),
        (["signals", "--role", "shadow"], 2, "was made by a shadow"),
        (["signals", "--session", "2019-01-01"], 2, "no signal of 2019-01-01"),
        (["signals", "--session", "soon"], 2, "'soon' is no session"),
        (["signals", "--session", "2020-06-16", "--to", "2020-06-16"], 2, "a session and a range"),
        (["signals", "--role", "shadow", "--strategy", "daily"], 2, "a role and a strategy"),
        (["signals", "--out", "signals.xlsx"], 2, "neither .csv nor .parquet"),
        (["routine", "--session", "soon"], 2, "soon"),
        (["routine", "--session", "2020-06-01"], 2, "before 2020-06-16"),
        (["catch-up", "--policy", "some"], 2, "some"),
        (["catch-up", "--window", "0"], 2, "--window"),
        (["init", "nothing.yaml"], 2, "nothing.yaml"),
        (["init", "daily.yaml", "--name", "../x"], 2, "names no serving"),
        (["init", "daily.yaml", "--name", "y", "--begin", "never"], 2, "never"),
    ],
)
def test_what_is_asked_wrong_is_told_and_changes_nothing(project, capsys, words, code, said):
    before = count_entries(project)
    found, told = ask(capsys, *words)
    assert found == code
    assert said in told.err
    assert told.out == ""
    assert count_entries(project) == before


def test_signals_are_printed_as_csv_and_written_as_parquet(project, capsys):
    lines = ask(capsys, "signals")[1].out.splitlines()
    assert lines[0] == "session,of,instrument,score"
    assert len(lines) == 31
    assert ask(capsys, "signals", "--from", "2020-06-01", "--out", "s.parquet")[0] == 0
    table = pd.read_parquet(project / "s.parquet")
    assert [repr(score) for score in table["score"]] == [line.split(",")[-1] for line in lines[1:]]
    (one,) = json.loads(ask(capsys, "signals", "--json")[1].out)["data"]
    assert one["scores"][table["instrument"][0]] == table["score"][0]


def test_scores_that_are_gone_are_named_and_no_others_are_shown(project, capsys):
    for file in (project / ".rollwright" / "artifacts").rglob("2020-06-16/**/*"):
        if file.is_file():
            file.unlink()
    code, said = ask(capsys, "signals")
    assert code == 4
    assert "2020-06-16" in said.err
    assert said.out == ""


def test_what_cannot_be_trained_ends_with_1_and_the_session_stays_open(project, capsys, monkeypatch):
    def fail(*_args, **_kwargs):
        raise ValueError("no rows")

    arrive(project, KNOWN, KNOWN + 9)  # a window begins meanwhile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rollwright.models.linear.LinearModel.fit", fail)
        code, said = ask(capsys, "routine")
    assert code == 1
    assert "no rows" in said.err
    assert "stays open" in said.err
    assert "is open and not yet published" in ask(capsys, "status")[1].out
    assert ask(capsys, "routine")[0] == 0
