"""How much open work pools have, and how they share the workers that serve several of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import EllipsisType
from typing import Final

from rollwright.errors import ConfigError
from rollwright.pool.needs import Needs, read_needs

__all__ = ["NO_SHARE", "DemandRow", "PoolDemand", "PoolShare", "Share", "check_share", "demand_of_rows"]

_MOST_RUNNING: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How a pool is served beside others.

    Attributes
    ----------
    weight : float
        Of workers that serve several pools, a pool has its weight's part.
    max_running : int or None
        The most tasks of the pool that run at the same time, whoever runs them; None is not limited.
    """

    weight: float = 1.0
    max_running: int | None = None

    def changed(self, *, weight: float | None, max_running: int | EllipsisType | None) -> Share:
        """Return this share with another weight, unless None, and another cap, unless `...`."""
        return Share(
            weight=self.weight if weight is None else float(weight),
            max_running=self.max_running if isinstance(max_running, EllipsisType) else max_running,
        )


NO_SHARE: Final = Share()
"""What a pool has that was given none."""


def check_share(*, weight: float | None, max_running: int | EllipsisType | None) -> None:
    """Refuse what can be no share of a pool.

    Raises
    ------
    ConfigError
    """
    if weight is not None and not (math.isfinite(weight) and 1e-6 <= weight <= 1e6):
        raise ConfigError(f"{weight!r} is no weight of a pool", hint="give a number above 0, such as 2 or 0.5")
    if isinstance(max_running, int) and not 1 <= max_running <= _MOST_RUNNING:
        raise ConfigError(
            f"a pool of which at most {max_running} tasks run",
            hint="give 1 or more; to let nobody take its tasks use `rollwright pool pause`",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDemand:
    """The open work of a pool with the same needs.

    Attributes
    ----------
    pool : str
    needs : Needs
    open : int
        Tasks that a worker which meets the needs may take now, unless the pool is paused or at its cap.
    delayed : int
        Tasks that may be taken later.
    running : int
        Tasks that somebody holds.
    oldest : float or None
        Seconds since the oldest of the `open` tasks was put; None when there is none.
    paused : bool
    weight : float
    max_running : int or None
        Those of the pool, see `Share`; the cap counts the running tasks of all needs together.
    """

    pool: str
    needs: Needs
    open: int
    delayed: int
    running: int
    oldest: float | None = None
    paused: bool = False
    weight: float = 1.0
    max_running: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolShare:
    """What decides which of several pools a worker serves next.

    Attributes
    ----------
    pool : str
    running : int
        Tasks that somebody holds, whatever their needs.
    paused : bool
    share : Share
    """

    pool: str
    running: int = 0
    paused: bool = False
    share: Share = NO_SHARE


DemandRow = tuple[str, str, int, int, int, float | None]
"""Pool, text of the needs, open, delayed and running tasks, and seconds that the oldest open one waits."""


def demand_of_rows(
    rows: Iterable[DemandRow], share_of: Callable[[str], Share], is_paused: Callable[[str], bool]
) -> tuple[PoolDemand, ...]:
    """Return the demand of rows, sorted by pool and needs; rows without any task are left out."""
    found = [
        PoolDemand(
            pool=pool,
            needs=read_needs(text, pool=pool, task_id="?"),
            open=waiting,
            delayed=delayed,
            running=running,
            oldest=max(oldest, 0.0) if oldest is not None and waiting else None,
            paused=is_paused(pool),
            weight=share_of(pool).weight,
            max_running=share_of(pool).max_running,
        )
        for pool, text, waiting, delayed, running, oldest in rows
        if waiting or delayed or running
    ]
    return tuple(sorted(found, key=lambda one: (one.pool, one.needs.text)))
