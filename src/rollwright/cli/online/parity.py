"""``online parity``: compare what was served day by day with what one batch over the same sessions gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.cli.online.options import REFUSED, ServingName
from rollwright.cli.text import print_table
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.app.online.parity import ServingParity
    from rollwright.online.parity import PartParity

__all__ = ["parity"]

_SHOWN: Final = 20


def parity(
    name: ServingName = None,
    first: Annotated[str | None, typer.Option("--from", help="First session to compare.", show_default=False)] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last session to compare.", show_default=False)] = None,
    as_json: AsJson = False,
) -> int:
    """Train the windows anew as one batch, and compare every score that was served with it, bit for bit.

    Nothing of the serving is changed, and nothing of it is used for the batch; it takes as long as these windows take
    to train in one process. Exit code 0: every row is the same; 4: the first rows that are not are shown.
    """
    from rollwright.app.online.parity import compare_with_batch  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        found = compare_with_batch(name, first=first, last=last, on_progress=_tell)
    if as_json:
        print_json(found.to_json(), ok=found.parity.same)
    else:
        _show(found)
    return 0 if found.parity.same else REFUSED


def _tell(what: str, value: Any) -> None:
    if what == "days":
        stderr.print(f"{count_noun(value, 'session')} to compare")
    elif what == "batch":
        stderr.print(f"training {count_noun(value, 'window')} anew")


def _show(found: ServingParity) -> None:
    rows = [[part.name, f"{part.sessions:,}", f"{part.rows:,}", f"{part.differences:,}"] for part in found.parity.parts]
    print_table(["compared", "sessions", "rows", "differ"], rows)
    for part in found.parity.parts:
        if part.differences:
            _show_differences(part)
    for line in found.parity.uncovered[:_SHOWN]:
        print_text(f"names without a score: {line}")
    if found.left_out:
        print_text(f"not in the campaign's file, and not compared: {', '.join(found.left_out)}")
    total = sum(part.differences for part in found.parity.parts)
    said = "every row is the same, bit for bit" if found.parity.same else f"{count_noun(total, 'row')} differ"
    if found.parity.uncovered:
        said += f", and on {count_noun(len(found.parity.uncovered), 'session')} other names have no score"
    print_text(
        f"{found.serving}: {found.parity.published} published and {found.parity.refused} refused sessions, "
        f"{found.first} to {found.last}: {said}"
    )
    if not found.parity.same:
        stderr.print(
            "hint: prices or members that came or were rewritten after a session was served give the batch other "
            "values; the ledger notes it: `rollwright online history --kind open`"
        )


def _show_differences(part: PartParity) -> None:
    print_text(f"{part.name}: the first {len(part.first)} of {count_noun(part.differences, 'row')} that differ")
    rows = [[row.session, row.instrument, _score(row.served), _score(row.batch)] for row in part.first]
    print_table(["session", "instrument", "served", "batch"], rows)


def _score(value: float | None) -> str:
    return "no score" if value is None else repr(value)
