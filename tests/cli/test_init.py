"""``rollwright init``: a commented file for the market that is there, which rolls as it stands."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rollwright.app.campaign import open_campaign, roll_campaign
from rollwright.campaign.config_file import read_config
from rollwright.cli.root import run
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider


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
    from rollwright.campaign.schema import json_schema  # noqa: PLC0415 - beside what it is about

    text = json.dumps(json_schema())
    for key in ("vary", "combine", "budget", "pool", "max_attempts", "ic_weighted"):
        assert f'"{key}"' in text


class Terminal(io.StringIO):
    """Where somebody sits, who answers once and leaves."""

    def isatty(self):
        return True


def test_questions_that_are_left_open_end_with_2_and_write_nothing(tmp_path, market, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("all\n"))
    assert run(["init", str(tmp_path / "c.yaml"), "--market", str(market)]) == 2
    err = capsys.readouterr().err
    assert "the input ended before it was said which model" in err
    assert "--model" in err
    assert not (tmp_path / "c.yaml").exists()
