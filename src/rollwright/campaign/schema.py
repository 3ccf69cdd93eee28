"""The JSON Schema of a campaign's YAML, for editors: completion, descriptions and validation."""

from __future__ import annotations

from typing import Any, Final

from rollwright.campaign.config import CampaignConfig, CombineConfig
from rollwright.campaign.yaml.document import BASE_KEY
from rollwright.campaign.yaml.nodes import DROP

__all__ = ["SCHEMA_FILE", "json_schema"]

SCHEMA_FILE: Final = "rollwright.schema.json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DROPPED: Final = {"const": DROP}
_FILLED: Final = {"type": "string", "pattern": r"\{\{.*\}\}"}


def json_schema() -> dict[str, Any]:
    """Return the schema of the configuration, with all the ways in which a file may write it.

    Wider than the check in what only the whole chain of files can tell: a key may be dropped or come from a base, a
    value may be a variable of the template, and a top-level key of any name may hold an anchor.
    """
    schema = CampaignConfig.model_json_schema(by_alias=True)
    for part in (schema, *schema.get("$defs", {}).values()):
        properties = part.get("properties", {})
        part["properties"] = {name: _widen(name, value) for name, value in properties.items()}
        part.pop("required", None)
    base = {"type": "string", "title": "Base", "description": "A file beneath this one: this one's values win."}
    schema["properties"] = {BASE_KEY: base, **schema["properties"]}
    schema["anyOf"] = [{"required": ["task"]}, {"required": [BASE_KEY]}]
    schema["additionalProperties"] = True
    return {"$schema": DIALECT, "$id": SCHEMA_FILE, **schema}


def _widen(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one key, allowing a drop mark or a template variable in place of its value."""
    kept: dict[str, Any] = {key: value.pop(key) for key in ("title", "description", "default") if key in value}
    choices = value.pop("anyOf", None) or [value]
    if name == "record":  # one record needs no list
        choices = [*choices, {"$ref": "#/$defs/ObjectConfig"}, {"type": "string"}]
    if name in ("path", "rel_path"):  # nor does one folder
        choices = [*choices, {"type": "string"}]
    if name == "combine":  # a method alone is short for a mapping with it
        choices = [*choices, CombineConfig.model_json_schema()["properties"]["method"]]
    if any(choice.get("$ref", "").endswith("/ObjectConfig") for choice in choices):
        choices = [*choices, {"type": "string"}]
    unique = [choice for position, choice in enumerate(choices) if choice not in choices[:position]]
    return {**kept, "anyOf": [*unique, _DROPPED, _FILLED]}
