"""A market held in a pandas frame, so that datasets, back-tests and campaigns run on data that lie in no folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.periods import check_periods
from rollwright.calendar.trading import TradingCalendar, to_session
from rollwright.errors import (
    CalendarError,
    CalendarRangeError,
    DataError,
    UnknownFieldError,
    UnknownInstrumentError,
    nearest,
)
from rollwright.market.folder.layout import BASE_FIELDS, check_code, check_field, check_period_field, refuse_case_twins
from rollwright.market.generations import count_unchanged, read_generation
from rollwright.market.source import UNKNOWN_KIND, FieldKind, Lifetimes, Vintages, check_rows

__all__ = ["FrameSource"]

_logger: Final = logging.getLogger("rollwright.market")
_PERIOD_COLUMNS: Final = ("instrument", "period", "known_at", "value")


class FrameSource:
    """A market in memory; implements `DataSource`, and `VintageSource` for the fields of `by_period`.

    Guarantees: the frame is copied, so that a later change of it changes nothing here; equal frames have the same
    `generation` on every machine, whatever the order of their rows and columns. The fields by period have an identity
    of their own, `vintage_generation`.

    Parameters
    ----------
    frame : DataFrame
        One row for each session of each instrument, with the index levels ``datetime`` and ``instrument`` (in either
        order when they are named so), and one numeric column for each field, with or without ``$``.
    calendar : TradingCalendar, optional
        The sessions; those of the frame if not given. It may have known future sessions.
    freq : str
        Of the calendar that is made from the frame.
    universes : mapping, optional
        For each name its lifetimes. ``all`` is there without being given: every instrument, from its first row to its
        last.
    by_period : mapping of str to DataFrame, optional
        For each field by period (without ``$$``) a frame with the columns ``instrument``, ``period``, ``known_at`` and
        ``value``, as `Vintages` explains them. The name ends with ``_q``, ``_a``, ``_m`` or ``_d``.
    kinds : mapping of str to FieldKind, optional
        What the fields of `by_period` measure; unknown of those that are not named.

    Raises
    ------
    CalendarError
        For a period that is none of its field's interval.
    DataError
        For a frame without rows or numeric columns, a row that is there twice, or an index of another form.
    CalendarError
        For a row without a date, or with a time zone.
    CalendarRangeError
        For a row of a day that is no known session of `calendar`.
    UnknownFieldError, UnknownInstrumentError
        For a name that no field or instrument can have.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        calendar: TradingCalendar | None = None,
        *,
        freq: str = "day",
        universes: Mapping[str, Lifetimes] | None = None,
        by_period: Mapping[str, pd.DataFrame] | None = None,
        kinds: Mapping[str, FieldKind] | None = None,
    ) -> None:
        # 1. Number the sessions and the instruments of the rows.
        days, codes = _levels(frame)
        day_of_row, sessions = pd.factorize(days, sort=True)
        column_of_row, names = pd.factorize(codes, sort=True)
        self._codes = tuple(check_code(code) for code in names)
        refuse_case_twins(list(self._codes), where="the frame")
        self._column = {code: column for column, code in enumerate(self._codes)}
        # 2. Place the sessions on the calendar.
        self._calendar = calendar or TradingCalendar(sessions, freq=freq)
        positions = _positions(pd.DatetimeIndex(sessions), self._calendar)[day_of_row]
        _refuse_duplicates(positions, column_of_row, frame.index)
        # 3. Spread each field over [sessions, instruments]; a series reaches from its first row to its last.
        shape = (self._calendar.known, len(self._codes))
        self._fields = {name: _spread(frame[column], positions, column_of_row, shape) for name, column in _names(frame)}
        self._bounds = np.zeros((shape[1], 2), np.int64)
        self._bounds[:, 0] = self._calendar.known
        np.minimum.at(self._bounds[:, 0], column_of_row, positions)
        np.maximum.at(self._bounds[:, 1], column_of_row, positions + 1)
        # 4. What is not daily, and the identity of it all.
        self._universes = dict(universes or {})
        self._by_period = {
            check_period_field(name)[0]: _vintages(name, table, self._column)
            for name, table in (by_period or {}).items()
        }
        self._kinds = {self._known_field(name): FieldKind(*kind) for name, kind in (kinds or {}).items()}
        self._generation = self._digest()
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"FrameSource({len(self._codes)} instruments, {self._calendar!r}, fields={list(self._fields)})"

    @property
    def freq(self) -> str:
        """Frequency of the calendar, as ``day`` or ``5min``."""
        return self._calendar.freq

    @property
    def generation(self) -> str:
        """Identity of the data: a digest of all of them."""
        return self._generation

    @property
    def fields(self) -> tuple[str, ...]:
        """The daily fields, without ``$``, sorted."""
        return tuple(self._fields)

    def calendar(self) -> TradingCalendar:
        """Return the sessions, future ones included where they are known."""
        return self._calendar

    def instruments(self) -> tuple[str, ...]:
        """Return every instrument that has a row, sorted by code."""
        return self._codes

    def members(self, universe: str) -> Lifetimes:
        """Return who belongs to `universe`, and when.

        Raises
        ------
        UnknownInstrumentError
            When there is no such universe; carries the nearest name.
        """
        if universe in self._universes:
            return self._universes[universe]
        if universe == "all":
            return {
                code: ((self._calendar[first], self._calendar[stop - 1]),)
                for code, (first, stop) in zip(self._codes, self._bounds.tolist(), strict=True)
            }
        known = [*self._universes, "all"]
        close = nearest(universe, known)
        raise UnknownInstrumentError(
            f"there is no universe `{universe}`",
            hint=f"did you mean `{close}`?" if close else f"known: {', '.join(sorted(known))}",
        )

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the calendar positions of each series' first row and one past its last.

        Raises
        ------
        UnknownInstrumentError
            For an instrument without a row; carries the nearest code.
        """
        return self._bounds[self._columns(instruments)]

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: a row of a frame has every field, so that all begin and end together."""
        bounds = self.bounds(instruments)
        known = [check_field(field) in self._fields for field in fields]
        return np.where(np.array(known, np.bool_)[:, None, None], bounds[None], 0)

    def missing_fields(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Return those of `fields` (without ``$``) that the frame does not have."""
        return tuple(field for field in fields if check_field(field) not in self._fields)

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``, NaN outside each series.

        A base field that the frame does not have is NaN throughout, with one warning that names it.

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
            For an instrument without a row.
        UnknownFieldError
            For a field that the frame does not have and that is none of the base fields.
        DataError
            When the range is none of the calendar.
        """
        check_rows(start, stop, self._calendar)
        columns = self._columns(instruments)
        block = np.full((len(fields), stop - start, len(columns)), np.nan, np.float32)
        for place, field in enumerate(fields):
            values = self._field(check_field(field))
            if values is not None:
                rows = values[start:stop]
                block[place, : len(rows)] = rows[:, columns]
        return block

    def unchanged_before(self, generation: str) -> int:
        """Return all known sessions for the source's own generation, 0 for any other: a frame has no history.

        Of the source seen from a moment, as before a sealed holdout, those up to that moment.
        """
        seen, own = read_generation(generation)
        return count_unchanged(self._calendar.known if own == self._generation else 0, seen, self._calendar)

    def period_fields(self) -> tuple[str, ...]:
        """Return the fields of `by_period`, without ``$$``, sorted."""
        return tuple(sorted(self._by_period))

    def field_kind(self, field: str) -> FieldKind:
        """Return what `field` (without ``$$``) measures.

        Raises
        ------
        UnknownFieldError
            For a field that is none of `by_period`.
        """
        return self._kinds.get(self._known_field(field), UNKNOWN_KIND)

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of all that is known of `fields`: a digest of it."""
        names = sorted({check_field(field) for field in fields})
        parts: list[object] = [self._codes]
        for name in names:
            parts += [name, self._kinds.get(name, UNKNOWN_KIND), *self._by_period.get(name, ())]
        return f"frame-{_digest(parts)}"

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return every value of `field` (without ``$$``) that became known, as `VintageSource.vintages`.

        Raises
        ------
        UnknownFieldError
            For a field that is none of `by_period`.
        UnknownInstrumentError
            For an instrument without a row.
        """
        whole = self._by_period[self._known_field(field)]
        columns = self._columns(instruments)
        parts = [np.arange(whole.offsets[column], whole.offsets[column + 1]) for column in columns.tolist()]
        rows = np.concatenate(parts) if parts else np.empty(0, np.int64)
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        return Vintages(
            offsets=offsets, period=whole.period[rows], known_at=whole.known_at[rows], value=whole.value[rows]
        )

    def _known_field(self, field: str) -> str:
        name = check_field(field)
        if name not in self._by_period:
            raise _unknown_field(f"$${field}", name, self._by_period)
        return name

    def _columns(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        try:
            return np.array([self._column[code] for code in instruments], np.int64)
        except (KeyError, TypeError):
            code = next(code for code in instruments if not isinstance(code, str) or code not in self._column)
        close = nearest(str(code), self._column)
        raise UnknownInstrumentError(
            f"instrument `{code}` has no row", hint=f"did you mean `{close}`?" if close else None
        )

    def _field(self, name: str) -> NDArray[np.float32] | None:
        found = self._fields.get(name)
        if found is None:
            if name not in BASE_FIELDS:
                raise _unknown_field(f"${name}", name, self._fields)
            if name not in self._warned:
                self._warned.add(name)
                _logger.warning("data.field_missing field=$%s source=%r action=nan", name, self)
        return found

    def _digest(self) -> str:
        calendar = self._calendar
        universes = {name: sorted(members.items()) for name, members in sorted(self._universes.items())}
        parts: list[object] = [self._codes, calendar.freq, calendar.known, calendar.values, self._bounds, universes]
        for name, values in self._fields.items():
            parts += [name, values]
        return f"frame-{_digest(parts)}"


def _digest(parts: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


def _levels(frame: pd.DataFrame) -> tuple[pd.DatetimeIndex, pd.Index[Any]]:
    """Return the dates and the codes of a frame's rows."""
    index = frame.index
    if not isinstance(index, pd.MultiIndex) or index.nlevels != 2:
        raise DataError(
            "the rows of the frame need the index levels datetime and instrument",
            hint='frame.set_index(["datetime", "instrument"])',
        )
    if not len(index):
        raise DataError("the frame has no rows")
    order = (1, 0) if tuple(index.names) == ("instrument", "datetime") else (0, 1)
    rows, dates = pd.factorize(index.get_level_values(order[0]))
    if (rows < 0).any():
        raise CalendarError(f"row {int(np.argmin(rows))} of the frame has no date")
    return pd.DatetimeIndex([to_session(date) for date in dates])[rows], index.get_level_values(order[1])


def _positions(sessions: pd.DatetimeIndex, calendar: TradingCalendar) -> NDArray[np.int64]:
    """Return where the sessions of the rows stand in the known part of the calendar."""
    values = calendar.values[: calendar.known]
    wanted = sessions.to_numpy().astype("datetime64[s]")
    places = np.searchsorted(values, wanted)
    exact = places < len(values)
    exact[exact] = values[places[exact]] == wanted[exact]
    if not exact.all():
        odd = sessions[int(np.argmin(exact))]
        raise CalendarRangeError(f"the frame has rows of {odd}, which is no known session of {calendar!r}")
    return places.astype(np.int64)


def _refuse_duplicates(positions: NDArray[np.int64], columns: NDArray[np.int64], index: pd.Index[Any]) -> None:
    cells = pd.Index(positions * (int(columns.max()) + 1) + columns)
    if not cells.is_unique:
        first = int(np.argmax(cells.duplicated()))
        raise DataError(f"the row {index[first]} is there twice", hint="frame[~frame.index.duplicated()]")


def _names(frame: pd.DataFrame) -> list[tuple[str, Any]]:
    """Return the field and the label of each column, sorted by field."""
    found: dict[str, Any] = {}
    for label in frame.columns:
        name = check_field(label.removeprefix("$") if isinstance(label, str) else label)
        if name in found:
            raise DataError(f"the columns {found[name]!r} and {label!r} are one field")
        if not pd.api.types.is_numeric_dtype(frame[label].dtype):
            raise DataError(f"the column {label!r} holds {frame[label].dtype}, not numbers")
        found[name] = label
    if not found:
        raise DataError("the frame has no columns")
    return sorted(found.items())


def _spread(
    column: pd.Series[Any], positions: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.float32]:
    block = np.full(shape, np.nan, np.float32)
    block[positions, columns] = column.to_numpy(np.float32, na_value=np.nan)
    return block


def _vintages(name: str, table: pd.DataFrame, columns: Mapping[str, int]) -> Vintages:
    """Return the rows of a field by period, sorted, for all instruments in the order of `columns`."""
    missing = [column for column in _PERIOD_COLUMNS if column not in table.columns]
    if missing:
        raise DataError(f"the frame of `$${name}` lacks the column {missing[0]!r}", hint=f"it has {_PERIOD_COLUMNS}")
    unknown = [code for code in table["instrument"].unique() if code not in columns]
    if unknown:
        raise UnknownInstrumentError(f"`$${name}` has values of `{unknown[0]}`, which has no row in the frame")
    # Sessions are whole seconds: what became known within one is seen from the next, not before it was known.
    moments = pd.DatetimeIndex([to_session(moment) for moment in table["known_at"]]).ceil("s")
    known_at = moments.to_numpy().astype("datetime64[s]")
    column = table["instrument"].map(columns).to_numpy(np.int64)
    _, interval = check_period_field(name)
    period = check_periods(table["period"].to_numpy(), interval).astype(np.int32)
    order = np.lexsort((period, known_at, column))
    column, period, known_at = column[order], period[order], known_at[order]
    same = (np.diff(column) == 0) & (np.diff(period) == 0) & (np.diff(known_at) == np.timedelta64(0, "s"))
    if same.any():
        at = int(np.argmax(same))
        raise DataError(f"`$${name}` has two values of period {period[at]} that became known at {known_at[at]}")
    return Vintages(
        offsets=np.searchsorted(column, np.arange(len(columns) + 1)).astype(np.int64),
        period=period,
        known_at=known_at,
        value=table["value"].to_numpy(np.float64, na_value=np.nan)[order],
    )


def _unknown_field(shown: str, name: str, known: Mapping[str, object]) -> UnknownFieldError:
    close = nearest(name, known)
    return UnknownFieldError(
        f"the frame has no field `{shown}`",
        hint=f"did you mean `{close}`?" if close else f"known: {', '.join(sorted(known)) or 'none'}",
    )
