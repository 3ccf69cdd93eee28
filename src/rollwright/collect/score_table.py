"""Scores of several members side by side, on the same rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.panel import Frame, take_column
from rollwright.collect.coverage import describe_key, describe_rows
from rollwright.errors import ConfigError, CoverageError, DataError

__all__ = ["Missing", "ScoreTable"]

Missing: TypeAlias = Literal["error", "skip"]
_DAY: Final = "datetime"
_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where rows stand among days and instruments that several frames share: ``day * instruments + instrument``."""

    days: pd.Index
    instruments: pd.Index
    names: tuple[str, str]

    def find(self, index: pd.MultiIndex) -> NDArray[np.int64]:
        """Return the place of each row; −1 for one whose day or instrument is not among them."""
        levels = [index.names.index(name) for name in self.names]
        day, instrument = (
            known.get_indexer(index.levels[level])[index.codes[level]]
            for known, level in zip((self.days, self.instruments), levels, strict=True)
        )
        places = day.astype(np.int64) * len(self.instruments) + instrument
        places[(day < 0) | (instrument < 0)] = -1
        return places

    def index(self, places: NDArray[np.int64]) -> pd.MultiIndex:
        """Return the rows at `places`."""
        day, instrument = np.divmod(places, len(self.instruments))
        levels: Any = [self.days, self.instruments]  # which pandas takes, and its stubs do not say
        codes: Any = [day, instrument]
        return pd.MultiIndex(levels=levels, codes=codes, names=self.names, verify_integrity=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Scores of members on all rows that any of them has, in the order of (datetime, instrument).

    Attributes
    ----------
    members : tuple
        The key of each.
    index : MultiIndex (datetime, instrument)
    days : Index
        The days that have rows, in order.
    day : int [rows]
        The place of a row's day in `days`.
    scores : float64 [members, rows]
        NaN where a member has none.
    """

    members: tuple[Hashable, ...]
    index: pd.MultiIndex
    days: pd.Index
    day: NDArray[np.intp]
    scores: _Floats
    _places: _Places
    _rows: NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Mapping[Any, Frame], *, missing: Missing) -> Self:
        """Return the first columns of `predictions` side by side.

        Raises
        ------
        CoverageError
            When there is no member, one has no row, has a row twice or an infinite score; and with ``missing="error"``
            when one lacks a score that another has. It names members and days.
        DataError
            When an index has not the two levels ``datetime`` and instrument.
        """
        if missing not in ("error", "skip"):
            raise ConfigError(f"missing is error or skip, not {missing!r}")
        if not predictions:
            raise CoverageError("there is no prediction to average")
        columns = {
            key: take_column(frame, what=f"prediction {describe_key(key)}") for key, frame in predictions.items()
        }
        empty = [describe_key(key) for key, column in columns.items() if len(column) == 0]
        if empty:
            raise CoverageError(f"{len(empty)} member(s) have no prediction", problems=empty)
        places = _common_places(columns)
        found = [(key, *_sort(key, column, places)) for key, column in columns.items()]
        rows = _union([at for _, at, _ in found], len(places.days) * len(places.instruments))
        scores = np.full((len(found), len(rows)), np.nan)
        for line, (_, at, values) in zip(scores, found, strict=True):
            line[slice(None) if len(at) == len(rows) else np.searchsorted(rows, at)] = values
        day, codes = _compact(rows // len(places.instruments))
        table = cls(
            members=tuple(columns),
            index=places.index(rows),
            days=places.days[codes],
            day=day,
            scores=scores,
            _places=places,
            _rows=rows,
        )
        table._check(missing)
        return table

    def align(self, frame: Frame, *, what: str) -> _Floats:
        """Return the first column of another frame on the rows of this table, NaN where it has none."""
        column = take_column(frame, what=what)
        at = self._places.find(_check_index(column.index, what))
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if not np.array_equal(at, self._rows):
            line = np.minimum(np.searchsorted(self._rows, at), len(self._rows) - 1)
            kept = self._rows[line] == at
            if np.bincount(line[kept]).max(initial=0) > 1:
                raise DataError(f"the {what} has rows more than once")
            aligned = np.full(len(self._rows), np.nan)
            aligned[line[kept]] = values[kept]
            values = aligned
        return values

    def _check(self, missing: Missing) -> None:
        infinite = np.isinf(self.scores)
        absent = np.isnan(self.scores) if missing == "error" else np.zeros_like(infinite)
        if not (infinite.any() or absent.any()):
            return
        problems = [
            f"{describe_key(key)}: {int(line.sum())} scores are {fault}, {describe_rows(self.index[line])}"
            for fault, lines in (("infinite", infinite), ("missing", absent))
            for key, line in zip(self.members, lines, strict=True)
            if line.any()
        ]
        if infinite.any():
            raise CoverageError(f"{int(infinite.sum())} scores are infinite", problems=problems)
        raise CoverageError(
            f"{int(absent.sum())} scores are missing between {len(self.members)} models",
            problems=problems,
            hint='`missing="skip"` declares it: each row is made of the members that have it',
        )


def _common_places(columns: Mapping[Any, pd.Series]) -> _Places:
    indexes = [_check_index(column.index, f"prediction {describe_key(key)}") for key, column in columns.items()]
    instrument = next(str(name) for name in indexes[0].names if name != _DAY)
    if any(instrument not in index.names for index in indexes):
        raise DataError(f"the predictions are indexed by {sorted({str(list(index.names)) for index in indexes})}")
    days, instruments = (
        reduce(_join, (index.levels[index.names.index(name)] for index in indexes)).sort_values()
        for name in (_DAY, instrument)
    )
    return _Places(days=days, instruments=instruments, names=(_DAY, instrument))


def _join(one: pd.Index, other: pd.Index) -> pd.Index:
    return one if one.equals(other) else one.union(other)


def _check_index(index: pd.Index, what: str) -> pd.MultiIndex:
    if not isinstance(index, pd.MultiIndex) or index.nlevels != 2 or _DAY not in index.names:
        raise DataError(f"the index of the {what} has the levels {list(index.names)}, not `{_DAY}` and an instrument")
    return index


def _sort(key: Any, column: pd.Series, places: _Places) -> tuple[NDArray[np.int64], _Floats]:
    """Return where the rows of one member stand, in order, and its scores."""
    at = places.find(_check_index(column.index, "prediction"))
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"the prediction {describe_key(key)} holds what is no number: {error}") from error
    if (at < 0).any():
        raise DataError(f"the prediction {describe_key(key)} has rows without a date or an instrument")
    step = np.diff(at)
    if (step <= 0).any():
        order = np.argsort(at, kind="stable")
        at, values = at[order], values[order]
        double = np.flatnonzero(np.diff(at) == 0)
        if len(double):
            rows = places.index(at[double])
            raise CoverageError(f"{describe_key(key)}: {len(double)} rows are predicted twice, {describe_rows(rows)}")
    return at, values


def _union(found: Sequence[NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """Return the places that any of `found` has, in order; each of `found` is in order."""
    first = found[0]
    if all(np.array_equal(first, other) for other in found[1:]):
        return first
    present = np.zeros(size, dtype=np.bool_)
    for at in found:
        present[at] = True
    return np.flatnonzero(present)


def _compact(codes: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return codes that are in order as 0, 1, 2 …, and what each of these stands for."""
    starts = np.diff(codes, prepend=-1) != 0
    return np.cumsum(starts, dtype=np.intp) - 1, codes[starts]
