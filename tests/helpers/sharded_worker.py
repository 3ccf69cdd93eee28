"""A worker process that is killed at a labelled step of a task in shards, as a crash would end it.

``python sharded_worker.py FOLDER MARKET URL STEP``: it works through the pool ``joined`` in this process. Steps:
``put``,
``aside`` (before and after the task is set aside), ``last shard`` (settled, and not woken), ``woken``, ``join`` (in the
middle of it) and ``commit`` (the task's result is made, and not committed); ``none`` kills at none.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.worker import shards as keeping
from rollwright.training import execute as executing
from rollwright.training import pooled
from rollwright.training.pooled import train_in_slot

STEPS = ("put", "aside", "last shard", "woken", "join", "commit")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(owner: object, name: str, when=lambda *_: True, *, before: bool = False) -> None:
    """Kill this process once a function has done its work, or before it does."""
    real = getattr(owner, name)

    def function(*arguments, **terms):
        if before and when(*arguments):
            die()
        result = real(*arguments, **terms)
        if not before and when(*arguments):
            die()
        return result

    setattr(owner, name, function)


def arm(step: str, store: object) -> None:
    keeper = keeping.ShardKeeper
    if step == "put":
        after(keeper, "_put")
    elif step == "aside":
        after(type(store), "settle", lambda _, outcomes, **__: any(one.kind == "part_done" for one in outcomes))
    elif step == "last shard":
        after(keeper, "wake", lambda one: bool(one._ended) and is_over(one), before=True)
    elif step == "woken":
        after(keeper, "wake", lambda one: not one._ended and is_awake(one))
    elif step == "join":
        after(executing, "_save_fit", lambda recorder, *_: "shards" in recorder.list_digests())
    elif step == "commit":
        after(type(store), "settle", lambda one, outcomes, **_: is_whole(one, outcomes), before=True)


def is_over(keeper) -> bool:
    """Tell whether no shard is open."""
    found = [record for record in keeper._store.find("joined") if "shard" in record.definition]
    return len(found) > 0 and all(record.status is Status.DONE for record in found)


def is_awake(keeper) -> bool:
    return is_over(keeper) and all(record.status is not Status.PART_DONE for record in keeper._store.find("joined"))


def is_whole(store, outcomes) -> bool:
    ids = [one.task_id for one in outcomes if one.kind == "done"]
    return any("shards" in record.definition for record in store.get("joined", ids))


def main() -> None:
    folder, market, url, step = sys.argv[1:]
    values = {
        "tracking.uri": f"sqlite:///{Path(folder) / 'runs.db'}",
        "pool.url": url,
        "pool.lease": "1",
        "data.provider_uri": market,
    }
    install(load_settings(values, start=Path(folder), environ={}))
    manager = TaskManager("joined")
    arm(step, manager.store)
    pooled.train_in_pool(manager, experiment_name="joined", function=train_in_slot)


if __name__ == "__main__":
    main()
