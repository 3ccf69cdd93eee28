"""``rollwright schema``: what an editor needs to know about a campaign's YAML."""

from __future__ import annotations

import json

__all__ = ["schema"]


def schema() -> int:
    """Print the JSON Schema of a campaign's YAML, for editors.

    Keep it beside your files (rollwright schema > rollwright.schema.json) and let their first line be

    # yaml-language-server: $schema=rollwright.schema.json
    """
    from rollwright.campaign.schema import json_schema  # noqa: PLC0415 - keeps --help light

    print(json.dumps(json_schema(), indent=1))
    return 0
