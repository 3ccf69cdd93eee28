"""The schema for editors: printed by the command, whole, and agreeing with the check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollwright.app import campaign_template
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.config_file import read_config
from rollwright.campaign.schema import json_schema
from rollwright.cli.root import run
from schema_check import find_mistakes


def test_the_command_prints_the_schema_and_nothing_else(capsys):
    assert run(["schema"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json_schema()
    assert shown.err == ""


def test_every_key_of_the_configuration_is_in_it():
    schema = json_schema()
    assert set(CampaignConfig.model_fields) | {"BASE_CONFIG_PATH"} == set(schema["properties"])
    assert set(schema["$defs"]["ObjectConfig"]["properties"]) == {"class", "module_path", "kwargs"}
    assert schema["anyOf"] == [{"required": ["task"]}, {"required": ["BASE_CONFIG_PATH"]}]


def test_it_is_as_strict_as_the_check_below_the_top_level():
    schema = json_schema()
    assert schema["additionalProperties"] is True  # any key may hold an anchor
    for name, part in schema["$defs"].items():
        assert part["additionalProperties"] is False, name
        assert "required" not in part, name  # a base may have it


def test_a_place_may_be_dropped_or_filled_and_references_lead_somewhere():
    schema = json_schema()
    step = schema["$defs"]["RollingConfig"]["properties"]["step"]
    assert {"const": "__DROP__"} in step["anyOf"]
    assert step["default"] == 40
    assert any(choice.get("exclusiveMinimum") == 0 for choice in step["anyOf"])
    text = json.dumps(schema)
    for name in {part.split('"')[0] for part in text.split("#/$defs/")[1:]}:
        assert name in schema["$defs"]


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
DEMO = Path(campaign_template.__file__).parent / "demo.yaml"


@pytest.mark.parametrize("file", [*EXAMPLES, DEMO], ids=lambda file: file.name)
def test_it_allows_every_file_that_we_ship(file):
    assert find_mistakes(read_config(file, trusted=())[1].data, json_schema()) == []


@pytest.mark.parametrize(
    "part", [{"combine": {"method": "none"}}, {"sys": {"rel_path": "models"}}, {"sys": {"path": ["a"]}}]
)
def test_it_allows_the_short_and_the_long_form(part):
    assert find_mistakes({**read_config(DEMO, trusted=())[1].data, **part}, json_schema()) == []


def test_it_refuses_what_is_misspelled_or_of_another_type():
    data = read_config(DEMO, trusted=())[1].data
    for change, place in (
        ({"rolling": {"stepp": 3}}, "stepp"),
        ({"rolling": {"step": 0}}, ".rolling.step"),
        ({"backtest": {"topk": "many"}}, ".backtest.topk"),
        ({"combine": "mean"}, ".combine"),
        ({"budget": {"hours": -1}}, ".budget.hours"),
        ({"report": {"lang": "de"}}, ".report.lang"),
    ):
        (mistake,) = find_mistakes({**data, **change}, json_schema())
        assert place in mistake


def test_the_same_schema_comes_twice():
    assert json.dumps(json_schema()) == json.dumps(json_schema())
