"""The moment from which a task sees the market, wherever it is executed or judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from rollwright.config.context import current_context, using
from rollwright.config.moment_setting import read_moment
from rollwright.errors import ConfigError
from rollwright.tasks.identity import AS_OF

__all__ = ["seen_by"]

_SETTING: Final = "point_in_time.as_of"


@contextmanager
def seen_by(task: Mapping[str, Any]) -> Iterator[None]:
    """Let the market of the context be seen, in a block, as of the moment that `task` names; as it is if it names none.

    A task of a campaign with ``as_of`` carries it, so that it gives the same in any other context.

    Raises
    ------
    ConfigError
        When what it names is no moment.
    """
    try:
        moment = read_moment(task.get(AS_OF))
    except ValueError as error:
        raise ConfigError(f"`{AS_OF}` of the task: {error}") from error
    context = current_context()
    if moment is None or context.settings.point_in_time.as_of == moment:
        yield
        return
    with using(replace(context, settings=context.settings.with_values({_SETTING: moment}, origin="the task"))):
        yield
