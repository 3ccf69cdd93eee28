"""Experiments and their manager: groups of recorders, created once and found by name or id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, overload

import pandas as pd

from rollwright.core.clock import Clock, SystemClock
from rollwright.core.context import current_settings
from rollwright.errors import (
    ExperimentNotFoundError,
    NoActiveRecorderError,
    RecorderNotFoundError,
    RecordError,
    nearest,
)
from rollwright.record.active import Active, active, enter, leave
from rollwright.record.place import Place
from rollwright.record.recorder import MLflowRecorder, Recorder
from rollwright.record.rows import frame_of, view_of
from rollwright.record.tracking.store import ExperimentRecord, RunRecord, check_name

__all__ = ["ExpManager", "Experiment", "MLflowExpManager", "MLflowExperiment"]

_RUN_NAME: Final = re.compile(r"[^\x00-\x1f\x7f'\"`\\]{1,250}")


class Experiment:
    """A named group of recorders.

    Parameters
    ----------
    place : Place
    record : ExperimentRecord
        The experiment as the store holds it.
    clock : Clock, optional
    """

    RT_D: ClassVar[str] = "dict"
    RT_L: ClassVar[str] = "list"

    def __init__(self, *, place: Place, record: ExperimentRecord, clock: Clock | None = None) -> None:
        self._place = place
        self._record = record
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, id={self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Experiment) and (self.id, self._place) == (other.id, other._place)

    def __hash__(self) -> int:
        return hash((self.id, self._place))

    @property
    def id(self) -> str:
        """Its id in the tracking store."""
        return self._record.id

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def active_recorder(self) -> Recorder | None:
        """The innermost recorder of this experiment that is active in this thread."""
        entry = self._innermost()
        return entry.recorder if entry is not None else None

    @property
    def info(self) -> dict[str, Any]:
        """The facts about it, as JSON values."""
        recorder = self.active_recorder
        return {
            "class": "Experiment",
            "id": self.id,
            "name": self.name,
            "active_recorder": recorder.id if recorder is not None else None,
        }

    def start(
        self, *, recorder_id: str | None = None, recorder_name: str | None = None, resume: bool = False
    ) -> Recorder:
        """Start a new recorder, or take up an old one, and make it the active one.

        Parameters
        ----------
        resume : bool
            Take up the recorder of that id, the newest of that name, or the newest of all; a new one starts when
            there is none of that name.

        Raises
        ------
        RecordError
            When an id is given without `resume`.
        """
        if recorder_id is not None and not resume:
            raise RecordError(
                f"recorder {recorder_id} exists already and would not be a new one",
                hint="pass resume=True to take it up again",
            )
        recorder = self._to_resume(recorder_id, recorder_name) if resume else None
        if recorder is None:
            recorder = self._new(recorder_name, Recorder.STATUS_R)
        recorder.start_run()
        enter(self, recorder)
        return recorder

    def end(self, recorder_status: str = Recorder.STATUS_FI) -> None:
        """End the innermost active recorder of this experiment; no error when there is none."""
        entry = self._innermost()
        if entry is not None:
            leave(entry, recorder_status)

    def create_recorder(self, recorder_name: str | None = None) -> Recorder:
        """Add a recorder that is SCHEDULED: it exists, and has not started."""
        return self._new(recorder_name, Recorder.STATUS_S)

    def get_recorder(
        self,
        recorder_id: str | None = None,
        recorder_name: str | None = None,
        *,
        create: bool = False,
        start: bool = False,
    ) -> Recorder:
        """Return the recorder of that id, the newest of that name, or the active one.

        Parameters
        ----------
        create : bool
            Add a recorder of that name when there is none.
        start : bool
            Make it RUNNING and active.

        Raises
        ------
        NoActiveRecorderError
            When nothing is given and none of this experiment is active.
        RecorderNotFoundError
            When there is none of that id or name.
        """
        recorder = self.active_recorder if recorder_id is None and recorder_name is None else None
        if recorder is not None:
            return recorder
        if recorder_id is None and recorder_name is None and not create:
            raise NoActiveRecorderError(
                f"no recorder of experiment {self.name!r} is active",
                hint="give a recorder_id or a recorder_name, or ask inside `with R.start(...)`",
            )
        recorder = self._found(recorder_id, recorder_name)
        if recorder is None and (recorder_id is not None or not create):
            raise self._not_found(recorder_id, recorder_name)
        if recorder is None:
            recorder = self._new(recorder_name, Recorder.STATUS_S)
        if start:
            recorder.start_run()
            enter(self, recorder)
        return recorder

    def delete_recorder(self, recorder_id: str | None = None, recorder_name: str | None = None) -> None:
        """Delete the recorder of that id, or the newest of that name.

        Raises
        ------
        RecorderNotFoundError
            When there is none.
        """
        recorder = self._found(recorder_id, recorder_name)
        if recorder is None:
            raise self._not_found(recorder_id, recorder_name)
        self._place.store.delete_run(recorder.id)

    @overload
    def list_recorders(
        self,
        rtype: Literal["dict"] = ...,
        max_results: int | None = ...,
        status: str | None = ...,
        filter_string: str = ...,
    ) -> dict[str, Recorder]: ...

    @overload
    def list_recorders(
        self,
        rtype: Literal["list"],
        max_results: int | None = ...,
        status: str | None = ...,
        filter_string: str = ...,
    ) -> list[Recorder]: ...

    def list_recorders(
        self,
        rtype: Literal["dict", "list"] = "dict",
        max_results: int | None = None,
        status: str | None = None,
        filter_string: str = "",
    ) -> dict[str, Recorder] | list[Recorder]:
        """Return the recorders, newest first: by id, or as a list.

        Parameters
        ----------
        max_results : int, optional
            All of them if not given, however many there are.
        status : str, optional
            Only those of this status.
        filter_string : str
            MLflow's filter language, as ``metrics.ic > 0.02 and tags.fold = '3'``.
        """
        where = " and ".join(
            part for part in (filter_string, f"attributes.status = '{status}'" if status else "") if part
        )
        found = self._search(where=where, limit=max_results)
        if rtype == "list":
            return found
        return {recorder.id: recorder for recorder in found}

    def search_records(
        self,
        *,
        filter_string: str = "",
        run_view_type: int = 1,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return one row for each recorder, as `ExpManager.search_records`."""
        runs = self._place.store.search_runs(
            [self.id], where=filter_string, order_by=order_by or (), view=view_of(run_view_type), limit=max_results
        )
        return frame_of(runs)

    def _innermost(self) -> Active | None:
        entries = [entry for entry in active() if entry.experiment == self]
        return entries[-1] if entries else None

    def _new(self, name: str | None, status: str) -> Recorder:
        wanted = name if name is not None else Recorder.DEFAULT_NAME
        run = self._place.store.create_run(
            self.id, name=_run_name(wanted), status=status, start=self._clock.now(), tags={}
        )
        return self._recorder(run)

    def _found(self, recorder_id: str | None, recorder_name: str | None) -> Recorder | None:
        if recorder_id is not None:
            try:
                run = self._place.store.get_run(recorder_id)
            except RecorderNotFoundError:
                return None
            return None if run.deleted or run.experiment_id != self.id else self._recorder(run)
        if recorder_name is not None:
            found = self._search(where=f"attributes.run_name = '{_run_name(recorder_name)}'", limit=1)
            return found[0] if found else None
        return None

    def _to_resume(self, recorder_id: str | None, recorder_name: str | None) -> Recorder | None:
        if recorder_id is None and recorder_name is None:
            newest = self._search(limit=1)
            return newest[0] if newest else None
        recorder = self._found(recorder_id, recorder_name)
        if recorder is None and recorder_id is not None:
            raise self._not_found(recorder_id, recorder_name)
        return recorder

    def _search(self, *, where: str = "", limit: int | None = None) -> list[Recorder]:
        runs = self._place.store.search_runs([self.id], where=where, limit=limit)
        return [self._recorder(run) for run in runs]

    def _recorder(self, run: RunRecord) -> Recorder:
        return MLflowRecorder(place=self._place, run=run, clock=self._clock)

    def _not_found(self, recorder_id: str | None, recorder_name: str | None) -> RecordError:
        if recorder_id is not None:
            return RecorderNotFoundError(f"experiment {self.name!r} has no recorder of id {recorder_id}")
        if recorder_name is None:
            return RecordError("neither a recorder_id nor a recorder_name was given")
        names = {recorder.name for recorder in self._search(limit=1000)}
        close = nearest(recorder_name, names)
        return RecorderNotFoundError(
            f"experiment {self.name!r} has no recorder named {recorder_name!r}",
            hint=f"did you mean {close!r}?" if close else None,
        )


class MLflowExperiment(Experiment):
    """The experiment of the seeds' name; MLflow stands behind the tracking store of its place."""


class ExpManager:
    """All experiments of one place.

    Parameters
    ----------
    uri : str, optional
        Tracking URI; that of the ambient settings, asked at each use, if not given.
    default_exp_name : str
        The experiment of a run that names none.
    clock : Clock, optional
    """

    def __init__(
        self, *, uri: str | None = None, default_exp_name: str = "Experiment", clock: Clock | None = None
    ) -> None:
        self._uri = uri
        self.default_exp_name = default_exp_name
        self._clock = clock or SystemClock()

    @property
    def place(self) -> Place:
        """Where the experiments are kept."""
        return Place.from_settings(current_settings(), uri=self._uri)

    @property
    def default_uri(self) -> str:
        """The tracking URI of the ambient settings."""
        return Place.from_settings(current_settings()).uri

    @property
    def uri(self) -> str:
        """The tracking URI in use."""
        return self.place.uri

    @property
    def active_experiment(self) -> Experiment | None:
        """The experiment of the innermost active recorder in this thread."""
        entries = active()
        return entries[-1].experiment if entries else None

    def set_uri(self, uri: str | None) -> None:
        """Use another tracking URI from now on; None goes back to that of the ambient settings."""
        self._uri = uri

    def start_exp(
        self,
        *,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
        recorder_id: str | None = None,
        recorder_name: str | None = None,
        resume: bool = False,
    ) -> Experiment:
        """Start a recorder in the experiment, which is created when there is none of that name."""
        name = experiment_name if experiment_name or experiment_id else self.default_exp_name
        experiment = self.get_exp(experiment_id=experiment_id, experiment_name=name, create=True)
        experiment.start(recorder_id=recorder_id, recorder_name=recorder_name, resume=resume)
        return experiment

    def end_exp(self, recorder_status: str = Recorder.STATUS_FI) -> None:
        """End the innermost active recorder; no error when there is none."""
        entries = active()
        if entries:
            leave(entries[-1], recorder_status)

    def create_exp(self, experiment_name: str | None = None) -> Experiment:
        """Return the experiment, creating it when there is none; however many ask at once, one results."""
        name = check_name(experiment_name or self.default_exp_name, what="experiment")
        return self._experiment(self.place.store.create_experiment(name))

    def get_exp(
        self,
        *,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
        create: bool = False,
        start: bool = False,
    ) -> Experiment:
        """Return the experiment of that id or name, or the active one, or the default one.

        Parameters
        ----------
        create : bool
            Create it when there is none of that name. Without it nothing is ever created by asking (defect M8).
        start : bool
            Start a recorder in it.

        Raises
        ------
        ExperimentNotFoundError
            When there is none; the error names the nearest.
        """
        if experiment_id is None and experiment_name is None and self.active_experiment is not None:
            return self.active_experiment
        name = experiment_name or (self.default_exp_name if experiment_id is None else None)
        found = self.place.store.experiments(name=None if experiment_id else name, experiment_id=experiment_id)
        if found:
            experiment = self._experiment(found[0])
        elif create and experiment_id is None:
            experiment = self.create_exp(name)
        else:
            raise self._not_found(experiment_id, name)
        if start:
            experiment.start()
        return experiment

    def find_recorder(self, recorder_id: str) -> Recorder:
        """Return the recorder of that id, whatever its experiment.

        Raises
        ------
        RecorderNotFoundError
            When there is none or it is deleted.
        """
        place = self.place
        run = place.store.get_run(recorder_id)
        if run.deleted:
            raise RecorderNotFoundError(f"recorder {recorder_id} is deleted")
        return MLflowRecorder(place=place, run=run, clock=self._clock)

    def list_experiments(self) -> dict[str, Experiment]:
        """Return the experiments by name."""
        return {record.name: self._experiment(record) for record in self.place.store.experiments()}

    def delete_exp(self, *, experiment_id: str | None = None, experiment_name: str | None = None) -> None:
        """Delete an experiment with its recorders; its name is free at once.

        Raises
        ------
        ExperimentNotFoundError
            When there is none.
        """
        if experiment_id is None and experiment_name is None:
            raise RecordError("neither an experiment_id nor an experiment_name was given, so nothing is deleted")
        experiment = self.get_exp(experiment_id=experiment_id, experiment_name=experiment_name)
        self.place.store.delete_experiment(experiment.id)

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
        store = self.place.store
        ids = list(experiment_ids) if experiment_ids is not None else [record.id for record in store.experiments()]
        runs = store.search_runs(
            ids, where=filter_string, order_by=order_by or (), view=view_of(run_view_type), limit=max_results
        )
        return frame_of(runs)

    def _experiment(self, record: ExperimentRecord) -> Experiment:
        return MLflowExperiment(place=self.place, record=record, clock=self._clock)

    def _not_found(self, experiment_id: str | None, name: str | None) -> ExperimentNotFoundError:
        if name is None or experiment_id is not None:
            where = self.place.portable_uri()
            return ExperimentNotFoundError(f"there is no experiment of id {experiment_id} at {where}")
        known = [record.name for record in self.place.store.experiments()]
        close = nearest(name, known)
        return ExperimentNotFoundError(
            f"there is no experiment named {name!r} at {self.place.portable_uri()}",
            hint=f"did you mean {close!r}?" if close else f"known names: {', '.join(sorted(known)[:20])}",
        )


class MLflowExpManager(ExpManager):
    """The manager of the seeds' name; MLflow stands behind the tracking store of its place."""


def _run_name(name: str) -> str:
    if not isinstance(name, str) or _RUN_NAME.fullmatch(name) is None:
        raise RecordError(
            f"recorder name {str(name)[:120]!r} is not usable",
            hint="use 1 to 250 characters without quotes, backslashes and control characters",
        )
    return name
