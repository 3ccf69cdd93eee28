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
from rollwright.features.rows import Rows
from rollwright.features.store.file import taken

__all__ = ["Group", "Run", "StoredRun", "Table"]

Values: TypeAlias = NDArray[Any]
Group: TypeAlias = "str | Sequence[str] | None"
FIT_COLUMNS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
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

    def copied(self, *, original: bool = False) -> Values:  # noqa: ARG002 - runs that lie in a file know what to do
        """Return the rows as an array of its own; with `original` it may share pages that nobody has changed."""
        return taken(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun(Run):
    """Columns as they lie in the feature store.

    Attributes
    ----------
    shown : array
        The very `values` that the store gave: a run whose values were replaced since is no stored one any more.
    private : callable
        Gives the same rows as an array of the caller's own, without a copy; None where it cannot.
    """

    shown: Values
    private: Callable[[], Values | None]

    def copied(self, *, original: bool = False) -> Values:
        """Return the rows of the table as an array of its own, and copy them only if they must be."""
        mapped = self.private() if original and self.values is self.shown else None
        return taken(self.values) if mapped is None else mapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows and the runs of columns over them; every change gives a new table and leaves this one as it is."""

    rows: Rows
    runs: tuple[Run, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def grouped(self) -> bool:
        """Whether the columns belong to groups."""
        return any(run.group is not None for run in self.runs)

    def columns(self, group: Group = None) -> tuple[tuple[str | None, str], ...]:
        """Return (group, name) of the chosen columns, in order."""
        return tuple((self.runs[number].group, name) for number, spot in self._spots(group) for name in spot.names)

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Table:
        """Return the table of a frame, in its order; the values are shared where the frame allows it.

        Raises
        ------
        DataError
            When the index has not the two levels, or a column is no number.
        """
        rows = Rows.of_index(frame.index)
        grouped = isinstance(frame.columns, pd.MultiIndex)
        labels = [(str(c[0]), str(c[-1])) if grouped else (None, str(c)) for c in frame.columns]
        bad = [str(c) for c, kind in zip(frame.columns, frame.dtypes, strict=True) if not _numeric(kind)]
        if bad:
            raise DataError(f"columns that are no numbers: {', '.join(bad[:10])}")
        edges = [i for i in range(len(labels)) if i == 0 or labels[i][0] != labels[i - 1][0]] + [len(labels)]
        runs = [
            Run(
                group=labels[low][0],
                names=tuple(name for _, name in labels[low:high]),
                values=_floats(frame.iloc[:, low:high].to_numpy()),
            )
            for low, high in itertools.pairwise(edges)
        ]
        return cls(rows=rows, runs=tuple(runs))

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
        for run in self.runs:
            columns: pd.Index[Any] = (
                pd.MultiIndex.from_product([[run.group], run.names]) if self.grouped else pd.Index(run.names)
            )
            # copied, because a frame that writes through to a memory map would change every other window's data
            frames.append(pd.DataFrame(run.copied(original=original), index=labels, columns=columns, copy=False))
        if len(frames) == 1:
            return frames[0]
        return pd.concat(frames, axis=1) if frames else pd.DataFrame(index=labels)

    def own(self) -> Table:
        """Return the same table with values of its own in memory."""
        runs = tuple(Run(group=run.group, names=run.names, values=run.copied()) for run in self.runs)
        return Table(rows=self.rows, runs=runs)

    def take(self, keep: slice | NDArray[Any]) -> Table:
        """Return the chosen rows; a slice gives views, a mask that keeps everything this very table."""
        if isinstance(keep, np.ndarray) and keep.dtype == np.bool_ and keep.all():
            return self
        runs = tuple(replace(run, values=run.values[keep]) for run in self.runs)
        return Table(rows=self.rows.take(keep), runs=runs)

    def keep_columns(self, wanted: Callable[[str | None, str], bool]) -> Table:
        """Return the columns for which ``wanted(group, name)`` is true."""
        runs = []
        for run in self.runs:
            mask = np.array([wanted(run.group, name) for name in run.names], dtype=np.bool_)
            if mask.all():
                runs.append(run)
            elif mask.any():
                names = tuple(np.array(run.names)[mask].tolist())
                runs.append(Run(group=run.group, names=names, values=run.values[:, mask]))
        return replace(self, runs=tuple(runs))

    def map(self, group: Group, function: Callable[[Values, slice], Values]) -> Table:
        """Return the table with the values of the chosen columns replaced.

        Parameters
        ----------
        group : str, sequence of str or None
            None chooses every column.
        function : callable
            ``function(values, place) -> values`` for each run; `place` counts the chosen columns. It gives a new
            array and leaves its argument as it is.
        """
        changed = list(self.runs)
        begin = 0
        for number, spot in self._spots(group):
            run = changed[number]
            place = slice(begin, begin + len(spot.names))
            begin = place.stop
            values = function(run.values[:, spot.where], place)
            if spot.whole:
                changed[number] = replace(run, values=values)
            else:
                merged = np.array(run.values)
                merged[:, spot.where] = values
                changed[number] = replace(run, values=merged)
        return replace(self, runs=tuple(changed))

    def map_sessions(self, group: Group, function: Callable[[Values, NDArray[np.intp]], Values]) -> Table:
        """Return the table with the chosen columns replaced session by session.

        Parameters
        ----------
        group : str, sequence of str or None
        function : callable
            ``function(values, starts) -> values`` on a float64 copy ``[rows, columns]`` of whole sessions that begin
            at `starts`.
        """
        order = None if self.rows.in_order() else np.argsort(self.rows.date_codes, kind="stable")
        rows = self.rows if order is None else self.rows.take(order)

        def by_chunks(values: Values, _: slice) -> Values:
            ordered = values if order is None else values[order]
            out = np.empty(values.shape, dtype=values.dtype)
            for chunk, starts in rows.sessions_in_chunks():
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
            values = self.runs[number].values[:, spot.where]
            for low in range(0, values.shape[1], FIT_COLUMNS):
                part = values[:, low : low + FIT_COLUMNS].astype(np.float64)
                yield slice(begin + low, begin + low + part.shape[1]), part
            begin += values.shape[1]

    def _spots(self, group: Group) -> list[tuple[int, _Spot]]:
        if group is None:
            return [(number, _Spot.all_of(run)) for number, run in enumerate(self.runs)]
        wanted = [group] if isinstance(group, str) else list(group)
        known = {run.group for run in self.runs} if self.grouped else {name for run in self.runs for name in run.names}
        for name in wanted:
            if name not in known:
                names = [item for item in known if item is not None]
                suggestion = nearest(name, names)
                raise UnknownFieldError(
                    f"there is no column group `{name}`",
                    hint=f"did you mean `{suggestion}`?" if suggestion else f"known groups: {', '.join(sorted(names))}",
                )
        if self.grouped:
            return [(number, _Spot.all_of(run)) for number, run in enumerate(self.runs) if run.group in wanted]
        spots = []
        for number, run in enumerate(self.runs):
            places = [place for place, name in enumerate(run.names) if name in wanted]
            if places:
                spots.append((number, _Spot(names=tuple(run.names[p] for p in places), where=places, whole=False)))
        return spots


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    names: tuple[str, ...]
    where: Any
    whole: bool

    @classmethod
    def all_of(cls, run: Run) -> _Spot:
        return cls(names=run.names, where=slice(None), whole=True)


def _numeric(kind: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind))


def _floats(values: Values) -> Values:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
