"""What the commands of ``rollwright pool`` share: options, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson

if TYPE_CHECKING:
    from rollwright.app.pool import Selection

__all__ = [
    "AsJson",
    "Ids",
    "PoolName",
    "StatusNames",
    "Url",
    "Where",
    "make_selection",
]

PoolName = Annotated[str, typer.Argument(help="The pool; a campaign's has its name.")]
Url = Annotated[str | None, typer.Option("--url", help="The store, over the setting pool.url.", show_default=False)]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="KEY=VALUE",
        help="Only tasks of which this holds, as def.model.class=LGBModel or attempts>1; may be given again. "
        "A JSON object is a whole query.",
        show_default=False,
    ),
]
StatusNames = Annotated[
    list[str] | None,
    typer.Option("--status", "-s", help="Only tasks of this state; may be given again.", show_default=False),
]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this task; may be given again.", show_default=False)]


def make_selection(
    where: Sequence[str] | None,
    status: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    *,
    everything: bool = True,
) -> Selection:
    """Return what the options select; without any, every task, where `everything` says so."""
    from rollwright.app.pool import Selection  # noqa: PLC0415 - keeps --help light

    return Selection(where=tuple(where or ()), status=tuple(status or ()), ids=tuple(ids or ()), everything=everything)
