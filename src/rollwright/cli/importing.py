"""``rollwright import``: what other programs wrote, into files that need no trust."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rollwright.cli.console import talk

__all__ = ["import_app"]

import_app = typer.Typer(help="Convert what other programs wrote into safe files.", no_args_is_help=True)


@import_app.callback()
def _group() -> None:
    """Keep ``pickle`` a sub-command while it is the only one."""


@import_app.command("pickle")
def pickle_command(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An old pickle, as of Qlib's pred.pkl.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file; beside the old one if not given.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Convert a pickled frame, array or plain value into Parquet, npy or JSON, without running the pickle."""
    from rollwright.compat.importing import import_pickle  # noqa: PLC0415 - keeps --help light

    done = import_pickle(path, out)
    if as_json:
        print(json.dumps({"ok": True, "data": asdict(done)}, indent=1, ensure_ascii=False))
        return
    shape = f" {' x '.join(map(str, done.shape))}" if done.shape else ""
    print(f"{done.path}: {done.type}{shape} as {done.kind}")
    if "network" not in done.limits:
        talk.line("this system gave the reading process no network of its own; nothing of the pickle was run anyway")
