"""``rollwright compare``: train many models, each in its own environment, and compare them. One file for each verb."""

from __future__ import annotations

import typer

from rollwright.cli.compare.envs import envs_app
from rollwright.cli.compare.logs import logs
from rollwright.cli.compare.reproduce import reproduce
from rollwright.cli.compare.run import run
from rollwright.cli.compare.table import table
from rollwright.cli.compare.work import work

__all__ = ["compare_app"]

compare_app = typer.Typer(
    help="Train many models, each in an environment of its own, several times, and compare them.\n\n"
    "Begin: [bold]rollwright compare run FOLDER --times 3 -j 4[/bold]   After a crash: the same command again",
    rich_markup_mode="rich",
    no_args_is_help=True,
)
compare_app.command()(run)
compare_app.command()(table)
compare_app.command()(logs)
compare_app.command()(reproduce)
compare_app.command(hidden=True)(work)
compare_app.add_typer(envs_app, name="envs")
