"""``rollwright verify``: check that everything recorded is still there and unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.app.verify import Verification

__all__ = ["verify"]

DAMAGED = 4


def verify(
    what: Annotated[
        str | None,
        typer.Argument(help="An experiment, or one run by id or window; the whole project if not given."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Read every recorded artifact and database whole, and tell what is damaged, missing or left over.

    Nothing is changed. Exit code 0: nothing is lost (warnings cost room at most); 4: something is damaged or missing.
    """
    from rollwright.app import verify as app  # noqa: PLC0415 - keeps --help light

    with clean_stdout(), _show_progress() as progress:
        found = app.verify(what, progress=progress)
    if as_json:
        print_json({**asdict(found), "root": str(found.root)}, ok=found.ok)
    else:
        _show(found)
    return 0 if found.ok else DAMAGED


def _show(found: Verification) -> None:
    for finding in found.findings:
        print_text(f"{finding.severity:8} {finding.kind:12} {finding.where}")
        print_text(f"{'':8} {'':12} {finding.message}{f' [{finding.run}]' if finding.run else ''}")
    errors = sum(finding.severity == "error" for finding in found.findings)
    print_text(
        f"{found.root}: {count_noun(found.runs, 'run')}, {count_noun(found.artifacts, 'artifact')}, "
        f"{found.size / 1e6:,.1f} MB, {count_noun(found.databases, 'database')}: {count_noun(errors, 'error')}, "
        f"{count_noun(len(found.findings) - errors, 'warning')}"
    )
    if errors:
        stderr.print(
            "hint: restore the files from a copy, or give the campaign's command again: it makes what is damaged anew, "
            "and trains only windows whose model is"
        )


@contextmanager
def _show_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on standard error while a person is watching."""
    if not stderr.console.is_terminal:
        yield None
        return
    from rich.progress import Progress  # noqa: PLC0415 - keeps --help light

    with Progress(console=stderr.console, transient=True) as bar:
        task = bar.add_task("runs", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
