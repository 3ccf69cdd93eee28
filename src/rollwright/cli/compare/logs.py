"""``rollwright compare logs``: what was said while a model was trained."""

from __future__ import annotations

from typing import Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr

__all__ = ["logs"]


def logs(
    name: Annotated[str, typer.Argument(help="The comparison.")],
    model: Annotated[str, typer.Argument(help="One of its models.")],
    as_json: AsJson = False,
) -> None:
    """Show what was said while a model was trained: by the installer, by its process, and by each of its tasks."""
    from rollwright.app.compare.logs import list_comparison_logs  # noqa: PLC0415 - keeps --help light

    found = list_comparison_logs(name, model)
    if as_json:
        print_json([log.to_json() for log in found])
        return
    for log in found:
        if log.text is None:
            stderr.print(f"{log.name}: nothing was said")
        else:
            print_text(f"=== {log.name}  {log.path}")
            print_text(log.text.rstrip("\n"))
