"""How far a fit has come: models tell it after each round, and whoever runs them may listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeAlias

__all__ = ["RoundListener", "is_listened", "listen_to_rounds", "part_of_fit", "tell_round"]

RoundListener: TypeAlias = Callable[[int, int], None]

_LISTENER: Final[ContextVar[RoundListener | None]] = ContextVar("round_listener", default=None)


@contextmanager
def listen_to_rounds(listener: RoundListener) -> Iterator[None]:
    """Call ``listener(done, of)`` after each round of a fit within the block; it is called often, and must be quick."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def is_listened() -> bool:
    """Whether anybody listens, so that a model need not tell otherwise."""
    return _LISTENER.get() is not None


def tell_round(done: int, of: int) -> None:
    """Tell that `done` of at most `of` rounds are over; a fit that stops early tells fewer."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(done, of)


@contextmanager
def part_of_fit(number: int, parts: int, *, rounds: int) -> Iterator[None]:
    """Count the rounds told within the block as those of one part of a longer fit.

    Parameters
    ----------
    number : int
        The part, counted from 0.
    parts : int
        How many there are.
    rounds : int
        Rounds of each part at most.
    """
    outer = _LISTENER.get()
    if outer is None:
        yield
        return
    tell = outer  # of this moment, not the one that is set below
    with listen_to_rounds(lambda done, _: tell(number * rounds + done, parts * rounds)):
        yield
