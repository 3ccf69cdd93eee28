"""What the context sees of a market: with the lag of publications, as of a moment, and before a sealed holdout."""

from __future__ import annotations

from typing import Final, TypeAlias

import pandas as pd

from rollwright.calendar.trading import Session
from rollwright.config.context import current_settings
from rollwright.config.settings import PointInTimeSettings, Settings
from rollwright.market.as_of import AsOf
from rollwright.market.generations import read_generation
from rollwright.market.publication_lag import Visibility, lag
from rollwright.market.seal import find_holdout, seal
from rollwright.market.source import DataSource

__all__ = ["find_last_seen", "view"]

_NOTHING: Final = PointInTimeSettings()
_Viewed: TypeAlias = tuple[DataSource, str, PointInTimeSettings, DataSource]


class _Last:
    """The view that was made last, which any call can make again: it keeps what it has read."""

    viewed: _Viewed | None = None


def view(source: DataSource, settings: Settings | None = None) -> DataSource:
    """Return `source` as `settings` let it be seen: itself where they say nothing, or it is seen so already.

    1. Fields by period are seen as much later as ``point_in_time.lag_days`` and ``same_day`` say.
    2. Of what became known after ``point_in_time.as_of`` nothing is seen.
    3. Of a sealed holdout nothing is either.

    Raises
    ------
    CalendarRangeError
        When the calendar begins after ``point_in_time.as_of``.
    HoldoutSealedError, ConfigError, CorruptFileError
        As `rollwright.market.seal.seal`.
    """
    present = current_settings() if settings is None else settings
    return seal(_see_point_in_time(source, present.point_in_time), present)


def _see_point_in_time(source: DataSource, wanted: PointInTimeSettings) -> DataSource:
    if wanted == _NOTHING:
        return source
    last = _Last.viewed
    if last is not None and last[0] is source and last[1:3] == (source.generation, wanted):
        return last[3]
    seen = lag(source, Visibility(lag_days=wanted.lag_days, same_day=wanted.same_day))
    if wanted.as_of is not None:
        moment = pd.Timestamp(wanted.as_of)
        before, _ = read_generation(seen.generation)
        seen = seen if before is not None and before <= moment else AsOf(seen, moment)
    _Last.viewed = (source, source.generation, wanted, seen)
    return seen


def find_last_seen(settings: Settings | None = None) -> Session | None:
    """Return the last moment that `settings` let be seen: ``point_in_time.as_of``, or the eve of the sealed holdout.

    The earlier of the two; None when there is neither.

    Raises
    ------
    ConfigError, CorruptFileError
        As `rollwright.market.seal.find_holdout`.
    """
    present = current_settings() if settings is None else settings
    holdout, as_of = find_holdout(present), present.point_in_time.as_of
    moments = [*([] if holdout is None else [holdout.eve]), *([] if as_of is None else [pd.Timestamp(as_of)])]
    return min(moments, default=None)
