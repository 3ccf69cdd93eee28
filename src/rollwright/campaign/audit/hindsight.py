"""Instruments chosen by what became of them: a universe that never loses anybody, in a market that does.

Nothing in such a universe moves when the future is changed: it was written down later. But of the instruments that
were listed on a date some are delisted since, and a choice made on that date would have had some of them, too. How
likely it is to have none by chance is the share of all choices of that many instruments that have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma
from typing import Any, Final

import numpy as np

from rollwright.features.universe import universe_of
from rollwright.market.source import DataSource

__all__ = ["Hindsight", "judge_universe"]

CHANCE: Final = 0.01
"""Below this chance of having no delisted instrument, a universe was chosen with hindsight."""
SETTLED_ROWS: Final = 20
"""A series that ends so many sessions before the last known one has ended; later it may be late data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """How a universe stands against what became of the market's instruments.

    Attributes
    ----------
    members : int
        Its instruments on the date.
    listed, ended : int
        Instruments of the market that were listed on the date, and those of them whose series ended since.
    survivors_only : bool
        Whether nobody who was in it on the date ever leaves it.
    chance : float
        Of having nobody who is delisted, by chance.
    example : str or None
        An instrument that was listed then, ended since and is not in the universe.
    """

    members: int
    listed: int
    ended: int
    survivors_only: bool
    chance: float
    example: str | None

    @property
    def is_leak(self) -> bool:
        """Whether chance does not explain it."""
        return self.survivors_only and self.ended > 0 and self.chance < CHANCE


def judge_universe(instruments: Any, source: DataSource, date: int) -> Hindsight:
    """Return how the universe of a handler stands on a position of the calendar.

    Parameters
    ----------
    instruments : str, mapping, sequence of str or None
        As a handler has it.
    source : DataSource
    date : int
    """
    calendar = source.calendar()
    codes = np.array(source.instruments(), dtype=object)
    bounds = source.bounds(codes.tolist())
    listed = (bounds[:, 0] <= date) & (bounds[:, 1] > date)
    ended = listed & (bounds[:, 1] < calendar.known - SETTLED_ROWS)
    universe = universe_of(instruments, source)
    if universe is None:
        is_member, leaves = listed, ended.copy()
    else:
        session, last = calendar[date], calendar[max(0, calendar.known - 1 - SETTLED_ROWS)]
        spans = [universe.lifetimes.get(code, ()) for code in codes]
        is_member = listed & np.array([any(a <= session <= b for a, b in own) for own in spans], np.bool_)
        until = np.array([bool(own) and max(b for _, b in own) < last for own in spans], np.bool_)
        leaves = until | ended
    members, gone = int(is_member.sum()), int(ended.sum())
    outside = np.flatnonzero(ended & ~is_member)
    return Hindsight(
        members=members,
        listed=int(listed.sum()),
        ended=gone,
        survivors_only=members > 0 and not bool((is_member & leaves).any()),
        chance=_chance_of_none(int(listed.sum()), gone, members),
        example=str(codes[outside[0]]) if len(outside) else None,
    )


def _chance_of_none(listed: int, ended: int, members: int) -> float:
    """Return the share of all choices of `members` out of `listed` that have none of the `ended`."""
    if members > listed - ended:
        return 0.0
    return exp(_log_choices(listed - ended, members) - _log_choices(listed, members))


def _log_choices(count: int, chosen: int) -> float:
    return lgamma(count + 1) - lgamma(chosen + 1) - lgamma(count - chosen + 1)
