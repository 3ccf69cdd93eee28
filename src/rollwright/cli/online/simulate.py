"""``online simulate``: what serving a campaign would have published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.cli.text import print_table
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.app.online.simulate import SimulatedServing

__all__ = ["simulate"]


def simulate(
    file: Annotated[Path, typer.Argument(help="The campaign's file.")],
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first session.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over what the file says.")
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", metavar="DAY", help="The last session; the data's if not given.", show_default=False),
    ] = None,
    provider_uri: Annotated[
        str | None, typer.Option(help="Market data, over what the file says.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the signals to this .csv or .parquet file.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go through past sessions as serving would: train when it is due, score, check; no ledger is written.

    The IC is that of the published signal with the label of the first champion, where the label is known by now.
    """
    from rollwright.app.online.signals import check_out, write_table  # noqa: PLC0415 - keeps --help light
    from rollwright.app.online.simulate import simulate_serving  # noqa: PLC0415 - as above

    if out is not None:
        check_out(out)
    with clean_stdout():
        found = simulate_serving(
            file, first=first, last=last, overrides=tuple(overrides or ()), provider_uri=provider_uri
        )
    if out is not None:
        write_table(found.signals, out)
        stderr.print(f"{count_noun(len(found.signals), 'row')}: {out}")
    if as_json:
        print_json(found.to_json())
        return
    _show(found)


def _show(found: SimulatedServing) -> None:
    rows = [[day.session, day.names, _write(day.ic), _write(day.rank_ic)] for day in found.days]
    print_table(["session", "names", "IC", "rank IC"], rows, right=("names", "IC", "rank IC"))
    known = found.rank_ics
    mean = f"; mean rank IC {sum(known) / len(known):.4f} over {count_noun(len(known), 'session')}" if known else ""
    print_text(f"{found.name}: {count_noun(len(found.days), 'session')} published{mean}")
    if found.refused:
        print_text(f"refused: {', '.join(found.refused)}")


def _write(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
