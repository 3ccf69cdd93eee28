"""The schema for editors: printed by the command, whole, and agreeing with the check."""

from __future__ import annotations

import json

from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.schema import json_schema
from rollwright.cli.root import run


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


def test_the_same_schema_comes_twice():
    assert json.dumps(json_schema()) == json.dumps(json_schema())
