"""A market as it was known on a session: the same source, cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import Session, SessionLike, TradingCalendar, to_session
from rollwright.errors import UnknownInstrumentError
from rollwright.market.generations import count_unchanged, name_generation, read_generation
from rollwright.market.known_then import see_known
from rollwright.market.source import DataSource, Lifetimes, Vintages, check_rows
from rollwright.market.viewpoint import Viewpoint

__all__ = ["AsOf"]

_LABEL: Final = "%Y-%m-%dT%H:%M:%S"


class AsOf(Viewpoint):
    """What `source` was on `session`; implements `DataSource`, and `VintageSource` where `source` does.

    Later sessions count as not known, later rows are NaN, instruments that were listed later are not there, lifetimes
    that go on end with the last known session, and values that became known later are left out. The generation names
    the session, so that whatever is kept by generation (features, results) is kept for each viewpoint apart.
    ``AsOf(AsOf(source, a), b)`` is ``AsOf(source, min(a, b))``: a viewpoint cannot be widened again.

    Memberships and adjustment factors are those that were known then, where the source has the dates (`KnownThen`).

    .. warning:: **Look-ahead.** It hides what came later; it cannot know what was revised in place. Without dates, a
       universe is today's, and a daily field that the source overwrites, or adjusts for later splits, is seen as it
       stands today.

    Parameters
    ----------
    source : DataSource
    session : date
        It need not be a session: the last one at or before it is the last known one.

    Raises
    ------
    CalendarRangeError
        When the calendar begins after `session`.
    """

    def __init__(self, source: DataSource, session: SessionLike) -> None:
        stamp = to_session(session).floor("s")  # sessions are whole seconds
        if isinstance(source, AsOf):
            stamp = min(source.session, stamp)
            source = source.source
        whole = source.calendar()
        super().__init__(source)
        self._session = stamp
        self._known = min(whole.known, whole.at_or_before(stamp) + 1)
        self._calendar = whole.known_until(self._known)
        self._then_cache: DataSource | None = None
        self._instruments: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"AsOf({self._source!r}, {self._session.strftime(_LABEL)!r})"

    @property
    def session(self) -> Session:
        """The viewpoint."""
        return self._session

    @property
    def then(self) -> DataSource:
        """The source with the memberships and factors that were known at the viewpoint, and nothing cut off."""
        if self._then_cache is None:
            self._then_cache = see_known(self._source, self._session)
        return self._then_cache

    @property
    def generation(self) -> str:
        """Identity of the data: that of the source, and the viewpoint."""
        return name_generation("as-of", self._session, self.then.generation)

    def calendar(self) -> TradingCalendar:
        """Return the sessions of the source, those after the viewpoint as future ones."""
        return self._calendar

    def instruments(self) -> tuple[str, ...]:
        """Return every instrument whose series had begun, sorted by code."""
        if self._instruments is None:
            codes = self._source.instruments()
            begun = self._source.bounds(codes)[:, 0] < self._known
            self._instruments = tuple(code for code, is_there in zip(codes, begun.tolist(), strict=True) if is_there)
        return self._instruments

    def members(self, universe: str) -> Lifetimes:
        """Return who had belonged to `universe`, and when; a range that goes on ends with the last known session.

        Raises
        ------
        UnknownInstrumentError
            When the source has no such universe.
        """
        last = self._calendar.last_known
        members = self.then.members(universe)
        cut = {
            code: tuple((start, min(end, last)) for start, end in spans if start <= last)
            for code, spans in members.items()
        }
        return {code: spans for code, spans in cut.items() if spans}

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the calendar positions of each series' first row and one past its last known one.

        Raises
        ------
        UnknownInstrumentError
            For an instrument whose series had not begun.
        """
        bounds = self._source.bounds(instruments)
        later = np.flatnonzero(bounds[:, 0] >= self._known)
        if len(later):
            code = instruments[int(later[0])]
            raise UnknownInstrumentError(f"instrument `{code}` has no series up to {self._session}")
        return np.minimum(bounds, self._known)

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: the same for the series of each field; empty where it had not begun."""
        self.bounds(instruments)  # refuses who is not there yet
        return np.minimum(self._source.field_bounds(fields, instruments), self._known)

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``, NaN for the sessions after the viewpoint.

        Raises
        ------
        UnknownInstrumentError, UnknownFieldError, CorruptFileError
            As the source.
        DataError
            When the range is none of the calendar.
        """
        check_rows(start, stop, self._calendar)
        low, high = min(start, self._known), min(stop, self._known)
        loaded = self.then.load(fields, instruments, low, high)
        if high == stop:
            return loaded
        block = np.full((len(fields), stop - start, len(instruments)), np.nan, np.float32)
        block[:, : high - low] = loaded
        return block

    def unchanged_before(self, generation: str) -> int:
        """Return how many sessions, from the first, have in every series the values of another `generation`.

        1. Of the source itself, or of it at another viewpoint: what the source says of that generation of its own.
        2. Of another viewpoint, no more than was known there.
        3. Never more than is known here.
        """
        seen, own = read_generation(generation)
        return min(count_unchanged(self.then.unchanged_before(own), seen, self._calendar), self._known)

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of what was known of `fields`: that of the source, and the viewpoint.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        """
        return name_generation("as-of", self._session, super().vintage_generation(fields))

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return the values of `field` (without ``$$``) that were known, as `VintageSource.vintages`.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        UnknownFieldError, UnknownInstrumentError
            As the source.
        """
        found = super().vintages(field, instruments)
        known = found.known_at <= np.datetime64(self._session, "s")
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(known, dtype=np.int64)])
        return Vintages(
            offsets=before[found.offsets],
            period=found.period[known],
            known_at=found.known_at[known],
            value=found.value[known],
        )
