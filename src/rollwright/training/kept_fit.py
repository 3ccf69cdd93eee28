"""Finding what was learnt before, so that records are made on it and nothing is learnt twice.

A recorder says in its artifact ``validity`` what it holds: the fit, once model and dataset are stored whole, and every
record that was made on it. Each is added after what it tells of is there, so that a kill leaves nothing that passes for
more than it is. A task whose fit is there already

1. goes on in that recorder, when its records begin with those that are there, or the other way round, and none of them
   replaces what one before it left: what is missing is added, what is damaged or stale is made anew, and no other
   task's result changes;
2. takes the model into a recorder of its own otherwise (other test sessions, other records): whoever holds the old one
   keeps it as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rollwright.errors import ExperimentNotFoundError, RecordError, TrackingUnavailableError
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.validity import Basis, TaskParts, Validity, why_stale

__all__ = [
    "FIT_FROM_TAG",
    "FIT_KEY_TAG",
    "LEARNING_ARTIFACT",
    "MODEL_ARTIFACT",
    "VALIDITY_ARTIFACT",
    "KeptFit",
    "find_fit",
    "find_fit_of",
    "load_validity",
    "standing",
]

_logger = logging.getLogger("rollwright.training")

FIT_KEY_TAG: Final = "fit_key"
FIT_FROM_TAG: Final = "fit_from"
"""The id of the recorder that a model was taken from instead of being trained."""
MODEL_ARTIFACT: Final = "params.pkl"
VALIDITY_ARTIFACT: Final = "validity"
LEARNING_ARTIFACT: Final = "learning"
"""How the model learnt, as JSON of `rollwright.models.learning.Learning`, where it tells."""
_ENDED: Final = (Recorder.STATUS_FI, Recorder.STATUS_FA)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFit:
    """A fit that is stored and stands.

    Attributes
    ----------
    recorder : Recorder
        Where it is.
    model : object
    validity : Validity
        What the recorder holds.
    goes_on : bool
        Whether the task goes on in that recorder.
    standing : int
        How many of its records, from the first, are as the task wants them.
    """

    recorder: Recorder
    model: Any
    validity: Validity
    goes_on: bool
    standing: int


def find_fit(definition: Mapping[str, Any], experiment_name: str, *, parts: TaskParts | None = None) -> KeptFit | None:
    """Return the fit of the task `definition` from an ended recorder of the experiment; None when none stands.

    Of several, one that the task can go on in is taken, and of those the one that holds most.

    Parameters
    ----------
    definition : mapping
    experiment_name : str
    parts : TaskParts, optional
        The parts of the task, where the caller knows them.

    Raises
    ------
    RecordError
        When the tracking store or the artifacts are away, so that it is not known whether there is one. A store that
        records while its server is away finds none then.
    """
    parts = parts if parts is not None else TaskParts.of(definition)
    check = ScopeCheck()
    try:
        experiment = R.get_exp(experiment_name=experiment_name, create=False)
        found = experiment.list_recorders("list", filter_string=f"tags.{FIT_KEY_TAG} = '{parts.fit.key}'")
    except ExperimentNotFoundError:
        return None
    except TrackingUnavailableError:
        if not R.exp_manager.location.store.traits.records_while_away:
            raise
        return None  # training goes on beside a server that is away, and what cannot be looked up is learnt
    ended = [recorder for recorder in found if recorder.status in _ENDED]
    return _choose(definition, ended, parts=parts, check=check)


def find_fit_of(definition: Mapping[str, Any], recorder: Recorder) -> KeptFit | None:
    """Return the fit of the task `definition` that this very recorder holds, ended or not; None when none stands."""
    return _choose(definition, [recorder], parts=TaskParts.of(definition), check=ScopeCheck())


def _choose(
    definition: Mapping[str, Any], recorders: Sequence[Recorder], *, parts: TaskParts, check: ScopeCheck
) -> KeptFit | None:
    usable: list[tuple[bool, int, Recorder, Validity]] = []
    for recorder in recorders:
        validity = load_validity(recorder)
        if validity is None or why_stale(definition, validity.fit, now=parts.fit, check=check) is not None:
            continue
        pairs = zip(validity.records, parts.records, strict=False)
        goes_on = all(basis.key == now.key for basis, now in pairs) and not _is_replaced(validity, len(parts.records))
        stands = standing(definition, recorder, validity.records, now=parts.records, check=check) if goes_on else 0
        usable.append((goes_on, stands, recorder, validity))
    for goes_on, stands, recorder, validity in sorted(usable, key=lambda item: item[:2], reverse=True):
        try:
            model = recorder.load_object(MODEL_ARTIFACT)
        except RecordError as error:
            if error.is_away:
                raise
            _logger.warning("fit.unreadable recorder=%s reason=%s", recorder.id, error.message)
            continue
        _logger.info("fit.kept recorder=%s goes_on=%s records=%d", recorder.id, goes_on, stands)
        return KeptFit(recorder=recorder, model=model, validity=validity, goes_on=goes_on, standing=stands)
    return None


def load_validity(recorder: Recorder) -> Validity | None:
    """Return what `recorder` says it holds; None when it holds no fit that this version understands.

    Raises
    ------
    RecordError
        When its artifacts are away: what they hold is not known then.
    """
    try:
        return Validity.from_json(recorder.load_object(VALIDITY_ARTIFACT))
    except RecordError as error:
        if error.is_away:
            raise
        return None


def _is_replaced(validity: Validity, asked: int) -> bool:
    """Tell whether a record that is not asked for replaced what one that is asked for had left."""
    ours, others = (
        {name for basis in part for name in basis.artifacts}
        for part in (validity.records[:asked], validity.records[asked:])
    )
    return not ours.isdisjoint(others)


def standing(
    definition: Mapping[str, Any], recorder: Recorder, made: Sequence[Basis], *, now: Sequence[Basis], check: ScopeCheck
) -> int:
    """Return how many records, from the first, need not be made again: none of them stale, nothing of them damaged.

    Records read what those before them left, so what follows one that is made again is made again too.
    """
    number = 0
    for basis, wanted in zip(made, now, strict=False):
        if why_stale(definition, basis, now=wanted, check=check) is not None:
            break
        number += 1
    digests = recorder.list_digests()
    whole: dict[str, bool] = {}
    while number and not _is_whole(recorder, made[:number], digests, whole):
        number -= 1
    return number


def _is_whole(recorder: Recorder, made: Sequence[Basis], digests: Mapping[str, str], known: dict[str, bool]) -> bool:
    """Tell whether what the records left in the end is there; a later one may have replaced what an earlier one left.

    Whether an artifact can be read is noted in `known`, so that each is read once.
    """
    left = {name: digest for basis in made for name, digest in basis.artifacts.items()}
    if any(digests.get(name) != digest for name, digest in left.items()):
        return False
    for name in left:
        if name not in known:
            known[name] = _can_be_read(recorder, name)
        if not known[name]:
            return False
    return True


def _can_be_read(recorder: Recorder, name: str) -> bool:
    try:
        recorder.download_artifact(name)  # without a target it only verifies the stored bytes
    except RecordError as error:
        if error.is_away:
            raise
        return False
    return True
