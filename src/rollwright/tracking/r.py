"""``R``, the facade for recording: its calls go to the recorder that is active in this thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.config.context import open_part, update_context
from rollwright.errors import ExperimentNotFoundError, NoActiveRecorderError, RecordError
from rollwright.tracking.experiment import Experiment
from rollwright.tracking.location import use_location
from rollwright.tracking.manager import ExpManager, MLflowExpManager
from rollwright.tracking.recorder import Recorder
from rollwright.tracking.run_stack import active_runs, pop_run

__all__ = ["QlibRecorder", "R", "list_recorders"]

_logger: Final = logging.getLogger("rollwright.tracking")


class QlibRecorder:
    """Experiments and recorders by Qlib's names.

    Parameters
    ----------
    exp_manager : ExpManager, optional
        That of the current context, asked at each use, if not given.

    Guarantees: a run ends FINISHED only when its block was left without an exception, FAILED for any other exit
    (``sys.exit``, an interrupt, a killed thread's unwinding); runs nest; each thread has its own active recorder;
    `get_exp` alone creates an experiment by being asked for it.
    """

    def __init__(self, exp_manager: ExpManager | None = None) -> None:
        self._given = exp_manager

    def __repr__(self) -> str:
        return f"R(uri={self.exp_manager.location.portable_uri()!r})"

    @property
    def exp_manager(self) -> ExpManager:
        """The manager in force here: that of the innermost `uri_context`, else this object's or the context's."""
        manager: ExpManager = _override.get() or self._given or open_part("tracking")
        return manager

    @contextmanager
    def start(
        self,
        *,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
        recorder_id: str | None = None,
        recorder_name: str | None = None,
        uri: str | None = None,
        resume: bool = False,
    ) -> Iterator[Recorder]:
        """Record a run in the block; the experiment is created when there is none of that name.

        Parameters
        ----------
        experiment_id, experiment_name : str, optional
            The default experiment if neither is given.
        recorder_name : str, optional
            Name of the new recorder.
        recorder_id : str, optional
            With `resume`: the recorder to go on with.
        uri : str, optional
            Tracking URI of this block.
        resume : bool
            Resume the recorder of that id, the newest of that name, or the newest.

        Yields
        ------
        Recorder
        """
        with self.uri_context(uri):
            self.exp_manager.start_exp(
                experiment_id=experiment_id,
                experiment_name=experiment_name,
                recorder_id=recorder_id,
                recorder_name=recorder_name,
                resume=resume,
            )
            entry = active_runs()[-1]
            try:
                yield entry.recorder
            except BaseException as error:
                _fail(entry, error)
                raise
            pop_run(entry, Recorder.STATUS_FI)

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
        """Start a run that `end_exp` will end; one that nobody ends is FAILED when the process leaves."""
        with self.uri_context(uri):
            return self.exp_manager.start_exp(
                experiment_id=experiment_id,
                experiment_name=experiment_name,
                recorder_id=recorder_id,
                recorder_name=recorder_name,
                resume=resume,
            )

    def end_exp(self, recorder_status: str = Recorder.STATUS_FI) -> None:
        """End the innermost active run; no error when there is none."""
        self.exp_manager.end_exp(recorder_status)

    def suspend_exp(self) -> None:
        """Suspend the innermost active run: what it logged is written, and it waits as SCHEDULED.

        ``R.start(..., recorder_id=..., resume=True)`` goes on with it, in this process or any other. Leaving its own
        block afterwards changes nothing.
        """
        self.exp_manager.suspend_exp()

    def get_exp(
        self,
        *,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
        create: bool = True,
        start: bool = False,
    ) -> Experiment:
        """Return the experiment of that id or name, or the active one, or the default one, as `ExpManager.get_exp`.

        Raises
        ------
        ExperimentNotFoundError
            When there is none of that id, or `create` is false; the error names the nearest.
        """
        return self.exp_manager.get_exp(
            experiment_id=experiment_id, experiment_name=experiment_name, create=create, start=start
        )

    def get_recorder(
        self,
        *,
        recorder_id: str | None = None,
        recorder_name: str | None = None,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
    ) -> Recorder:
        """Return the active recorder, the one of that id, or the newest of that name.

        The beginning of an id, four signs or more, is enough where no other recorder's begins so.

        Raises
        ------
        NoActiveRecorderError
            When nothing is given and none is active (defect M12).
        RecorderNotFoundError, ExperimentNotFoundError
            When there is none; asking creates nothing.
        """
        anywhere = experiment_id is None and experiment_name is None
        if recorder_id is not None and anywhere:
            return self.exp_manager.find_recorder(recorder_id)
        if recorder_id is None and recorder_name is None and anywhere:
            return self._active()
        experiment = self.get_exp(experiment_id=experiment_id, experiment_name=experiment_name, create=False)
        return experiment.get_recorder(recorder_id, recorder_name, create=False)

    def list_experiments(self) -> dict[str, Experiment]:
        """Return the experiments by name."""
        return self.exp_manager.list_experiments()

    def list_recorders(
        self, experiment_id: str | None = None, experiment_name: str | None = None
    ) -> dict[str, Recorder]:
        """Return the recorders of an experiment by id, in the order of their windows, as `Experiment.list_recorders`.

        There are none in an experiment that is not there, which is logged.

        Raises
        ------
        ExperimentNotFoundError
            When there is none of that id.
        """
        try:
            found = self.get_exp(experiment_id=experiment_id, experiment_name=experiment_name, create=False)
        except ExperimentNotFoundError as error:
            if experiment_id is not None:
                raise
            _logger.warning("experiment.absent name=%r hint=%s", experiment_name, error.hint)
            return {}
        return found.list_recorders()

    def search_records(
        self,
        experiment_ids: Sequence[str] | None = None,
        *,
        filter_string: str = "",
        run_view_type: int = 1,
        max_results: int | None = 100_000,
        order_by: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return one row for each recorder, as `ExpManager.search_records`."""
        return self.exp_manager.search_records(
            experiment_ids,
            filter_string=filter_string,
            run_view_type=run_view_type,
            max_results=max_results,
            order_by=order_by,
        )

    def delete_exp(self, experiment_id: str | None = None, experiment_name: str | None = None) -> None:
        """Delete an experiment with its recorders; its name is free at once."""
        self.exp_manager.delete_exp(experiment_id=experiment_id, experiment_name=experiment_name)

    def delete_recorder(
        self,
        recorder_id: str | None = None,
        recorder_name: str | None = None,
        *,
        experiment_id: str | None = None,
        experiment_name: str | None = None,
    ) -> None:
        """Delete the recorder of that id, or the newest of that name in its experiment."""
        if recorder_id is None and recorder_name is None:
            raise RecordError("neither a recorder_id nor a recorder_name was given, so nothing is deleted")
        recorder = self.get_recorder(
            recorder_id=recorder_id,
            recorder_name=recorder_name,
            experiment_id=experiment_id,
            experiment_name=experiment_name,
        )
        self.exp_manager.location.store.delete_run(recorder.id)

    def get_uri(self) -> str:
        """Return the tracking URI in force here."""
        return self.exp_manager.uri

    def set_uri(self, uri: str | None) -> None:
        """Use another tracking URI from now on; None goes back to that of the current settings.

        It changes the current context: that of the innermost `using` block, else that of the whole process.
        """
        if self._given is not None:
            self._given.set_uri(uri)
        else:
            update_context(tracking=None if uri is None else MLflowExpManager(uri=uri))

    @contextmanager
    def uri_context(self, uri: str | None) -> Iterator[None]:
        """Use another tracking URI in the block, in this thread only; None changes nothing."""
        if uri is None:
            yield
            return
        manager = MLflowExpManager(uri=uri, default_exp_name=self.exp_manager.default_exp_name)
        token = _override.set(manager)
        try:
            with use_location(manager.location):
                yield
        finally:
            _override.reset(token)

    def save_objects(
        self, local_path: str | Path | None = None, artifact_path: str | None = None, **kwargs: Any
    ) -> None:
        """Save objects, a file or a folder into the active recorder, as `Recorder.save_objects`."""
        self._active().save_objects(local_path, artifact_path, **kwargs)

    def load_object(self, name: str, *, unpickler: object = None) -> Any:
        """Return an object of the active recorder; `unpickler` as `Recorder.load_object`."""
        return self._active().load_object(name, unpickler=unpickler)

    def log_params(self, /, **kwargs: object) -> None:
        """Log parameters into the active recorder."""
        self._active().log_params(**kwargs)

    def log_metrics(self, /, step: int | None = None, **kwargs: object) -> None:
        """Log metrics into the active recorder."""
        self._active().log_metrics(step, **kwargs)

    def set_tags(self, /, **kwargs: object) -> None:
        """Set tags of the active recorder."""
        self._active().set_tags(**kwargs)

    def log_artifact(self, local_path: str | Path, artifact_path: str | None = None) -> None:
        """Store a file in the active recorder."""
        self._active().log_artifact(local_path, artifact_path)

    def download_artifact(self, path: str, dst_path: str | Path | None = None) -> str:
        """Return the path of an artifact's file, copied to `dst_path` when that is given (defect M7)."""
        return self._active().download_artifact(path, dst_path)

    def _active(self) -> Recorder:
        entries = active_runs()
        if not entries:
            raise NoActiveRecorderError(
                "no recorder is active in this thread", hint="record inside `with R.start(experiment_name=...):`"
            )
        return entries[-1].recorder


_override: Final[ContextVar[ExpManager | None]] = ContextVar("rollwright_tracking_uri", default=None)

R: Final = QlibRecorder()


def list_recorders(
    experiment: str | Experiment, rec_filter_func: Callable[[Recorder], bool] | None = None
) -> dict[str, Recorder]:
    """Return the recorders of an experiment by id, as `Experiment.list_recorders` orders them.

    Parameters
    ----------
    rec_filter_func : callable, optional
        Those that it says yes to; all if not given.

    There are none in an experiment that is not there, which is logged; asking creates none.
    """
    if isinstance(experiment, str):
        recorders = R.list_recorders(experiment_name=experiment)
    else:
        recorders = experiment.list_recorders()
    return {key: item for key, item in recorders.items() if rec_filter_func is None or rec_filter_func(item)}


def _fail(entry: Any, error: BaseException) -> None:
    """End the run as FAILED; what hinders that must not hide the error that is under way."""
    try:
        pop_run(entry, Recorder.STATUS_FA)
    except (RecordError, OSError) as second:
        error.add_note(f"and the recorder could not be ended cleanly: {second}")
