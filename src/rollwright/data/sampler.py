"""Samples that are the last sessions of one instrument, for models that learn from sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.data.matrix_table import Table
from rollwright.errors import UnknownInstrumentError, UnknownSettingError, nearest

__all__ = ["TSDataSampler"]

FILLS: Final = ("none", "ffill", "ffill+bfill")


class TSDataSampler:
    """Samples ``[step_len, columns]`` by number or by (datetime, instrument), like a PyTorch dataset.

    Guarantees: a sample ends with its own session and never looks beyond it, but with ``ffill+bfill``; sessions the
    instrument has no row for are NaN unless filled; the table is not copied, a batch is gathered in one step.

    .. warning:: **Look-ahead.** ``ffill+bfill`` fills the first sessions of a sample from later ones of the same
       sample, as in Qlib.

    Parameters
    ----------
    table : Table
        In (datetime, instrument) order, with the sessions before `start` that samples reach back to.
    start, end : date or None
        Closed range of the samples' own sessions.
    step_len : int
        Sessions of a sample.
    fillna_type : str
        ``none``; ``ffill``: a missing session repeats the one before; ``ffill+bfill``: then the one after.
    dtype : optional
        Of the samples; that of the table if not given.
    keep : bool ``[rows]``, optional
        Which rows may be samples; the others still serve as history.

    Samples are numbered by instrument, then session.
    """

    def __init__(
        self,
        table: Table,
        start: Any,
        end: Any,
        step_len: int,
        fillna_type: str = "none",
        dtype: Any = None,
        keep: NDArray[np.bool_] | None = None,
    ) -> None:
        if fillna_type not in FILLS:
            raise UnknownSettingError(fillna_type, FILLS, where="the fills of TSDataSampler")
        self.step_len = step_len
        self.fillna_type = fillna_type
        values = [run.values for run in table.runs]
        self._values = values[0] if len(values) == 1 else np.concatenate(values, axis=1)
        self._dtype = np.dtype(dtype) if dtype is not None else self._values.dtype
        rows = table.rows
        used = np.unique(rows.date_codes)
        self._dates = rows.dates[used]
        self._instruments = rows.instruments
        row = np.searchsorted(used, rows.date_codes)
        # padded above, so that the first samples need no special case; -1 is "no row"
        self._grid = np.full((len(used) + step_len - 1, len(rows.instruments)), -1, dtype=np.int64)
        self._grid[row + step_len - 1, rows.instrument_codes] = np.arange(len(rows))
        inside = np.zeros(len(rows), dtype=np.bool_)
        inside[rows.between(start, end)] = True
        chosen = np.flatnonzero(inside if keep is None else inside & keep)
        chosen = chosen[np.lexsort((row[chosen], rows.instrument_codes[chosen]))]
        self._samples = np.stack([row[chosen], rows.instrument_codes[chosen]], axis=1)
        self._index = rows.take(chosen).to_index()

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, idx: int | tuple[Any, str] | Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Return a sample ``[step_len, columns]``, or for several numbers a batch ``[samples, step_len, columns]``.

        Raises
        ------
        IndexError
            For a number that no sample has; sequences end that way.
        UnknownInstrumentError
            For an instrument the data do not have.
        """
        if isinstance(idx, list | np.ndarray):
            return self._gathered(self._samples[self._checked(np.asarray(idx, dtype=np.int64))])
        if isinstance(idx, tuple):
            one = self._gathered(np.array([self._place(*idx)]))
        else:
            one = self._gathered(self._samples[self._checked(np.array([idx], dtype=np.int64))])
        return one.reshape(one.shape[1:])

    @property
    def empty(self) -> bool:
        """Whether there is no sample."""
        return len(self) == 0

    def get_index(self) -> pd.MultiIndex:
        """Return the (datetime, instrument) of each sample, in their order."""
        return self._index

    def config(self, *, fillna_type: str) -> None:
        """Change how missing sessions are filled."""
        if fillna_type not in FILLS:
            raise UnknownSettingError(fillna_type, FILLS, where="the fills of TSDataSampler")
        self.fillna_type = fillna_type

    def _checked(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        bad = numbers[(numbers < 0) | (numbers >= len(self))]
        if len(bad):
            raise IndexError(f"there is no sample {bad[0]}: they count from 0 to {len(self) - 1}")
        return numbers

    def _place(self, date: Any, instrument: str) -> tuple[int, int]:
        row = int(self._dates.searchsorted(pd.Timestamp(date), side="right")) - 1
        column = self._instruments.get_indexer(pd.Index([instrument]))[0]
        if column < 0:
            suggestion = nearest(str(instrument), self._instruments)
            raise UnknownInstrumentError(
                f"there is no instrument `{instrument}` in the data",
                hint=f"did you mean `{suggestion}`?" if suggestion else None,
            )
        if row < 0:
            raise IndexError(f"{date} lies before the first session, {self._dates[0]}")
        return row, int(column)

    def _gathered(self, places: NDArray[np.int64]) -> NDArray[Any]:
        steps = np.arange(self.step_len)
        rows = self._grid[places[:, :1] + steps, places[:, 1:]]
        if self.fillna_type != "none":
            rows = _filled(rows)
        if self.fillna_type == "ffill+bfill":
            rows = _filled(rows[:, ::-1])[:, ::-1]
        missing = rows < 0
        batch = self._values[np.where(missing, 0, rows)].astype(self._dtype, copy=False)
        batch[missing] = np.nan
        return batch


def _filled(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    last = np.maximum.accumulate(np.where(rows >= 0, np.arange(rows.shape[1]), 0), axis=1)
    return np.take_along_axis(rows, last, axis=1)
