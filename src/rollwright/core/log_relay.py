"""Warnings that are kept as plain values, and logged by another process, or at another time."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Self

__all__ = ["RecordedWarning", "record_warnings", "relay_warning"]

_PACKAGE: Final = "rollwright"


class RecordedWarning(NamedTuple):
    """A warning as values that JSON has.

    Attributes
    ----------
    logger : str
    text : str
        The message with its places for `args`, or the whole message where there are none.
    args : tuple
    """

    logger: str
    text: str
    args: tuple[int | float | str, ...]

    @classmethod
    def of(cls, record: logging.LogRecord) -> Self:
        """Return what a record says."""
        given = record.args if isinstance(record.args, tuple) else ()
        text = str(record.msg) if given or not record.args else record.getMessage()
        return cls(record.name, text, tuple(_plain(value) for value in given))


def _plain(value: object) -> int | float | str:
    """Return an argument of a message as JSON has it, of a kind that its place in the message takes."""
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else str(value)


class _Keeper(logging.Handler):
    """Keeps warnings."""

    def __init__(self, kept: list[RecordedWarning]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(RecordedWarning.of(record))


@contextmanager
def record_warnings(kept: list[RecordedWarning]) -> Iterator[None]:
    """Put every warning of the package that is logged in the block into `kept` too."""
    logger, keeper = logging.Logger.manager.getLogger(_PACKAGE), _Keeper(kept)
    logger.addHandler(keeper)
    try:
        yield
    finally:
        logger.removeHandler(keeper)


def relay_warning(name: str, text: str, args: tuple[int | float | str, ...]) -> None:
    """Log, here and now, a warning that the logger `name` had elsewhere; the values are those of `RecordedWarning`."""
    logger = logging.Logger.manager.getLogger(name)
    if logger.isEnabledFor(logging.WARNING):
        values = {"name": name, "levelno": logging.WARNING, "levelname": "WARNING", "msg": text, "args": args}
        logger.handle(logging.makeLogRecord(values))
