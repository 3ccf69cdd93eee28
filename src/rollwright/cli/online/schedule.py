"""``online schedule``: let the system run the routine, by its own means."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

import typer

from rollwright.cli.console import AsJson, print_json, stderr
from rollwright.cli.online.options import ServingName

__all__ = ["parse_time", "schedule"]


def parse_time(text: str | time) -> time:
    """Return a time of day: ``18:30``."""
    if isinstance(text, time):
        return text
    try:
        hour, minute = text.strip().split(":")
        return time(int(hour), int(minute))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time of day, such as 18:30") from error


def schedule(
    name: ServingName = None,
    at: Annotated[
        time | None,
        typer.Option(
            parser=parse_time,
            metavar="TIME",
            help="When it runs first on a day, in the serving's time zone; an hour before the deadline if not given.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Minutes until it tries again, up to the deadline.")] = 10,
    every_day: Annotated[bool, typer.Option("--every-day", help="On Saturdays and Sundays too.")] = False,
    kind: Annotated[
        Literal["systemd", "cron", "launchd"] | None,
        typer.Option(help="For which scheduler; this system's if not given.", show_default=False),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the files where the scheduler looks for them.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --write: replace files that are there.")] = False,
    as_json: AsJson = False,
) -> int | None:
    """Print what makes systemd, cron or launchd run the routine: at a time, then again until the deadline.

    A routine that has nothing to do ends at once, so that it may run too often, and never twice for one session.
    """
    from rollwright.app.online.schedule import plan_schedule  # noqa: PLC0415 - keeps --help light
    from rollwright.app.service import write_service  # noqa: PLC0415 - keeps --help light

    made = plan_schedule(name, at=at, every=every, daily=every_day, kind=kind)
    if write and made.kind == "cron":
        stderr.print("cron's table is only changed by its own program; nothing was written. Type:")
        stderr.print(f"  {made.commands[0]}")
        return 2
    if as_json:
        print_json({"kind": made.kind, "times": made.times, "timezone": made.timezone, "text": made.text,
                    "files": [str(file.path) for file in made.files], "commands": made.commands})  # fmt: skip
    elif not write:
        print(made.text, end="")
    if write:
        for file in made.files:
            changed = write_service(file, force=force)
            if not as_json:
                print(file.path)
            stderr.print("written" if changed else "it was there already")
    stderr.print(f"the routine runs at {', '.join(made.times)} ({made.timezone})")
    for note in made.notes:
        stderr.print(note)
    stderr.print("start it with:" if write or made.kind == "cron" else "write it with --write, then start it with:")
    for command in made.commands:
        stderr.print(f"  {command}")
    return None
