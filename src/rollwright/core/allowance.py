"""How much a walk through a value may meet before it ends."""

from __future__ import annotations

from typing import Final

from rollwright.errors import TaskValueError

__all__ = ["ARTIFACT", "MAX_BYTES", "MAX_DEPTH", "Allowance"]

MAX_DEPTH: Final = 64
MAX_BYTES: Final = 1 << 20
ARTIFACT: Final = 1 << 28
"""Values and characters of what is no definition but an artifact, which somebody computed here."""


class Allowance:
    """Counts the values and characters that a walk through a definition meets; ends the walk when they are too many.

    A part that stands in several places is met as often as it stands: forty lists, each of which holds the one before
    twice, are 2**40 values.

    Parameters
    ----------
    limit : int
    """

    __slots__ = ("left", "limit")

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self.limit = self.left = limit

    def spend(self, count: int) -> None:
        """Count `count` more values or characters.

        Raises
        ------
        TaskValueError
            When there are more than the limit.
        """
        self.left -= count
        if self.left < 0:
            raise TaskValueError(
                "$",
                f"more than {self.limit:,} values and characters, each part counted as often as it stands",
                hint="look for a part that holds another several times, level by level",
            )
