"""Warnings that one process logs for another."""

from __future__ import annotations

import logging

__all__ = ["relay_warning"]


def relay_warning(name: str, text: str, args: tuple[int | float | str, ...]) -> None:
    """Log, in this process, a warning that the logger `name` of another process had.

    Parameters
    ----------
    name : str
    text : str
        The message with its places for `args`, or the whole message where there are none.
    args : tuple
    """
    logger = logging.Logger.manager.getLogger(name)
    if logger.isEnabledFor(logging.WARNING):
        values = {"name": name, "levelno": logging.WARNING, "levelname": "WARNING", "msg": text, "args": args}
        logger.handle(logging.makeLogRecord(values))
