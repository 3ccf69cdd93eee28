"""Whether data arrive: which session should be there by now, and whether the last one has prices as others have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from rollwright.calendar.trading import TradingCalendar
from rollwright.market.source import DataSource

__all__ = ["Arrival", "PriceArrival", "find_arrival", "measure_prices"]

_SATURDAY: Final = 5
_NAMES: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Which session should be there, and which is.

    Attributes
    ----------
    last : date
        Of the last session of the data.
    expected : date or None
        Of the last session whose deadline has passed; None when that of the data's next session has not.
    is_guess : bool
        Whether weekdays are among those that are missing, since the calendar does not tell so many future sessions.
    first : date
        Of the first session that the data lack, whether it is due or not.
    due : datetime
        Its deadline, in UTC.
    missing : int
        Sessions, or weekdays, up to the expected one that the data lack.
    """

    last: date
    expected: date | None
    is_guess: bool
    first: date
    due: datetime
    missing: int

    @property
    def is_late(self) -> bool:
        """Whether a session is not there whose deadline has passed."""
        return self.missing > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceArrival:
    """The prices of the last session beside those of the one before.

    Attributes
    ----------
    session : Timestamp
    known, before : int
        Instruments that have a close in the last session, and in the one before.
    frozen : int
        Instruments with both whose close and volume are exactly what they were, as where a vendor repeats a row.
    """

    session: pd.Timestamp
    known: int
    before: int
    frozen: int

    @property
    def share(self) -> float:
        """Closes beside those of the session before; 1.0 where there were none."""
        return self.known / self.before if self.before else 1.0

    @property
    def frozen_share(self) -> float:
        """The share of closes that are frozen."""
        return self.frozen / self.known if self.known else 0.0


def find_arrival(calendar: TradingCalendar, *, now: datetime, deadline: time, timezone: str) -> Arrival:
    """Return which session should be there by now.

    The data of a session are due on its day at `deadline` in `timezone`. What the sessions after the last one of the
    data are is told by the calendar where it knows future ones; beyond that each weekday is taken for one, which is
    wrong on holidays.

    Parameters
    ----------
    calendar : TradingCalendar
    now : datetime
        Aware.
    deadline : time
    timezone : str
        Name of a time zone.
    """
    zone = ZoneInfo(timezone)
    late: list[tuple[date, bool]] = []
    for day, is_guess in _following_days(calendar):
        due = datetime.combine(day, deadline, tzinfo=zone).astimezone(UTC)
        late.append((day, is_guess))
        if due > now:
            break
    (first, _), *_ = late
    late.pop()
    return Arrival(
        last=calendar.last_known.date(),
        expected=late[-1][0] if late else None,
        is_guess=any(is_guess for _, is_guess in late),
        first=first,
        due=datetime.combine(first, deadline, tzinfo=zone).astimezone(UTC),
        missing=len(late),
    )


def measure_prices(source: DataSource) -> PriceArrival | None:
    """Return the prices of the last session beside those before; None where there are not two sessions, or no closes.

    Parameters
    ----------
    source : DataSource
    """
    stop = source.calendar().known
    if stop < 2 or source.missing_fields(["close"]):
        return None
    fields = ["close", *(field for field in ("volume",) if not source.missing_fields([field]))]
    names = source.instruments()
    known = before = frozen = 0
    for start in range(0, len(names), _NAMES):
        part: Sequence[str] = names[start : start + _NAMES]
        values = source.load(fields, part, stop - 2, stop)
        there = ~np.isnan(values[0])
        known += int(there[1].sum())
        before += int(there[0].sum())
        frozen += int((there.all(axis=0) & (values[:, 0] == values[:, 1]).all(axis=0)).sum())
    return PriceArrival(session=source.calendar().last_known, known=known, before=before, frozen=frozen)


def _following_days(calendar: TradingCalendar) -> Iterator[tuple[date, bool]]:
    """Yield the days after the last session of the data, for ever, each with whether it is a guess."""
    day = calendar.last_known.date()
    for told in calendar.values[calendar.known :].astype("datetime64[D]").astype(object):
        if told > day:
            day = told
            yield day, False
    while True:
        day += timedelta(days=1)
        if day.weekday() < _SATURDAY:
            yield day, True
