"""A market held in arrays: the smallest data source, for tests and notebooks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import UnknownInstrumentError, nearest
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.market.source import DataSource, Lifetimes, check_rows

__all__ = ["ArraySource", "expression_values", "random_source"]


class ArraySource:
    """A `DataSource` over arrays.

    Parameters
    ----------
    fields : mapping of str to [sessions, instruments]
        Without ``$``; kept as float32.
    instruments : sequence of str
        Of the columns, sorted.
    calendar : TradingCalendar, optional
        Business days from 2020-01-01 if not given.
    bounds : int [instruments, 2], optional
        First position of each series and one past its last; the whole calendar if not given. Values outside are
        blanked.
    universes : mapping, optional
        Lifetimes by the name of the universe. ``all`` is always there.
    field_bounds : mapping of str to int [instruments, 2], optional
        Of the fields whose series are shorter than `bounds`; two equal positions where an instrument lacks the field.
    """

    def __init__(
        self,
        fields: Mapping[str, NDArray[Any]],
        instruments: Sequence[str],
        *,
        calendar: TradingCalendar | None = None,
        bounds: NDArray[np.int64] | None = None,
        universes: Mapping[str, Lifetimes] | None = None,
        field_bounds: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> None:
        if list(instruments) != sorted(instruments):
            raise ValueError("instruments must be sorted")
        rows = len(next(iter(fields.values())))
        self._calendar = calendar or TradingCalendar(pd.bdate_range("2020-01-01", periods=rows))
        self._names = tuple(instruments)
        whole = np.tile(np.array([0, rows], np.int64), (len(self._names), 1))
        self._bounds = whole if bounds is None else np.asarray(bounds, np.int64)
        positions = np.arange(rows)[:, None]
        own = {name: np.asarray(bounds, np.int64) for name, bounds in (field_bounds or {}).items()}
        self._field_bounds = {name: own.get(name, self._bounds) for name in sorted(fields)}
        self._fields = {
            name: np.where((positions >= rows[:, 0]) & (positions < rows[:, 1]), fields[name], np.nan).astype(
                np.float32
            )
            for name, rows in self._field_bounds.items()
        }
        self._universes = dict(universes or {})

    @property
    def freq(self) -> str:
        """Frequency of the calendar."""
        return self._calendar.freq

    @property
    def generation(self) -> str:
        """A digest of everything there is."""
        digest = hashlib.sha256()
        digest.update(repr((self._names, tuple(self._fields), self._universes)).encode())
        for part in (self._calendar.values, self._bounds, *self._field_bounds.values(), *self._fields.values()):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields there are, without ``$``, sorted."""
        return tuple(self._fields)

    def calendar(self) -> TradingCalendar:
        """Return the sessions."""
        return self._calendar

    def instruments(self) -> tuple[str, ...]:
        """Return every instrument, sorted."""
        return self._names

    def members(self, universe: str) -> Lifetimes:
        """Return who belongs to `universe`, and when; ``all`` is everybody while listed."""
        if universe in self._universes:
            return self._universes[universe]
        if universe == "all":
            return {
                name: ((self._calendar[int(first)], self._calendar[int(stop) - 1]),)
                for name, (first, stop) in zip(self._names, self._bounds, strict=True)
                if stop > first
            }
        guess = nearest(universe, [*self._universes, "all"])
        raise UnknownInstrumentError(
            f"there is no universe `{universe}`", hint=f"did you mean `{guess}`?" if guess else None
        )

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the first row of each series and one past its last."""
        return self._bounds[self._columns(instruments)]

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: the same for each field."""
        columns = self._columns(instruments)
        nowhere = np.zeros_like(self._bounds)
        found = [self._field_bounds.get(name, nowhere)[columns] for name in fields]
        return np.array(found, np.int64).reshape(len(found), len(columns), 2)

    def missing_fields(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Return those of `fields` that there are not."""
        return tuple(name for name in fields if name not in self._fields)

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``."""
        check_rows(start, stop, self._calendar)
        columns = self._columns(instruments)
        loaded = np.full((len(fields), stop - start, len(columns)), np.nan, np.float32)
        for index, name in enumerate(fields):
            if name in self._fields:
                loaded[index] = self._fields[name][start:stop, columns]
        return loaded

    def unchanged_before(self, generation: str) -> int:
        """Return all known sessions for its own generation, 0 for any other: arrays have no history."""
        return self._calendar.known if generation == self.generation else 0

    def _columns(self, instruments: Sequence[str]) -> list[int]:
        place = {name: index for index, name in enumerate(self._names)}
        unknown = next((name for name in instruments if name not in place), None)
        if unknown is not None:
            raise UnknownInstrumentError(f"there is no instrument `{unknown}`")
        return [place[name] for name in instruments]


def random_source(
    rng: np.random.Generator, *, sessions: int = 120, instruments: int = 7, suspensions: float = 0.05
) -> ArraySource:
    """Return a made-up market with late listings, early ends, suspensions, flat stretches and zero volumes."""
    shape = (sessions, instruments)
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    close = np.where(rng.random(shape) < 0.1, np.roll(close, 1, axis=0), close)  # unchanged prices make ties
    low = close * (1 - np.abs(rng.normal(0, 0.01, shape)))
    high = close * (1 + np.abs(rng.normal(0, 0.01, shape)))
    volume = np.where(rng.random(shape) < 0.02, 0.0, rng.lognormal(12, 1, shape))
    fields = {
        "open": low + (high - low) * rng.random(shape),
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "vwap": (high + low + close) / 3,
    }
    suspended = rng.random(shape) < suspensions
    flat = slice(sessions // 3, sessions // 3 + max(8, sessions // 6))
    for values in fields.values():
        values[flat, 0] = values[flat.start, 0]
        values[suspended] = np.nan
    first = np.where(rng.random(instruments) < 0.4, rng.integers(0, sessions // 2, instruments), 0)
    stop = np.where(rng.random(instruments) < 0.2, rng.integers(sessions // 2 + 1, sessions, instruments), sessions)
    names = [f"SH{600000 + index}" for index in range(instruments)]
    return ArraySource(fields, names, bounds=np.stack([first, stop], axis=1))


def expression_values(
    source: DataSource,
    *expressions: str,
    instruments: Sequence[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Return ``[expressions, sessions, instruments]``, and prove on the way that the tiles cover each cell once.

    Parameters
    ----------
    instruments : sequence of str, optional
        All of the source if not given.
    start, stop : int
        Positions of the calendar, half open; all of it if not given.
    """
    names = source.instruments() if instruments is None else instruments
    last = len(source.calendar()) if stop is None else stop
    plan = compile_plan(expressions, allow_lookahead=True)
    values = np.full((len(expressions), last - start, len(names)), np.nan, np.float32)
    covered = np.zeros((last - start, len(names)), np.int64)
    for tile in evaluate(plan, source, instruments=names, start=start, stop=last, threads=threads):
        rows = slice(tile.rows.start - start, tile.rows.stop - start)
        values[:, rows, tile.columns] = tile.values
        covered[rows, tile.columns] += 1
    assert (covered == 1).all(), "the tiles must cover every cell exactly once"
    return values
