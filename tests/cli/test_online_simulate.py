"""`online simulate`: what would have been published, the same as what is published, and no ledger is written."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from rollwright.cli.root import run
from served_project import CAMPAIGN, TWO, make_arriving, session

KNOWN = 125


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch):
    """Random prices make random signals, which the usual bounds refuse now and then."""
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())


@pytest.fixture
def project(tmp_path, monkeypatch):
    file = make_arriving(tmp_path / "project", text=f"{CAMPAIGN}{TWO}", known=KNOWN)
    monkeypatch.chdir(file.parent)
    return file.parent


def ask(capsys, *words):
    code = run(["online", *words])
    return code, capsys.readouterr()


def test_it_gives_what_serving_gives_and_ends_where_it_is_told(project, capsys):
    span = ["--from", session(112), "--to", session(122)]
    code, said = ask(capsys, "simulate", "daily.yaml", *span, "--out", "simulated.csv")
    assert code == 0
    assert "11 sessions published; mean rank IC" in said.out
    assert not (project / ".rollwright" / "online").exists()
    assert ask(capsys, "init", "daily.yaml", "--begin", session(112))[0] == 0
    assert ask(capsys, "routine", "--session", session(122))[0] == 0
    assert ask(capsys, "signals", "--from", session(112), "--out", "served.csv")[0] == 0
    simulated, served = (pd.read_csv(project / name) for name in ("simulated.csv", "served.csv"))
    assert simulated["session"].max() == session(122)
    assert simulated["score"].tolist() == served["score"].tolist()
    assert simulated["instrument"].tolist() == served["instrument"].tolist()


def test_the_ic_is_left_out_where_the_label_is_not_known(project, capsys):
    code, said = ask(capsys, "simulate", "daily.yaml", "--from", session(KNOWN - 5), "--json")
    assert code == 0
    days = json.loads(said.out)["data"]["days"]
    assert [day["session"] for day in days] == [session(place) for place in range(KNOWN - 5, KNOWN)]
    assert [day["rank_ic"] is None for day in days] == [False, False, False, True, True]
    assert {day["names"] for day in days} == {30}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "2021-01-01"], "the data end on"),
        (["--from", session(120), "--to", session(110)], "has no session"),
        (["--from", "soon"], "soon"),
        (["--from", session(110), "--out", "x.txt"], "neither .csv nor .parquet"),
        ([], "--from"),
    ],
)
def test_a_range_that_is_none_ends_with_2(project, capsys, words, said):
    code, told = ask(capsys, "simulate", "daily.yaml", *words)
    assert code == 2
    assert said in told.err
