"""``why``: a score leads back to its window, model, data and code, with what each feature moved."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from rolling_project import CODES, DAYS, rows
from rollwright.app.pool import open_pool
from rollwright.cli.root import run
from rollwright.codecs.registry import codecs
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.market.ingest.importer import import_market
from small_campaign import CAMPAIGN, roll_here

DAY, CODE = "2020-07-31", "SH600003"


def answer(capsys, *arguments: str) -> dict:
    capsys.readouterr()
    assert run(["why", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["data"]


def test_what_the_features_add_up_to_is_the_score_of_the_signal(rolled, capsys):
    data = answer(capsys, DAY, CODE)
    pred = codecs.for_kind("parquet").read(rolled / "results" / "small" / "pred.parquet")["score"]
    day = pred.xs(pd.Timestamp(DAY), level="datetime")
    assert data["signal"]["score"] == day[CODE]
    assert data["signal"]["rank"] == int(day.rank(ascending=False)[CODE])
    assert data["signal"]["of"] == len(day) == 8
    label = codecs.for_kind("parquet").read(rolled / "results" / "small" / "label.parquet")
    assert data["label"] == pytest.approx(float(label.loc[(pd.Timestamp(DAY), CODE)].iloc[0]))
    (member,) = data["members"]
    assert member["window"] == "2020-07-03..2020-08-06"
    assert member["score"] == data["signal"]["score"]
    assert {one["name"] for one in member["features"]} == {"MOM", "VOL"}
    moved = sum(one["moved"] for one in member["features"]) + member["base"]
    assert moved == pytest.approx(member["score"], rel=1e-6)
    sizes = [abs(one["moved"]) for one in member["features"]]
    assert sizes == sorted(sizes, reverse=True)
    market = rows(DAYS[:200])
    close = market[market["symbol"] == CODE].set_index("date")["close"]
    momentum = close.loc[DAY] / close.shift(5).loc[DAY]
    told = {one["name"]: one["value"] for one in member["features"]}
    assert told["MOM"] == pytest.approx(momentum, rel=1e-5)
    assert member["model"]["class"] == "rollwright.models.linear.LinearModel"
    assert len(member["model"]["sha256"]) == 64
    assert member["segments"]["train"] == ["2020-02-13", "2020-06-02"]
    assert member["data"]["provider_uri"] == "market"
    assert member["changed"] is None
    assert member["unexplained"] is None


@pytest.mark.parametrize("method", ["average", "rank_mean", "ic_weighted"])
def test_what_the_members_add_is_the_signal(fresh, capsys, method):
    file = fresh / "small.yaml"
    file.write_text(f"{CAMPAIGN}vary: {{model.kwargs.alpha: [0.1, 50.0]}}\ncombine: {method}\n")
    roll_here(file)
    data = answer(capsys, DAY, CODE)
    assert [member["variant"] for member in data["members"]] == ["alpha=0.1", "alpha=50.0"]
    shares = [member["share"] for member in data["members"]]
    assert sum(share["weight"] for share in shares) == pytest.approx(1.0)
    assert sum(share["part"] for share in shares) == pytest.approx(data["signal"]["score"], rel=1e-9)
    assert all(share["part"] == pytest.approx(share["weight"] * share["scaled"]) for share in shares)
    assert run(["why", DAY, CODE]) == 0
    out = capsys.readouterr().out
    assert "part of the signal" in out
    assert f"{shares[1]['part']:+.6g}" in out
    (fresh / "results" / "small" / "members" / "alpha=0.1" / "pred.parquet").unlink()
    data = answer(capsys, DAY, CODE)
    assert [member["share"] for member in data["members"]] == [None, None]
    assert "rollwright collect small" in data["uncombined"]


def test_it_is_told_for_people_too(rolled, capsys):
    assert run(["why", DAY, CODE, "--features", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{CODE} on {DAY}, campaign small\nsignal  score ")
    assert "moved the score by" in out
    assert "1 more features" in out


def test_it_says_when_the_data_changed_since_and_when_the_score_does_not_add_up_any_more(rolled, capsys):
    import_market(rows(DAYS[140:141], [CODE], factor=1.5), rolled / "market", revise=True)
    (member,) = answer(capsys, f"{DAYS[140]:%Y-%m-%d}", CODE)["members"]
    assert "the market data changed" in member["changed"]
    assert "not those that the model saw" in member["unexplained"]


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        (["2020-01-10", CODE], "predicts nothing on 2020-01-10", "it predicts 2020-05-29 to 2020-10-05"),
        (["2020-07-25", CODE], "has no prediction on 2020-07-25", "take a session"),
        ([DAY, "SH60003"], "`SH60003` is none of the 8 instruments", f"did you mean `{CODES[3]}`?"),
        (["yesterday", CODE], "yesterday", ""),
        ([DAY, CODE, "--campaign", "smal"], "there is no campaign `smal`", "did you mean `small`?"),
    ],
)
def test_what_cannot_be_told_is_refused_with_a_way_out(rolled, capsys, arguments, told, hint):
    assert run(["why", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert hint in error


def test_a_window_that_is_not_finished_has_no_prediction(rolled, capsys):
    with using(load_settings()), open_pool("small") as manager:
        manager.reset_status({"_id": "2"}, "waiting")
    assert run(["why", DAY, CODE]) == 2
    assert "is waiting, so it has no prediction" in capsys.readouterr().err
