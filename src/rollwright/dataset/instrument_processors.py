"""Processors of one instrument's data, run while a loader loads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pandas as pd

from rollwright.codecs.described import Described

__all__ = ["InstProcessor", "TimeRangeFlt"]


class InstProcessor(Described, ABC):
    """Turns one instrument's frame, indexed by datetime, into another one."""

    @abstractmethod
    def __call__(self, df: pd.DataFrame, instrument: str, *args: Any, **kwargs: Any) -> pd.DataFrame:
        """Return the processed frame, leaving `df` as it is; an empty one leaves the instrument out."""


class TimeRangeFlt(InstProcessor):
    """Keeps an instrument only when its data reach from `start_time` or earlier to `end_time` or later.

    .. warning:: **Look-ahead.** Whether an instrument survives until `end_time` is not known before: a training set
       filtered so knows the future.

    Parameters
    ----------
    start_time, end_time : date, optional
        None asks for nothing on that side. A date that is no session means the first one after, the last one before.
    freq : str
    """

    def __init__(self, start_time: Any = None, end_time: Any = None, freq: str = "day") -> None:
        from rollwright.market.current import current_market  # noqa: PLC0415 - loaders know processors

        sessions = current_market(freq).calendar().known_part().sessions(start_time, end_time)
        self.start_time = None if start_time is None else sessions[0]
        self.end_time = None if end_time is None else sessions[-1]

    def __call__(self, df: pd.DataFrame, instrument: str, *args: Any, **kwargs: Any) -> pd.DataFrame:  # noqa: ARG002 - Qlib's signature
        """Return `df`, or none of its rows."""
        if df.empty:
            return df
        early = self.start_time is None or df.index.min() <= self.start_time
        late = self.end_time is None or df.index.max() >= self.end_time
        return df if early and late else df.head(0)
