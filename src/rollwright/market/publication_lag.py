"""When a value by period is seen: on the day it was announced, as in Qlib, or some days after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rollwright.market.as_of import AsOf
from rollwright.market.generations import name_lag, tells_lag
from rollwright.market.sealed import Sealed
from rollwright.market.source import DataSource, Vintages, VintageSource
from rollwright.market.viewpoint import Viewpoint

__all__ = ["AS_ANNOUNCED", "Lagged", "Visibility", "lag"]

_DAY: Final = np.timedelta64(86_400, "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """How long after its announcement a value by period is seen.

    .. warning:: **Look-ahead.** `same_day` true and no lag, which are Qlib's, let a session use what was announced on
       that day, at whatever hour: right for decisions after the close, and too early for trades before it.

    Attributes
    ----------
    lag_days : int
        Days of the calendar, not sessions, by which every announcement counts as later than it was.
    same_day : bool
        Whether a value is seen on the day to which this leads; if not, from the next day on.
    """

    lag_days: int = 0
    same_day: bool = True

    @property
    def name(self) -> str:
        """What generations call it: ``3d``, and ``3d+next`` where it is not seen on the day itself."""
        return f"{self.lag_days}d{'' if self.same_day else '+next'}"


AS_ANNOUNCED: Final = Visibility()
"""What Qlib does: seen on the day of the announcement."""


class Lagged(Viewpoint):
    """What `source` is to a reader who sees its fields by period later than they were announced.

    Everything else is that of the source, `generation` too; `vintage_generation` names the visibility.

    Parameters
    ----------
    source : DataSource
    visibility : Visibility
    """

    def __init__(self, source: DataSource, visibility: Visibility) -> None:
        super().__init__(source)
        self._visibility = visibility

    def __repr__(self) -> str:
        return f"Lagged({self._source!r}, {self._visibility.name})"

    @property
    def visibility(self) -> Visibility:
        """How much later."""
        return self._visibility

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of what is known of `fields`: that of the source, and the visibility."""
        return name_lag(self._visibility.name, super().vintage_generation(fields))

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return the values of `field` (without ``$$``), `known_at` being the moment at which each is seen.

        Values that stay in their order of announcement keep it; of one period seen at one moment, which happens where
        two were announced on one day at different hours, the later announced remains.
        """
        found = super().vintages(field, instruments)
        seen = found.known_at + self._visibility.lag_days * _DAY
        if self._visibility.same_day:
            return found._replace(known_at=seen)
        seen = (seen.astype("datetime64[D]") + np.timedelta64(1, "D")).astype("datetime64[s]")
        return _keep_last(found._replace(known_at=seen))


def _keep_last(found: Vintages) -> Vintages:
    """Return the rows sorted again, of those of one instrument, moment and period the last one."""
    owner = np.repeat(np.arange(len(found.offsets) - 1), np.diff(found.offsets))
    order = np.lexsort((found.period, found.known_at, owner))  # stable: what was announced later stays behind
    owner, period, known_at = owner[order], found.period[order], found.known_at[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (owner[1:] != owner[:-1]) | (period[1:] != period[:-1]) | (known_at[1:] != known_at[:-1])
    return Vintages(
        offsets=np.searchsorted(owner[last], np.arange(len(found.offsets))).astype(np.int64),
        period=period[last],
        known_at=known_at[last],
        value=found.value[order][last],
    )


def lag(source: DataSource, visibility: Visibility) -> DataSource:
    """Return `source` as it is seen with `visibility`; itself where nothing is seen later, or it is lagged already.

    The lag is put beneath the viewpoints that cut, so that these cut by when a value is seen: what was announced before
    a holdout or the moment of an `AsOf`, and is seen after it, is not there.

    .. warning:: **Look-ahead.** As `Visibility` says.
    """
    if visibility == AS_ANNOUNCED or not isinstance(source, VintageSource) or not source.period_fields():
        return source
    if tells_lag(source.vintage_generation(())):
        return source
    if isinstance(source, AsOf):
        return AsOf(lag(source.source, visibility), source.session)
    if isinstance(source, Sealed):
        return Sealed(lag(source.source, visibility), source.holdout)
    return Lagged(source, visibility)
