"""``rollwright online``: serve a campaign day by day. One file for each family of verbs."""

from __future__ import annotations

import typer

from rollwright.cli.online.audit import audit, history
from rollwright.cli.online.notify import notify
from rollwright.cli.online.parity import parity
from rollwright.cli.online.roles import promote, publish, rollback
from rollwright.cli.online.routine import catch_up, init, routine
from rollwright.cli.online.schedule import schedule
from rollwright.cli.online.serve import serve
from rollwright.cli.online.signals import signals
from rollwright.cli.online.simulate import simulate
from rollwright.cli.online.status import status
from rollwright.cli.online.strategy import strategy_app
from rollwright.cli.online.watch import watch

__all__ = ["online_app"]

online_app = typer.Typer(
    help="Serve a campaign day by day: train when it is due, publish each session once, and answer for it later.\n\n"
    "Begin: [bold]rollwright online init FILE.yaml[/bold]   Every evening: [bold]rollwright online routine[/bold]",
    rich_markup_mode="rich",
    no_args_is_help=True,
)
online_app.command()(init)
online_app.command()(routine)
online_app.command(name="catch-up")(catch_up)
online_app.command()(status)
online_app.command()(signals)
online_app.command()(simulate)
online_app.command()(schedule)
online_app.add_typer(strategy_app, name="strategy")
online_app.command()(history)
online_app.command()(audit)
online_app.command()(promote)
online_app.command()(rollback)
online_app.command()(publish)
online_app.command()(serve)
online_app.command()(notify)
online_app.command()(watch)
online_app.command()(parity)
