"""Arguments and options that the verbs of ``rollwright online`` share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["REFUSED", "Reason", "ServingName"]

REFUSED = 4
"""A bound is violated, data are late, or the ledger is damaged."""

ServingName = Annotated[
    str | None, typer.Argument(help="The serving; needed where there are several.", metavar="[NAME]")
]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Why; it stands in the ledger for good.", show_default=False)
]
