"""``online notify``: tell what is still to be told, list it, or send a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr
from rollwright.cli.online.options import ServingName
from rollwright.core.text import count_noun
from rollwright.errors import ConfigError

if TYPE_CHECKING:
    from rollwright.app.online.notify import DeliveryReport, PendingNotification

__all__ = ["notify"]

_UNDELIVERED = 1


def notify(
    name: ServingName = None,
    test: Annotated[bool, typer.Option("--test", help="Send each target a trial instead.")] = False,
    pending: Annotated[bool, typer.Option("--pending", help="Only list what is still to be told.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell the webhooks and commands of the file what they were not told yet; a routine does so by itself.

    Ends with 1 when somebody could not be told.
    """
    from rollwright.app.online.notify import (  # noqa: PLC0415 - keeps --help light
        deliver_notifications,
        list_pending,
        send_trial,
    )
    from rollwright.app.online.record import open_ledger  # noqa: PLC0415 - keeps --help light

    if test and pending:
        raise ConfigError("--test sends and --pending does not", hint="give one of them")
    with open_ledger(name) as opened:
        sections = opened.options.notify
        if pending:
            _show_pending(list_pending(opened.ledger, sections), as_json=as_json)
        elif not sections:
            _show_nobody(opened.record.file, as_json=as_json)
        elif test:
            _show_trial(send_trial(opened.name, sections), as_json=as_json)
        else:
            _show_report(deliver_notifications(opened.ledger, sections), as_json=as_json)


def _show_nobody(file: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"delivered": [], "undelivered": []})
        return
    print_text(f"nobody is to be told: `online: notify:` of {file} names no webhook and no command")


def _show_pending(found: list[PendingNotification], *, as_json: bool) -> None:
    if as_json:
        print_json([{"target": one.target, **one.told.to_json()} for one in found])
        return
    for one in found:
        print_text(f"{one.target}: entry {one.told.entry}, {one.told.event}: {one.told.text}")
    if not found:
        print_text("everybody was told everything")


def _show_trial(found: list[tuple[str, str | None]], *, as_json: bool) -> None:
    failed = [target for target, reason in found if reason is not None]
    if as_json:
        print_json([{"target": target, "reason": reason} for target, reason in found], ok=not failed)
    for target, reason in found:
        if reason is not None:
            stderr.print(reason, style="red")
        elif not as_json:
            print_text(f"{target} took the trial")
    if failed:
        raise typer.Exit(_UNDELIVERED)


def _show_report(report: DeliveryReport, *, as_json: bool) -> None:
    if as_json:
        told = [{"target": one.target, "key": one.told.key, "event": one.told.event} for one in report.delivered]
        missed = [
            {"target": one.target, "entry": one.entry, "waiting": one.waiting, "reason": one.reason}
            for one in report.undelivered
        ]
        print_json({"delivered": told, "undelivered": missed}, ok=not missed)
    else:
        for one in report.delivered:
            print_text(f"{one.target} was told: {one.told.text}")
        if not report.delivered and not report.undelivered:
            print_text("everybody was told everything")
    for left in report.undelivered:
        waiting = f"{count_noun(left.waiting, 'notification')} from entry {left.entry} on"
        stderr.print(f"{left.reason}; still to be told: {waiting}", style="red")
    if report.undelivered:
        raise typer.Exit(_UNDELIVERED)
