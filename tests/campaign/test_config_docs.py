"""docs/yaml.md says what is true: its files are read, its results compared, its errors provoked."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.config_file import read_config
from rollwright.campaign.plan import make_plan
from rollwright.campaign.yaml.document import read_document
from rollwright.campaign.yaml.template import FILTERS
from rollwright.errors import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "yaml.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(.*)\n([\s\S]*?)^```$", PAGE, flags=re.MULTILINE)
FILES = {title: body for kind, title, body in BLOCKS if kind == "yaml" and re.fullmatch(r"[\w.]+", title)}
MEANINGS = [(title[2:], body) for kind, title, body in BLOCKS if kind == "yaml" and title.startswith("= ")]
REFUSALS = [(title[2:], body) for kind, title, body in BLOCKS if kind == "text" and title.startswith("! ")]


@pytest.fixture(autouse=True)
def _files():
    for name, text in FILES.items():
        Path(name).write_text(text)


def test_the_page_has_examples():
    assert len(FILES) >= 6
    assert len(MEANINGS) >= 4
    assert len(REFUSALS) >= 3


@pytest.mark.parametrize(("title", "body"), MEANINGS, ids=[title for title, _ in MEANINGS])
def test_a_file_means_what_the_page_says(title, body):
    name, *words = title.split()
    environ = dict(word.split("=") for word in words if word.partition("=")[0].isupper())
    overrides = [word for word in words if not word.partition("=")[0].isupper()]
    Path("meaning.yaml").write_text(body)
    found = read_document(Path(name), overrides, environ=environ)
    assert found.data == read_document(Path("meaning.yaml")).data


@pytest.mark.parametrize(("title", "body"), REFUSALS, ids=[title for title, _ in REFUSALS])
def test_a_mistake_is_told_as_the_page_says(title, body):
    with pytest.raises(ConfigError) as caught:
        read_config(Path(title), environ={})
    assert [line.strip() for line in caught.value.message.splitlines()] == body.splitlines()


def test_the_page_names_every_filter():
    listed = PAGE.partition("and the filters")[2].partition("There are no loops")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(FILTERS)


def test_the_command_line_of_the_page_is_the_one_whose_meaning_it_tells():
    commands = [body.strip() for kind, _, body in BLOCKS if kind == "sh"]
    assert [command.removeprefix("rollwright run ") for command in commands] == [title for title, _ in MEANINGS[-1:]]


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_campaign_of_the_readme_is_one_that_can_be_rolled(page, tmp_path):
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    (campaign,) = re.findall(r"^```yaml\n([\s\S]*?)^```$", text, flags=re.MULTILINE)
    file = tmp_path / "campaign.yaml"
    file.write_text(campaign)
    config, _ = read_config(file)
    for command in (r"data demo --out (\S+)", r"data import \S+ --out (\w+/\w+)"):
        made = re.search(command, text)
        assert made is not None
        assert config.qlib_init["provider_uri"] == made[1]
    plan = make_plan(config, name="readme", calendar=TradingCalendar(pd.bdate_range("2015-01-05", "2019-12-31")))
    assert len(plan.windows) > 5
