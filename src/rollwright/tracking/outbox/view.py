"""A run rebuilt from its journal, for reads while the server does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rollwright.tracking.store import OPEN_STATUSES, RunRecord

__all__ = ["build_run", "make_base_operation", "make_create_operation"]


def make_create_operation(
    experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
) -> dict[str, Any]:
    """Return the operation that creates a run."""
    return {
        "op": "create", "experiment": experiment_id, "name": name, "status": status, "start": start.isoformat(),
        "tags": dict(tags),
    }  # fmt: skip


def make_base_operation(run: RunRecord) -> dict[str, Any]:
    """Return the operation that holds everything a run of the server was before this project continued it."""
    known = make_create_operation(run.experiment_id, name=run.name, status=run.status, start=run.start, tags=run.tags)
    end = run.end.isoformat() if run.end is not None else None
    return {**known, "op": "base", "end": end, "params": dict(run.params), "metrics": dict(run.metrics)}


def build_run(
    run_id: str, operations: Sequence[Mapping[str, Any]], refused: Mapping[int, Sequence[str] | None]
) -> RunRecord:
    """Return the run that `operations` make; the first of them creates it.

    Parameters
    ----------
    refused
        Operations, and values of operations, that the server refused and that do not count.
    """
    first = operations[0]
    run = RunRecord(
        id=run_id,
        experiment_id=first["experiment"],
        name=first["name"],
        status=first["status"],
        start=_moment(first["start"]),
        end=_moment(first["end"]) if first.get("end") else None,
        params=dict(first.get("params", {})),
        metrics=dict(first.get("metrics", {})),
        tags=dict(first["tags"]),
    )
    latest: dict[str, tuple[int, str]] = {}
    for index, item in enumerate(operations[1:], start=1):
        lost = refused.get(index, ())
        if lost is not None:
            run = _apply(run, item, set(lost), latest)
    return run


def _apply(run: RunRecord, item: Mapping[str, Any], lost: set[str], latest: dict[str, tuple[int, str]]) -> RunRecord:
    if item["op"] == "update":
        status = item["status"] or run.status
        end = None if status in OPEN_STATUSES else _moment(item["end"]) if item["end"] else run.end
        return replace(run, status=status, end=end, name=item["name"] or run.name)
    if item["op"] == "untag":
        return replace(run, tags={key: text for key, text in run.tags.items() if key not in item["keys"]})
    params = {key: text for key, text in item["params"].items() if f"params.{key}" not in lost}
    tags = {key: text for key, text in item["tags"].items() if f"tags.{key}" not in lost}
    metrics = dict(run.metrics)
    for key, value, step, at in item["metrics"]:
        if f"metrics.{key}" not in lost and latest.get(key, (step, at)) <= (step, at):
            latest[key] = (step, at)
            metrics[key] = float(value)
    return replace(run, params={**run.params, **params}, metrics=metrics, tags={**run.tags, **tags})


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
