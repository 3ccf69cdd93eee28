"""``online strategy``: add, pause, resume and remove what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.cli.online.options import Reason

if TYPE_CHECKING:
    from rollwright.app.online.lineup import LineupChange

__all__ = ["strategy_app"]

Strategy = Annotated[str, typer.Argument(help="The strategy: a member of the campaign.")]
Serving = Annotated[
    str | None, typer.Option("--serving", help="The serving; needed where there are several.", show_default=False)
]

strategy_app = typer.Typer(
    help="Add, pause, resume and remove strategies while they are served; the ledger keeps each act with its reason.",
    no_args_is_help=True,
)


@strategy_app.command()
def add(
    strategy: Strategy,
    role: Annotated[
        Literal["champion", "challenger", "shadow"] | None,
        typer.Option(help="What it begins as: as the file says, else a challenger.", show_default=False),
    ] = None,
    reason: Reason = None,
    serving: Serving = None,
    as_json: AsJson = False,
) -> None:
    """Train a member of the campaign's file that is not served yet, and serve it from the next session on."""
    from rollwright.app.online.lineup import add_strategy  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        stderr.print(f"training what {strategy} needs")
        changed = add_strategy(strategy, reason=reason, role=role, name=serving)
    _tell(changed, as_json=as_json)


@strategy_app.command()
def pause(strategy: Strategy, reason: Reason = None, serving: Serving = None, as_json: AsJson = False) -> None:
    """Train and score it no more until it is resumed."""
    _change(strategy, "pause", reason, serving, as_json=as_json)


@strategy_app.command()
def resume(strategy: Strategy, reason: Reason = None, serving: Serving = None, as_json: AsJson = False) -> None:
    """Serve it again from the next session on, by a model trained anew when one is due."""
    _change(strategy, "resume", reason, serving, as_json=as_json)


@strategy_app.command()
def remove(strategy: Strategy, reason: Reason = None, serving: Serving = None, as_json: AsJson = False) -> None:
    """End it for good; what it did stays in the ledger, and its name is not given again."""
    _change(strategy, "remove", reason, serving, as_json=as_json)


def _change(
    strategy: str,
    action: Literal["pause", "resume", "remove"],
    reason: str | None,
    serving: str | None,
    *,
    as_json: bool,
) -> None:
    from rollwright.app.online.lineup import change_status  # noqa: PLC0415 - keeps --help light

    _tell(change_status(strategy, action, reason=reason, name=serving), as_json=as_json)


def _tell(changed: LineupChange, *, as_json: bool) -> None:
    if as_json:
        print_json({"serving": changed.serving, "strategy": changed.strategy, "status": changed.status,
                    "role": changed.role, "entry": changed.entry})  # fmt: skip
        return
    stands = f"{changed.strategy} is {changed.status}, and {changed.role} of {changed.serving}"
    if changed.status == "removed":
        stands = f"{changed.strategy} is removed from {changed.serving}"
    said = "; it was so before, and nothing was done" if changed.entry is None else f", by entry {changed.entry}"
    print_text(f"{stands}{said}")
