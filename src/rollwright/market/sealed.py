"""A market before a sealed holdout: as if it had ended there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.holdout import Holdout
from rollwright.calendar.trading import TradingCalendar
from rollwright.market.as_of import AsOf
from rollwright.market.generations import name_generation
from rollwright.market.source import DataSource
from rollwright.market.viewpoint import Viewpoint

__all__ = ["Sealed"]


class Sealed(Viewpoint):
    """What `source` was before `holdout` began; implements `DataSource`, and `VintageSource` where `source` does.

    It is `source` as of the eve of the holdout, without the sessions after.

    Guarantees: no value, session, lifetime or vintage of the holdout or later leaves it: a source whose data differ
    from there on only gives the same answers. Unlike `AsOf`, which knows the dates of later sessions, it ends: its
    calendar has none, and refuses every date from the holdout on that is asked for by name. The generation names the
    first sealed day, so that whatever was kept before the sealing (features, results) is not taken for what is seen
    now.

    .. warning:: **Look-ahead.** It is a promise and no lock: who opens the data's files by other means reads them.

    Parameters
    ----------
    source : DataSource
    holdout : Holdout

    Raises
    ------
    HoldoutSealedError
        When no session of `source` lies before `holdout`.
    """

    def __init__(self, source: DataSource, holdout: Holdout) -> None:
        self._calendar = source.calendar().before(holdout)
        self._cut = AsOf(source, holdout.eve)
        super().__init__(self._cut)
        self._whole = source
        self._holdout = holdout

    def __repr__(self) -> str:
        return f"Sealed({self._whole!r}, {list(self._holdout.pair)})"

    @property
    def source(self) -> DataSource:
        """The source that is sealed."""
        return self._whole

    @property
    def holdout(self) -> Holdout:
        """What is sealed."""
        return self._holdout

    @property
    def generation(self) -> str:
        """Identity of the data: that of the source, and the last moment that is seen."""
        inner = self._cut.generation if isinstance(self._whole, AsOf) else self._cut.then.generation
        return name_generation("sealed", self._holdout.eve, inner)

    def calendar(self) -> TradingCalendar:
        """Return the sessions before the holdout; none after."""
        return self._calendar

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]`` of sessions before the holdout.

        Raises
        ------
        HoldoutSealedError
            When the range reaches sessions of the source that are sealed.
        UnknownInstrumentError, UnknownFieldError, CorruptFileError
            As the source.
        DataError
            When the range is none of the calendar.
        """
        if len(self._calendar) < stop <= len(self._whole.calendar()):
            raise self._holdout.error(f"row {stop - 1} of the calendar")
        return super().load(fields, instruments, start, stop)
