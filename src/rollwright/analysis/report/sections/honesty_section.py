"""The section of honest numbers: what a Sharpe ratio is worth after its length, its tails and its rivals."""

from __future__ import annotations

from rollwright.analysis.honesty.reading import describe_number, describe_reason, name_count
from rollwright.analysis.report.blocks import ColumnHead, Section
from rollwright.analysis.report.view import View, format_value

__all__ = ["make_honesty"]


def make_honesty(view: View) -> Section | None:
    """Return every honest number with the sentence that says how it is read; those that lead the verdict stand out."""
    table = view.frame("honesty", "number", "standard", "count", "trials", "value", "unit", "reason")
    if table is None:
        return None
    words, language = view.words, view.language
    rows: list[list[str]] = []
    marked, told = set(), set()
    for row in table.to_dict("records"):
        label, reading = describe_number(row["number"], language)
        if row["number"] in told:
            reading = ""
        else:
            marked.add(len(rows))
            told.add(row["number"])
        rows.append(
            [
                label,
                row["standard"],
                name_count(row["count"], language),
                "" if row["trials"] != row["trials"] else f"{row['trials']:,.4g}",
                format_value(row["value"], row["unit"]),
                describe_reason(row["reason"], language) or reading,
            ]
        )
    heads = [
        ColumnHead(label=words["column_number"], is_number=False),
        ColumnHead(label=words["column_standard"], is_number=False),
        ColumnHead(label=words["column_count"], is_number=False),
        ColumnHead(label=words["column_trials"]),
        ColumnHead(label=words["column_figure"]),
        ColumnHead(label=words["how_to_read"], is_number=False, is_wrapped=True),
    ]
    return view.section("honesty", [view.table("honest_numbers", heads, rows, marked=frozenset(marked))])
