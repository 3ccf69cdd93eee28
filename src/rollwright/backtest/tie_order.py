"""The order among equal scores, drawn from prices: a tie must not be broken by what a name is spelled like."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["TieOrder"]

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


class TieOrder:
    """One number per instrument, drawn anew each session; among equal scores the lowest number ranks first.

    The numbers are a hash of the instrument's prices up to that session. A hash keeps nothing of what it is made of, so
    the order prefers no kind of name: neither the cheap nor the old, nor those first in the alphabet.

    Guarantees: the numbers of an instrument depend on its own prices so far and on nothing else, so renaming or
    reordering instruments, and any later price, changes none of them. Two instruments get equal numbers only when all
    their prices so far were equal to the last bit.
    """

    def __init__(self, width: int) -> None:
        self._state = np.zeros(width, dtype=np.uint64)
        self._waiting: list[NDArray[np.float64]] = []

    def add(self, *prices: NDArray[np.float64] | None) -> None:
        """Add a session: one array of ``[instruments]`` for each kind of price; None is left out.

        They are kept, and read when numbers are asked for: where no scores are equal, nobody asks.
        """
        self._waiting += [row for row in prices if row is not None]

    def numbers(self) -> NDArray[np.uint64]:
        """Return the numbers after the sessions added so far."""
        for row in self._waiting:
            self._state = _mix(self._state ^ _take_bits(row))
        self._waiting.clear()
        return self._state


def _take_bits(row: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return the bits of the numbers; those of one NaN for every NaN, and of 0 for -0."""
    plain = np.where(np.isnan(row), np.nan, row + 0.0)
    return np.ascontiguousarray(plain, dtype=np.float64).view(np.uint64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the next state: SplitMix64 (Steele, Lea and Flood, 2014); each bit changes half of the others."""
    mixed = state + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
