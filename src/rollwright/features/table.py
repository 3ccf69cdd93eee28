"""A table: labelled rows and groups of columns, which processors turn into another table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import DataError, UnknownFieldError, nearest
from rollwright.features.row_layout import RowLayout
from rollwright.features.store.file import copy_rows

__all__ = ["ColumnBlock", "Group", "RowLabels", "StoredColumnBlock", "Table", "two_levels"]

Values: TypeAlias = NDArray[Any]
Group: TypeAlias = "str | Sequence[str] | None"
FIT_COLUMNS: Final = 16
CHUNK_ROWS: Final = 1 << 15


def two_levels(**levels: tuple[pd.Index[Any], NDArray[np.intp]]) -> pd.MultiIndex:
    """Return the index with the named levels, each as its values and the codes into them, in this order."""
    values: Any = [level for level, _ in levels.values()]
    codes: Any = [codes for _, codes in levels.values()]  # the stubs want lists of lists
    return pd.MultiIndex(levels=values, codes=codes, names=list(levels), verify_integrity=False)


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
            When it has not the two levels, or a date is missing.
        """
        if not isinstance(index, pd.MultiIndex) or index.nlevels != 2:
            raise DataError("the index has not the two levels datetime and instrument")
        levels = (1, 0) if index.names[0] == "instrument" or index.names[1] == "datetime" else (0, 1)
        try:
            stamps = pd.DatetimeIndex(index.get_level_values(levels[0]))
        except (TypeError, ValueError) as error:
            raise DataError(f"the level `{index.names[levels[0]]}` holds no dates: {error}") from error
        if stamps.tz is not None:
            raise DataError("sessions are naive labels and these have a time zone", hint="use tz_localize(None)")
        date_codes, dates = pd.factorize(stamps, sort=True)
        instrument_codes, instruments = pd.factorize(index.get_level_values(levels[1]), sort=True)
        if (date_codes < 0).any():
            raise DataError("the level datetime has a missing date")
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
        """Tell whether the sessions do not decrease."""
        return bool((self.date_codes[1:] >= self.date_codes[:-1]).all())

    def select_range(self, start: object, end: object) -> slice | NDArray[np.bool_]:
        """Return what chooses the rows of the closed range; None is open."""
        chosen = self.dates.slice_indexer(start, end)
        low, high, _ = chosen.indices(len(self.dates))
        if self.is_sorted():
            first, last = np.searchsorted(self.date_codes, [low, max(low, high)])
            return slice(int(first), int(last))
        return (self.date_codes >= low) & (self.date_codes < high)

    def iterate_sessions(self) -> Iterator[tuple[slice, NDArray[np.intp]]]:
        """Yield slices of whole sessions, each with the places where its sessions begin, counted from the slice.

        The rows must be in order.
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
    """Neighbouring columns of one group.

    Attributes
    ----------
    group : str or None
        None in a table without groups.
    names : tuple of str
    values : array ``[rows, names]``
        Never written to; often a view of a memory map.
    """

    group: str | None
    names: tuple[str, ...]
    values: Values

    def copy_values(self, *, original: bool = False) -> Values:  # noqa: ARG002 - blocks that lie in a file know what to do
        """Return the rows as an array of its own; with `original` it may share pages that nobody has changed."""
        return copy_rows(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumnBlock(ColumnBlock):
    """Columns as they lie in the feature store.

    Attributes
    ----------
    shown : array
        The very `values` that the store gave: a block whose values were replaced since is no stored one any more.
    private : callable
        Gives the same rows as an array of the caller's own, without a copy; None where it cannot.
    """

    shown: Values
    private: Callable[[], Values | None]

    def copy_values(self, *, original: bool = False) -> Values:
        """Return the rows of the table as an array of its own, and copy them only if they must be."""
        mapped = self.private() if original and self.values is self.shown else None
        return copy_rows(self.values) if mapped is None else mapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows and the blocks of columns over them; every change gives a new table and leaves this one as it is."""

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
        return tuple((self.blocks[number].group, name) for number, spot in self._spots(group) for name in spot.names)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Table:
        """Return the table of a frame, in its order; the values are shared where the frame allows it.

        Raises
        ------
        DataError
            When the index has not the two levels, or a column is no number.
        """
        rows = RowLabels.from_index(frame.index)
        grouped = isinstance(frame.columns, pd.MultiIndex)
        labels = [(str(c[0]), str(c[-1])) if grouped else (None, str(c)) for c in frame.columns]
        bad = [str(c) for c, kind in zip(frame.columns, frame.dtypes, strict=True) if not _numeric(kind)]
        if bad:
            raise DataError(f"columns that are no numbers: {', '.join(bad[:10])}")
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
        """Return a frame of its own: changing it changes nothing here.

        Parameters
        ----------
        index : Index, optional
        original : bool
            Show the feature store's own pages where no processor changed them, instead of copying them: a page is
            copied when it is first written to.
        """
        labels = index if index is not None else self.rows.to_index()
        frames = []
        for block in self.blocks:
            columns: pd.Index[Any] = (
                pd.MultiIndex.from_product([[block.group], block.names]) if self.grouped else pd.Index(block.names)
            )
            # copied, because a frame that writes through to a memory map would change every other window's data
            frames.append(pd.DataFrame(block.copy_values(original=original), index=labels, columns=columns, copy=False))
        if len(frames) == 1:
            return frames[0]
        return pd.concat(frames, axis=1) if frames else pd.DataFrame(index=labels)

    def load(self) -> Table:
        """Return the same table with values of its own in memory."""
        blocks = tuple(
            ColumnBlock(group=block.group, names=block.names, values=block.copy_values()) for block in self.blocks
        )
        return Table(rows=self.rows, blocks=blocks)

    def take(self, keep: slice | NDArray[Any]) -> Table:
        """Return the chosen rows; a slice gives views, a mask that keeps everything this very table."""
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
            ``function(values, place) -> values`` for each block; `place` counts the chosen columns. It gives a new
            array and leaves its argument as it is.
        """
        changed = list(self.blocks)
        begin = 0
        for number, spot in self._spots(group):
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
        """Return the table with the chosen columns replaced session by session.

        Parameters
        ----------
        group : str, sequence of str or None
        function : callable
            ``function(values, starts) -> values`` on a float64 copy ``[rows, columns]`` of whole sessions that begin
            at `starts`.
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
        """Yield float64 copies ``[rows, ≤ 16]`` of the chosen columns, with the place of each among them."""
        begin = 0
        for number, spot in self._spots(group):
            values = self.blocks[number].values[:, spot.where]
            for low in range(0, values.shape[1], FIT_COLUMNS):
                part = values[:, low : low + FIT_COLUMNS].astype(np.float64)
                yield slice(begin + low, begin + low + part.shape[1]), part
            begin += values.shape[1]

    def _spots(self, group: Group) -> list[tuple[int, _Spot]]:
        if group is None:
            return [(number, _Spot.all_of(block)) for number, block in enumerate(self.blocks)]
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
            return [(number, _Spot.all_of(block)) for number, block in enumerate(self.blocks) if block.group in wanted]
        spots = []
        for number, block in enumerate(self.blocks):
            places = [place for place, name in enumerate(block.names) if name in wanted]
            if places:
                spots.append((number, _Spot(names=tuple(block.names[p] for p in places), where=places, whole=False)))
        return spots


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    names: tuple[str, ...]
    where: Any
    whole: bool

    @classmethod
    def all_of(cls, block: ColumnBlock) -> _Spot:
        return cls(names=block.names, where=slice(None), whole=True)


def _numeric(kind: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind))


def _floats(values: Values) -> Values:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
