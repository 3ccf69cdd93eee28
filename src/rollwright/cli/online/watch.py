"""``online watch``: whether data arrive, features are what they were, and scores keep what they promised."""

from __future__ import annotations

from typing import Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text
from rollwright.cli.online.options import REFUSED, Reason, ServingName
from rollwright.cli.text import print_table
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError

__all__ = ["watch"]

Acknowledge = Annotated[
    str | None,
    typer.Option(
        "--acknowledge",
        help="Note that you looked at the alarms of this quantity; it is watched anew. Needs --reason.",
        metavar="QUANTITY",
        show_default=False,
    ),
]
OnlyLook = Annotated[bool, typer.Option("--only-look", help="Tell no alarm in the ledger, and so notify nobody.")]


def watch(
    name: ServingName = None,
    acknowledge: Acknowledge = None,
    reason: Reason = None,
    only_look: OnlyLook = False,
    as_json: AsJson = False,
) -> None:
    """Show all that is watched, each value beside its bound; exit code 4 when an alarm stands or data are late."""
    from rollwright.app.online.watch import acknowledge_alarm, watch_serving  # noqa: PLC0415 - keeps --help light

    if reason is not None and acknowledge is None:
        raise ConfigError("a reason is for an acknowledgement", hint="add --acknowledge QUANTITY, or leave it out")
    noted = None
    if acknowledge is not None:
        noted = acknowledge_alarm(name, quantity=acknowledge, reason=reason or "")
    found = watch_serving(name, tell=not only_look)
    if as_json:
        print_json(found.to_json())
    else:
        if noted is not None:
            print_text(f"acknowledged in entry {noted}")
        rows = [[one.name, one.state, one.value, escape_text(one.bound)] for one in found.quantities]
        print_table(["watched", "state", "value", "bound"], rows)
        for one in found.quantities:
            print_text(f"{one.name}: {escape_text(one.why)}")
        if found.entries:
            print_text(f"told in the ledger: entry {', '.join(str(number) for number in found.entries)}")
    if found.has_alarm:
        raise typer.Exit(REFUSED)
