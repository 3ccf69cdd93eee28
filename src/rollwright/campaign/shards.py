"""The shards of a campaign's windows: how many there are, and which of those that were made stand no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rollwright.core.canonical import parse_json
from rollwright.errors import ConfigError, TaskValueError
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import FINGERPRINT, In, both
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment
from rollwright.pool.types import TaskRecord
from rollwright.tasks.shards import SHARD, SHARDS, read_sharding
from rollwright.tasks.spec import TaskSpec
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.validity import judge

if TYPE_CHECKING:
    from rollwright.campaign.yaml.document import KeyPath

__all__ = ["cancel_shards", "count_shards", "renew_shards"]


def count_shards(specs: Sequence[TaskSpec], *, locate: Callable[[KeyPath], str] | None = None) -> int:
    """Return how many tasks the shards of these windows are.

    Raises
    ------
    ConfigError
        When one asks for what cannot be; `locate` tells where in the file.
    """
    count = 0
    for spec in specs:
        try:
            sharding = read_sharding(spec.definition)
        except ConfigError as error:
            place = "" if locate is None else f"{locate((SHARDS,))}: "
            raise ConfigError(f"{place}{error.message}", hint=error.hint) from error
        count += 0 if sharding is None else sharding.count
    return count


def renew_shards(specs: Sequence[TaskSpec], manager: TaskManager) -> None:
    """Put those shards of tasks back to work whose result is no answer any more; the tasks are put back by others."""
    check = ScopeCheck()
    for spec in specs:
        definition = spec.definition
        sharding = read_sharding(definition)
        if sharding is None:
            continue
        stages = sharding.stages(definition, fingerprint=spec.fingerprint)
        shards = {TaskSpec.from_definition(one.definition).fingerprint: one for stage in stages for one in stage}
        made = In(path=(FINGERPRINT,), values=tuple(shards))
        stale = [
            record.task_id
            for record in manager.store.find(manager.task_pool, both(made, _states(Status.DONE)))
            if judge(shards[record.fingerprint].definition, _validity(record), check=check).reason is not None
        ]
        if stale:
            query = both(In(path=("_id",), values=tuple(stale)), _states(Status.DONE))
            manager.store.amend(manager.task_pool, query, Amendment(status=Status.WAITING))


def cancel_shards(fingerprints: Sequence[str], manager: TaskManager) -> None:
    """Let nobody make shards of tasks that do not belong any more; what is finished or running is left alone."""
    if not fingerprints:
        return
    theirs = In(path=("def", SHARD, "of"), values=tuple(fingerprints))
    query = both(theirs, _states(Status.WAITING, Status.PART_DONE, Status.FAILED))
    manager.store.amend(manager.task_pool, query, Amendment(status=Status.CANCELLED))


def _states(*states: Status) -> In:
    return In(path=("status",), values=tuple(state.value for state in states))


def _validity(record: TaskRecord) -> Any:
    try:
        return None if record.validity is None else parse_json(record.validity)
    except TaskValueError:  # somebody wrote to the database: as a result of which nothing was noted
        return None
