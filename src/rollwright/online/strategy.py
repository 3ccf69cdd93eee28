"""What is to be trained next, and which of the trained models serve."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from rollwright.calendar.trading import Session, SessionLike, to_session
from rollwright.collect.collector import Collector, RecorderCollector
from rollwright.collect.group import RollingGroup
from rollwright.core.canonical import fingerprint
from rollwright.errors import ConfigError, ExperimentNotFoundError, OnlineError, RecordError
from rollwright.online.online_tags import OnlineTool, OnlineToolR
from rollwright.tasks.definition import Task, describe_objects, segments_of, set_segments
from rollwright.tasks.generate import task_generator
from rollwright.tasks.identity import task_fingerprint
from rollwright.tasks.rolling import RollingGen
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.kept_fit import load_validity
from rollwright.training.validity import TaskParts, why_stale

__all__ = ["OnlineStrategy", "RollingStrategy", "call_first_tasks", "call_prepare_tasks", "find_trained"]

_logger: Final = logging.getLogger("rollwright.online")
_TASK: Final = "task"
_DATES: Final = frozenset({"segments", "start_time", "end_time", "fit_start_time", "fit_end_time"})


class OnlineStrategy(ABC):
    """Says what is to be trained, and which models are online.

    It keeps nothing between two calls but what it was made with, so that it is made anew from the same arguments after
    a restart, and goes on.

    Parameters
    ----------
    name_id : str
        Its name among the strategies of a serving, and of its experiment.

    Attributes
    ----------
    experiment : str
        Where its recorders are.
    tool : OnlineTool
        Which of them are online.
    """

    def __init__(self, name_id: str) -> None:
        self.name_id = name_id
        self.experiment = name_id
        self.tool: OnlineTool = OnlineToolR(name_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name_id!r})"

    @property
    def definition(self) -> str:
        """Fingerprint of what it is, by which a restart finds out whether it is the same.

        Raises
        ------
        OnlineError
            When its class does not tell.
        """
        raise OnlineError(
            f"{type(self).__name__} does not say what it is, so that a restart could not find out whether it changed",
            hint="give it a property `definition`: a text that differs whenever its tasks would",
        )

    @abstractmethod
    def first_tasks(self) -> list[Task]:
        """Return the tasks to begin with."""

    @abstractmethod
    def prepare_tasks(self, cur_time: SessionLike | None, **kwargs: Any) -> list[Task]:
        """Return the tasks that are to be trained at `cur_time`; None is the latest session.

        A derived class takes of the keywords ``online_models`` and ``until`` those that it names, as `RollingStrategy`.
        """

    def prepare_online_models(
        self, trained_models: Sequence[Recorder], cur_time: SessionLike | None = None
    ) -> list[Recorder]:
        """Let the trained models be online, and no others, and return those that are; without any nothing changes.

        Parameters
        ----------
        trained_models : sequence of Recorder
        cur_time : date, optional
            This class does not look at it; None is the latest session.
        """
        del cur_time
        if not trained_models:
            return self.tool.online_models()
        self.tool.reset_online_tag(trained_models)
        return list(trained_models)

    @abstractmethod
    def get_collector(self) -> Collector:
        """Return what collects the results of its recorders."""


class RollingStrategy(OnlineStrategy):
    """Rolls templates forward: the model of the latest window that has begun is online.

    Guarantees: the calendar is the market's at each call, so windows of days that came after it was made are found;
    nothing is prepared or switched on whose test segment begins after `cur_time`; a window that was missed is prepared
    when it is asked next, with those after it.

    Parameters
    ----------
    name_id : str
    task_template : dict or list of dict
        What is rolled. The models of several are all online, each in the latest window of its own.
    rolling_gen : RollingGen
    experiment : str, optional
        Where its recorders are; `name_id` if not given. A trainer trains there when it is given that name.

    .. warning:: **Look-ahead.** What is trained at `cur_time` may learn from labels that read up to the test segment
       unless the `RollingGen` has `trunc_days`; see there.
    """

    def __init__(
        self,
        name_id: str,
        task_template: Task | Sequence[Task],
        rolling_gen: RollingGen,
        *,
        experiment: str | None = None,
    ) -> None:
        super().__init__(name_id)
        if not isinstance(rolling_gen, RollingGen):
            raise ConfigError(
                f"rolling_gen of strategy {name_id!r} is {type(rolling_gen).__name__}, which does not roll",
                hint="give it a RollingGen",
            )
        self.experiment = experiment if experiment is not None else name_id
        self.task_template: list[Task] = [task_template] if isinstance(task_template, dict) else list(task_template)
        if not self.task_template:
            raise ConfigError(f"strategy {name_id!r} has no task_template, so there is nothing to roll")
        self.rg = rolling_gen
        self.tool = OnlineToolR(self.experiment)

    @property
    def definition(self) -> str:
        """Fingerprint of the templates and of how they roll.

        Raises
        ------
        OnlineError
            When a function of the `RollingGen` has no name by which another process would find it.
        """
        rolling = {name: _tell(name, value) for name, value in vars(self.rg).items() if name != "ta"}
        kind = f"{type(self.rg).__module__}.{type(self.rg).__qualname__}"
        templates = [task_fingerprint(describe_objects(task)) for task in self.task_template]
        return fingerprint({"class": kind, "rolling": rolling, "templates": templates}, typed=True)

    def first_tasks(self, *, cur_time: SessionLike | None = None, until: SessionLike | None = None) -> list[Task]:
        """Return the tasks of all windows that have begun, in order of time for each template.

        Parameters
        ----------
        cur_time : date, optional
            Test begins at or before it; the last session that has data if not given.
        until : date, optional
            Test ends at or before it; `cur_time` if not given.
        """
        made = task_generator(tasks=self.task_template, generators=self.rg)
        return self._begun(made, cur_time, until)

    def prepare_tasks(
        self,
        cur_time: SessionLike | None,
        *,
        online_models: Sequence[Recorder] | None = None,
        until: SessionLike | None = None,
        **kwargs: Any,
    ) -> list[Task]:
        """Return the tasks of the windows that have begun since those of the models that are online.

        Parameters
        ----------
        cur_time : date or None
            Test begins at or before it; None is the last session that has data.
        online_models : sequence of Recorder, optional
            Those that are online; `tool` is asked if not given.
        until : date, optional
            Test ends at or before it; `cur_time` if not given.
        """
        if kwargs:
            raise ConfigError(f"prepare_tasks takes cur_time, online_models and until, not {', '.join(kwargs)}")
        online = self.tool.online_models() if online_models is None else list(online_models)
        if not online:
            _logger.warning("strategy.nothing_online strategy=%s", self.name_id)
            return []
        limit = until if until is not None else cur_time
        made: list[Task] = []
        for _, recorder in self._latest(online):
            made += self.rg.gen_following_tasks(recorder.load_object(_TASK), limit)
        return self._begun(made, cur_time, until)

    def prepare_ahead(self, session: SessionLike, *, online_models: Sequence[Recorder]) -> list[Task]:
        """Return the tasks of the windows whose test begins with `session`, which has no data yet.

        They make no records, since nothing can be predicted before the data are there; what they learn is what they
        would learn on that day.

        Parameters
        ----------
        session : date
            One that the calendar knows, as the next one.
        online_models : sequence of Recorder
            Those that are online or wait.
        """
        begin = to_session(session)
        made: list[Task] = []
        for _, recorder in self._latest(online_models):
            for task in self.rg.gen_following_tasks(recorder.load_object(_TASK), begin):
                if self._start_of(task) == begin:
                    segments = segments_of(task, test_key=self.rg.test_key)
                    ahead: Task = {**task, "record": []}
                    set_segments(ahead, {**segments, self.rg.test_key: (begin, begin)})
                    made.append(ahead)
        return made

    def prepare_online_models(
        self, trained_models: Sequence[Recorder], cur_time: SessionLike | None = None
    ) -> list[Recorder]:
        """Let the models of the latest windows that have begun be online, and no others, and return them.

        Models of windows that begin after `cur_time` stay as they are: give them again when their time has come.

        Parameters
        ----------
        trained_models : sequence of Recorder
            New ones. Without any nothing changes.
        cur_time : date, optional
            The last session that has data if not given.
        """
        online = self.tool.online_models()
        if not trained_models:
            return online
        now = self._session_of(cur_time)
        new = {recorder.id for recorder in trained_models}
        candidates = [*trained_models, *(recorder for recorder in online if recorder.id not in new)]
        begun = [recorder for recorder in candidates if self._begin_of(recorder) <= now]
        latest = self._latest(begun)
        chosen: list[Recorder] = []
        for start, first in latest:  # of two models of one window the new ones are taken
            group = self._group_of(first.load_object(_TASK))
            same = [one for one in begun if self._begin_of(one) == start and self._is_of(one, group)]
            chosen += [one for one in same if one.id in new] or same
        chosen = list({recorder.id: recorder for recorder in chosen}.values())
        self.tool.reset_online_tag(chosen)
        return chosen

    def get_collector(
        self,
        process_list: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
        rec_key_func: Callable[[Recorder], Any] | None = None,
        rec_filter_func: Callable[[Recorder], bool] | None = None,
        artifacts_key: str | Sequence[str] | None = None,
    ) -> Collector:
        """Return what collects the results of its recorders.

        Parameters
        ----------
        process_list : callable or sequence of callables, optional
            ``RollingGroup(overlap="last")`` if not given: where two windows score a row, the later one wins.
        rec_key_func : callable, optional
            The key of a recorder; the class of its model and its test segment if not given. Give one that tells
            templates of one class apart.
        rec_filter_func, artifacts_key
            As `RecorderCollector` takes them.
        """
        return RecorderCollector(
            experiment=self.experiment,
            process_list=RollingGroup(overlap="last") if process_list is None else process_list,
            rec_key_func=rec_key_func if rec_key_func is not None else self._key_of,
            rec_filter_func=rec_filter_func,
            artifacts_key=artifacts_key,
        )

    def _key_of(self, recorder: Recorder) -> tuple[str, tuple[Any, ...]]:
        task = recorder.load_object(_TASK)
        test = segments_of(task, test_key=self.rg.test_key)[self.rg.test_key]
        return str(task["model"]["class"]), tuple(test)

    def _session_of(self, cur_time: SessionLike | None) -> Session:
        """Return the last session with data that is at or before `cur_time`."""
        known = self.rg.ta.calendar.known_part()
        return known.last if cur_time is None else known[known.at_or_before(cur_time)]

    def _begun(self, tasks: Iterable[Task], cur_time: SessionLike | None, until: SessionLike | None) -> list[Task]:
        """Return those whose test begins at or before `cur_time`, with test cut at `until` or else there."""
        now = self._session_of(cur_time)
        last = now if until is None else self._session_of(until)
        return [self._cut(task, last) for task in tasks if self._start_of(task) <= min(now, last)]

    def _cut(self, task: Task, last: Session) -> Task:
        segments = segments_of(task, test_key=self.rg.test_key)
        start, end = segments[self.rg.test_key]
        if end is not None and to_session(end) <= last:
            return task
        cut = {**task}
        set_segments(cut, {**segments, self.rg.test_key: (start, last)})
        return cut

    def _start_of(self, task: Mapping[str, Any]) -> Session:
        return to_session(segments_of(task, test_key=self.rg.test_key)[self.rg.test_key][0])

    def _begin_of(self, recorder: Recorder) -> Session:
        return self._start_of(recorder.load_object(_TASK))

    def _group_of(self, task: Mapping[str, Any]) -> str:
        """Return what the windows of one template have in common; "" where there is one template only."""
        return "" if len(self.task_template) == 1 else fingerprint(_without_dates(describe_objects(task)), typed=True)

    def _is_of(self, recorder: Recorder, group: str) -> bool:
        return not group or self._group_of(recorder.load_object(_TASK)) == group

    def _latest(self, recorders: Iterable[Recorder]) -> list[tuple[Session, Recorder]]:
        """Return for each template the latest begin of a test segment, and a recorder that has it."""
        latest: dict[str, tuple[Session, Recorder]] = {}
        for recorder in recorders:
            task = recorder.load_object(_TASK)
            group, start = self._group_of(task), self._start_of(task)
            if group not in latest or start > latest[group][0]:
                latest[group] = start, recorder
        return list(latest.values())


def call_first_tasks(
    strategy: OnlineStrategy, *, cur_time: SessionLike | None = None, until: SessionLike | None = None
) -> list[Task]:
    """Return the first tasks of a strategy, given of the arguments those that its method names.

    A class of a user's own may have Qlib's signature, ``first_tasks()``.
    """
    return list(strategy.first_tasks(**_taken(strategy.first_tasks, {"cur_time": cur_time, "until": until})))


def call_prepare_tasks(
    strategy: OnlineStrategy,
    cur_time: SessionLike | None,
    *,
    online_models: Sequence[Recorder] | None = None,
    until: SessionLike | None = None,
    **kwargs: Any,
) -> list[Task]:
    """Return what a strategy prepares, given of `online_models` and `until` those that its method names.

    A class of a user's own may have Qlib's signature, ``prepare_tasks(cur_time)``. What else is given is the user's.
    """
    given = _taken(strategy.prepare_tasks, {"online_models": online_models, "until": until})
    return list(strategy.prepare_tasks(cur_time, **{**given, **kwargs}))


def find_trained(definition: Mapping[str, Any], experiment: str) -> Recorder | None:
    """Return the newest finished recorder of this very task, so that it is not trained twice; None when none stands.

    Guarantees: a recorder whose data, or whose user's own code, are not as they were when it learnt is not returned.

    Parameters
    ----------
    definition : mapping
        The task, its test segment included.
    experiment : str
        Name of the experiment.

    Raises
    ------
    RecordError
        When the tracking store or the artifacts are away, so that it is not known.
    """
    described = describe_objects(definition)
    parts = TaskParts.of(described)
    where = f"tags.fingerprint = '{parts.fingerprint}'"
    try:
        found = R.get_exp(experiment_name=experiment, create=False).list_recorders(
            "list", status=Recorder.STATUS_FI, filter_string=where
        )
    except ExperimentNotFoundError:
        return None
    check = ScopeCheck()
    for recorder in found:
        validity = load_validity(recorder)
        if validity is None or why_stale(described, validity.fit, now=parts.fit, check=check) is not None:
            continue
        try:
            recorder.verify_objects("params.pkl", "dataset", _TASK)
        except RecordError as error:
            if error.is_away:
                raise
            _logger.warning("strategy.recorder_damaged recorder=%s reason=%s", recorder.id, error.message)
            continue
        return recorder
    return None


def _taken(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the keywords that `function` names."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in given.items() if name in names and value is not None}


def _without_dates(value: Any) -> Any:
    """Return a task without what moves with its window."""
    if isinstance(value, Mapping):
        return {key: _without_dates(item) for key, item in value.items() if key not in _DATES}
    if isinstance(value, list | tuple):
        return [_without_dates(item) for item in value]
    return value


def _tell(name: str, value: Any) -> Any:
    """Return a setting of a `RollingGen` as JSON can hold it; a function by its name."""
    if not callable(value):
        return value
    named = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    if "<" in named or named.startswith(".") or named.endswith("."):
        raise OnlineError(
            f"{name} of the RollingGen is {value!r}, which has no name by which a restart would find it again",
            hint="write it as a function of a module",
        )
    return named
