"""TimeInspector: how long a named piece of work took, told to the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["TimeInspector"]

_logger = logging.getLogger("rollwright.core")

P = ParamSpec("P")
T = TypeVar("T")


class TimeInspector:
    """Measure blocks and functions, nested if need be; each measurement is one INFO event.

    Marks are kept per instance. The seeds call the class itself (``TimeInspector.logt("…")``), which only needs the
    two stateless words `logt` and `log_time`.
    """

    def __init__(self) -> None:
        self._marks: list[float] = []

    def set_time_mark(self) -> float:
        """Push the present steady time and return it."""
        self._marks.append(time.perf_counter())
        return self._marks[-1]

    def pop_time_mark(self) -> float:
        """Drop the last mark and return it.

        Raises
        ------
        IndexError
            When no mark is set.
        """
        return self._marks.pop()

    def get_cost_time(self) -> float:
        """Drop the last mark and return the seconds since."""
        return time.perf_counter() - self.pop_time_mark()

    def log_cost_time(self, info: str = "done") -> float:
        """Drop the last mark, log the seconds since, and return them."""
        seconds = self.get_cost_time()
        _logger.info("%s: %.3f s", info, seconds)
        return seconds

    @staticmethod
    @contextmanager
    def logt(name: str = "", *, show_start: bool = False) -> Iterator[None]:
        """Log the duration of the block, also when it raises."""
        if show_start:
            _logger.info("%s begins", name)
        start = time.perf_counter()
        try:
            yield
        finally:
            _logger.info("%s: %.3f s", name, time.perf_counter() - start)

    @staticmethod
    def log_time(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Return a decorator that logs the duration of every call under `name`."""

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            @wraps(function)
            def timed(*args: P.args, **kwargs: P.kwargs) -> T:
                with TimeInspector.logt(name):
                    return function(*args, **kwargs)

            return timed

        return decorate
