"""``rollwright track``: status of tracking, sending waiting records, and MLflow's page."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollwright.tracking.liveness import AbandonedRun
    from rollwright.tracking.outbox.syncing import OutboxReport

__all__ = ["track_app"]

track_app = typer.Typer(
    help="Look after recorded runs: the outbox, moved folders, MLflow's page.", no_args_is_help=True
)


@track_app.command()
def status(as_json: AsJson = False) -> None:
    """Show where runs are recorded, and what waits there; no server is asked."""
    from rollwright.app.track import read_track_status  # noqa: PLC0415 - keeps --help light

    found = read_track_status()
    if as_json:
        print_json(asdict(found))
        return
    print_text(f"runs are recorded at {found.uri}")
    _print_abandoned(found.abandoned, "its process died; `rollwright track sync` ends it as FAILED")
    _print_boxes(found.outboxes)


@track_app.command()
def sync(as_json: AsJson = False) -> int:
    """Send what waits to the tracking server, and end as FAILED the runs whose process died.

    Exit code 0: the server has everything; 1: it refused something for good; 3: it did not answer, and the rest waits.
    """
    from rollwright.app.track import sync_tracking  # noqa: PLC0415 - keeps --help light

    done = sync_tracking(on_run=lambda run_id: stderr.print(f"sent {run_id}"))
    if as_json:
        data = {**asdict(done), "complete": not any(box.waiting for box in done.outboxes)}
        print_json(data, ok=done.exit_code == 0)
        return done.exit_code
    _print_abandoned(done.failed, "its process died; it is FAILED now")
    _print_boxes(done.outboxes)
    return done.exit_code


@track_app.command()
def relocate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be rewritten, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell MLflow's database where the files lie after the project folder moved, so that its page shows them."""
    from rollwright.app.track import relocate_tracking  # noqa: PLC0415 - keeps --help light

    found = relocate_tracking(dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "locations": [asdict(item) for item in found]})
        return
    for item in found[:5]:
        print_text(f"{item.kind} {item.id}: {item.before} -> {item.after}")
    if len(found) > 5:
        print_text(f"… and {len(found) - 5} more")
    print_text(f"{len(found)} locations {'would be' if dry_run else 'were'} rewritten")


@track_app.command()
def ui(as_json: AsJson = False) -> None:
    """Print the line that opens MLflow's page on the recorded runs."""
    from rollwright.app.track import make_page_command  # noqa: PLC0415 - keeps --help light

    kind, line = make_page_command()
    if as_json:
        print_json({kind: line})
        return
    print_text(line)
    if kind == "command":
        stderr.print("then open http://127.0.0.1:5000; files missing there after a move: `rollwright track relocate`")
    if ":***@" in line:
        stderr.print("put the database's password in place of ***")


def _print_abandoned(runs: Sequence[AbandonedRun], what: str) -> None:
    for run in runs:
        print_text(f"run {run.run_id} of process {run.pid}: {what}")


def _print_boxes(boxes: Sequence[OutboxReport]) -> None:
    for box in boxes:
        if box.away is not None:
            stderr.print(f"{box.uri} does not answer: {box.away}", style="yellow")
        sent = f", {box.sent} entries sent" if box.sent else ""
        print_text(f"{box.uri}: {box.runs} runs recorded here, {len(box.waiting)} waiting{sent}")
        if box.waiting:
            print_text(f"  {'run':32}  {'status':9}  {'started (UTC)':19}  {'entries':>7}  {'files':>5}  name")
        for run in box.waiting:
            started = run.started.removesuffix("+00:00").replace("T", " ")
            print_text(
                f"  {run.run_id:32}  {run.status:9}  {started:19}  {run.operations:>7}  {run.files:>5}  {run.name}"
            )
        for line in box.refused:
            stderr.print(f"refused for good: {line}", style="red")
