"""``explain-trade``: why an instrument was traded on a day, or was not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text
from rollwright.cli.text import print_table

if TYPE_CHECKING:
    from rollwright.app.trade_explanation import TradeExplanation

__all__ = ["explain_trade"]


def explain_trade(
    date: Annotated[str, typer.Argument(help="The session of the trade, as 2020-06-30.")],
    instrument: Annotated[str, typer.Argument(help="An instrument.")],
    campaign: Annotated[
        str | None,
        typer.Option(
            "--campaign",
            "-c",
            help="The campaign, or a folder of results; the campaign that ran last if not given.",
            show_default=False,
        ),
    ] = None,
    member: Annotated[
        str | None, typer.Option("--member", help="One of its members; its signal if not given.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say why the back-test bought or sold an instrument on a day, or did not: limit, suspension, cash, lot, rank."""
    from rollwright.app import trade_explanation  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        found = trade_explanation.explain_trade(date, instrument, name=campaign, member=member)
    if as_json:
        print_json(found.to_json())
        return
    _show(found)


def _show(found: TradeExplanation) -> None:
    print_text(f"{found.instrument} on {found.date}, back-test of {found.name}, {found.member}")
    place = found.place
    score = "none" if place is None else f"{place.score:.6g}, rank {place.rank} of {place.of}"
    print_text(f"score   {score}, of {found.scored_on}")
    print_text(f"held    {found.held:,.6g} shares at the close before")
    print_text(f"result  {found.because}")
    if not found.orders:
        return
    rows = [
        [order.side, *(_show_number(one) for one in (order.wanted_amount, order.made_amount, order.price, order.cost))]
        for order in found.orders
    ]
    head = ["order", "wanted", "made", "price", "cost"]
    print_table(head, rows, right=head[1:])


def _show_number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.6g}"
