"""``explain-trade``: each order of a back-test, and each that there was not, has its reason."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from rollwright.cli.root import run
from rollwright.codecs.registry import codecs
from small_campaign import CAMPAIGN, roll_here

BACKTEST = "backtest: {topk: 3, n_drop: 1, account: 60}\n"


@pytest.fixture
def tested(rolled_project):
    """A project whose campaign has a small account."""
    return rolled_project(CAMPAIGN + BACKTEST)


def read(folder, name):
    return codecs.for_kind("parquet").read(folder / "results" / "small" / name)


def answer(capsys, *arguments):
    capsys.readouterr()
    assert run(["explain-trade", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["data"]


def test_every_day_of_every_instrument_is_explained_as_the_tables_have_it(tested, capsys):
    trades, unfilled, pred = (
        read(tested, name) for name in ("backtest/trades.parquet", "backtest/unfilled.parquet", "pred.parquet")
    )
    assert len(unfilled)
    days = pred.index.get_level_values("datetime").unique()
    told = set()
    for (day, code), trade in trades.iloc[::9].iterrows():
        data = answer(capsys, f"{day:%Y-%m-%d}", code)
        (order,) = data["orders"]
        assert (order["side"], order["made_amount"], order["price"]) == (trade["side"], trade["amount"], trade["price"])
        before = days[days.get_loc(day) - 1]
        assert data["scored_on"] == f"{before:%Y-%m-%d}"
        assert data["place"]["score"] == pred["score"][(before, code)]
        assert data["held"] == (0.0 if trade["side"] == "buy" else trade["amount"])
    for (day, code), one in unfilled.iloc[:4].iterrows():
        data = answer(capsys, f"{day:%Y-%m-%d}", code)
        (order,) = data["orders"]
        assert (order["side"], order["reason"], order["made_amount"]) == (
            one["side"],
            one["reason"],
            one["made_amount"],
        )
        assert "the cash does not cover" in data["because"] or "less than one lot" in data["because"]
    day = days[20]
    for code in pred.xs(day, level="datetime").index:
        told.add(answer(capsys, f"{day:%Y-%m-%d}", code)["because"].split(":")[0])
    assert {"kept", "not wanted"} <= told


def test_it_is_told_for_people_too(tested, capsys):
    (day, code), order = next(iter(read(tested, "backtest/trades.parquet").iterrows()))
    assert run(["explain-trade", f"{day:%Y-%m-%d}", code]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{code} on {day:%Y-%m-%d}, back-test of small, main\nscore   ")
    assert f"{order['amount']:,.6g}" in out
    assert "result  bought" in out


def test_the_first_session_trades_nothing(tested, capsys):
    first = read(tested, "pred.parquet").index[0]
    assert "nothing was scored on the session before" in answer(capsys, f"{first[0]:%Y-%m-%d}", first[1])["because"]


def test_members_have_their_own_back_tests(fresh, capsys):
    file = fresh / "small.yaml"
    file.write_text(f"{CAMPAIGN}{BACKTEST}vary: {{model.kwargs.alpha: [0.1, 50.0]}}\ncombine: none\n")
    roll_here(file)
    assert run(["explain-trade", "2020-07-31", "SH600003"]) == 2
    assert "--member: alpha=0.1, alpha=50.0" in capsys.readouterr().err
    folder = fresh / "results" / "small" / "members" / "alpha=50.0"
    day, code = codecs.for_kind("parquet").read(folder / "backtest/trades.parquet").index[0]
    assert answer(capsys, f"{day:%Y-%m-%d}", code, "--member", "alpha=50.0")["orders"]
    assert run(["explain-trade", "2020-07-31", "SH600003", "--member", "alpha=5.0"]) == 2
    assert "did you mean `alpha=50.0`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        (["2020-01-10", "SH600003"], "does not run on 2020-01-10", "it runs from 2020-05-29 to 2020-10-05"),
        (["2020-07-25", "SH600003"], "2020-07-25 is not a session", "rollwright data info"),
        (["2020-07-31", "SH60003"], "`SH60003` is none of the 8 instruments", "did you mean `SH600003`?"),
        (["2020-07-31", "SH600003", "--member", "x"], "has no member `x`", "--member: main"),
    ],
)
def test_what_cannot_be_told_is_refused_with_a_way_out(tested, capsys, arguments, told, hint):
    assert run(["explain-trade", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert hint in error


def test_a_campaign_without_a_back_test_says_so(rolled, capsys):
    assert run(["explain-trade", "2020-07-31", "SH600003"]) == 2
    assert "small has no back-test" in capsys.readouterr().err


def test_results_that_are_older_than_the_table_are_made_anew(tested, capsys):
    summary = tested / "results" / "small" / "summary.json"
    data = json.loads(summary.read_text())
    for name in ("trades", "unfilled"):
        del data["variants"]["main"]["files"][name]
    summary.write_text(json.dumps(data))
    assert run(["explain-trade", "2020-07-31", "SH600003"]) == 2
    assert "rollwright collect small" in capsys.readouterr().err


def test_a_sale_that_leaves_no_holding_is_seen_the_day_after(tested, capsys):
    trades = read(tested, "backtest/trades.parquet")
    sale = trades[trades["side"] == "sell"].iloc[:1]
    (day, code) = sale.index[0]
    calendar = pd.DatetimeIndex(read(tested, "pred.parquet").index.get_level_values("datetime").unique())
    following = calendar[calendar.get_loc(day) + 1]
    assert answer(capsys, f"{following:%Y-%m-%d}", code)["held"] == 0.0


def test_a_back_test_of_scores_from_a_file_is_explained_by_its_folder(tested, capsys):
    pred = read(tested, "pred.parquet")
    pred.reset_index().to_csv("scores.csv", index=False)
    terms = ["--topk", "3", "--n-drop", "1", "--account", "60"]
    assert run(["analyze", "scores.csv", "--data", "market", "--region", "us", "--out", "judged"]) == 0
    day, code = read(tested, "backtest/trades.parquet").index[3]
    capsys.readouterr()
    assert run(["explain-trade", f"{day:%Y-%m-%d}", code, "--campaign", "judged"]) == 2
    assert "rollwright backtest FOLDER" in capsys.readouterr().err
    assert run(["backtest", "scores.csv", "--data", "market", "--region", "us", "--out", "traded", *terms]) == 0
    told = capsys.readouterr().out
    assert "Costs:" in told
    assert "Label:" not in told  # none was asked for
    theirs = answer(capsys, f"{day:%Y-%m-%d}", code)
    ours = answer(capsys, f"{day:%Y-%m-%d}", code, "--campaign", "traded")
    assert ours == {**theirs, "name": "traded"}
    assert answer(capsys, f"{day:%Y-%m-%d}", code, "--campaign", "results/small")["name"] == "small"
    for date, told in (("2020-01-10", "does not run on"), ("2020-07-25", "is not a session")):
        assert run(["explain-trade", date, code, "--campaign", "traded"]) == 2
        assert told in capsys.readouterr().err
