"""``rollwright trust``: machines and files that are trusted beside one's own."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

__all__ = ["trust_app"]

trust_app = typer.Typer(help="List, add and remove the machines and files you trust.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@trust_app.command("add")
def add_command(
    given: Annotated[str, typer.Argument(metavar="KEY|SHA256", help="`ed25519:…` of a machine, or a file's SHA-256.")],
    name: Annotated[str | None, typer.Option(help="What you call it; a machine needs one.", show_default=False)] = None,
) -> None:
    """Trust a machine, or a single file: what it signed, or holds, may run code here as you."""
    from rollwright.app.trust import trust  # noqa: PLC0415 - keeps --help light

    entry = trust(given, name=name)
    print(f"{entry.kind} {entry.name} is trusted")


@trust_app.command("list")
def list_command(as_json: _Json = False) -> None:
    """List what is trusted."""
    from rollwright.app.trust import list_trusted  # noqa: PLC0415 - keeps --help light

    rows = list_trusted()
    if as_json:
        print(json.dumps({"ok": True, "data": [asdict(row) for row in rows]}, indent=1))
        return
    for row in rows:
        print(f"{row.kind:8} {row.name:20} {row.value}")


@trust_app.command("rm")
def remove_command(
    given: Annotated[str, typer.Argument(metavar="NAME|KEY|SHA256", help="What is not to be trusted any more.")],
) -> None:
    """Trust it no longer."""
    from rollwright.app.trust import trust_no_longer  # noqa: PLC0415 - keeps --help light

    entry = trust_no_longer(given)
    print(f"{entry.kind} {entry.name} is not trusted any more")
