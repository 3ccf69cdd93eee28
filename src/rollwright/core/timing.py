"""TimeInspector: log how long a named piece of work took."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec, TypeVar

__all__ = ["TimeInspector"]

_logger: Final = logging.getLogger("rollwright.core")

P = ParamSpec("P")
T = TypeVar("T")


# The marks that are set and not yet popped: one stack for each thread and each asynchronous task.
_MARKS: ContextVar[tuple[float, ...]] = ContextVar("time_marks", default=())


class TimeInspector:
    """Measure blocks and functions, nested if need be; each measurement is one INFO event.

    As in Qlib, everything is called on the class: ``TimeInspector.set_time_mark()``. Marks nest; no thread and no
    asynchronous task sees those of another.
    """

    @staticmethod
    def set_time_mark() -> float:
        """Push the present steady time and return it."""
        mark = time.perf_counter()
        _MARKS.set((*_MARKS.get(), mark))
        return mark

    @staticmethod
    def pop_time_mark() -> float:
        """Drop the last mark and return it.

        Raises
        ------
        IndexError
            When no mark is set.
        """
        marks = _MARKS.get()
        if not marks:
            raise IndexError("no time mark is set; call TimeInspector.set_time_mark() before")
        _MARKS.set(marks[:-1])
        return marks[-1]

    @staticmethod
    def get_cost_time() -> float:
        """Drop the last mark and return the seconds since."""
        return time.perf_counter() - TimeInspector.pop_time_mark()

    @staticmethod
    def log_cost_time(info: str = "Done") -> float:
        """Drop the last mark, log the seconds since, and return them."""
        seconds = TimeInspector.get_cost_time()
        _logger.info("timing.done name=%s seconds=%.3f", info, seconds)
        return seconds

    @staticmethod
    @contextmanager
    def logt(name: str = "", show_start: bool = False) -> Iterator[None]:  # noqa: FBT001, FBT002 - Qlib's signature
        """Log the duration of the block, also when it raises."""
        if show_start:
            _logger.info("timing.start name=%s", name)
        start = time.perf_counter()
        try:
            yield
        finally:
            _logger.info("timing.done name=%s seconds=%.3f", name, time.perf_counter() - start)

    @staticmethod
    def log_time(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Return a decorator that logs the duration of every call under `name`."""

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            @wraps(function)
            def measure(*args: P.args, **kwargs: P.kwargs) -> T:
                with TimeInspector.logt(name):
                    return function(*args, **kwargs)

            return measure

        return decorate
