"""``retry``, ``cancel``, ``logs`` and ``collect``: go on with windows, give them up, read what they printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.campaign import show_result, show_tracking
from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.cli.questions import Yes, ask
from rollwright.cli.roll_options import AcceptStale
from rollwright.cli.status import Campaign
from rollwright.cli.text import list_names
from rollwright.core.text import count_noun, escape_lines

if TYPE_CHECKING:
    from rollwright.app.window_changes import WindowLog

__all__ = ["cancel", "collect", "logs", "retry"]

_ONE_WINDOW = "A window: its name, or how its test begins (2020-05)."


def retry(
    name: Campaign = None,
    windows: Annotated[
        list[str] | None,
        typer.Argument(help="Windows, by name, by how their test begins or by member; all that failed if none."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let windows that failed be tried again, with new attempts; named ones also when they were cancelled."""
    from rollwright.app.window_changes import retry_windows  # noqa: PLC0415 - keeps --help light

    campaign, changed = retry_windows(name, windows or ())
    if as_json:
        print_json({"name": campaign, "windows": changed})
    elif changed:
        verb = "waits" if len(changed) == 1 else "wait"
        print_text(f"{count_noun(len(changed), 'window')} of {campaign} {verb} again: {list_names(changed)}")
        print_text(f"train them: rollwright resume {campaign}")
    else:
        print_text(f"nothing of {campaign} failed" if not windows else "none of these failed or was cancelled")


def cancel(
    name: Annotated[str, typer.Argument(help="The campaign.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give up the windows that are not finished, and end what rolls the campaign in the background.

    Nothing of a finished window is lost; `resume` goes on.
    """
    from rollwright.app.window_changes import cancel_windows, count_open  # noqa: PLC0415 - keeps --help light

    count, running = count_open(name)
    if (count or running) and not yes:
        also = f" and end {count_noun(running, 'roll')} in the background" if running else ""
        ask(f"cancel {count_noun(count, 'window')} of {name}{also}?")
    done = cancel_windows(name)
    if as_json:
        print_json({"name": name, "windows": [*done.windows], "stopped": done.stopped})
        return
    print_text(f"{name}: {count_noun(len(done.windows), 'window')} cancelled; what is finished is kept")
    if done.stopped:
        print_text(f"{count_noun(done.stopped, 'roll')} in the background ended")
    if done.windows:
        print_text(f"go on after all: rollwright resume {name}")


def logs(
    name: Campaign = None,
    window: Annotated[str | None, typer.Argument(help=_ONE_WINDOW, show_default=False)] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on reading until it ends; without a window, the detached roll's.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show what a window printed while it was trained here, and its traceback; without one, which logs there are."""
    from rollwright.app.window_changes import follow_log, list_logs  # noqa: PLC0415 - keeps --help light

    if follow:
        try:
            for text in follow_log(name, window):
                sys.stdout.write(escape_lines(text))
                sys.stdout.flush()
        except KeyboardInterrupt:  # who reads may stop reading; nothing is stopped by it
            return 0
        return 0
    found, whole = list_logs(name, () if window is None else (window,))
    if as_json:
        print_json({"windows": [_log_json(log) for log in found], "roll": None if whole is None else str(whole)})
    elif window is None:
        for log in found:
            there = str(log.path) if log.path.is_file() else "not trained on this machine"
            print_text(f"{log.name}  {'missing' if log.status is None else log.status.value:<9}  {there}")
        if whole is not None:
            print_text(f"the roll in the background: {whole}")
    else:
        for log in found:
            _show_log(log, many=len(found) > 1)
    return 0


def _log_json(log: WindowLog) -> dict[str, object]:
    return {
        "name": log.name,
        "status": None if log.status is None else log.status.value,
        "path": str(log.path) if log.path.is_file() else None,
        "text": log.text,
        "error": log.error,
        "owner": log.owner,
    }


def _show_log(log: WindowLog, *, many: bool) -> None:
    if many:
        print_text(f"=== window {log.name}")
    if log.text:
        print_text(log.text.rstrip("\n"))
    else:
        where = f"; {log.owner} ran it last" if log.owner else ""
        stderr.print(f"window {log.name} has no log on this machine{where}")
    if log.error and (log.text is None or log.error.strip() not in log.text):
        print_text(f"its last error, from the pool:\n{log.error.rstrip()}")


def collect(
    name: Campaign = None,
    accept_stale: AcceptStale = False,
    as_json: AsJson = False,
) -> int:
    """Make the results of a campaign anew from what is trained: collect, analyse, back-test, report. Trains nothing."""
    from rollwright.app.campaign import collect_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.app.open_campaign import reopen_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.progress import CampaignProgress  # noqa: PLC0415 - keeps --help light

    campaign = reopen_campaign(name)
    with clean_stdout(), CampaignProgress(campaign.name) as progress:
        result = collect_campaign(campaign, accept_stale=accept_stale, on_progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        show_result(result)
        show_tracking(campaign.settings)
    return 0
