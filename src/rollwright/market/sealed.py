"""A market before a sealed holdout: as if it had ended there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.holdout import Holdout
from rollwright.calendar.trading import TradingCalendar
from rollwright.market.as_of import AsOf
from rollwright.market.generations import name_generation
from rollwright.market.source import DataSource, FieldKind, Lifetimes, Vintages

__all__ = ["Sealed"]


class Sealed:
    """What `source` was before `holdout` began; implements `DataSource`, and `VintageSource` where `source` does.

    Guarantees: no value, session, lifetime or vintage of the holdout or later leaves it: a source whose data differ
    from there on only gives the same answers. Unlike `AsOf`, which knows the dates of later sessions, it ends: its
    calendar has none, and refuses every date from the holdout on that is asked for by name. The generation names the
    first sealed day, so that whatever was kept before the sealing (features, results) is not taken for what is seen
    now.

    .. warning:: **Look-ahead.** It is a promise and no lock: who opens the data's files by other means reads them.

    Parameters
    ----------
    source : DataSource
    holdout : Holdout

    Raises
    ------
    HoldoutSealedError
        When no session of `source` lies before `holdout`.
    """

    def __init__(self, source: DataSource, holdout: Holdout) -> None:
        self._calendar = source.calendar().before(holdout)
        self._source = source
        self._holdout = holdout
        self._cut = AsOf(source, holdout.eve)

    def __repr__(self) -> str:
        return f"Sealed({self._source!r}, {list(self._holdout.pair)})"

    @property
    def source(self) -> DataSource:
        """The source that is sealed."""
        return self._source

    @property
    def holdout(self) -> Holdout:
        """What is sealed."""
        return self._holdout

    @property
    def freq(self) -> str:
        """Frequency of the calendar, as ``day`` or ``5min``."""
        return self._source.freq

    @property
    def generation(self) -> str:
        """Identity of the data: that of the source, and the last moment that is seen."""
        inner = self._cut.generation if isinstance(self._source, AsOf) else self._cut.then.generation
        return name_generation("sealed", self._holdout.eve, inner)

    def calendar(self) -> TradingCalendar:
        """Return the sessions before the holdout; none after."""
        return self._calendar

    def instruments(self) -> tuple[str, ...]:
        """Return every instrument whose series began before the holdout, sorted by code."""
        return self._cut.instruments()

    def members(self, universe: str) -> Lifetimes:
        """Return who belonged to `universe` before the holdout; a range that goes on ends with the last session.

        Raises
        ------
        UnknownInstrumentError
            When the source has no such universe.
        """
        return self._cut.members(universe)

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the calendar positions of each series' first row and one past its last one that is seen.

        Raises
        ------
        UnknownInstrumentError
            For an instrument whose series had not begun.
        """
        return self._cut.bounds(instruments)

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: the same for the series of each field; empty where it had not begun."""
        return self._cut.field_bounds(fields, instruments)

    def missing_fields(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Return those of `fields` (without ``$``) that no instrument has, before the holdout or later."""
        return self._cut.missing_fields(fields)

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]`` of sessions before the holdout.

        Raises
        ------
        HoldoutSealedError
            When the range reaches sessions of the source that are sealed.
        UnknownInstrumentError, UnknownFieldError, CorruptFileError
            As the source.
        DataError
            When the range is none of the calendar.
        """
        if len(self._calendar) < stop <= len(self._source.calendar()):
            raise self._holdout.error(f"row {stop - 1} of the calendar")
        return self._cut.load(fields, instruments, start, stop)

    def unchanged_before(self, generation: str) -> int:
        """Return how many sessions, from the first, have in every series the values of another `generation`.

        As `AsOf.unchanged_before`: of the source and of any viewpoint of it, and never more than is seen here.
        """
        return self._cut.unchanged_before(generation)

    def period_fields(self) -> tuple[str, ...]:
        """Return the fields by period of the source."""
        return self._cut.period_fields()

    def field_kind(self, field: str) -> FieldKind:
        """Return what `field` (without ``$$``) measures.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        UnknownFieldError
            As the source.
        """
        return self._cut.field_kind(field)

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of what was known of `fields` before the holdout.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        """
        return self._cut.vintage_generation(fields)

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return the values of `field` (without ``$$``) known before the holdout, as `VintageSource.vintages`.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        UnknownFieldError, UnknownInstrumentError
            As the source.
        """
        return self._cut.vintages(field, instruments)
