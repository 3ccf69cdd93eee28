"""What the runs of a comparison took: time, CPU and memory, beside its table and never in it.

Two comparisons of equal results differ in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from rollwright.backtest.risk import standard_deviation
from rollwright.compare.evaluation import RunEvaluation
from rollwright.compare.json_values import write_number
from rollwright.compare.session_series import gather_models
from rollwright.compare.table_rows import MetricSummary
from rollwright.compare.table_text import write_csv, write_markdown
from rollwright.compare.table_words import TableLanguage, say

__all__ = ["CostRow", "costs_to_csv", "costs_to_json", "costs_to_markdown", "list_cost_cells", "summarise_costs"]

_FORMAT: Final = 1
_KEYS: Final = ("seconds", "cpu_seconds", "peak_mb")


class CostRow(NamedTuple):
    """What the runs of a model that are done took, over its seeds.

    Attributes
    ----------
    model, dataset : str
    seconds, cpu_seconds, peak_mb : MetricSummary
        Wall time, CPU time of all threads, and the largest memory in millions of bytes.
    total_seconds, total_cpu_seconds : float
        Of all its runs together.
    """

    model: str
    dataset: str
    seconds: MetricSummary
    cpu_seconds: MetricSummary
    peak_mb: MetricSummary
    total_seconds: float
    total_cpu_seconds: float


def summarise_costs(evaluations: Sequence[RunEvaluation]) -> list[CostRow]:
    """Return what each model took, in the order of the names; those of which no run is done are left out."""
    rows = []
    for one in gather_models(evaluations):
        costs = [run.cost for run in one.done if run.cost is not None]
        if not costs:
            continue
        rows.append(
            CostRow(
                model=one.model,
                dataset=one.dataset,
                seconds=_summarise([cost.seconds for cost in costs]),
                cpu_seconds=_summarise([cost.cpu_seconds for cost in costs]),
                peak_mb=_summarise([cost.peak_bytes / 1e6 for cost in costs]),
                total_seconds=math.fsum(cost.seconds for cost in costs),
                total_cpu_seconds=math.fsum(cost.cpu_seconds for cost in costs),
            )
        )
    return rows


def _summarise(values: Sequence[float]) -> MetricSummary:
    known = np.array(values, dtype=np.float64)
    return MetricSummary(float(known.mean()), standard_deviation(known) if len(known) > 1 else 0.0, len(known))


def costs_to_json(rows: Sequence[CostRow]) -> dict[str, Any]:
    """Return the costs as JSON."""
    return {
        "format": _FORMAT,
        "kind": "comparison_costs",
        "rows": [
            {
                "model": row.model,
                "dataset": row.dataset,
                **{key: getattr(row, key)._asdict() for key in _KEYS},
                "total_seconds": write_number(row.total_seconds),
                "total_cpu_seconds": write_number(row.total_cpu_seconds),
            }
            for row in rows
        ],
        "total_seconds": math.fsum(row.total_seconds for row in rows),
        "total_cpu_seconds": math.fsum(row.total_cpu_seconds for row in rows),
    }


def costs_to_csv(rows: Sequence[CostRow]) -> str:
    """Return the costs as CSV: a line for each model."""
    heads = ["model", "dataset", *(f"{key}_{part}" for key in _KEYS for part in MetricSummary._fields)]
    cells = [
        [
            row.model,
            row.dataset,
            *(part for key in _KEYS for part in getattr(row, key)),
            row.total_seconds,
            row.total_cpu_seconds,
        ]
        for row in rows
    ]
    return write_csv([*heads, "total_seconds", "total_cpu_seconds"], cells)


def list_cost_cells(rows: Sequence[CostRow], *, lang: TableLanguage = "en") -> tuple[list[str], list[list[str]]]:
    """Return the heads and cells of the costs as plain text, with the sum over all runs in the last row."""
    heads = [say(key, lang) for key in ("model", "dataset", *_KEYS)]
    shown = [
        [
            row.model,
            row.dataset,
            *(f"{one.mean:.1f}±{one.std:.1f}" for one in (row.seconds, row.cpu_seconds, row.peak_mb)),
        ]
        for row in rows
    ]
    if rows:
        wall, cpu = (math.fsum(getattr(row, f"total_{key}") for row in rows) for key in _KEYS[:2])
        shown.append([say("total", lang), "", f"{wall:.1f}", f"{cpu:.1f}", ""])
    return heads, shown


def costs_to_markdown(rows: Sequence[CostRow], *, lang: TableLanguage = "en") -> str:
    """Return the costs as Markdown, escaped as `table_to_markdown` does."""
    return "\n".join(write_markdown(*list_cost_cells(rows, lang=lang))) + "\n"
