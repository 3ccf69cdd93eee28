"""The open work of pools, and which of it waits for a worker that has what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rollwright.app.pool import open_store
from rollwright.errors import ConfigError, nearest
from rollwright.pool.needs import Needs
from rollwright.pool.store import PoolDemand

__all__ = ["Unserved", "find_unserved", "read_demand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """Tasks of a pool with the same needs, of which none runs.

    Attributes
    ----------
    pool : str
    needs : Needs
    tasks : int
    """

    pool: str
    needs: Needs
    tasks: int


def read_demand(pools: Sequence[str] | None = None, url: str | None = None) -> tuple[PoolDemand, ...]:
    """Return the open work of these pools, or of all of the store.

    Raises
    ------
    ConfigError
        For a pool that the store does not have.
    """
    with open_store(url) as store:
        known = [] if store is None else store.list_pools()
        for pool in pools or ():
            if pool not in known:
                near = nearest(pool, known)
                raise ConfigError(
                    f"there is no pool {pool!r}", hint=f"did you mean {near!r}?" if near else "rollwright pool ls"
                )
        return () if store is None else store.demand(pools)


def find_unserved(demand: Iterable[PoolDemand]) -> tuple[Unserved, ...]:
    """Return what waits with needs, while no task of the pool with those needs runs.

    Which workers stand by is not known to a pool: that they run such tasks shows that there are some.
    """
    return tuple(
        Unserved(pool=one.pool, needs=one.needs, tasks=one.open + one.delayed)
        for one in demand
        if one.needs and one.open + one.delayed and not one.running and not one.paused
    )
