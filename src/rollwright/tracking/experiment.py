"""Experiments: groups of recorders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, overload

import pandas as pd

from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import (
    ExperimentNotFoundError,
    NoActiveRecorderError,
    RecorderNotFoundError,
    RecordError,
    nearest,
)
from rollwright.tracking.location import TrackingLocation, find_location, make_reference
from rollwright.tracking.recorder import MLflowRecorder, Recorder
from rollwright.tracking.run_stack import ActiveRun, active_runs, pop_run, push_run
from rollwright.tracking.runs_frame import build_runs_frame, parse_run_view
from rollwright.tracking.store import (
    PARENT_TAG,
    ExperimentRecord,
    RunRecord,
    TrackingStore,
    check_id,
    in_window_order,
    is_id,
)

__all__ = ["SHORTEST_ID", "Experiment", "ExperimentReference", "MLflowExperiment", "find_by_id"]

SHORTEST_ID: Final = 4
"""Signs of an id by which a recorder is found."""
_WHOLE_ID: Final = 32

_RUN_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f'\"`\\\ud800-\udfff]{1,250}")


class Experiment:
    """A named group of recorders.

    Parameters
    ----------
    location : TrackingLocation
    record : ExperimentRecord
        The experiment as the store holds it.
    clock : Clock, optional
    """

    RT_D: ClassVar[str] = "dict"
    RT_L: ClassVar[str] = "list"
    UNLIMITED: ClassVar[int | None] = None  # what `list_recorders` takes anyway

    def __init__(self, *, location: TrackingLocation, record: ExperimentRecord, clock: Clock | None = None) -> None:
        self._location = location
        self._record = record
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, id={self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Experiment) and (self.id, self._location) == (other.id, other._location)

    def __hash__(self) -> int:
        return hash((self.id, self._location))

    @property
    def id(self) -> str:
        """Its id in the tracking store."""
        return self._record.id

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def location(self) -> TrackingLocation:
        """Where it is stored."""
        return self._location

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
        """Start a new recorder, or resume an old one, and make it the active one.

        Parameters
        ----------
        resume : bool
            Resume the recorder of that id, the newest of that name, or the newest of all; a new one starts when
            there is none of that name.

        Raises
        ------
        RecordError
            When an id is given without `resume`.
        """
        if recorder_id is not None and not resume:
            raise RecordError(
                f"recorder {recorder_id} exists already and would not be a new one",
                hint="pass resume=True to go on with it",
            )
        recorder = self._find_to_resume(recorder_id, recorder_name) if resume else None
        if recorder is None:
            recorder = self._create(recorder_name, Recorder.STATUS_R, tags=self._parent())
        recorder.start_run()
        push_run(self, recorder)
        return recorder

    def end(self, recorder_status: str = Recorder.STATUS_FI) -> None:
        """End the innermost active recorder of this experiment; no error when there is none."""
        entry = self._innermost()
        if entry is not None:
            pop_run(entry, recorder_status)

    def suspend(self) -> None:
        """Suspend the innermost active recorder of this experiment, as `ExpManager.suspend_exp`."""
        self.end(Recorder.STATUS_S)

    def create_recorder(self, recorder_name: str | None = None) -> Recorder:
        """Add a recorder that is SCHEDULED: it exists, and has not started."""
        return self._create(recorder_name, Recorder.STATUS_S)

    def get_recorder(
        self,
        recorder_id: str | None = None,
        recorder_name: str | None = None,
        create: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
        start: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> Recorder:
        """Return the recorder of that id, the newest of that name, or the active one.

        Parameters
        ----------
        create : bool
            Add a recorder of that name when there is none, or one more when nothing is given and none is active.
        start : bool
            Make it RUNNING and active.

        Raises
        ------
        NoActiveRecorderError
            When nothing is given, none of this experiment is active, and `create` is false.
        RecorderNotFoundError
            When there is none of that id; without `create`, or of that name.
        """
        recorder = self.active_recorder if recorder_id is None and recorder_name is None else None
        if recorder is not None:
            return recorder
        if recorder_id is None and recorder_name is None and not create:
            raise NoActiveRecorderError(
                f"no recorder of experiment {self.name!r} is active",
                hint="give a recorder_id or a recorder_name, or ask inside `with R.start(...)`",
            )
        recorder = self._find(recorder_id, recorder_name)
        if recorder is None and (recorder_id is not None or not create):
            raise self._explain_missing(recorder_id, recorder_name)
        if recorder is None:
            recorder = self._create(recorder_name, Recorder.STATUS_S)
        if start:
            recorder.start_run()
            push_run(self, recorder)
        return recorder

    def delete_recorder(self, recorder_id: str | None = None, recorder_name: str | None = None) -> None:
        """Delete the recorder of that id, or the newest of that name.

        Raises
        ------
        RecorderNotFoundError
            When there is none.
        """
        recorder = self._find(recorder_id, recorder_name)
        if recorder is None:
            raise self._explain_missing(recorder_id, recorder_name)
        self._location.store.delete_run(recorder.id)

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
        """Return the recorders, by id or as a list: in the order of their windows, the newest first among equals.

        A recorder of a task has the window of its test segment; those without one come last.

        Parameters
        ----------
        max_results : int, optional
            Only the newest so many; all of them if not given.
        status : str, optional
            Only those of this status.
        filter_string : str
            MLflow's filter language, as ``metrics.ic > 0.02 and tags.fold = '3'``.
        """
        where = " and ".join(
            part for part in (filter_string, f"attributes.status = '{status}'" if status else "") if part
        )
        runs = self._location.store.search_runs([self.id], where=where, limit=max_results)
        found = [self._recorder(run) for run in in_window_order(runs)]
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
        runs = self._location.store.search_runs(
            [self.id],
            where=filter_string,
            order_by=order_by or (),
            view=parse_run_view(run_view_type),
            limit=max_results,
        )
        return build_runs_frame(runs)

    def _innermost(self) -> ActiveRun | None:
        entries = [entry for entry in active_runs() if entry.experiment == self]
        return entries[-1] if entries else None

    def _parent(self) -> dict[str, str]:
        """Return the tag that makes a new run a part of the one that is active here; MLflow's page nests it there."""
        outer = [entry.recorder for entry in active_runs() if entry.recorder.location == self._location]
        return {PARENT_TAG: outer[-1].id} if outer else {}

    def _create(self, name: str | None, status: str, *, tags: Mapping[str, str] | None = None) -> Recorder:
        wanted = name if name is not None else Recorder.DEFAULT_NAME
        self._location.mark_artifacts()
        run = self._location.store.create_run(
            self.id, name=_run_name(wanted), status=status, start=self._clock.now(), tags=tags or {}
        )
        return self._recorder(run)

    def _find(self, recorder_id: str | None, recorder_name: str | None) -> Recorder | None:
        if recorder_id is not None:
            run = find_by_id(self._location.store, recorder_id, experiment_ids=[self.id])
            return None if run is None else self._recorder(run)
        if recorder_name is not None:
            found = self._search(where=f"attributes.run_name = '{_run_name(recorder_name)}'", limit=1)
            return found[0] if found else None
        return None

    def _find_to_resume(self, recorder_id: str | None, recorder_name: str | None) -> Recorder | None:
        if recorder_id is None and recorder_name is None:
            newest = self._search(limit=1)
            return newest[0] if newest else None
        recorder = self._find(recorder_id, recorder_name)
        if recorder is None and recorder_id is not None:
            raise self._explain_missing(recorder_id, recorder_name)
        return recorder

    def _search(self, *, where: str = "", limit: int | None = None) -> list[Recorder]:
        runs = self._location.store.search_runs([self.id], where=where, limit=limit)
        return [self._recorder(run) for run in runs]

    def _recorder(self, run: RunRecord) -> Recorder:
        return MLflowRecorder(location=self._location, run=run, clock=self._clock)

    def _explain_missing(self, recorder_id: str | None, recorder_name: str | None) -> RecordError:
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
    """Qlib's name of `Experiment`; MLflow is behind the tracking store of its location."""


class ExperimentReference:
    """An experiment as a file or a task pool stores it: which store it is in, and its id."""

    def to_json(self, obj: Experiment) -> dict[str, JSON]:
        """Return what identifies the experiment."""
        return {**make_reference(obj.location), "experiment_id": obj.id}

    def from_json(self, value: Mapping[str, JSON]) -> Experiment:
        """Return the experiment, read from the tracking store of the present context.

        Raises
        ------
        ExperimentNotFoundError
            When the store does not know it, or it was recorded in another store.
        """
        try:
            location = find_location(value)
        except RecordError as error:
            raise ExperimentNotFoundError(error.message, hint=error.hint) from error
        wanted = check_id(value.get("experiment_id"), what="experiment")
        found = location.store.experiments(experiment_id=wanted)
        if not found:
            raise ExperimentNotFoundError(f"there is no experiment {wanted}")
        return MLflowExperiment(location=location, record=found[0])


def find_by_id(
    store: TrackingStore, recorder_id: str, *, experiment_ids: Sequence[str] | None = None
) -> RunRecord | None:
    """Return the run of that id, or the one whose id begins so; None when there is none, or it is deleted.

    Parameters
    ----------
    store : TrackingStore
    recorder_id : str
        At least `SHORTEST_ID` signs of it.
    experiment_ids : sequence of str, optional
        Where to look; everywhere if not given.

    Raises
    ------
    RecordError
        When the ids of several runs begin so; it names them.
    """
    try:
        run = store.get_run(recorder_id)
    except RecorderNotFoundError:
        pass
    else:
        return None if run.deleted or (experiment_ids is not None and run.experiment_id not in experiment_ids) else run
    if not is_id(recorder_id) or not SHORTEST_ID <= len(recorder_id) < _WHOLE_ID:
        return None
    among = experiment_ids if experiment_ids is not None else [record.id for record in store.experiments()]
    found = [run for run in store.search_runs(among) if run.id.startswith(recorder_id)] if among else []
    if len(found) > 1:
        listed = ", ".join(f"{run.id} ({run.name})" for run in in_window_order(found))
        raise RecordError(
            f"the ids of {len(found)} recorders begin with {recorder_id}: {listed}", hint="give more of it"
        )
    return found[0] if found else None


def _run_name(name: str) -> str:
    if not isinstance(name, str) or _RUN_NAME.fullmatch(name) is None:
        raise RecordError(
            f"recorder name {str(name)[:120]!r} is not usable",
            hint="use 1 to 250 characters without quotes, backslashes, control characters and bytes that are not UTF-8",
        )
    return name
