"""``rollwright config`` and ``rollwright schema``: the settings with their origins; what a campaign's YAML may say."""

from __future__ import annotations

import json

import typer

from rollwright.cli.console import AsJson, print_json

__all__ = ["config_app", "schema"]

config_app = typer.Typer(help="Show the settings and where each came from.", no_args_is_help=True)


@config_app.command()
def show(
    as_json: AsJson = False,
) -> None:
    """Show every setting with its value and its origin; passwords are masked."""
    from rollwright.config.settings import load_settings  # noqa: PLC0415 - keeps --help light
    from rollwright.core.masking import mask_secrets  # noqa: PLC0415 - see above

    settings = load_settings()
    rows = [
        (name, mask_secrets(value) if value is not None else None, origin) for name, value, origin in settings.rows()
    ]
    if as_json:
        data = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        print_json({"root": str(settings.root), "settings": data})
        return
    from rich.console import Console  # noqa: PLC0415 - keeps --help light
    from rich.table import Table  # noqa: PLC0415 - keeps --help light

    table = Table(title=f"project {settings.root}", title_justify="left")
    for heading in ("setting", "value", "origin"):
        table.add_column(heading, overflow="fold")
    for name, value, origin in rows:
        table.add_row(name, "-" if value is None else value, origin)
    Console().print(table)


def schema() -> int:
    """Print the JSON Schema of a campaign's YAML, for editors.

    Keep it beside your files (rollwright schema > rollwright.schema.json) and let their first line be

    # yaml-language-server: $schema=rollwright.schema.json
    """
    from rollwright.campaign.schema import json_schema  # noqa: PLC0415 - keeps --help light

    print(json.dumps(json_schema(), indent=1))
    return 0
