"""The manager of experiments: created once, and found by name or id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.sqlite_urls import sqlite_path
from rollwright.errors import (
    ExperimentNotFoundError,
    RecorderNotFoundError,
    RecordError,
    TrackingUnavailableError,
    nearest,
)
from rollwright.tracking.experiment import Experiment, MLflowExperiment, find_by_id
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.recorder import MLflowRecorder, Recorder
from rollwright.tracking.run_stack import active_runs, pop_run
from rollwright.tracking.runs_frame import build_runs_frame, parse_run_view
from rollwright.tracking.store import ExperimentRecord, check_name
from rollwright.tracking.stores.opening import MEMORY

__all__ = ["ExpManager", "MLflowExpManager", "open_manager"]


class ExpManager:
    """All experiments of one tracking location.

    Parameters
    ----------
    uri : str, optional
        Tracking URI; that of the current settings, asked at each use, if not given.
    default_exp_name : str, optional
        The experiment of a run that names none; that of the current settings, asked at each use, if not given.
    clock : Clock, optional
    """

    def __init__(
        self, uri: str | None = None, default_exp_name: str | None = None, *, clock: Clock | None = None
    ) -> None:
        self._uri = uri
        self._default_exp_name = default_exp_name
        self._clock = clock or SystemClock()

    @property
    def default_exp_name(self) -> str:
        """The experiment of a run that names none."""
        return self._default_exp_name or current_settings().tracking.default_experiment

    @property
    def location(self) -> TrackingLocation:
        """Where the experiments are stored."""
        return TrackingLocation.from_settings(current_settings(), uri=self._uri)

    @property
    def default_uri(self) -> str:
        """The tracking URI of the current settings."""
        return TrackingLocation.from_settings(current_settings()).uri

    @property
    def uri(self) -> str:
        """The tracking URI in use."""
        return self.location.uri

    @property
    def active_experiment(self) -> Experiment | None:
        """The experiment of the innermost active recorder in this thread."""
        entries = active_runs()
        return entries[-1].experiment if entries else None

    def set_uri(self, uri: str | None) -> None:
        """Use another tracking URI from now on; None goes back to that of the current settings."""
        self._uri = uri

    def start_exp(
        self,
        *,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
        recorder_id: str | None = None,
        recorder_name: str | None = None,
        uri: str | None = None,
        resume: bool = False,
    ) -> Experiment:
        """Start a recorder in the experiment, which is created when there is none of that name.

        Parameters
        ----------
        uri : str, optional
            Another tracking URI for this run alone.
        """
        if uri is not None:
            elsewhere = type(self)(uri=uri, default_exp_name=self._default_exp_name, clock=self._clock)
            return elsewhere.start_exp(
                experiment_id=experiment_id,
                experiment_name=experiment_name,
                recorder_id=recorder_id,
                recorder_name=recorder_name,
                resume=resume,
            )
        name = experiment_name if experiment_name or experiment_id else self.default_exp_name
        experiment = self.get_exp(experiment_id=experiment_id, experiment_name=name, create=True)
        experiment.start(recorder_id=recorder_id, recorder_name=recorder_name, resume=resume)
        return experiment

    def end_exp(self, recorder_status: str = Recorder.STATUS_FI) -> None:
        """End the innermost active recorder; no error when there is none."""
        entries = active_runs()
        if entries:
            pop_run(entries[-1], recorder_status)

    def suspend_exp(self) -> None:
        """Suspend the innermost active recorder: it waits as SCHEDULED, for any process to resume; none, no error."""
        self.end_exp(Recorder.STATUS_S)

    def create_exp(self, experiment_name: str | None = None) -> Experiment:
        """Return the experiment, creating it when there is none; however many ask at once, one results."""
        name = check_name(experiment_name or self.default_exp_name, what="experiment")
        return self._experiment(self.location.store.create_experiment(name))

    def get_exp(
        self,
        *,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
        create: bool = True,
        start: bool = False,
    ) -> Experiment:
        """Return the experiment of that id or name, or the active one, or the default one.

        Parameters
        ----------
        create : bool
            Create it when there is none of that name, and say so in the log. False: nothing is created by asking.
        start : bool
            Start a recorder in it.

        Raises
        ------
        ExperimentNotFoundError
            When there is none, of an id or without `create`; the error names the nearest.
        """
        if experiment_id is None and experiment_name is None and self.active_experiment is not None:
            return self.active_experiment
        name = experiment_name or (self.default_exp_name if experiment_id is None else None)
        try:
            found = self.location.store.experiments(name=None if experiment_id else name, experiment_id=experiment_id)
        except TrackingUnavailableError:
            if not create or experiment_id is not None:
                raise
            found = []  # a store with an outbox creates what it cannot look for; any other one says the same again
        if found:
            experiment = self._experiment(found[0])
        elif create and experiment_id is None:
            experiment = self.create_exp(name)
        else:
            raise self._explain_missing(experiment_id, name)
        if start:
            experiment.start()
        return experiment

    def find_recorder(self, recorder_id: str) -> Recorder:
        """Return the recorder of that id, or whose id begins so, whatever its experiment.

        Raises
        ------
        RecorderNotFoundError
            When there is none or it is deleted.
        """
        location = self.location
        run = find_by_id(location.store, recorder_id)
        if run is None:
            raise RecorderNotFoundError(f"there is no recorder {recorder_id}, or it is deleted")
        return MLflowRecorder(location=location, run=run, clock=self._clock)

    def list_experiments(self) -> dict[str, Experiment]:
        """Return the experiments by name."""
        return {record.name: self._experiment(record) for record in self.location.store.experiments()}

    def delete_exp(self, experiment_id: str | None = None, experiment_name: str | None = None) -> None:
        """Delete an experiment with its recorders; its name is free at once.

        Raises
        ------
        ExperimentNotFoundError
            When there is none.
        """
        if experiment_id is None and experiment_name is None:
            raise RecordError("neither an experiment_id nor an experiment_name was given, so nothing is deleted")
        experiment = self.get_exp(experiment_id=experiment_id, experiment_name=experiment_name, create=False)
        self.location.store.delete_experiment(experiment.id)

    def search_records(
        self,
        experiment_ids: Sequence[str] | None = None,
        *,
        filter_string: str = "",
        run_view_type: int = 1,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return one row for each recorder, newest first (defect M6).

        Parameters
        ----------
        experiment_ids : sequence of str, optional
            All experiments if not given.
        filter_string : str
            MLflow's filter language.
        run_view_type : int
            1 those that are not deleted, 2 the deleted ones, 3 both.
        max_results : int, optional
            All rows if not given.
        order_by : sequence of str, optional
            As ``["metrics.ic DESC"]``.

        Returns
        -------
        DataFrame
            ``run_id``, ``run_name``, ``experiment_id``, ``status``, ``start_time``, ``end_time`` (UTC), then
            ``params.*``, ``metrics.*`` and ``tags.*``, each group sorted by name.
        """
        store = self.location.store
        ids = list(experiment_ids) if experiment_ids is not None else [record.id for record in store.experiments()]
        runs = store.search_runs(
            ids, where=filter_string, order_by=order_by or (), view=parse_run_view(run_view_type), limit=max_results
        )
        return build_runs_frame(runs)

    def _experiment(self, record: ExperimentRecord) -> Experiment:
        return MLflowExperiment(location=self.location, record=record, clock=self._clock)

    def _explain_missing(self, experiment_id: str | None, name: str | None) -> ExperimentNotFoundError:
        if name is None or experiment_id is not None:
            where = self.location.portable_uri()
            return ExperimentNotFoundError(f"there is no experiment of id {experiment_id} at {where}")
        known = [record.name for record in self.location.store.experiments()]
        close = nearest(name, known)
        return ExperimentNotFoundError(
            f"there is no experiment named {name!r} at {self.location.portable_uri()}",
            hint=f"did you mean {close!r}?" if close else f"known names: {', '.join(sorted(known)[:20])}",
        )


class MLflowExpManager(ExpManager):
    """Qlib's name of `ExpManager`; MLflow is behind the tracking store of its location."""

    @property
    def client(self) -> Any:
        """MLflow's own client for the tracking URI; what it writes passes by the outbox.

        Raises
        ------
        RecordError
            When the runs are in memory, of which MLflow knows nothing.
        """
        if self.uri.startswith(MEMORY):
            raise RecordError(f"MLflow has no client for {self.uri}", hint="set tracking.uri to a database or a server")
        from rollwright.tracking.stores.mlflow.store import open_client  # noqa: PLC0415 - the adapter is imported when chosen

        if sqlite_path(self.uri) is not None:
            self.location.store.experiments()  # so that the database is made as we make it, whole or not at all
        return open_client(self.uri)


def open_manager(settings: Settings) -> ExpManager:  # noqa: ARG001 - it asks the current settings at each use
    """Return a manager over the current settings; what stands for the tracking of a context that was given none."""
    return MLflowExpManager()
