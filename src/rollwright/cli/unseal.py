"""``rollwright unseal``: open the sealed holdout of the project, for good and on the record."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr
from rollwright.cli.questions import Yes, ask

__all__ = ["unseal"]


def unseal(
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.", show_default=False)],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Open the sealed holdout: everything is read from then on, and every look at it counts as a trial.

    Who opened it, when and why is written down and cannot be taken back.
    """
    from rollwright.app import unseal as app  # noqa: PLC0415 - keeps --help light

    sealed = app.find_sealed()
    for one in sealed:
        stderr.print(f"sealed: [{one.start_text}, {one.end_text}], from {one.origin}")
    if not yes:
        ask(
            "Open it for good? Every look at these days counts as a trial from now on.",
            otherwise="nothing was opened; without a question: --yes",
        )
    opening = app.unseal(reason)
    if as_json:
        print_json({"path": str(opening.path), "opened": [asdict(record) for record in opening.records]})
        return
    for record in opening.records:
        print_text(f"opened   [{record.start}, {record.end}]")
        print_text(f"reason   {record.reason}")
        print_text(f"by       {record.by}, {record.at}")
    print_text(f"written  {opening.path}")
