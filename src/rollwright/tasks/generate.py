"""Making many tasks from one template."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from rollwright.calendar.adjuster import TimeAdjuster
from rollwright.calendar.segment import Segment
from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import current_settings
from rollwright.errors import ConfigError
from rollwright.tasks.definition import SegmentTuple, Task, dataset_kwargs, segments_of, set_dataset_kwarg, set_segments

__all__ = [
    "MultiHorizonGen",
    "MultiHorizonGenBase",
    "TaskGen",
    "find_horizon",
    "task_generator",
    "trunc_segments",
    "write_horizon_label",
]


class TaskGen(ABC):
    """Makes tasks from a template; calling it is the same as `generate`.

    Implementations never change the template they are given.
    """

    @abstractmethod
    def generate(self, task: Task) -> list[Task]:
        """Return the tasks that the template `task` stands for."""

    def __call__(self, task: Task) -> list[Task]:
        """Return the tasks that the template `task` stands for."""
        return self.generate(task)


def task_generator(tasks: Task | Sequence[Task], generators: TaskGen | Iterable[TaskGen]) -> list[Task]:
    """Return what `generators`, one after another, make of `tasks`.

    Each generator is applied to every task made so far: three templates, a generator that makes two of each and one
    that makes three give eighteen tasks.

    Parameters
    ----------
    tasks : dict or sequence of dict
        One template or several; never changed.
    generators : TaskGen or iterable of TaskGen
        None of them returns the templates as they are.

    Raises
    ------
    ConfigError
        For more tasks than ``pool.max_generated``: a grid grows by multiplication.
    """
    most = current_settings().pool.max_generated
    made = [tasks] if isinstance(tasks, dict) else list(tasks)
    for generator in [generators] if isinstance(generators, TaskGen) else generators:
        if not callable(getattr(generator, "generate", None)):
            raise ConfigError(
                f"{generator!r} is no generator of tasks", hint="give objects with `generate(task) -> list of tasks`"
            )
        step: list[Task] = []
        for template in made:
            tasks_of_one = generator.generate(template)
            if isinstance(tasks_of_one, Mapping) or not isinstance(tasks_of_one, Iterable):
                raise ConfigError(
                    f"{type(generator).__name__}.generate returned {type(tasks_of_one).__name__}, not a list of tasks"
                )
            step += tasks_of_one
            if len(step) > most:
                raise ConfigError(
                    f"{type(generator).__name__} has made {len(step):,} tasks of {len(made):,}, and more than {most:,} "
                    "are taken for a mistake",
                    hint="vary less, or roll in larger steps; if so many are meant, raise `pool.max_generated`",
                )
        made = step
    return made


def trunc_segments(ta: TimeAdjuster, segments: dict[str, Any], days: int, test_key: str = "test") -> None:
    """Cut every segment but test, in place, so that it ends `days` sessions before test begins.

    .. warning:: **Look-ahead.** `days` is ``label span + 1`` at least; see `rollwright.calendar.purge`.

    Raises
    ------
    SegmentError
        When nothing of a segment is left.
    """
    test_start = min(end for end in segments[test_key] if end is not None)
    for key, segment in segments.items():
        if key != test_key:
            segments[key] = ta.truncate(segment, test_start, days)


def write_horizon_label(horizon: int, *, label_leak_n: int = 2) -> str:
    """Return the label of a position taken at the close of session ``label_leak_n - 1`` and held `horizon` sessions."""
    entry = label_leak_n - 1
    bought = f"Ref($close, -{entry})" if entry else "$close"
    return f"Ref($close, -{entry + horizon})/{bought} - 1"


def find_horizon(label: object) -> int | None:
    """Return the horizon of a handler's label that `write_horizon_label` wrote; None for any other."""
    text = label[0] if isinstance(label, list | tuple) and len(label) == 1 else label
    found = _HORIZON_LABEL.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else int(found.group(1)) - 1


_HORIZON_LABEL: Final = re.compile(r"Ref\(\$close, -([2-9]|[1-9][0-9]{1,3})\)/Ref\(\$close, -1\) - 1")


class MultiHorizonGenBase(TaskGen):
    """One task per prediction horizon, each cut clear of its own test segment.

    The label of horizon `h` is the return of a position taken at the close of session ``label_leak_n - 1`` after the
    signal and held for `h` sessions; with the default of 2 and `h` = 1 that is
    ``Ref($close, -2)/Ref($close, -1) - 1``. A derived class says another one by `label`, or by `set_horizon`.

    Parameters
    ----------
    horizon : sequence of int
        Sessions ahead to predict.
    label_leak_n : int
        Sessions of future a label of horizon 0 would read, plus one: 2 when one buys at the close of the session
        after the signal. Learning ends ``horizon + label_leak_n`` sessions before test.
    test_key : str
        Name of the test segment.
    calendar : TradingCalendar, optional
        The sessions; the current market's if not given.

    .. warning:: **Look-ahead.** `label_leak_n` must fit the label that `set_horizon` writes: one less and the last
       samples of train know a price of test.

    Raises
    ------
    ConfigError
        For horizons that are no positive numbers of sessions.
    """

    def __init__(
        self,
        horizon: Sequence[int] = (5,),
        label_leak_n: int = 2,
        *,
        test_key: str = "test",
        calendar: TradingCalendar | None = None,
    ) -> None:
        if isinstance(horizon, int | str) or not horizon or any(hr < 1 for hr in horizon):
            raise ConfigError(f"horizon = {horizon!r} is no list of positive numbers of sessions")
        if label_leak_n < 1:
            raise ConfigError(f"label_leak_n = {label_leak_n} must be at least 1")
        self.horizon = list(horizon)
        self.label_leak_n = label_leak_n
        self.test_key = test_key
        self.ta = TimeAdjuster(calendar=calendar)

    def label(self, hr: int) -> str:
        """Return the label's expression for horizon `hr`."""
        return write_horizon_label(hr, label_leak_n=self.label_leak_n)

    def set_horizon(self, task: Task, hr: int) -> None:
        """Write the label of horizon `hr` into the handler of `task`.

        Raises
        ------
        ConfigError
            When the handler is not a dictionary, so that its label cannot be changed.
        """
        handler = dataset_kwargs(task).get("handler")
        if not isinstance(handler, Mapping):
            raise ConfigError(
                f"the handler is {type(handler).__name__}, so its label cannot be changed",
                hint="name the handler by class, module_path and kwargs",
            )
        kwargs = {**(handler.get("kwargs") or {}), "label": [self.label(hr)]}
        set_dataset_kwarg(task, "handler", {**handler, "kwargs": kwargs})

    def generate(self, task: Task) -> list[Task]:
        """Return one task per horizon, in the order of `horizon`.

        Raises
        ------
        ConfigError
            When the template has no segments, or none named `test_key`.
        CalendarRangeError, SegmentError
            When a segment does not fit the calendar, or cutting leaves nothing of it.
        """
        calendar = self.ta.calendar
        made = []
        for hr in self.horizon:
            copy = deepcopy(task)
            self.set_horizon(copy, hr)
            aligned: dict[str, SegmentTuple] = {
                key: Segment.aligned(value, calendar, open_end=key == self.test_key).as_tuple()
                for key, value in segments_of(copy, test_key=self.test_key).items()
            }
            trunc_segments(self.ta, aligned, hr + self.label_leak_n, self.test_key)
            set_segments(copy, aligned)
            made.append(copy)
        return made


class MultiHorizonGen(MultiHorizonGenBase):
    """`MultiHorizonGenBase` with the label it has unless a derived class says another."""
