"""``online signals``: what was published, or what strategies scored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, stderr
from rollwright.cli.online.options import ServingName
from rollwright.core.text import count_noun, escape_text
from rollwright.errors import ConfigError

__all__ = ["signals"]


def signals(
    name: ServingName = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Of this session; the last one if no day is given.", show_default=False),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="From this session on.", show_default=False)
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Up to this session.", show_default=False)
    ] = None,
    role: Annotated[
        Literal["champion", "challenger", "shadow"] | None,
        typer.Option(
            help="Scores of the strategies that had this role, instead of what was published.", show_default=False
        ),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Scores of this strategy, instead of what was published.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write them to this .csv or .parquet file.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print published signals, or scores of strategies, as CSV, each checked against its digest in the ledger."""
    from rollwright.app.online.serving import open_serving  # noqa: PLC0415 - keeps --help light
    from rollwright.app.online.signals import check_out, read_signals, tabulate, write_signals  # noqa: PLC0415 - as above

    if session is not None and (first is not None or last is not None):
        raise ConfigError("a session and a range were given", hint="give --session, or --from and --to")
    if out is not None:
        check_out(out)
    with clean_stdout(), open_serving(name) as serving:
        made = read_signals(serving, start=session or first, end=session or last, role=role, strategy=strategy)
    if out is not None:
        rows = write_signals(made, out)
        stderr.print(f"{count_noun(rows, 'row')} of {count_noun(len({one.session for one in made}), 'session')}: {out}")
    if as_json:
        print_json([{"session": one.session, "of": one.of, "entry": one.entry, "sha256": one.reference.sha256,
                     "scores": one.scores.to_dict()} for one in made])  # fmt: skip
    elif out is None:
        print("session,of,instrument,score")
        for row in tabulate(made).itertuples(index=False):
            print(f"{row.session},{row.of},{escape_text(row.instrument)},{row.score!r}")
