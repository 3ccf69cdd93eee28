"""The ports through which expressions reach market data: daily fields, and fields by period with their vintages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.errors import DataError

__all__ = ["UNKNOWN_KIND", "DataSource", "FieldKind", "Lifetimes", "VintageSource", "Vintages", "check_rows"]

Lifetimes: TypeAlias = Mapping[str, tuple[tuple[Session, Session], ...]]
"""For each instrument the closed ranges of sessions in which it belongs to a universe, in order."""


class DataSource(Protocol):
    """Daily or intraday fields of many instruments on one calendar, as seen from one moment.

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

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: the same for the series of each field (without ``$``) alone.

        Within the bounds of the instrument; two equal positions where it lacks the field, or nobody has it.

        Raises
        ------
        UnknownInstrumentError
            For an instrument without a series.
        """
        ...

    def missing_fields(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Return those of `fields` (without ``$``) that no instrument has."""
        ...

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``, NaN outside each series and for fields it lacks.

        What is known later is another source, see `rollwright.market.as_of.AsOf`: no row depends on who asks when.

        Parameters
        ----------
        fields : sequence of str
            Names without ``$``.
        instruments : sequence of str
        start, stop : int
            Calendar positions, half open.

        Raises
        ------
        UnknownInstrumentError
            For an instrument without a series.
        CorruptFileError
            When a file is not what the format demands.
        DataError
            When the range is none of the calendar.
        """
        ...

    def unchanged_before(self, generation: str) -> int:
        """Return how many sessions, from the first, have in every series the values of another `generation`.

        Of all expressions without look-ahead, the rows of so many sessions can be taken over from what was computed
        then; a series that is new has no rows before. All known sessions for its own generation; 0 for one that the
        source cannot compare itself with, which a source without history answers for any other.
        """
        ...


class Vintages(NamedTuple):
    """Every value of one field by period that ever became known, restated ones included, of some instruments.

    The rows of instrument ``i`` are ``offsets[i]`` up to ``offsets[i + 1]``, sorted by `known_at`, then by `period`;
    no two rows of an instrument have both in common.

    Attributes
    ----------
    offsets : int64 ``[instruments + 1]``
        Starts at 0 and ends with the number of rows.
    period : int32 ``[rows]``
        What a value is about: ``2019`` for a year, ``201903`` for the third quarter of 2019.
    known_at : datetime64[s] ``[rows]``
        When it became known. A session reads what is known at or before its label, and need not be the next one.
    value : float64 ``[rows]``
        NaN says that the value was withdrawn.
    """

    offsets: NDArray[np.int64]
    period: NDArray[np.int32]
    known_at: NDArray[np.datetime64]
    value: NDArray[np.float64]


class FieldKind(NamedTuple):
    """What the values of a field by period measure, which decides what may be asked of them.

    Attributes
    ----------
    measure : {"flow", "stock", "unknown"}
        A flow belongs to a stretch of time (revenue), a stock to its end (equity).
    accrual : {"cumulative", "discrete", "unknown"}
        Whether the reports of a flow count from the start of the fiscal year or of the period alone. ``unknown`` of a
        stock, which has none.
    """

    measure: Literal["flow", "stock", "unknown"] = "unknown"
    accrual: Literal["cumulative", "discrete", "unknown"] = "unknown"


UNKNOWN_KIND: Final = FieldKind()
"""Of a field of which nobody said what it measures, as of every one that Qlib wrote."""


@runtime_checkable
class VintageSource(Protocol):
    """Fields by period (``$$roe_q``), with all that was known of them and since when.

    Guarantees: two reads of a field under the same `vintage_generation` of it give the same bytes, whatever became of
    the daily fields; nothing is filled or merged: what was known on a session is for the reader to find.
    """

    def period_fields(self) -> tuple[str, ...]:
        """Return the fields that any instrument has, without ``$$``, sorted; each ends with its interval."""
        ...

    def field_kind(self, field: str) -> FieldKind:
        """Return what `field` (without ``$$``) measures.

        Raises
        ------
        UnknownFieldError
            When no instrument has the field.
        """
        ...

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of all that is known of `fields`: differs whenever a value or a kind of them may.

        A field that nobody has counts, too: it may come. `DataSource.generation` need not change with it.
        """
        ...

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return every value of `field` (without ``$$``) of `instruments`, in their order.

        An instrument without a value of it has no rows.

        Raises
        ------
        UnknownFieldError
            When no instrument has the field.
        UnknownInstrumentError
            For an instrument that the source does not have.
        """
        ...


def check_rows(start: int, stop: int, calendar: TradingCalendar) -> None:
    """Refuse a half-open range of positions that is none of `calendar`.

    Raises
    ------
    DataError
    """
    if not 0 <= start <= stop <= len(calendar):
        raise DataError(f"rows [{start}, {stop}) are not of a calendar of {len(calendar)} sessions")
