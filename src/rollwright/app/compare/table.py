"""The table of a comparison that was made in this project: made anew of what is stored, and written as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.app.compare.opening import find_comparison, results_of
from rollwright.compare.costs import CostRow, summarise_costs
from rollwright.compare.evaluation import RunEvaluation
from rollwright.compare.page import PAGE_FILE, write_page
from rollwright.compare.stored_evaluations import read_evaluations_from
from rollwright.compare.table import ComparisonTable, make_table
from rollwright.compare.table_files import TABLE_FILE, read_table, write_costs, write_table
from rollwright.compare.table_rows import RankedBy
from rollwright.config.settings import load_settings
from rollwright.core.canonical import JSON
from rollwright.errors import CorruptFileError, DataNotFoundError

__all__ = ["MadeTable", "make_comparison_table", "write_results"]

EVALUATIONS: Final = "evaluations"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeTable:
    """A table with what its runs took.

    Attributes
    ----------
    name : str
        Of the comparison.
    folder : Path
        Where its results lie.
    table : ComparisonTable
    costs : tuple of CostRow
    """

    name: str
    folder: Path
    table: ComparisonTable
    costs: tuple[CostRow, ...]


def make_comparison_table(
    name: str | None = None,
    *,
    baseline: str | None = None,
    metric: RankedBy | None = None,
    level: float | None = None,
    project: Path | None = None,
) -> MadeTable:
    """Return the table of a comparison from its stored evaluations; nothing is trained, and nothing is written.

    Parameters
    ----------
    name : str, optional
        The latest comparison if not given.
    baseline, metric, level
        As `make_table` takes them; what is not given is as in the table that lies in the results, if one does.
    project : Path, optional
        Where the search for the project folder starts.

    Raises
    ------
    CompareError
        When there is no such comparison, or no such baseline.
    DataNotFoundError, CorruptFileError
        When nothing was evaluated yet, or the stored evaluations are damaged.
    """
    settings = load_settings(start=project)
    record = find_comparison(settings, name)
    folder = results_of(settings, record.name)
    evaluations = read_evaluations_from(folder / EVALUATIONS)
    former = _read_former(folder / TABLE_FILE)
    table = make_table(
        evaluations,
        baseline=baseline if baseline is not None or former is None else former.baseline or None,
        metric=metric or (former.metric if former is not None else "rank_ic"),
        level=level if level is not None else (former.level if former is not None else 0.9),
        origin={} if former is None else former.origin,
    )
    return MadeTable(name=record.name, folder=folder, table=table, costs=tuple(summarise_costs(evaluations)))


def write_results(
    folder: Path,
    name: str,
    evaluations: Sequence[RunEvaluation],
    *,
    baseline: str | None = None,
    metric: RankedBy = "rank_ic",
    level: float = 0.9,
    origin: Mapping[str, JSON] | None = None,
) -> ComparisonTable:
    """Write the table of a comparison, its costs and its page to the folder of its results, and return the table.

    The other arguments and errors are those of `make_table`; nothing is written where the table cannot be made.
    """
    table = make_table(evaluations, baseline=baseline, metric=metric, level=level, origin=origin)
    write_costs(folder, evaluations)
    write_page(folder / PAGE_FILE, name, table, evaluations)
    write_table(folder, table)
    return table


def _read_former(path: Path) -> ComparisonTable | None:
    """Return the table that lies in the results; None where there is none that can be read: it is made anew."""
    try:
        return read_table(path)
    except (DataNotFoundError, CorruptFileError):
        return None
