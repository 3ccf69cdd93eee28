"""Collectors gather objects into a dictionary and pass it through a list of steps."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from rollwright.errors import CoverageError, ExperimentNotFoundError, RollwrightError
from rollwright.signing.serializable import Serializable
from rollwright.tracking.experiment import Experiment
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder

__all__ = ["Collector", "MergeCollector", "RecorderCollector"]

_logger = logging.getLogger("rollwright.collect")

Step = Callable[..., Any]


class Collector(Serializable, ABC):
    """Two steps: `collect` everything into ``{artifact: {key: object}}``, then `process_collect` each artifact.

    Parameters
    ----------
    process_list : callable or sequence of callables
        Applied in order to each artifact's value, as ``RollingGroup()`` or any function whose first argument is one
        dictionary.
    """

    pickle_backend: ClassVar[str] = "dill"

    def __init__(self, process_list: Step | Sequence[Step] = ()) -> None:
        self.process_list: list[Step] = _list_steps(process_list)

    @abstractmethod
    def collect(self) -> dict[Any, Any]:
        """Return everything there is, as ``{artifact: …}``."""

    @staticmethod
    def process_collect(
        collected_dict: Mapping[Any, Any], process_list: Step | Sequence[Step] = (), *args: Any, **kwargs: Any
    ) -> dict[Any, Any]:
        """Return `collected_dict` with each artifact's value sent through `process_list`; it is not changed itself.

        Further arguments are given to every step, after the value.
        """
        processed: dict[Any, Any] = {}
        for artifact, value in collected_dict.items():
            for step in _list_steps(process_list):
                value = step(value, *args, **kwargs)  # noqa: PLW2901 - each step takes the result of the last
            processed[artifact] = value
        return processed

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Collect and process; the arguments are given to every step, after the value."""
        return self.process_collect(self.collect(), self.process_list, *args, **kwargs)


def _list_steps(process_list: Step | Sequence[Step]) -> list[Step]:
    return [process_list] if callable(process_list) else list(process_list)


class MergeCollector(Collector):
    """Collects from several collectors into one dictionary.

    Parameters
    ----------
    collector_dict : mapping of str to Collector
    process_list : callable or sequence of callables
    merge_func : callable, optional
        ``merge_func(collector_key, key) -> key``; ``(collector_key, key)`` if not given.
    """

    def __init__(
        self,
        collector_dict: Mapping[str, Collector],
        process_list: Step | Sequence[Step] = (),
        merge_func: Callable[[str, Any], Any] | None = None,
    ) -> None:
        super().__init__(process_list)
        self.collector_dict = dict(collector_dict)
        self.merge_func = merge_func

    def collect(self) -> dict[Any, Any]:
        """Return the results of every collector under merged keys."""
        merged: dict[Any, Any] = {}
        for name, collector in self.collector_dict.items():
            for key, value in collector().items():
                merged[self.merge_func(name, key) if self.merge_func else (name, key)] = value
        return merged


def _by_id(recorder: Recorder) -> Any:
    return recorder.id


class RecorderCollector(Collector):
    """Artifacts of an experiment's recorders, as ``{artifact: {key of the recorder: object}}``.

    Parameters
    ----------
    experiment : str, Experiment or callable
        A name, an experiment, or a function that returns recorders. A mistyped name is an error and creates nothing.
    process_list : callable or sequence of callables
    rec_key_func : callable, optional
        The key of a recorder; its id if not given.
    rec_filter_func : callable, optional
        Only recorders for which it is true.
    artifacts_path : mapping of str to str, optional
        For each artifact the name it was saved under; ``{"pred": "pred.pkl"}`` if not given.
    artifacts_key : str or sequence of str, optional
        Only these; all of `artifacts_path` if not given. ``__raw`` is the recorder itself.
    list_kwargs : mapping, optional
        Passed to `Experiment.list_recorders`.
    status : iterable of str, optional
        Only recorders in these states; FINISHED if not given.

    Guarantees: recorders come in the order of their keys where the keys can be ordered, so that nothing depends on
    when they ran. An artifact that cannot be read fails the collection and names its recorder (defect C1); with
    ``only_exist=True`` in `collect` an artifact that was never saved is left out, one that is damaged still fails.
    """

    ART_KEY_RAW: ClassVar[str] = "__raw"

    def __init__(
        self,
        experiment: str | Experiment | Callable[[], Iterable[Recorder]],
        process_list: Step | Sequence[Step] = (),
        rec_key_func: Callable[[Recorder], Any] | None = None,
        rec_filter_func: Callable[[Recorder], bool] | None = None,
        artifacts_path: Mapping[str, str] | None = None,
        artifacts_key: str | Sequence[str] | None = None,
        list_kwargs: Mapping[str, Any] | None = None,
        status: Iterable[str] | None = None,
    ) -> None:
        super().__init__(process_list)
        self.experiment = experiment
        self.rec_key_func = rec_key_func or _by_id
        self.rec_filter_func = rec_filter_func
        self.artifacts_path = dict(artifacts_path or {"pred": "pred.pkl"})
        self.artifacts_key = artifacts_key
        self.list_kwargs = dict(list_kwargs or {})
        self.status = frozenset({Recorder.STATUS_FI} if status is None else status)

    def collect(
        self,
        artifacts_key: str | Sequence[str] | None = None,
        rec_filter_func: Callable[[Recorder], bool] | None = None,
        only_exist: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> dict[str, dict[Any, Any]]:
        """Return ``{artifact: {key: object}}``; an artifact of which there is none is not in it.

        An experiment without recorders that count, or none of that name, gives nothing: ``{}``; that is logged.

        Raises
        ------
        CoverageError
            When an artifact is missing or unreadable; it names every recorder concerned.
        """
        wanted = artifacts_key if artifacts_key is not None else self.artifacts_key
        names = list(self.artifacts_path) if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
        collected: dict[str, dict[Any, Any]] = {}
        problems: list[str] = []
        for key, recorder in self._select_recorders(rec_filter_func or self.rec_filter_func):
            saved = set(recorder.list_artifacts()) if only_exist else None
            for name in names:
                if name == self.ART_KEY_RAW:
                    collected.setdefault(name, {})[key] = recorder
                    continue
                path = self.artifacts_path[name]
                if saved is not None and path not in saved:
                    continue
                try:
                    collected.setdefault(name, {})[key] = recorder.load_object(path)
                except RollwrightError as error:
                    if error.is_away:
                        raise
                    name_of = " ".join(map(str, key)) if isinstance(key, tuple) else key
                    problems.append(f"{name_of}: {path} of recorder {recorder.id}: {error.message}")
        if problems:
            raise CoverageError(f"{len(problems)} artifact(s) cannot be collected", problems=problems)
        if not collected:
            _logger.warning("collect.empty experiment=%r reason=no_recorder hint=None", self.get_exp_name())
        return {name: collected[name] for name in names if name in collected}

    def _select_recorders(self, keep: Callable[[Recorder], bool] | None) -> list[tuple[Any, Recorder]]:
        keyed: dict[Any, Recorder] = {}
        for recorder in self._list_recorders():
            if recorder.status not in self.status or (keep is not None and not keep(recorder)):
                continue
            key = self.rec_key_func(recorder)
            if key in keyed:
                _logger.warning("collect.duplicate key=%r kept=%s dropped=%s", key, recorder.id, keyed[key].id)
            keyed[key] = recorder
        try:
            return sorted(keyed.items())
        except TypeError:  # keys of different kinds have no order: the experiment's stands
            return list(keyed.items())

    def _list_recorders(self) -> list[Recorder]:
        if callable(self.experiment):
            return list(self.experiment())
        experiment = self.experiment
        if isinstance(experiment, str):
            try:
                experiment = R.get_exp(experiment_name=experiment, create=False)
            except ExperimentNotFoundError as error:
                _logger.warning("collect.empty experiment=%r reason=absent hint=%s", experiment, error.hint)
                return []
        recorders = experiment.list_recorders(**self.list_kwargs)
        listed = list(recorders.values()) if isinstance(recorders, Mapping) else list(recorders)
        listed.reverse()  # among equals the newest is the last
        return sorted(listed, key=lambda recorder: recorder.start_time)  # of two with one key the newest stays

    def get_exp_name(self) -> str:
        """Return the name of the experiment, or of the function that lists the recorders (defect C8)."""
        if isinstance(self.experiment, str):
            return self.experiment
        name = getattr(self.experiment, "name", None) or getattr(self.experiment, "__name__", None)
        return str(name or type(self.experiment).__name__)
