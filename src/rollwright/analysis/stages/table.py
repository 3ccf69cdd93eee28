"""What a stage leaves: tables with the unit of each column, metrics, findings, and what it was made from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, get_args

import pandas as pd

from rollwright.analysis.health import HealthFinding
from rollwright.analysis.metrics import Metric, Unit
from rollwright.analysis.stages.locations import StageName
from rollwright.errors import DataError

__all__ = [
    "UNITS",
    "ColumnUnit",
    "Made",
    "ResultTable",
    "StageResult",
    "TableMaker",
    "list_tables",
    "make_tables",
]

ColumnUnit: TypeAlias = (
    Unit
    | Literal[
        "label", "score", "currency", "price", "shares", "seconds", "date", "text", "rank", "flag", "mixed", "metric"
    ]
)
"""``label``, ``score``: that of the label or the score itself; ``shares``: adjusted ones; ``flag``: true or false;
``mixed``: each row says it in the column ``unit``; ``metric``: that of the metric in the column ``metric``."""

UNITS: Final = frozenset(unit for part in get_args(ColumnUnit) for unit in (get_args(part) or (part,)))
"""Every unit of a column."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResultTable:
    """One table of a stage.

    Attributes
    ----------
    name : str
        Lower-case letters, digits and ``_``.
    frame : DataFrame
        Column names are text. Its index may have a name or names; its levels need no unit.
    units : mapping of str to ColumnUnit
        The unit of each column of `frame`.

    Raises
    ------
    DataError
        For another name, and when a column has no unit, an unknown one, or is no column.
    """

    name: str
    frame: pd.DataFrame
    units: Mapping[str, ColumnUnit]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DataError(f"{self.name!r} is not the name of a table", hint="use lower-case letters, digits and _")
        columns = [str(column) for column in self.frame.columns]
        if set(columns) != set(self.units) or len(set(columns)) != len(columns):
            raise DataError(
                f"table `{self.name}` has the columns {columns} and units of {sorted(self.units)}",
                hint="give each column one unit",
            )
        unknown = sorted({str(unit) for unit in self.units.values()} - UNITS)
        if unknown:
            raise DataError(f"table `{self.name}` has the unknown unit {unknown[0]!r}", hint=f"known: {sorted(UNITS)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageResult:
    """Everything that one stage made of one signal.

    Attributes
    ----------
    stage : {"collect", "analyze", "backtest"}
    tables : mapping of str to ResultTable
    metrics : tuple of Metric
    findings : tuple of HealthFinding
        What has to be known before the metrics are believed.
    left_out : mapping of str to str
        The tables that were not made, each with the reason.
    settings : mapping
        What was asked, as JSON.
    inputs : mapping of str to str
        SHA-256 of each file that it was made from; empty of what was never in a file.
    """

    stage: StageName
    tables: Mapping[str, ResultTable] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    findings: tuple[HealthFinding, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    def frame(self, name: str) -> pd.DataFrame | None:
        """Return the frame of a table; None when it was left out."""
        table = self.tables.get(name)
        return None if table is None else table.frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What one maker made: its tables, and the metrics and findings that stand on them."""

    tables: tuple[ResultTable, ...] = ()
    metrics: tuple[Metric, ...] = ()
    findings: tuple[HealthFinding, ...] = ()


Given = TypeVar("Given")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMaker(Generic[Given]):
    """How one or more tables of a stage are made.

    Attributes
    ----------
    tables : tuple of str
        The names of what it makes.
    make : callable
        ``make(given, before) -> Made``: of what the stage was given and the tables that makers before it made. Pure:
        equal inputs make equal tables, and no file is read.
    needs : tuple of str
        Which attributes of what the stage was given, and which tables before it, it cannot do without.
    required : bool
        Whether the stage fails without it. Else what lacks an input, and what cannot be made of these data
        (`DataError`), is left out, and the reason is written down.
    """

    tables: tuple[str, ...]
    make: Callable[[Given, Mapping[str, pd.DataFrame]], Made]
    needs: tuple[str, ...] = ()
    required: bool = False


def list_tables(makers: Sequence[TableMaker[Given]]) -> tuple[str, ...]:
    """Return the names of all tables that `makers` make, in order."""
    return tuple(name for maker in makers for name in maker.tables)


def make_tables(
    stage: StageName, makers: Sequence[TableMaker[Given]], given: Given, *, settings: Mapping[str, Any]
) -> StageResult:
    """Return the result of a stage: what each maker makes of `given`, in order.

    Raises
    ------
    DataError
        When a required table lacks an input or cannot be made, and when a maker makes what it does not name.
    """
    tables: dict[str, ResultTable] = {}
    frames: dict[str, pd.DataFrame] = {}
    metrics: list[Metric] = []
    findings: list[HealthFinding] = []
    left_out: dict[str, str] = {}
    for maker in makers:
        reason = _find_absence(maker, given, frames)
        made = Made()
        if reason is None:
            try:
                made = maker.make(given, frames)
            except DataError as error:
                if maker.required:
                    raise
                reason = error.message
        elif maker.required:
            raise DataError(f"the stage `{stage}` cannot make {' and '.join(maker.tables)}: {reason}")
        found = {table.name: table for table in made.tables}
        if unexpected := sorted(found.keys() - {*maker.tables}):
            raise DataError(f"the maker of {', '.join(maker.tables)} made a table `{unexpected[0]}`")
        left_out |= {name: reason or "these data have nothing for it" for name in maker.tables if name not in found}
        tables |= found
        frames |= {name: table.frame for name, table in found.items()}
        metrics += made.metrics
        findings += made.findings
    return StageResult(
        stage=stage,
        tables=tables,
        metrics=tuple(metrics),
        findings=tuple(findings),
        left_out=left_out,
        settings=settings,
    )


def _find_absence(maker: TableMaker[Given], given: Given, before: Mapping[str, pd.DataFrame]) -> str | None:
    """Return which input a maker lacks; None when it has all."""
    for name in maker.needs:
        if name in before:
            continue
        if not hasattr(given, name):  # no attribute of this stage: a table that was not made
            return f"there is no table `{name}` to make it of"
        if getattr(given, name) is None:
            return f"no {name.replace('_', ' ')} {'were' if name.endswith('s') else 'was'} given"
    return None
