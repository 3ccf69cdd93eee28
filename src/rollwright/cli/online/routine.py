"""``online init``, ``routine`` and ``catch-up``: begin a serving, and serve its sessions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.cli.online.options import REFUSED, ServingName
from rollwright.cli.text import print_table

if TYPE_CHECKING:
    from rollwright.app.online.routine import RoutineReport
    from rollwright.online.day_result import DayResult

__all__ = ["catch_up", "init", "routine"]


def init(
    file: Annotated[Path, typer.Argument(help="The campaign's file; its section `online` says how it is served.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over what the file says, now and later.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the serving; the campaign's if not given.", show_default=False)
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            metavar="DAY", help="The first session to serve; the last one of the data if not given.", show_default=False
        ),
    ] = None,
    provider_uri: Annotated[
        str | None, typer.Option(help="Market data, over what the file says.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Begin to serve a campaign: train what its first session needs, and note it in a new ledger.

    Killed and given again, it goes on. A serving that has begun stays as it is.
    """
    from rollwright.app.online.routine import begin_serving  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        begun = begin_serving(
            file,
            name=name,
            begin=begin,
            overrides=tuple(overrides or ()),
            provider_uri=provider_uri,
            tell=stderr.print,
        )
    if as_json:
        print_json({"serving": begun.name, "begin": begun.begin, "new": begun.is_new, "roles": begun.roles,
                    "models": begun.models, "left_out": begun.left_out})  # fmt: skip
        return
    had = "begins" if begun.is_new else "began already, and stays as it is: it began"
    print_text(f"serving {begun.name} {had} with session {begun.begin}")
    print_table(
        ["strategy", "role", "model"],
        [[strategy, role, begun.models.get(strategy, "none yet")[:8]] for strategy, role in begun.roles.items()],
    )
    if begun.left_out:
        print_text(f"not served, since the file gives them no role: {', '.join(begun.left_out)}")
    print_text(f"next: rollwright online routine {begun.name}")


def routine(
    name: ServingName = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="The session; the last one that has data if not given.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the session that is due: train, switch models, score, check and publish it, once.

    Sessions that were missed come before it, as `online.catch_up` says. Whatever was killed is gone on with.

    Exit code 0: published, or there is nothing to do, or the data are waited for; 1: a model could not be trained, and
    the session stays open; 2: bad input; 4: a bound is violated and nothing was published, or the data are late.
    """
    from rollwright.app.online.routine import run_routine  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        report = run_routine(name, session=session)
    _tell(report, as_json=as_json)


def catch_up(
    name: ServingName = None,
    policy: Annotated[
        Literal["all", "latest", "none"] | None,
        typer.Option(
            help="Serve all sessions that were missed, the latest, or none; the file says it if not given.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(min=1, help="Serve so many at most, the latest ones, and skip the others.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Serve the sessions that were missed, in order, or skip them; what is skipped stands in the ledger too.

    Exit code 4 where a signal was refused; the sessions after it are served all the same.
    """
    from rollwright.app.online.routine import catch_up as run  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        report = run(name, policy=policy, window=window)
    _tell(report, as_json=as_json)
    return REFUSED if any(one.outcome == "refused" for one in report.results) else 0


def _tell(report: RoutineReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json())
        return
    for one in report.results:
        print_text(describe_result(one, is_old=report.is_idle))
        for line in (*one.violations, *one.notes):
            print_text(f"  {line}")
    if not report.results:
        print_text(f"{report.name}: no session was missed")
    for file in report.delivered:
        print_text(f"delivered: {file.table}")


def describe_result(result: DayResult, *, is_old: bool = False) -> str:
    """Return in one line what became of a session."""
    if result.outcome == "waiting":
        return f"{result.session}: its data are not there yet; give the command again"
    entry = "" if result.entry is None else f" by entry {result.entry.number}"
    when = f"{entry}, before; there is nothing to do" if is_old else entry
    if result.signal is None:
        return f"{result.session}: {result.outcome}{when}"
    return f"{result.session}: {result.outcome}{when}; {result.signal.rows:,} names, {result.signal.sha256[:12]}"
