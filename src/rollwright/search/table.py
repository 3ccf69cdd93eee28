"""The table of a search: every trial with its values, for programs and for readers; the same record, the same bytes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rollwright.campaign.search_section import SearchSection
from rollwright.core.atomic import write_text
from rollwright.core.canonical import JSON
from rollwright.core.json_lines import dump_lines
from rollwright.search.space import show_value
from rollwright.search.trial import ToldTrial, find_best, write_number

__all__ = ["describe_choice", "table_to_json", "write_table"]

_FORMAT: Final = 1
_COLUMNS: Final = ("trial", "state", "windows", "planned")


def table_to_json(name: str, section: SearchSection, told: Sequence[ToldTrial]) -> dict[str, JSON]:
    """Return the trials as JSON, in the order of their numbers, and which is the best."""
    best = find_best(told)
    return {
        "format": _FORMAT,
        "name": name,
        "metric": section.metric,
        "segment": section.segment,
        "sampler": section.sampler,
        "seed": section.seed,
        "best": None if best is None else best.name,
        "trials": [
            {
                "trial": one.name,
                "state": one.state,
                "value": write_number(one.value),
                "windows": one.windows,
                "planned": one.planned,
                "params": dict(one.params),
                "metrics": {key: write_number(value) for key, value in one.metrics.items()},
                "cause": one.cause,
            }
            for one in told
        ],
    }


def write_table(folder: Path, name: str, section: SearchSection, told: Sequence[ToldTrial]) -> None:
    """Write ``search.json``, ``search.csv`` and ``search.md`` into `folder`."""
    write_text(folder / "search.json", dump_lines(table_to_json(name, section, told), levels=2))
    rows = _list_rows(section, told, exact=True)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(folder / "search.csv", text.getvalue())
    write_text(folder / "search.md", _to_markdown(name, section, told))


def _list_rows(section: SearchSection, told: Sequence[ToldTrial], *, exact: bool) -> list[list[str]]:
    keys = list(dict.fromkeys([section.metric, *(key for one in told for key in one.metrics)]))
    rows = [[*_COLUMNS, *keys, *section.space, *(["cause"] if exact else [])]]
    for one in told:
        numbers = [one.metrics.get(key, math.nan) for key in keys]
        rows.append(
            [
                one.name,
                one.state,
                str(one.windows),
                str(one.planned),
                *("" if math.isnan(value) else repr(value) if exact else f"{value:.4f}" for value in numbers),
                *(show_value(one.params[key]) if exact else _shorten(one.params[key]) for key in section.space),
                *([one.cause] if exact else []),
            ]
        )
    return rows


def _shorten(value: JSON) -> str:
    return f"{value:.6g}" if isinstance(value, float) else show_value(value)


def _to_markdown(name: str, section: SearchSection, told: Sequence[ToldTrial]) -> str:
    best = find_best(told)
    head, *rows = _list_rows(section, told, exact=False)
    lines = [f"# Search {name}", "", describe_choice(section, told), ""]
    lines += [_line(head), _line(["---"] * len(head))]
    lines += [
        _line([f"**{row[0]}**" if best is not None and row[0] == best.name else row[0], *row[1:]]) for row in rows
    ]
    failed = [one for one in told if one.cause]
    if failed:
        lines += ["", *(f"- {one.name} {one.state}: {_escape(one.cause)}" for one in failed)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escape(cell) for cell in cells)} |"


def _escape(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def describe_choice(section: SearchSection, told: Sequence[ToldTrial]) -> str:
    """Return what the choice among the trials costs, as one paragraph."""
    days = sorted({day for one in told for day in one.days})
    where = f"{section.segment} sessions from {days[0]} to {days[-1]}" if days else f"{section.segment} sessions"
    said = (
        f"The best of {len(told)} trials by {section.metric} of {where}. That number is the largest of so many, and no "
        "estimate of what the choice is worth."
    )
    if section.segment == "test":
        return (
            f"{said} The test windows are used up by the choice: only later sessions, or a holdout that was sealed "
            "before, show it."
        )
    return (
        f"{said} No trial was chosen by its test windows, but valid segments of later windows lie on test sessions of "
        "earlier ones: only later sessions, or a holdout that was sealed before, are untouched by it."
    )
