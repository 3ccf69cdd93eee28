"""Where a fit keeps how far it has come, so that a killed one goes on from there.

Whoever runs a fit offers a place, which is that fit's alone; a model that takes long puts its state there from time to
time, begins with what it finds, and the place is emptied when the fit has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

__all__ = ["CheckpointPlace", "find_checkpoint_place", "offer_checkpoint_place"]


class CheckpointPlace(Protocol):
    """A place for one checkpoint of one fit."""

    def load(self) -> bytes | None:
        """Return what was saved last, whole; None when there is nothing, or it cannot be read."""
        ...

    def save(self, content: bytes) -> None:
        """Replace what is there, in one step; whoever is killed meanwhile leaves the former or the new one.

        A place that has no room says so in the log, and the fit goes on.
        """
        ...


_PLACE: Final[ContextVar[CheckpointPlace | None]] = ContextVar("checkpoint_place", default=None)


@contextmanager
def offer_checkpoint_place(place: CheckpointPlace) -> Iterator[None]:
    """Let the fit in the block find `place`."""
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


def find_checkpoint_place() -> CheckpointPlace | None:
    """Return the place that is offered here, None where there is none."""
    return _PLACE.get()
