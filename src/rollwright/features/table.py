"""A table: row labels and blocks of columns, which processors turn into other tables without copying the rest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.trading import SessionLike, to_range_end
from rollwright.errors import DataError, UnknownFieldError, nearest
from rollwright.features.row_layout import RowLayout
from rollwright.features.store.pages import copy_rows

__all__ = ["ColumnBlock", "Group", "RowLabels", "StoredColumnBlock", "Table", "two_levels"]

Values: TypeAlias = NDArray[Any]
Group: TypeAlias = "str | Sequence[str] | None"
FIT_COLUMNS: Final = 16
CHUNK_ROWS: Final = 1 << 15


def two_levels(**levels: tuple[pd.Index[Any], NDArray[np.intp]]) -> pd.MultiIndex:
    """Return a MultiIndex of the named levels, each given as its values and the codes into them."""
    values: Any = [level for level, _ in levels.values()]
    codes: Any = [codes for _, codes in levels.values()]  # the stubs want lists of lists
    return pd.MultiIndex(levels=values, codes=codes, names=list(levels), verify_integrity=False)


def _group_columns(group: str | None, names: Sequence[str]) -> pd.MultiIndex:
    """Return the product of the two, as pandas does, which hashes both for it."""
    if group is None:
        return pd.MultiIndex.from_product([[group], names])
    level = sorted(set(names))
    places = {name: place for place, name in enumerate(level)}
    levels: Any = [[group], level]
    codes: Any = [[0] * len(names), [places[name] for name in names]]
    return pd.MultiIndex(levels=levels, codes=codes, verify_integrity=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLabels:
    """The labels of a table's rows, as codes into two levels.

    Attributes
    ----------
    dates, instruments : Index
        The levels; `dates` increases.
    date_codes, instrument_codes : int ``[n]``
    """

    dates: pd.DatetimeIndex
    instruments: pd.Index[Any]
    date_codes: NDArray[np.intp]
    instrument_codes: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.date_codes)

    @classmethod
    def from_layout(cls, layout: RowLayout, dates: pd.DatetimeIndex, first: int, last: int) -> RowLabels:
        """Return the rows of the sessions ``[first, last)``; `dates` are all sessions from position 0."""
        sessions, numbers = layout.locate(first, last)
        return cls(
            dates=dates[first:last],
            instruments=pd.Index(layout.instruments, dtype="str"),
            date_codes=sessions,
            instrument_codes=numbers,
        )

    @classmethod
    def from_index(cls, index: pd.Index[Any]) -> RowLabels:
        """Return the rows of a two-level index, in its order.

        Raises
        ------
        DataError
            When it does not have the two levels, or a date is missing.
        """
        if not isinstance(index, pd.MultiIndex) or index.nlevels != 2:
            raise DataError("the index does not have the two levels datetime and instrument")
        levels = (1, 0) if index.names[0] == "instrument" or index.names[1] == "datetime" else (0, 1)
        try:
            stamps = pd.DatetimeIndex(index.get_level_values(levels[0]))
        except (TypeError, ValueError) as error:
            raise DataError(f"the level `{index.names[levels[0]]}` does not hold dates: {error}") from error
        if stamps.tz is not None:
            raise DataError("sessions have no time zone, and these dates have one", hint="use tz_localize(None)")
        date_codes, dates = pd.factorize(stamps, sort=True)
        instrument_codes, instruments = pd.factorize(index.get_level_values(levels[1]), sort=True)
        if (date_codes < 0).any():
            raise DataError("a date is missing in the level datetime")
        return cls(
            dates=pd.DatetimeIndex(dates),
            instruments=pd.Index(instruments),
            date_codes=date_codes,
            instrument_codes=instrument_codes,
        )

    def to_index(self) -> pd.MultiIndex:
        """Return the index (datetime, instrument)."""
        return two_levels(datetime=(self.dates, self.date_codes), instrument=(self.instruments, self.instrument_codes))

    def take(self, keep: slice | NDArray[Any]) -> RowLabels:
        """Return the rows that a slice, a mask or positions choose."""
        return RowLabels(
            dates=self.dates,
            instruments=self.instruments,
            date_codes=self.date_codes[keep],
            instrument_codes=self.instrument_codes[keep],
        )

    def is_sorted(self) -> bool:
        """Whether the rows are sorted by session."""
        return bool((self.date_codes[1:] >= self.date_codes[:-1]).all())

    def select_range(self, start: SessionLike | None, end: SessionLike | None) -> slice | NDArray[np.bool_]:
        """Return a slice or mask that selects the rows of a closed range of dates; None means open."""
        chosen = self.dates.slice_indexer(to_range_end(start), to_range_end(end))
        low, high, _ = chosen.indices(len(self.dates))
        if self.is_sorted():
            first, last = np.searchsorted(self.date_codes, [low, max(low, high)])
            return slice(int(first), int(last))
        return (self.date_codes >= low) & (self.date_codes < high)

    def iterate_sessions(self) -> Iterator[tuple[slice, NDArray[np.intp]]]:
        """Yield slices of whole sessions, each with the positions within it at which its sessions begin.

        The rows must be sorted by session.
        """
        if not len(self):
            return
        starts = np.concatenate([[0], np.flatnonzero(np.diff(self.date_codes)) + 1])
        low = 0
        while low < len(starts):
            high = max(low + 1, int(np.searchsorted(starts, starts[low] + CHUNK_ROWS, side="right")) - 1)
            stop = int(starts[high]) if high < len(starts) else len(self)
            yield slice(int(starts[low]), stop), starts[low:high] - starts[low]
            low = high


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnBlock:
    """Adjacent columns of one group.

    Attributes
    ----------
    group : str or None
        None in a table without groups.
    names : tuple of str
    values : array ``[rows, names]``
        Read-only by convention; often a view of a memory-mapped file.
    """

    group: str | None
    names: tuple[str, ...]
    values: Values

    def copy_values(self, *, original: bool = False) -> Values:  # noqa: ARG002 - for blocks in a file
        """Return a writable copy of the values; with `original` it may share unchanged pages of the store's file."""
        return copy_rows(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumnBlock(ColumnBlock):
    """Columns that are views of a file of the feature store.

    Attributes
    ----------
    shown : array
        The `values` as the store returned them. A block whose values were replaced since is not in the file any more.
    private : callable
        Returns the same rows as a writable array that shares unchanged pages; None where that is not possible.
    """

    shown: Values
    private: Callable[[], Values | None]

    def copy_values(self, *, original: bool = False) -> Values:
        """Return a writable copy of the values, of unchanged pages only if that is necessary."""
        mapped = self.private() if original and self.values is self.shown else None
        return copy_rows(self.values) if mapped is None else mapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Row labels and blocks of columns; immutable: every change returns a new table."""

    rows: RowLabels
    blocks: tuple[ColumnBlock, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def grouped(self) -> bool:
        """Whether the columns belong to groups."""
        return any(block.group is not None for block in self.blocks)

    def columns(self, group: Group = None) -> tuple[tuple[str | None, str], ...]:
        """Return (group, name) of the chosen columns, in order."""
        return tuple((self.blocks[number].group, name) for number, spot in self._select(group) for name in spot.names)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Table:
        """Return the table of a frame, in its order; the values are shared where pandas allows it.

        Raises
        ------
        DataError
            When the index does not have the two levels, or a column is not numeric.
        """
        if not isinstance(frame, pd.DataFrame):
            raise DataError(
                f"rows by (datetime, instrument) are a DataFrame, and this is {type(frame).__name__}",
                hint="a processor, or a `proc_func`, returns the frame that it was given, changed",
            )
        rows = RowLabels.from_index(frame.index)
        grouped = isinstance(frame.columns, pd.MultiIndex)
        labels = [(str(c[0]), str(c[-1])) if grouped else (None, str(c)) for c in frame.columns]
        bad = [str(c) for c, kind in zip(frame.columns, frame.dtypes, strict=True) if not _numeric(kind)]
        if bad:
            raise DataError(f"columns that are not numeric: {', '.join(bad[:10])}")
        edges = [i for i in range(len(labels)) if i == 0 or labels[i][0] != labels[i - 1][0]] + [len(labels)]
        blocks = [
            ColumnBlock(
                group=labels[low][0],
                names=tuple(name for _, name in labels[low:high]),
                values=_floats(frame.iloc[:, low:high].to_numpy()),
            )
            for low, high in itertools.pairwise(edges)
        ]
        return cls(rows=rows, blocks=tuple(blocks))

    def to_frame(self, index: pd.Index[Any] | None = None, *, original: bool = False) -> pd.DataFrame:
        """Return the table as a frame; changing the frame does not change the table.

        Parameters
        ----------
        index : Index, optional
        original : bool
            Share the pages of the feature store's file where no processor changed them, instead of copying them. A page
            is copied when it is first written to.
        """
        labels = index if index is not None else self.rows.to_index()
        frames = []
        for block in self.blocks:
            columns: pd.Index[Any] = _group_columns(block.group, block.names) if self.grouped else pd.Index(block.names)
            # a copy, since writing to a view of the mapped file would change the data of every other window
            frames.append(pd.DataFrame(block.copy_values(original=original), index=labels, columns=columns, copy=False))
        if len(frames) == 1:
            return frames[0]
        return pd.concat(frames, axis=1) if frames else pd.DataFrame(index=labels)

    def load(self) -> Table:
        """Return the same table with its values copied to memory."""
        blocks = tuple(
            ColumnBlock(group=block.group, names=block.names, values=block.copy_values()) for block in self.blocks
        )
        return Table(rows=self.rows, blocks=blocks)

    def take(self, keep: slice | NDArray[Any]) -> Table:
        """Return the chosen rows; a slice gives views, and a mask that keeps all rows gives this table itself."""
        if isinstance(keep, np.ndarray) and keep.dtype == np.bool_ and keep.all():
            return self
        blocks = tuple(replace(block, values=block.values[keep]) for block in self.blocks)
        return Table(rows=self.rows.take(keep), blocks=blocks)

    def keep_columns(self, wanted: Callable[[str | None, str], bool]) -> Table:
        """Return the columns for which ``wanted(group, name)`` is true."""
        blocks = []
        for block in self.blocks:
            mask = np.array([wanted(block.group, name) for name in block.names], dtype=np.bool_)
            if mask.all():
                blocks.append(block)
            elif mask.any():
                names = tuple(np.array(block.names)[mask].tolist())
                blocks.append(ColumnBlock(group=block.group, names=names, values=block.values[:, mask]))
        return replace(self, blocks=tuple(blocks))

    def map(self, group: Group, function: Callable[[Values, slice], Values]) -> Table:
        """Return the table with the values of the chosen columns replaced.

        Parameters
        ----------
        group : str, sequence of str or None
            None chooses every column.
        function : callable
            ``function(values, place) -> values`` for each block; `place` is the slice of the chosen columns that the
            block has. It returns a new array and does not change its argument.
        """
        changed = list(self.blocks)
        begin = 0
        for number, spot in self._select(group):
            block = changed[number]
            place = slice(begin, begin + len(spot.names))
            begin = place.stop
            values = function(block.values[:, spot.where], place)
            if spot.whole:
                changed[number] = replace(block, values=values)
            else:
                merged = np.array(block.values)
                merged[:, spot.where] = values
                changed[number] = replace(block, values=merged)
        return replace(self, blocks=tuple(changed))

    def map_sessions(self, group: Group, function: Callable[[Values, NDArray[np.intp]], Values]) -> Table:
        """Return the table with the values of the chosen columns replaced, session by session.

        Parameters
        ----------
        group : str, sequence of str or None
        function : callable
            ``function(values, starts) -> values`` on a float64 copy ``[rows, columns]`` of whole sessions, which begin
            at the rows `starts`.
        """
        order = None if self.rows.is_sorted() else np.argsort(self.rows.date_codes, kind="stable")
        rows = self.rows if order is None else self.rows.take(order)

        def by_chunks(values: Values, _: slice) -> Values:
            ordered = values if order is None else values[order]
            out = np.empty(values.shape, dtype=values.dtype)
            for chunk, starts in rows.iterate_sessions():
                out[chunk] = function(ordered[chunk].astype(np.float64), starts)
            if order is None:
                return out
            back = np.empty_like(out)
            back[order] = out
            return back

        return self.map(group, by_chunks)

    def column_chunks(self, group: Group) -> Iterator[tuple[slice, Values]]:
        """Yield float64 copies ``[rows, ≤ 16]`` of the chosen columns, with their slice among them."""
        begin = 0
        for number, spot in self._select(group):
            values = self.blocks[number].values[:, spot.where]
            for low in range(0, values.shape[1], FIT_COLUMNS):
                part = values[:, low : low + FIT_COLUMNS].astype(np.float64)
                yield slice(begin + low, begin + low + part.shape[1]), part
            begin += values.shape[1]

    def _select(self, group: Group) -> list[tuple[int, _Selection]]:
        if group is None:
            return [(number, _Selection.all_of(block)) for number, block in enumerate(self.blocks)]
        wanted = [group] if isinstance(group, str) else list(group)
        known = (
            {block.group for block in self.blocks}
            if self.grouped
            else {name for block in self.blocks for name in block.names}
        )
        for name in wanted:
            if name not in known:
                names = [item for item in known if item is not None]
                suggestion = nearest(name, names)
                raise UnknownFieldError(
                    f"there is no column group `{name}`",
                    hint=f"did you mean `{suggestion}`?" if suggestion else f"known groups: {', '.join(sorted(names))}",
                )
        if self.grouped:
            return [
                (number, _Selection.all_of(block)) for number, block in enumerate(self.blocks) if block.group in wanted
            ]
        spots = []
        for number, block in enumerate(self.blocks):
            places = [place for place, name in enumerate(block.names) if name in wanted]
            if places:
                spots.append(
                    (number, _Selection(names=tuple(block.names[p] for p in places), where=places, whole=False))
                )
        return spots


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    names: tuple[str, ...]
    where: Any
    whole: bool

    @classmethod
    def all_of(cls, block: ColumnBlock) -> _Selection:
        return cls(names=block.names, where=slice(None), whole=True)


def _numeric(kind: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind))


def _floats(values: Values) -> Values:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
