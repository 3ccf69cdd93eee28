"""``rollwright compare table``: the table of a comparison, from what is stored."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text

__all__ = ["table"]


class RankMetric(StrEnum):
    """What ranks the models."""

    rank_ic = "rank_ic"
    ic = "ic"
    excess = "excess"


class TableForm(StrEnum):
    """How a table is printed."""

    md = "md"
    csv = "csv"
    json = "json"


def table(
    name: Annotated[str | None, typer.Argument(help="The comparison; the latest if not given.")] = None,
    *,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="A model that the others are compared with.", show_default=False)
    ] = None,
    metric: Annotated[
        RankMetric | None, typer.Option("--metric", help="What ranks the models; rank_ic if not given.")
    ] = None,
    level: Annotated[
        float | None,
        typer.Option("--level", help="Of the confidence set and all intervals; 0.9 if not given.", show_default=False),
    ] = None,
    form: Annotated[TableForm, typer.Option("--format", help="How it is printed.")] = TableForm.md,
    as_json: AsJson = False,
) -> int:
    """Print the table of a comparison from its stored runs; nothing is trained, and nothing is written.

    What is not given is as in the table of the comparison. Exit code 1 when a run failed.
    """
    from rollwright.app.compare.table import make_comparison_table  # noqa: PLC0415 - keeps --help light
    from rollwright.compare.costs import costs_to_json, costs_to_markdown  # noqa: PLC0415 - keeps --help light
    from rollwright.compare.table_text import table_to_csv, table_to_markdown  # noqa: PLC0415 - keeps --help light

    made = make_comparison_table(name, baseline=baseline, metric=None if metric is None else metric.value, level=level)
    code = 0 if made.table.is_complete else 1
    if as_json or form is TableForm.json:
        data = {"name": made.name, "table": made.table.to_json(), "costs": costs_to_json(made.costs)}
        print_json(data, ok=code == 0)
    elif form is TableForm.csv:
        print_text(table_to_csv(made.table).rstrip("\n"))
    else:
        print_text(table_to_markdown(made.table))
        print_text(costs_to_markdown(made.costs).rstrip("\n"))
    return code
