"""The reference `TrackingStore`: everything in this process's memory, under one lock."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from rollwright.errors import ExperimentNotFoundError, RecorderNotFoundError, RecordError
from rollwright.tracking.store import (
    OPEN_STATUSES,
    ExperimentRecord,
    MetricPoint,
    RunRecord,
    RunView,
    TrackingTraits,
    check_batch,
)
from rollwright.tracking.stores.filter import compile_filter, sort_runs

__all__ = ["MemoryTrackingStore"]

DEFAULT: Final = ExperimentRecord(id="0", name="Default")


@dataclass(slots=True, kw_only=True)
class _Run:
    record: RunRecord
    points: dict[str, MetricPoint] = field(default_factory=dict)  # the greatest (step, time) of each metric


class MemoryTrackingStore:
    """Experiments and runs that live as long as this object; what `TrackingStore` promises, in the plainest way."""

    def __init__(self) -> None:
        self._experiments: dict[str, ExperimentRecord] = {DEFAULT.id: DEFAULT}
        self._runs: dict[str, _Run] = {}
        self._mutex = threading.RLock()

    @property
    def traits(self) -> TrackingTraits:
        """Neither durable nor shared between processes."""
        return TrackingTraits(durable=False, multi_process=False)

    def create_experiment(self, name: str) -> ExperimentRecord:
        """Return the experiment `name`, creating it when there is none."""
        with self._mutex:
            found = self.experiments(name=name)
            if not found:
                found = [ExperimentRecord(id=str(len(self._experiments)), name=name)]
                self._experiments[found[0].id] = found[0]
            return found[0]

    def experiments(self, *, name: str | None = None, experiment_id: str | None = None) -> list[ExperimentRecord]:
        """Return the experiments that are not deleted."""
        with self._mutex:
            return [
                record
                for record in self._experiments.values()
                if not record.deleted and name in {None, record.name} and experiment_id in {None, record.id}
            ]

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs; its name is free at once."""
        with self._mutex:
            found = self._experiment(experiment_id)
            self._experiments[found.id] = replace(found, deleted=True)
            for run in self._runs.values():
                if run.record.experiment_id == found.id:
                    run.record = replace(run.record, deleted=True)

    def create_run(
        self, experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
    ) -> RunRecord:
        """Add a run and return it."""
        with self._mutex:
            found = self._experiment(experiment_id)
            record = RunRecord(
                id=uuid.uuid4().hex,
                experiment_id=found.id,
                name=name,
                status=status,
                start=_to_millis(start),
                tags={**tags},
            )
            self._runs[record.id] = _Run(record=record)
            return record

    def update_run(
        self,
        run_id: str,
        *,
        status: str | None = None,
        end: datetime | None = None,
        name: str | None = None,
    ) -> None:
        """Change what is given."""
        with self._mutex:
            run = self._live(run_id)
            record = run.record
            state = status if status is not None else record.status
            ended = _to_millis(end) if end is not None else record.end
            run.record = replace(
                record,
                status=state,
                end=None if state in OPEN_STATUSES else ended,
                name=name if name is not None else record.name,
            )

    def log_batch(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Sequence[MetricPoint] = (),
        tags: Mapping[str, str] | None = None,
        status: str | None = None,
        end: datetime | None = None,
    ) -> None:
        """Write parameters, metrics and tags, all or none, then the status."""
        check_batch(self.traits, params or {}, metrics, tags or {})
        with self._mutex:
            run = self._live(run_id)
            record = run.record
            for key, value in (params or {}).items():
                if record.params.get(key, value) != value:
                    raise RecordError(f"parameter {key!r} is {record.params[key]!r} already and never changes")
            for item in metrics:
                held = run.points.get(item.key)
                if held is None or (held.step, held.at) <= (item.step, item.at):
                    run.points[item.key] = item
            run.record = replace(
                record,
                params={**record.params, **(params or {})},
                metrics={key: item.value for key, item in run.points.items()},
                tags={**record.tags, **(tags or {})},
            )
            if status is not None:
                self.update_run(run_id, status=status, end=end)

    def delete_tags(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove tags; a tag that is not there is no error."""
        with self._mutex:
            run = self._live(run_id)
            left = {key: value for key, value in run.record.tags.items() if key not in keys}
            run.record = replace(run.record, tags=left)

    def get_run(self, run_id: str) -> RunRecord:
        """Return the run, deleted or not."""
        with self._mutex:
            return self._run(run_id).record

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        where: str = "",
        order_by: Sequence[str] = (),
        view: RunView = "active",
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return the matching runs."""
        matches = compile_filter(where)
        with self._mutex:
            found = [
                run.record
                for run in self._runs.values()
                if run.record.experiment_id in experiment_ids
                and (view == "all" or run.record.deleted == (view == "deleted"))
                and matches(run.record)
            ]
        return sort_runs(found, order_by)[:limit]

    def delete_run(self, run_id: str) -> None:
        """Delete a run; its record stays readable by id."""
        with self._mutex:
            run = self._live(run_id)
            run.record = replace(run.record, deleted=True)

    def fetch_files(self, run: RunRecord) -> bool:  # noqa: ARG002 - the port's signature
        """Do nothing: the files of every run are in the folder of the artifacts."""
        return True

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _experiment(self, experiment_id: str) -> ExperimentRecord:
        found = self._experiments.get(experiment_id)
        if found is None or found.deleted:
            raise ExperimentNotFoundError(f"the tracking store does not know experiment {experiment_id}")
        return found

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise RecorderNotFoundError(f"the tracking store does not know run {run_id}")
        return self._runs[run_id]

    def _live(self, run_id: str) -> _Run:
        run = self._run(run_id)
        if run.record.deleted:
            raise RecordError(f"run {run_id} is deleted and cannot change")
        return run


def _to_millis(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
