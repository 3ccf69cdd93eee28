"""A source that answers as another does: what a viewpoint that changes little is built on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import NotPointInTimeError
from rollwright.market.source import DataSource, FieldKind, Lifetimes, Vintages, VintageSource

__all__ = ["Viewpoint", "by_period"]


def by_period(source: DataSource, field: str) -> VintageSource:
    """Return `source` as one that has fields by period, of which `field` (without ``$$``) is asked for.

    Raises
    ------
    NotPointInTimeError
        When it has none.
    """
    if not isinstance(source, VintageSource):
        raise NotPointInTimeError(f"{source!r} has no fields by period, so `$${field}` cannot be read from it")
    return source


class Viewpoint:
    """Passes every question on to `source`; implements `DataSource`, and `VintageSource` where `source` does.

    Each answer and each error is that of the source. A viewpoint derives from it and changes what it sees otherwise.

    Parameters
    ----------
    source : DataSource
    """

    def __init__(self, source: DataSource) -> None:
        self._source = source

    @property
    def source(self) -> DataSource:
        """The source that is looked at."""
        return self._source

    @property
    def freq(self) -> str:
        """Frequency of the calendar, as ``day`` or ``5min``."""
        return self._source.freq

    @property
    def generation(self) -> str:
        """Identity of the data."""
        return self._source.generation

    def calendar(self) -> TradingCalendar:
        """Return the sessions."""
        return self._source.calendar()

    def instruments(self) -> tuple[str, ...]:
        """Return every instrument that has a series, sorted by code."""
        return self._source.instruments()

    def members(self, universe: str) -> Lifetimes:
        """Return who belongs to `universe`, and when."""
        return self._source.members(universe)

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the calendar positions of each series' first row and one past its last."""
        return self._source.bounds(instruments)

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: the same for the series of each field."""
        return self._source.field_bounds(fields, instruments)

    def missing_fields(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Return those of `fields` (without ``$``) that no instrument has."""
        return self._source.missing_fields(fields)

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``."""
        return self._source.load(fields, instruments, start, stop)

    def unchanged_before(self, generation: str) -> int:
        """Return how many sessions, from the first, have in every series the values of another `generation`."""
        return self._source.unchanged_before(generation)

    def period_fields(self) -> tuple[str, ...]:
        """Return the fields by period of the source; none where it has no such fields."""
        return self._source.period_fields() if isinstance(self._source, VintageSource) else ()

    def field_kind(self, field: str) -> FieldKind:
        """Return what `field` (without ``$$``) measures."""
        return by_period(self._source, field).field_kind(field)

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of what is known of `fields`."""
        return by_period(self._source, fields[0] if fields else "…").vintage_generation(fields)

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return the values of `field` (without ``$$``) that became known."""
        return by_period(self._source, field).vintages(field, instruments)
