"""``rollwright cache``: what the feature store holds, and making it smaller."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr
from rollwright.cli.questions import Yes, ask
from rollwright.cli.text import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollwright.app.cache import CacheFile

__all__ = ["cache_app"]

cache_app = typer.Typer(help="List and prune the computed features.", no_args_is_help=True)


@cache_app.command("ls")
def list_command(as_json: AsJson = False) -> None:
    """List what the feature store holds, the longest unused first."""
    from rollwright.app.cache import list_cache  # noqa: PLC0415 - keeps --help light

    listing = list_cache()
    if as_json:
        print_json(asdict(listing))
        return
    if not listing.files:
        print_text(f"{listing.root}: nothing is stored")
        return
    _print_files(listing.files)
    limit = f", of {format_size(listing.limit)} allowed" if listing.limit is not None else ""
    print_text(f"{listing.root}: {len(listing.files)} files, {format_size(listing.size)}{limit}")


@cache_app.command("prune")
def prune_command(
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Remove what was last used so long ago.", show_default=False)
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(metavar="GB", help="Remove the longest unused until no more is taken.", show_default=False),
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Remove what was not computed from the present market data.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove computed features that are not needed now; nothing that is open, and nothing that cannot be recomputed."""
    from rollwright.app.cache import plan_pruning, prune_cache  # noqa: PLC0415 - keeps --help light

    plan = plan_pruning(older_than=older_than, max_size=max_size, stale=stale)
    for file in plan.in_use:
        stderr.print(f"{file.path} is in use and stays")
    if plan.files and not yes:
        if not as_json:
            _print_files(plan.files)
        question = f"remove {len(plan.files)} files, {format_size(plan.size)}?"
        ask(question, otherwise="nothing was removed; without a question: --yes")
    done = prune_cache(plan)
    if as_json:
        print_json(asdict(done))
        return
    print_text(f"{done.root}: {len(done.files)} files removed, {format_size(done.size)}")


def _print_files(files: Sequence[CacheFile]) -> None:
    print_text(
        f"{'size':>10}  {'rows':>11}  {'columns':>7}  {'last used':20}  {'state':9}  {'freq':6}  universe / columns"
    )
    for file in files:
        more = f" and {file.columns - 1} more" if file.columns > 1 else ""
        state = "in use" if file.in_use else file.state
        print_text(
            f"{format_size(file.size):>10}  {file.rows:>11,}  {file.columns:>7,}  {file.last_used:20}  {state:9}  "
            f"{file.freq:6}  {file.universe}: {file.expression}{more}"
        )
