"""The rows of a term: which sessions its series has, for each instrument.

A field's series begins and ends where the source says, and need not have the rows of the instrument's other fields
(``$pe`` may begin years after ``$close``). What is computed has the rows of what it is computed from:

1. A field has its own rows; none where an instrument lacks it.
2. An operator has the rows from the first of any input to the last of any. Between and beyond, an input is missing.
   ``If`` has the rows of its condition.
3. ``ChangeInstrument`` and ``Mask`` have the rows of the other instrument, whichever instrument asks.
4. A call on constants alone has the rows of the instrument, and so have ``P`` and ``PRef``: what is known of a field by
   period is known on every session.

Windows begin at the first of these rows at the earliest, and a value outside them is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.term import Term

__all__ = ["Bounds", "TermRows", "hull"]

Bounds: TypeAlias = NDArray[np.int64]
"""``[columns, 2]``: the calendar positions of the first row of a series and of one past its last; equal when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRows:
    """The rows of each term of a plan; terms with the same rows share one array.

    Attributes
    ----------
    bounds : tuple of int64 ``[columns, 2]``
        Every set of rows that occurs; the first is that of the instruments themselves.
    number : mapping of Term to int
        Which of them a term has. A constant has none.
    """

    bounds: tuple[Bounds, ...]
    number: Mapping[Term, int]

    @property
    def columns(self) -> int:
        """Number of instruments."""
        return len(self.bounds[0])

    @property
    def are_equal(self) -> bool:
        """Whether every term has the rows of its instruments."""
        return len(self.bounds) == 1

    def number_of(self, term: Term) -> int:
        """Return which of `bounds` are the rows of `term`."""
        return self.number.get(term, 0)

    def of(self, term: Term) -> Bounds:
        """Return the rows of `term`."""
        return self.bounds[self.number_of(term)]

    def cut(self, columns: slice) -> TermRows:
        """Return the rows of some columns."""
        return TermRows(bounds=tuple(bounds[columns] for bounds in self.bounds), number=self.number)

    def any_within(self, start: int, stop: int) -> bool:
        """Say whether any series has a row in the sessions ``[start, stop)``."""
        return any(bool(((bounds[:, 0] < stop) & (bounds[:, 1] > start)).any()) for bounds in self.bounds)


def hull(one: Bounds, other: Bounds) -> Bounds:
    """Return the rows from the first of either to the last of either; an empty series adds nothing."""
    joined = np.stack([np.minimum(one[:, 0], other[:, 0]), np.maximum(one[:, 1], other[:, 1])], axis=1)
    joined = np.where((one[:, 0] >= one[:, 1])[:, None], other, joined)
    return np.where((other[:, 0] >= other[:, 1])[:, None], one, joined)
