"""The port through which expressions reach market data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import Session, TradingCalendar

__all__ = ["DataSource", "Lifetimes"]

Lifetimes: TypeAlias = Mapping[str, tuple[tuple[Session, Session], ...]]
"""For each instrument the closed ranges of sessions in which it belongs to a universe, in order."""


class DataSource(Protocol):
    """Daily or intraday fields of many instruments on one calendar.

    Guarantees: values are float32 with NaN for "no value"; nothing is invented, filled or reordered; two reads under
    the same `generation` give the same bytes.
    """

    @property
    def freq(self) -> str:
        """Frequency of the calendar, as ``day`` or ``5min``."""
        ...

    @property
    def generation(self) -> str:
        """Identity of the data: differs whenever any value, session or lifetime may differ."""
        ...

    def calendar(self) -> TradingCalendar:
        """Return the sessions, future ones included where they are known."""
        ...

    def instruments(self) -> tuple[str, ...]:
        """Return every instrument that has a series, sorted by code."""
        ...

    def members(self, universe: str) -> Lifetimes:
        """Return who belongs to `universe`, and when.

        Raises
        ------
        UnknownInstrumentError
            When there is no such universe; carries the nearest name.
        """
        ...

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the calendar positions of each series' first row and one past its last."""
        ...

    def missing_fields(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Return those of `fields` (without ``$``) that no instrument has."""
        ...

    def load(
        self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int, *, as_of: Session | None = None
    ) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``, NaN outside each series and for fields it lacks.

        Parameters
        ----------
        fields : sequence of str
            Names without ``$``.
        start, stop : int
            Calendar positions, half open.
        as_of : Session, optional
            The reader's viewpoint, for data with vintages; plain fields have none and ignore it.

        Raises
        ------
        CorruptFileError
            When a file is not what the format demands.
        """
        ...
