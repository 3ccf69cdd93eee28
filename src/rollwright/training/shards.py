"""Joining the shards of a task into its one result.

Every way of training goes through here, a worker's too: what the shards' own tasks have made stands in the experiment
and is taken from there, and what is not there is made here, one after another. So a pool only makes the shards earlier
and side by side; whether it did, and by how many workers, changes no byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from rollwright.core.canonical import JSON, sha256_hex
from rollwright.core.text import is_name
from rollwright.dataset.contract import ReadScope, TaskDataset
from rollwright.errors import RunError
from rollwright.models.sharded import ShardedModel, average_scores, join_scores
from rollwright.tasks.shards import PART, SHARD, Shard, Sharding
from rollwright.tracking.recorder import Recorder
from rollwright.training.kept_fit import KeptFit, find_fit, find_fit_of
from rollwright.training.provenance import Process
from rollwright.training.validity import Basis, TaskParts, Validity, record_configs

__all__ = ["SHARDS_ARTIFACT", "GivenScores", "JoinedShards", "join_shards", "place_run"]

SHARDS_ARTIFACT: Final = "shards"
"""In which recorders the shards of a task are."""
_BESIDE: Final = ".shards"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenScores:
    """Scores that were made beforehand.

    Attributes
    ----------
    parts : tuple of DataFrame
        One for each shard, in order.
    averaged : bool
        Whether the score is their mean; else they have rows of their own.
    reads : tuple of ReadScope
        What was read for them.
    """

    parts: tuple[pd.DataFrame, ...]
    averaged: bool
    reads: tuple[ReadScope, ...]

    def join(self, dataset: TaskDataset) -> pd.DataFrame:
        """Return the scores of the task's test segment."""
        if self.averaged:
            return average_scores(self.parts)
        return join_scores(self.parts, dataset.inference_index("test"))


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedShards:
    """What the shards of a task give it.

    Attributes
    ----------
    fit : KeptFit
        The model, and what it was made from.
    scores : GivenScores
    places : tuple of (str, str)
        The name of each shard, and the id of its recorder.
    """

    fit: KeptFit
    scores: GivenScores
    places: tuple[tuple[str, str], ...]

    def to_json(self) -> list[JSON]:
        """Return where the shards are, as JSON."""
        return [{"shard": name, "recorder": recorder} for name, recorder in self.places]


def place_run(definition: Mapping[str, Any], experiment_name: str) -> str:
    """Return the experiment that a task is recorded in: for a shard the one beside its task's."""
    if definition.get(SHARD) is None:
        return experiment_name
    beside = experiment_name + _BESIDE
    return beside if is_name(beside) else f"{sha256_hex(experiment_name.encode())[:32]}{_BESIDE}"


def join_shards(
    definition: Mapping[str, Any], sharding: Sharding, experiment_name: str, *, parts: TaskParts, process: Process
) -> JoinedShards:
    """Return what the shards of a task give it; those that nobody has made yet are made here, in their order.

    Parameters
    ----------
    definition : mapping
        The task's, with the `shards` that `sharding` was read from.
    sharding : Sharding
    experiment_name : str
        The task's.
    parts : TaskParts
        The task's.
    process : str
        Where it runs.
    """
    stages = sharding.stages(definition, fingerprint=parts.fingerprint)
    made = [[_make(shard, experiment_name, process) for shard in stage] for stage in stages]
    scored = made[-1]
    learnt = scored if sharding.fits_each else made[0]
    model: Any = learnt[0].model
    if sharding.fits_each:
        changes = [shard.definition.get(PART) for shard in stages[-1]]
        model = ShardedModel(
            [one.model for one in learnt], None if sharding.by == "seeds" else [part or {} for part in changes]
        )
    reads = tuple(dict.fromkeys(scope for one in learnt for scope in one.validity.fit.reads))
    basis = Basis(key=parts.fit.key, code=parts.fit.code, reads=reads)
    names = [shard.name for stage in stages for shard in stage]
    recorders = [one.recorder for stage in made for one in stage]
    return JoinedShards(
        fit=KeptFit(recorder=learnt[0].recorder, model=model, validity=Validity(fit=basis), goes_on=False, standing=0),
        scores=GivenScores(
            parts=tuple(one.recorder.load_object("pred.pkl") for one in scored),
            averaged=sharding.by == "seeds",
            reads=tuple(
                dict.fromkeys(scope for one in scored for record in one.validity.records for scope in record.reads)
            ),
        ),
        places=tuple(zip(names, (recorder.id for recorder in recorders), strict=True)),
    )


def _make(shard: Shard, experiment_name: str, process: Process) -> KeptFit:
    """Return the shard where it was made whole and stands; else make it, or what of it is missing."""
    kept = find_fit(shard.definition, place_run(shard.definition, experiment_name))
    if kept is not None and _is_whole(shard, kept):
        return kept
    from rollwright.training.task_body import train_once  # noqa: PLC0415 - it is built on this module

    recorder = train_once(shard.definition, experiment_name=experiment_name, process=process).value
    found = find_fit_of(shard.definition, recorder) if isinstance(recorder, Recorder) else None
    if found is None or not _is_whole(shard, found):
        raise RunError(
            f"shard {shard.name} was just trained, and {recorder!r} does not hold its result any more",
            hint="who else changes the market or the recorders now? Then give the same command again",
        )
    return found


def _is_whole(shard: Shard, kept: KeptFit) -> bool:
    is_finished = kept.goes_on and kept.recorder.status == Recorder.STATUS_FI
    return is_finished and kept.standing == len(record_configs(shard.definition))
