"""Samples that are the last sessions of one instrument, for models that learn from sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from rollwright.calendar.trading import SessionLike, to_session
from rollwright.dataset.handler_tables import IndexedColumnBlock
from rollwright.errors import (
    ConfigError,
    DataError,
    SampleNotFoundError,
    UnknownInstrumentError,
    UnknownSettingError,
    nearest,
)
from rollwright.features.table import Table, two_levels

__all__ = ["FILLS", "TSDataSampler", "check_step_len"]

FILLS: Final = ("none", "ffill", "ffill+bfill")


class TSDataSampler:
    """Samples ``[step_len, columns]`` by number or by (datetime, instrument), like a PyTorch dataset.

    Guarantees: a sample ends with its own session and holds none after it; sessions before the segment are history
    and no samples; a session without a row is NaN, or filled as `fillna_type` says, never left out, so that every
    sample has `step_len` rows. Columns are not copied: a batch is gathered from the arrays they lie in, which for
    columns that no processor changed is the feature store's memory map. Beside those arrays it holds four bytes for
    each session and instrument, and eight for each sample.

    Samples are numbered by instrument, then session, as Qlib's are; `get_index` gives their labels.

    Parameters
    ----------
    data : DataFrame
        Numbers by (datetime, instrument), in any order; its sessions are the dates in it. It is not changed.
    start, end : date or None
        First and last date whose rows are samples; None: that of `data`. Rows before serve as history.
    step_len : int
        Sessions of a sample.
    fillna_type : str
        ``none``: NaN where there is no row; ``ffill``: the last row before, within the sample; ``ffill+bfill``: then,
        at its beginning, the first row after.

        .. warning:: **Look-ahead.** ``ffill+bfill`` puts later values in earlier places of the same sample, none of
           them later than its own session.
    dtype : dtype, optional
        Of the samples; that of `data` if not given.
    flt_data : Series or DataFrame, optional
        Which rows may be samples, by (datetime, instrument): those where it is true. A row it does not have may not.

    Raises
    ------
    UnknownSettingError
        For an unknown `fillna_type`.
    DataError
        For data without the two levels, with two rows for one instrument and session, or a column that is no number.
    """

    def __init__(
        self,
        data: pd.DataFrame,
        start: SessionLike | None,
        end: SessionLike | None,
        step_len: int,
        fillna_type: str = "none",
        dtype: DTypeLike | None = None,
        flt_data: pd.Series[Any] | pd.DataFrame | None = None,
    ) -> None:
        data = data.sort_index()
        if data.index.has_duplicates:
            twice = data.index[data.index.duplicated()][0]
            raise DataError(f"the data have two rows for {twice}", hint="keep one: data[~data.index.duplicated()]")
        table = Table.from_frame(data)
        dates = pd.DatetimeIndex(table.rows.dates)
        moments = dates.as_unit("ns")  # a day's end is finer than the unit of the dates may be
        first = 0 if start is None else int(moments.searchsorted(pd.Timestamp(start)))
        stop = len(dates) if end is None else int(moments.searchsorted(_day_end(end), side="right"))
        keep = None if flt_data is None else _flags_of(flt_data, data.index)
        if dtype is None:
            dtype = data.to_numpy()[:0].dtype
        self._fill(table, dates, range(first, stop), step_len=step_len, fillna_type=fillna_type, keep=keep, dtype=dtype)

    @classmethod
    def of_table(
        cls,
        table: Table,
        dates: pd.DatetimeIndex,
        *,
        first: int,
        step_len: int,
        keep: NDArray[np.bool_] | None = None,
        dtype: DTypeLike = np.float32,
    ) -> TSDataSampler:
        """Return the sampler of a table of the feature store, whose columns are not copied.

        Parameters
        ----------
        table : Table
            The rows of the segment and of the sessions before it, in (datetime, instrument) order.
        dates : DatetimeIndex
            Every session that `table` covers, those without rows too.
        first : int
            Place in `dates` of the first session whose rows are samples.
        step_len : int
        keep : bool ``[rows]``, optional
            Which rows may be samples; the others serve as history only.
        dtype : dtype
        """
        made = cls.__new__(cls)
        window = range(first, len(dates))
        made._fill(  # noqa: SLF001 - its own
            table, dates, window, step_len=step_len, fillna_type="none", keep=keep, dtype=dtype
        )
        return made

    def _fill(
        self,
        table: Table,
        dates: pd.DatetimeIndex,
        window: range,
        *,
        step_len: int,
        fillna_type: str,
        keep: NDArray[np.bool_] | None,
        dtype: DTypeLike,
    ) -> None:
        self.step_len = check_step_len(step_len)
        self.fillna_type = _check_fill(fillna_type)
        self._dtype = np.dtype(dtype)
        self._dates = dates
        self._window = window
        self._instruments = table.rows.instruments
        self._blocks = [
            (block.values, block.where if isinstance(block, IndexedColumnBlock) else None) for block in table.blocks
        ]
        self.columns = tuple(name for _, name in table.columns())
        sessions = dates.get_indexer(table.rows.dates)[table.rows.date_codes]
        codes = table.rows.instrument_codes
        # where each session's and instrument's row lies; a row number of 2**31 would need a terabyte of features
        self._grid = np.full((len(dates), len(self._instruments)), -1, dtype=np.int32)
        self._grid[sessions, codes] = np.arange(len(table), dtype=np.int32)
        wanted = (sessions >= window.start) & (sessions < window.stop)
        if keep is not None:
            wanted &= keep
        chosen = np.flatnonzero(wanted)
        order = np.lexsort((sessions[chosen], codes[chosen]))
        self._session_of = sessions[chosen][order].astype(np.int32)
        self._instrument_of = codes[chosen][order].astype(np.int32)

    def __len__(self) -> int:
        return len(self._session_of)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(samples={len(self)}, step_len={self.step_len}, columns={len(self.columns)})"

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for number in range(len(self)):
            yield self[number]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a sample, or a batch of several.

        Parameters
        ----------
        key : int, (datetime, instrument), or sequence of either
            A date that is no session means the last one before it, as in Qlib.

        Returns
        -------
        array ``[step_len, columns]``, or ``[samples, step_len, columns]`` for a sequence
            A new one each time.

        Raises
        ------
        SampleNotFoundError
            For a number that no sample has, or a date outside the sessions covered.
        UnknownInstrumentError
            For an instrument the data do not have; carries the nearest.
        """
        if isinstance(key, list | np.ndarray):
            return self._gather(*self._places(key))
        session, instrument = self._by_label(key) if isinstance(key, tuple) else self._by_number(key)
        batch = self._gather(np.array([session], dtype=np.intp), np.array([instrument], dtype=np.intp))
        return batch.reshape(batch.shape[1:])

    @property
    def empty(self) -> bool:
        """Whether there is no sample."""
        return len(self) == 0

    @property
    def start(self) -> pd.Timestamp:
        """First session whose rows may be samples."""
        return self._dates[self._window.start]

    @property
    def end(self) -> pd.Timestamp:
        """Last session whose rows may be samples."""
        return self._dates[self._window.stop - 1]

    def get_index(self) -> pd.MultiIndex:
        """Return the (datetime, instrument) of each sample, in their order."""
        return two_levels(
            datetime=(self._dates, self._session_of.astype(np.intp)),
            instrument=(self._instruments, self._instrument_of.astype(np.intp)),
        )

    def config(self, **kwargs: Any) -> None:
        """Change how missing sessions are filled: ``fillna_type``.

        Raises
        ------
        UnknownSettingError
            For another name, or an unknown way.
        """
        for name, value in kwargs.items():
            if name != "fillna_type":
                raise UnknownSettingError(name, ("fillna_type",), where="TSDataSampler.config")
            self.fillna_type = _check_fill(value)

    def _places(self, keys: Sequence[Any] | NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        if len(keys) and isinstance(keys[0], tuple):
            found = np.array([self._by_label(key) for key in keys], dtype=np.intp)
            return found[:, 0], found[:, 1]
        numbers = np.asarray(keys)
        if len(numbers) and not np.issubdtype(numbers.dtype, np.integer):
            raise ConfigError(
                f"samples are chosen by number or by (datetime, instrument), not by {numbers.dtype}",
                hint="np.flatnonzero turns a mask into numbers",
            )
        numbers = numbers.astype(np.intp).reshape(-1)
        outside = numbers[(numbers < 0) | (numbers >= len(self))]
        if len(outside):
            self._by_number(int(outside[0]))
        return self._session_of[numbers].astype(np.intp), self._instrument_of[numbers].astype(np.intp)

    def _by_number(self, key: Any) -> tuple[int, int]:
        if isinstance(key, bool) or not isinstance(key, int | np.integer):
            raise ConfigError(f"samples are chosen by number or by (datetime, instrument), not by {key!r}")
        if not 0 <= key < len(self):
            raise SampleNotFoundError(f"there is no sample {key}: they count from 0 to {len(self) - 1}")
        return int(self._session_of[key]), int(self._instrument_of[key])

    def _by_label(self, key: tuple[Any, ...]) -> tuple[int, int]:
        if len(key) != 2:
            raise ConfigError(f"a sample is named by (datetime, instrument), not by {len(key)} values")
        moment, code = to_session(key[0]), key[1]
        place = int(self._instruments.get_indexer(pd.Index([code]))[0])
        if place < 0:
            close = nearest(str(code), self._instruments)
            raise UnknownInstrumentError(
                f"there is no instrument `{code}` in the data", hint=f"did you mean `{close}`?" if close else None
            )
        session = int(self._dates.searchsorted(moment, side="right")) - 1
        if session < 0 or moment.normalize() > self._dates[-1]:
            raise SampleNotFoundError(
                f"{moment} lies outside the sessions covered",
                hint=f"they go from {self._dates[0]} to {self._dates[-1]}",
            )
        return session, place

    def _gather(self, sessions: NDArray[np.intp], instruments: NDArray[np.intp]) -> NDArray[Any]:
        when = sessions[:, None] + np.arange(1 - self.step_len, 1)
        rows = self._grid[np.maximum(when, 0), instruments[:, None]]
        rows[when < 0] = -1
        rows = _fill_rows(rows, self.fillna_type).reshape(-1)
        gaps = rows < 0
        rows[gaps] = 0
        batch = np.empty((len(rows), len(self.columns)), dtype=self._dtype)
        begin = 0
        for values, where in self._blocks:
            part = slice(begin, begin + values.shape[1])
            begin = part.stop
            if not gaps.all():
                batch[:, part] = values[rows if where is None else where[rows]]
        batch[gaps] = np.nan
        return batch.reshape(len(sessions), self.step_len, len(self.columns))


def check_step_len(step_len: Any) -> int:
    """Return `step_len`, a whole number of sessions from 1 on.

    Raises
    ------
    ConfigError
        When it is not.
    """
    if isinstance(step_len, bool) or not isinstance(step_len, int | np.integer) or step_len < 1:
        raise ConfigError(f"a sample has a whole number of sessions, at least 1, and step_len is {step_len!r}")
    return int(step_len)


def _day_end(end: SessionLike) -> pd.Timestamp:
    """Return the last moment that `end` means: a day lasts until its end."""
    moment = pd.Timestamp(end)
    return moment + pd.Timedelta(days=1) - pd.Timedelta(1, moment.unit) if moment == moment.normalize() else moment


def _flags_of(flags: pd.Series[Any] | pd.DataFrame, index: pd.Index[Any]) -> NDArray[np.bool_]:
    """Return which rows of `index` a filter chooses."""
    if isinstance(flags, pd.DataFrame):
        if flags.shape[1] != 1:
            raise ConfigError(f"`flt_data` is one column, and has {flags.shape[1]}")
        flags = flags.iloc[:, 0]
    found = flags.reindex(index).to_numpy(dtype=object)
    return np.fromiter((not pd.isna(flag) and bool(flag) for flag in found), dtype=np.bool_, count=len(found))


def _check_fill(fillna_type: Any) -> str:
    if fillna_type not in FILLS:
        raise UnknownSettingError(str(fillna_type), FILLS, where="the fills of TSDataSampler")
    return str(fillna_type)


def _fill_rows(rows: NDArray[np.int32], fillna_type: str) -> NDArray[np.int32]:
    if fillna_type == "none":
        return rows
    filled = _forward(rows)
    return filled if fillna_type == "ffill" else _forward(filled[:, ::-1])[:, ::-1]


def _forward(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    steps = np.where(rows >= 0, np.arange(rows.shape[1]), 0)
    last = np.maximum.accumulate(steps, axis=1)
    return np.take_along_axis(rows, last, axis=1)
