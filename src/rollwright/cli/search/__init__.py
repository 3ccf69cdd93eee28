"""``rollwright search``: try values of a campaign's keys, and choose among them with open eyes."""

from __future__ import annotations

import typer

from rollwright.cli.search.run import run_trials
from rollwright.cli.search.show import best, show

__all__ = ["search_app"]

search_app = typer.Typer(
    help="Try values of any keys of a campaign: every trial is trained by ordinary workers, and counted.\n\n"
    "Begin: [bold]rollwright search run FILE.yaml -j 4[/bold]   After a crash: the same command again",
    rich_markup_mode="rich",
    no_args_is_help=True,
)
search_app.command(name="run")(run_trials)
search_app.command()(show)
search_app.command()(best)
