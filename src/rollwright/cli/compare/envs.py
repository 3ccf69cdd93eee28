"""``rollwright compare envs``: the environments that models were compared in, and removing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr
from rollwright.cli.questions import Yes, ask
from rollwright.cli.text import format_size, print_table
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollwright.compare.environments.folder import StoredEnvironment

__all__ = ["envs_app"]

envs_app = typer.Typer(help="List and remove the environments of compared models.", no_args_is_help=True)

_SHOWN: Final = 12


@envs_app.command("ls")
def list_command(as_json: AsJson = False) -> None:
    """List the environments, the longest unused first."""
    from rollwright.app.compare.environments import list_environments  # noqa: PLC0415 - keeps --help light

    listing = list_environments()
    if as_json:
        rows = [_describe(one) for one in listing.environments]
        print_json({"root": str(listing.root), "size": listing.size, "environments": rows})
        return
    if not listing.environments:
        print_text(f"{listing.root}: there are no environments")
        return
    _print(listing.environments)
    print_text(
        f"{listing.root}: {count_noun(len(listing.environments), 'environment')}, {format_size(listing.size)}; "
        "files that they share count in each"
    )


@envs_app.command("rm")
def remove_command(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="Keys, or how they begin.", show_default=False)
    ] = None,
    unused: Annotated[bool, typer.Option("--unused", help="Remove those that no process uses now.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove all that are not in use, and the kept locks.")
    ] = False,
    locks: Annotated[
        bool, typer.Option("--locks", help="Remove the kept locks: the next comparison chooses versions anew.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove environments; one in use stays, and one that is asked for again is made again."""
    from rollwright.app.compare.environments import plan_removal, remove_environments  # noqa: PLC0415 - keeps --help light

    plan = plan_removal(keys or (), unused=unused, everything=everything, locks=locks or everything)
    for one in plan.in_use:
        stderr.print(f"{one.key[:_SHOWN]} is in use and stays")
    if plan.environments and not yes:
        if not as_json:
            _print(plan.environments)
        question = f"remove {count_noun(len(plan.environments), 'environment')}, {format_size(plan.size)}?"
        ask(question, otherwise="nothing was removed; without a question: --yes")
    done = remove_environments(plan)
    if as_json:
        print_json(
            {
                "root": str(done.root),
                "size": done.size,
                "locks": done.locks,
                "removed": [one.key for one in done.environments],
                "in_use": [one.key for one in done.in_use],
            }
        )
        return
    print_text(f"{done.root}: {count_noun(len(done.environments), 'environment')} removed, {format_size(done.size)}")
    if done.locks:
        print_text("the kept locks are removed: the next comparison chooses versions anew")


def _describe(one: StoredEnvironment) -> dict[str, Any]:
    return {
        "key": one.key,
        "path": str(one.path),
        "packages": dict(one.packages),
        "python": one.python,
        "installer": one.installer,
        "size": one.size,
        "last_used": _moment(one),
        "in_use": one.in_use,
        "state": one.state,
    }


def _print(environments: Sequence[StoredEnvironment]) -> None:
    head = ("key", "size", "packages", "last used", "state", "made by", "for")
    rows = [
        (
            one.key[:_SHOWN],
            format_size(one.size),
            len(one.packages),
            _moment(one),
            "in use" if one.in_use and one.state == "whole" else one.state,
            one.installer,
            one.python,
        )
        for one in environments
    ]
    print_table(head, rows, right=("size", "packages"))


def _moment(one: StoredEnvironment) -> str:
    return one.last_used.strftime("%Y-%m-%dT%H:%M:%SZ")
