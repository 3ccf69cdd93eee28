"""Rows of MLflow's tables as records, and filters and orders of runs as SQL."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from rollwright.core.text import escape_text
from rollwright.errors import RecordError
from rollwright.tracking.store import OPEN_STATUSES, ExperimentRecord, RunRecord, RunView
from rollwright.tracking.stores.filter import Condition, Ordering, parse_filter, parse_order

__all__ = ["EXPERIMENT", "find_runs", "from_millis", "read_runs", "stored_number", "to_experiment", "to_millis"]

EXPERIMENT: Final = "SELECT experiment_id, name, artifact_location, lifecycle_stage FROM experiments"
_RUN: Final = (
    "SELECT run_uuid, experiment_id, name, status, start_time, end_time, artifact_uri, lifecycle_stage FROM runs"
)
_STATUS: Final = "CASE runs.status WHEN 'KILLED' THEN 'FAILED' ELSE runs.status END"
_END: Final = "CASE WHEN runs.status IN ('SCHEDULED', 'RUNNING') THEN NULL ELSE runs.end_time END"
_ATTRIBUTES: Final = {
    "status": _STATUS,
    "run_name": "runs.name",
    "run_id": "runs.run_uuid",
    "start_time": "coalesce(runs.start_time, 0)",
    "end_time": _END,
}
_TABLES: Final = {"params": "params", "tags": "tags", "metrics": "latest_metrics"}
_STAGES: Final = {"active": " AND runs.lifecycle_stage = 'active'", "deleted": " AND runs.lifecycle_stage = 'deleted'"}
_AT_ONCE: Final = 500
"""Ids in one statement."""
_WANTED: Final = {str: "text", float: "number"}
_SHOWN: Final = 120


def to_millis(moment: datetime) -> int:
    """Return a moment as MLflow stores it."""
    return round(moment.timestamp() * 1000)


def from_millis(millis: int | None) -> datetime | None:
    """Return the moment that MLflow stored."""
    return datetime.fromtimestamp(millis / 1000, UTC) if millis is not None else None


def stored_number(value: float) -> tuple[float, bool]:
    """Return a metric's value as MLflow stores it: a number, and whether it stands for NaN."""
    return (0.0, True) if math.isnan(value) else (value, False)


def to_experiment(connection: sqlite3.Connection, row: Sequence[Any]) -> ExperimentRecord:
    """Return the record of a row of `EXPERIMENT`.

    Raises
    ------
    RecordError
        When a column holds what MLflow writes there never; SQLite keeps any value in any column.
    """
    identity, name, location, stage = row
    columns = _Columns(connection, f"experiment {identity}", "experiments")
    return ExperimentRecord(
        id=str(identity),
        name=columns.text("name", name),
        location=columns.text("artifact_location", location or ""),
        deleted=stage != "active",
    )


def read_runs(connection: sqlite3.Connection, ids: Sequence[str]) -> list[RunRecord]:
    """Return the runs of these ids that are there, in their order, deleted or not.

    Raises
    ------
    RecordError
        When a column of one of them holds what MLflow writes there never: a run that cannot be read is not left out,
        since whoever collects would miss its window.
    """
    found: dict[str, RunRecord] = {}
    for part in _parts(ids):
        marks = ", ".join("?" * len(part))
        values: dict[str, dict[str, dict[str, Any]]] = {one: {"params": {}, "metrics": {}, "tags": {}} for one in part}
        for kind, table in _TABLES.items():
            column = "CASE WHEN is_nan THEN NULL ELSE value END" if kind == "metrics" else "value"
            wanted: type = float if kind == "metrics" else str
            rows = connection.execute(
                f"SELECT run_uuid, key, {column} FROM {table} WHERE run_uuid IN ({marks})",  # noqa: S608 - names of ours
                part,
            )
            for run, key, value in rows:
                held = (math.nan if kind == "metrics" else "") if value is None else value
                if type(held) is not wanted or type(key) is not str:
                    columns = _Columns(connection, f"run {run}", table)
                    columns.refuse(f"value of {columns.text('key', key)!r}", held, _WANTED[wanted])
                values[run][kind][key] = held
        for row in connection.execute(f"{_RUN} WHERE run_uuid IN ({marks})", part):
            found[row[0]] = _to_run(_Columns(connection, f"run {row[0]}", "runs"), row, values[row[0]])
    return [found[one] for one in ids if one in found]


def find_runs(
    connection: sqlite3.Connection,
    experiment_ids: Iterable[int],
    *,
    where: str,
    order_by: Sequence[str],
    view: RunView,
    limit: int | None,
) -> list[str]:
    """Return the ids of the matching runs, in order.

    Raises
    ------
    RecordError
        For a filter or an order that is not of the part of the language that every adapter knows.
    """
    conditions, orders = parse_filter(where), parse_order(order_by)
    values: list[Any] = [*experiment_ids]
    statement = f"SELECT run_uuid FROM runs WHERE experiment_id IN ({', '.join('?' * len(values))})"  # noqa: S608 - marks
    statement += _STAGES.get(view, "")
    for condition in conditions:
        statement += f" AND {_condition(condition, values)}"
    ordered = [_ordering(order, values) for order in orders]
    statement += f" ORDER BY {', '.join([*ordered, 'coalesce(start_time, 0) DESC', 'run_uuid'])}"
    if limit is not None:
        statement += " LIMIT ?"
        values.append(max(limit, 0))
    return [one for (one,) in connection.execute(statement, values)]


def _condition(condition: Condition, values: list[Any]) -> str:
    if condition.kind == "attributes":
        values.append(condition.value)
        return f"{_ATTRIBUTES[condition.key]} {condition.operator} ?"
    values += [condition.key, condition.value]
    test = f"value {condition.operator} ?"
    if condition.kind == "metrics":  # NaN is unlike every number, and neither above nor below one
        test = f"(is_nan OR {test})" if condition.operator == "!=" else f"(NOT is_nan AND {test})"
    return (
        f"EXISTS (SELECT 1 FROM {_TABLES[condition.kind]} AS held"  # noqa: S608 - names of ours
        f" WHERE held.run_uuid = runs.run_uuid AND held.key = ? AND {test})"
    )


def _ordering(order: Ordering, values: list[Any]) -> str:
    way = "DESC" if order.descending else "ASC"
    if order.kind == "attributes":
        return f"{_ATTRIBUTES[order.key]} {way} NULLS LAST"
    values.append(order.key)
    known = " AND NOT is_nan" if order.kind == "metrics" else ""
    return (
        f"(SELECT value FROM {_TABLES[order.kind]} AS held"  # noqa: S608 - names of ours
        f" WHERE held.run_uuid = runs.run_uuid AND held.key = ?{known}) {way} NULLS LAST"
    )


class _Columns:
    """The values of one row by their columns; what is of another type there is refused by its place."""

    def __init__(self, connection: sqlite3.Connection, what: str, table: str) -> None:
        self._connection = connection
        self._what = what
        self._table = table

    def text(self, column: str, value: Any) -> str:
        """Return a value that is to be text."""
        return value if isinstance(value, str) else self.refuse(column, value, _WANTED[str])

    def moment(self, column: str, value: Any) -> datetime | None:
        """Return the moment of a value that is to be milliseconds since 1970."""
        try:
            return from_millis(value)
        except (TypeError, ValueError, OverflowError, OSError):
            self.refuse(column, value, "a time in milliseconds")

    def refuse(self, column: str, value: Any, wanted: str) -> NoReturn:
        """Raise what is wrong with a value.

        Raises
        ------
        RecordError
        """
        path = self._connection.execute("PRAGMA database_list").fetchone()[2]
        raise RecordError(
            f"{self._what} in {path} cannot be read: {self._table}.{escape_text(column, longest=_SHOWN)} is "
            f"{escape_text(repr(value), longest=_SHOWN)}, which is no {wanted}",
            hint="another program wrote it, and MLflow does not read it either: put the value right with a tool for"
            " SQLite, or put back a copy of the file",
        )


def _to_run(columns: _Columns, row: Sequence[Any], values: dict[str, dict[str, Any]]) -> RunRecord:
    identity, experiment, name, status, start, end, location, stage = row
    state = "FAILED" if status == "KILLED" else columns.text("status", status)  # what MLflow's page makes of a stop
    return RunRecord(
        id=identity,
        experiment_id=str(experiment),
        name=columns.text("name", name or ""),
        status=state,
        start=columns.moment("start_time", start or 0) or datetime.fromtimestamp(0, UTC),
        end=None if state in OPEN_STATUSES else columns.moment("end_time", end),  # MLflow keeps that of a resumed run
        location=columns.text("artifact_uri", location or ""),
        deleted=stage != "active",
        params=values["params"],
        metrics=values["metrics"],
        tags=values["tags"],
    )


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
