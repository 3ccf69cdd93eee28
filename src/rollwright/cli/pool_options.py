"""What the commands of ``rollwright pool`` share: options, questions, JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, stderr
from rollwright.core.text import escape_text

if TYPE_CHECKING:
    from rollwright.app.pool import Selection

__all__ = [
    "AsJson",
    "Ids",
    "PoolName",
    "StatusNames",
    "Url",
    "Where",
    "Yes",
    "ask",
    "confirm",
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
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


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


def confirm(question: str, *, count: int, yes: bool, act: Callable[[], int], spell: bool = False) -> int:
    """Ask before something is lost; return what `act` changed, or end with 2 when the answer is no.

    With `spell` the number of tasks has to be typed. Nothing is asked, and nothing done, when no task is meant.
    """
    if not count:
        return 0
    if not yes:
        ask(question, spell=count if spell else None)
    return act()


def ask(question: str, *, spell: int | None = None) -> None:
    """Go on when the answer is yes, or, with `spell`, that number; otherwise end with 2."""
    try:
        if spell is None:
            typer.confirm(escape_text(question), abort=True, err=True)
        else:
            typed = typer.prompt(
                f"{escape_text(question)} Type {spell} to go on", err=True, default="", show_default=False
            )
            if typed.strip().replace(",", "") != str(spell):
                raise typer.Abort
    except typer.Abort:
        stderr.print("nothing was changed; without a question: --yes")
        raise typer.Exit(2) from None
