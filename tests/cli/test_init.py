"""``rollwright init``: a commented file for the market that is there, which rolls as it stands."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.data import describe_market
from rollwright.app.open_campaign import open_campaign
from rollwright.campaign.config_file import read_config
from rollwright.campaign.schema import json_schema
from rollwright.cli.root import run
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider
from schema_check import find_mistakes


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("market") / "data"
    make_demo_market(folder, instruments=20, sessions=400)
    return folder


def test_the_file_that_is_written_rolls_as_it_stands(tmp_path, market, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rollwright.toml").write_text("")
    assert run(["init", "mine.yaml", "--market", str(market), "--model", "linear", "--step", "60", "--yes"]) == 0
    campaign = open_campaign(tmp_path / "mine.yaml", project=tmp_path, market=QlibProvider(market))
    result = roll_campaign(campaign, jobs=1)
    assert result is not None
    assert result.variants[0].windows == 3


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("model", ["lightgbm", "xgboost", "catboost", "linear"])
def test_every_choice_makes_a_file_without_a_problem(tmp_path, market, lang, model):
    file = tmp_path / "c.yaml"
    assert run(["init", str(file), "--market", str(market), "--model", model, "--lang", lang, "--horizon", "5"]) == 0
    config, _ = read_config(file, trusted=())
    assert config.report.lang == lang
    assert config.task.dataset.kwargs["handler"]["kwargs"]["label"] == ["Ref($close, -6)/Ref($close, -1) - 1"]
    assert ("窗口" in file.read_text(encoding="utf-8")) == (lang == "zh")
    assert find_mistakes(read_config(file, trusted=())[1].data, json_schema()) == []


def test_the_members_that_its_comments_propose_can_be_taken_as_they_stand(tmp_path, market):
    file = tmp_path / "c.yaml"
    assert run(["init", str(file), "--market", str(market)]) == 0
    text = re.sub(r"^# (?=vary:|combine:|budget:)", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(text, encoding="utf-8")
    config, document = read_config(file, trusted=())
    assert config.vary is not None
    assert config.budget is not None
    assert find_mistakes(document.data, json_schema()) == []


@pytest.mark.parametrize(
    ("arguments", "region"), [([], "us"), (["--region", "cn"], "cn")], ids=["the demo's own", "named"]
)
def test_the_backtest_follows_the_region_and_holds_a_tenth_of_the_market(tmp_path, market, arguments, region):
    file = tmp_path / "c.yaml"
    assert run(["init", str(file), "--market", str(market), *arguments]) == 0
    config, document = read_config(file, trusted=())
    assert document.data["qlib_init"]["region"] == region
    assert (config.backtest.topk, config.backtest.n_drop) == (5, 1)  # of 20 instruments: five at least


def test_a_market_of_another_size_is_held_by_a_tenth_of_it(tmp_path):
    make_demo_market(tmp_path / "data", instruments=120, sessions=300)
    assert run(["init", str(tmp_path / "c.yaml"), "--market", str(tmp_path / "data")]) == 0
    config, _ = read_config(tmp_path / "c.yaml", trusted=())
    living = {one.name: one.members_now for one in describe_market(tmp_path / "data").universes}["all"]
    assert living < 120  # some were delisted
    assert config.backtest.topk == living // 10 > 5


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_on_a_terminal_it_asks_again_after_a_wrong_answer_and_takes_what_is_usual(tmp_path, market):
    ours, theirs = os.openpty()
    os.write(ours, b"al\nall\n\nliner\nlinear\n0\n5\n")
    command = [sys.executable, "-m", "rollwright", "init", "c.yaml", "--market", str(market)]
    done = subprocess.run(command, cwd=tmp_path, stdin=theirs, capture_output=True, text=True, timeout=120, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "c.yaml\n"
    for said in (
        "universe (all, index, top50) [all]: ",
        "there is no universe `al`\nhint: known: all, index, top50\n",
        "region (cn, us, tw) [us]: ",
        "there is no model `liner`\nhint: known: lightgbm, linear, xgboost, catboost\n",
        "`0` is not a number of sessions\nhint: 1 or more\n",
    ):
        assert said in done.stderr
    config, document = read_config(tmp_path / "c.yaml", trusted=())
    assert config.task.model.class_ == "LinearModel"
    assert document.data["qlib_init"]["region"] == "us"
    assert config.task.dataset.kwargs["handler"]["kwargs"]["label"] == ["Ref($close, -6)/Ref($close, -1) - 1"]


def test_market_data_beneath_the_folder_are_found(tmp_path, market, capsys):
    (tmp_path / "data").symlink_to(market)
    assert run(["init", str(tmp_path), "--yes"]) == 0
    assert "provider_uri:" in (tmp_path / "campaign.yaml").read_text()


def test_a_file_that_is_there_is_left_as_it_is(tmp_path, market, capsys):
    file = tmp_path / "c.yaml"
    file.write_text("mine")
    assert run(["init", str(file), "--market", str(market)]) == 2
    assert file.read_text() == "mine"
    assert "left as it is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--universe", "al"], 2, "did you mean `all`?"),
        (["--model", "lightgbn"], 2, "did you mean `lightgbm`?"),
        (["--region", "uk"], 2, "known: cn, us, tw"),
        (["--lang", "de"], 2, "known: en, zh"),
    ],
)
def test_a_choice_that_is_none_is_refused_and_nothing_is_written(tmp_path, market, capsys, arguments, code, said):
    assert run(["init", str(tmp_path / "c.yaml"), "--market", str(market), *arguments]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "c.yaml").exists()


def test_without_market_data_it_says_how_to_get_some(tmp_path, capsys):
    assert run(["init", str(tmp_path / "c.yaml")]) == 3
    assert "rollwright data import" in capsys.readouterr().err


def test_the_schema_knows_the_new_sections():
    text = json.dumps(json_schema())
    for key in ("vary", "combine", "budget", "pool", "max_attempts", "ic_weighted"):
        assert f'"{key}"' in text


class Terminal(io.StringIO):
    """Where somebody sits, who answers twice and leaves."""

    def isatty(self):
        return True


def test_questions_that_are_left_open_end_with_2_and_write_nothing(tmp_path, market, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("all\nus\n"))
    assert run(["init", str(tmp_path / "c.yaml"), "--market", str(market)]) == 2
    err = capsys.readouterr().err
    assert "the input ended before it was said which model" in err
    assert "--model" in err
    assert not (tmp_path / "c.yaml").exists()
