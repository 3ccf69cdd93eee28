"""Raw columns from a session on in another order: what comes before may not know, whatever they were read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.audit.observation import Part
from rollwright.dataset.handler import DataHandler
from rollwright.dataset.loader import DataLoader
from rollwright.expression.label_reach import LabelReach
from rollwright.features.panel import FramePanel, Panel
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.source import DataSource

__all__ = ["permute_rows"]


class _GivenFrame(DataLoader):
    """Gives one frame, whatever it is asked for."""

    def __init__(self, frame: pd.DataFrame, reach: LabelReach) -> None:
        self._frame = frame
        self._reach = reach

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        del instruments, start_time, end_time
        return self._frame

    def panel(
        self,
        instruments: Any,
        start_time: Any,
        end_time: Any,
        *,
        source: DataSource | None,
        store: FeatureStore | None,
    ) -> Panel:
        del instruments, start_time, end_time, source, store
        return FramePanel(self._frame, generation="audit:labels", label_lookahead=self._reach.span)

    def find_label_reach(self) -> LabelReach:
        return self._reach


def permute_rows(
    raw: Part, row: int, calendar: TradingCalendar, columns: NDArray[np.bool_]
) -> Callable[[DataHandler], None]:
    """Return what lets a handler read `raw` with some columns turned round, and moved, from a row of the calendar on.

    Parameters
    ----------
    raw : Part
    row : int
        The length of the calendar leaves everything as it is.
    calendar : TradingCalendar
    columns : bool ``[columns]``
    """
    values = raw.values.copy()
    later = np.flatnonzero(raw.rows >= row)
    chosen = np.flatnonzero(columns)
    values[np.ix_(later, chosen)] = raw.values[np.ix_(later[::-1], chosen)] * 1.5 + 1.0
    index = pd.MultiIndex.from_arrays(
        [calendar.to_index()[raw.rows], raw.codes.tolist()], names=["datetime", "instrument"]
    )
    grouped = any(group is not None for group, _ in raw.columns)
    labels = pd.MultiIndex.from_tuples(raw.columns) if grouped else pd.Index([name for _, name in raw.columns])
    frame = pd.DataFrame(values, index=index, columns=labels)

    def alter(handler: DataHandler) -> None:
        handler.data_loader = _GivenFrame(frame, handler.label_reach)

    return alter
