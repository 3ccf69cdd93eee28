"""Collectors gather objects into a dictionary and pass it through a list of steps."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from rollwright.analysis.panel import take_column
from rollwright.collect.coverage import check_window, describe_key
from rollwright.core.text import escape_text
from rollwright.errors import (
    ArtifactNotFoundError,
    ConfigError,
    CoverageError,
    ExperimentNotFoundError,
    RecordError,
    RollwrightError,
    nearest,
)
from rollwright.signing.serializable import Serializable
from rollwright.tracking.experiment import Experiment
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder

__all__ = ["Collector", "MergeCollector", "RecorderCollector"]

_logger = logging.getLogger("rollwright.collect")

Step = Callable[..., Any]
_SHOWN: Final = 120
_STATES: Final = frozenset({Recorder.STATUS_S, Recorder.STATUS_R, Recorder.STATUS_FI, Recorder.STATUS_FA})


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
    """Return the steps of a list of them, or of one that stands alone.

    Raises
    ------
    ConfigError
        For what cannot be called.
    """
    if callable(process_list):
        return [process_list]
    if not isinstance(process_list, Iterable):
        raise ConfigError(f"process_list = {_show(process_list)} is neither a function nor a list of functions")
    steps = list(process_list)
    for place, step in enumerate(steps):
        if not callable(step):
            raise ConfigError(f"process_list[{place}] = {_show(step)} is no function")
    return steps


def _check_key(key: Any, what: str) -> None:
    """Refuse a key that no dictionary takes."""
    try:
        hash(key)
    except TypeError as error:
        raise ConfigError(
            f"{what} gives the key {_show(key)}, which is no key of a dictionary: {error}",
            hint="return text, a number or a tuple of them: tuple(key) in place of a list",
        ) from error


def _show(value: object) -> str:
    return escape_text(repr(value), longest=_SHOWN)


class MergeCollector(Collector):
    """Collects from several collectors into one dictionary.

    Parameters
    ----------
    collector_dict : mapping of str to Collector
    process_list : callable or sequence of callables
    merge_func : callable, optional
        ``merge_func(collector_key, key) -> key``; ``(collector_key, key)`` if not given. No two may have one key.
    """

    def __init__(
        self,
        collector_dict: Mapping[str, Collector],
        process_list: Step | Sequence[Step] = (),
        merge_func: Callable[[str, Any], Any] | None = None,
    ) -> None:
        super().__init__(process_list)
        if not isinstance(collector_dict, Mapping) or not all(map(callable, collector_dict.values())):
            raise ConfigError(f"collector_dict = {_show(collector_dict)} is no dictionary of collectors")
        self.collector_dict = dict(collector_dict)
        self.merge_func = merge_func

    def collect(self) -> dict[Any, Any]:
        """Return the results of every collector under merged keys.

        Raises
        ------
        CoverageError
            When two results would have one key: one of them would be lost.
        """
        merged: dict[Any, Any] = {}
        origins: dict[Any, str] = {}
        for name, collector in self.collector_dict.items():
            for key, value in collector().items():
                joint = self.merge_func(name, key) if self.merge_func else (name, key)
                _check_key(joint, f"merge_func({name!r}, {key!r})")
                if joint in merged:
                    raise CoverageError(
                        f"merge_func gives the key {joint!r} to a result of {origins[joint]} and to one of {name}",
                        hint="make the key of both its arguments",
                    )
                merged[joint] = value
                origins[joint] = name
        return merged


def _refuse(problems: list[str], unlike: list[str]) -> None:
    """Raise what was found: artifacts that cannot be read, and coverage that is not what it was to be."""
    if problems:
        raise CoverageError(f"{len(problems)} artifact(s) cannot be collected", problems=[*problems, *unlike])
    if unlike:
        raise CoverageError(
            "what is collected is not what was to be",
            problems=unlike,
            hint="`allow_missing` declares keys that may be missing; rows that a window lacks are declared nowhere",
        )


class _Artifacts:
    """The artifacts of one recorder, each read once."""

    def __init__(self, recorder: Recorder, *, only_exist: bool) -> None:
        self._recorder = recorder
        self._saved = set(recorder.list_artifacts()) if only_exist else None
        self._objects: dict[str, Any] = {}

    def has(self, path: str) -> bool:
        """Tell whether it is to be collected: also one that is not there, unless only what exists is asked for."""
        return self._saved is None or path in self._saved

    def load(self, path: str) -> Any:
        """Return the object."""
        if path not in self._objects:
            self._objects[path] = self._recorder.load_object(path)
        return self._objects[path]


def _read_states(status: str | Iterable[str] | None) -> frozenset[str]:
    """Return the states that count.

    Raises
    ------
    ConfigError
        For a state that no recorder is ever in.
    """
    states = _STATES if status is None else {status} if isinstance(status, str) else {*status}
    if strange := sorted(map(str, states - _STATES)):
        raise ConfigError(
            f"no recorder is ever {', '.join(strange)}", hint=f"the states are {', '.join(sorted(_STATES))}"
        )
    return frozenset(states)


def _by_id(recorder: Recorder) -> Any:
    return recorder.id


class RecorderCollector(Collector):
    """Artifacts of an experiment's recorders, as ``{artifact: {key of the recorder: object}}``.

    Parameters
    ----------
    experiment : str, Experiment or callable
        A name, an experiment, or a function that returns recorders, or a dictionary of them. A mistyped name gives
        nothing, is told and creates nothing.
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
    status : str or iterable of str, optional
        Only recorders in these states; None is all of them.
    promise : str, optional
        What each recorder announced before it predicted: an artifact whose index are the rows of ``pred.pkl``. A
        collected prediction that has other rows, or a score that is no number, fails the collection. A recorder
        without it promised nothing. None compares nothing.
    expect : collection, optional
        The keys that have to be there, and no others.
    allow_missing : collection
        Those of `expect` that may be missing.

    Guarantees: recorders come in the order of their keys where the keys can be ordered, so that nothing depends on
    when they ran. An artifact that cannot be read fails the collection and names its recorder (defect C1); with
    ``only_exist=True`` in `collect` an artifact that was never saved is left out, one that is damaged still fails.
    """

    ART_KEY_RAW: ClassVar[str] = "__raw"
    PREDICTION: ClassVar[str] = "pred.pkl"

    def __init__(
        self,
        experiment: str | Experiment | Callable[[], Iterable[Recorder] | Mapping[str, Recorder]],
        process_list: Step | Sequence[Step] = (),
        rec_key_func: Callable[[Recorder], Any] | None = None,
        rec_filter_func: Callable[[Recorder], bool] | None = None,
        artifacts_path: Mapping[str, str] | None = None,
        artifacts_key: str | Sequence[str] | None = None,
        list_kwargs: Mapping[str, Any] | None = None,
        status: str | Iterable[str] | None = (Recorder.STATUS_FI,),
        *,
        promise: str | None = "expected_index.pkl",
        expect: Collection[Any] | None = None,
        allow_missing: Collection[Any] = (),
    ) -> None:
        super().__init__(process_list)
        if not isinstance(experiment, (str, Experiment)) and not callable(experiment):
            raise ConfigError(
                f"experiment = {_show(experiment)} is neither a name, nor an experiment, nor a function",
                hint="name it, give what R.get_exp returns, or a function that returns recorders",
            )
        for name, given in (("rec_key_func", rec_key_func), ("rec_filter_func", rec_filter_func)):
            if given is not None and not callable(given):
                raise ConfigError(f"{name} = {_show(given)} is no function")
        self.promise = promise
        self.expect = None if expect is None else list(expect)
        self.allow_missing = list(allow_missing)
        self.experiment = experiment
        self.rec_key_func = rec_key_func or _by_id
        self.rec_filter_func = rec_filter_func
        self.artifacts_path = dict(artifacts_path or {"pred": "pred.pkl"})
        self.artifacts_key = artifacts_key
        self.list_kwargs = dict(list_kwargs or {})
        self.status = _read_states(status)

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
            When an artifact is missing or unreadable, a prediction is not what was promised, or a key that is expected
            is not there, or one that is not is; it names each.
        """
        wanted = artifacts_key if artifacts_key is not None else self.artifacts_key
        names = list(self.artifacts_path) if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if name != self.ART_KEY_RAW and name not in self.artifacts_path:
                known = ", ".join([*self.artifacts_path, self.ART_KEY_RAW])
                near = nearest(name, [*self.artifacts_path])
                raise ConfigError(
                    f"artifacts_path does not say where the artifact `{name}` was saved",
                    hint=f"did you mean `{near}`?" if near else f"it has {known}",
                )
        collected: dict[str, dict[Any, Any]] = {}
        problems: list[str] = []
        selected = self._select_recorders(rec_filter_func or self.rec_filter_func)
        unlike = self._find_unexpected([key for key, _ in selected])
        for key, recorder in selected:
            artifacts = _Artifacts(recorder, only_exist=only_exist)
            for name in names:
                if name == self.ART_KEY_RAW:
                    collected.setdefault(name, {})[key] = recorder
                    continue
                path = self.artifacts_path[name]
                try:
                    if artifacts.has(path):
                        collected.setdefault(name, {})[key] = artifacts.load(path)
                        unlike += self._find_broken(describe_key(key), path, artifacts)
                except RollwrightError as error:
                    if error.is_away:
                        raise
                    problems.append(f"{describe_key(key)}: {path} of recorder {recorder.id}: {error.message}")
        _refuse(problems, unlike)
        if not collected:
            counted = f"those count that are {' or '.join(sorted(self.status))}"
            _logger.warning("collect.empty experiment=%r reason=no_recorder hint=%s", self.get_exp_name(), counted)
        return {name: collected[name] for name in names if name in collected}

    def _find_broken(self, name: str, path: str, artifacts: _Artifacts) -> list[str]:
        """Return where the artifact at `path` is a prediction that is not what its recorder promised."""
        if self.promise is None or path != self.PREDICTION:
            return []
        try:
            expected = artifacts.load(self.promise)
        except ArtifactNotFoundError:
            return []
        predicted = artifacts.load(path)
        return check_window(name, predicted.index, expected.index, take_column(predicted, what="prediction").to_numpy())

    def _find_unexpected(self, keys: Sequence[Any]) -> list[str]:
        if self.expect is None:
            return []
        missing = [key for key in self.expect if key not in keys and key not in self.allow_missing]
        strange = [key for key in keys if key not in self.expect]
        return [
            *(f"{describe_key(key)}: there is no finished recorder{self._tell_state(key)}" for key in missing),
            *(f"{describe_key(key)}: there is a recorder, which was not expected" for key in strange),
        ]

    def _tell_state(self, key: Any) -> str:
        """Return in which state a recorder of that key is that does not count, if there is one."""
        for recorder in reversed(self._list_recorders()):
            try:
                if recorder.status not in self.status and self.rec_key_func(recorder) == key:
                    return f": recorder {recorder.id} is {recorder.status}"
            except RecordError as error:  # of what never came to its task nothing has to be told
                if error.is_away:
                    raise
        return ""

    def _select_recorders(self, keep: Callable[[Recorder], bool] | None) -> list[tuple[Any, Recorder]]:
        keyed: dict[Any, Recorder] = {}
        for recorder in self._list_recorders():
            if recorder.status not in self.status or (keep is not None and not keep(recorder)):
                continue
            key = self.rec_key_func(recorder)
            _check_key(key, f"rec_key_func of recorder {recorder.id}")
            if key in keyed:
                _logger.warning("collect.duplicate key=%r kept=%s dropped=%s", key, recorder.id, keyed[key].id)
            keyed[key] = recorder
        try:
            return sorted(keyed.items())
        except TypeError:  # keys of different kinds have no order: the experiment's stands
            return list(keyed.items())

    def _list_recorders(self) -> list[Recorder]:
        if callable(self.experiment):
            given = self.experiment()
            if not isinstance(given, Iterable):
                raise ConfigError(
                    f"{self.get_exp_name()}() returns {_show(given)}, and neither recorders nor a mapping"
                )
            return list(given.values()) if isinstance(given, Mapping) else list(given)
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
