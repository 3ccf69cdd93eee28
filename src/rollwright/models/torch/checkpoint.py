"""A checkpoint of a training that goes on: written every few seconds, read when the same training begins again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from rollwright.core.canonical import sha256_hex
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.fit_checkpoint import CheckpointPlace
from rollwright.errors import CorruptArtifactError, ModelError
from rollwright.models.state import dump_state
from rollwright.models.torch.tensor_file import pack_tensors, unpack_tensors

__all__ = ["CheckpointWriter", "Resumable"]

_logger: Final = logging.getLogger("rollwright.models")
_FORMAT: Final = 1
_PAUSE: Final = 2.0
"""Seconds between two checkpoints at least."""
_MISFITS: Final = (AttributeError, LookupError, TypeError, ValueError, RuntimeError)
"""What reading values of another kind than those that were written raises."""
_SHARE: Final = 50
"""A checkpoint is written no more often than once in so many times the time that the last one took."""


class Resumable(Protocol):
    """A training as far as a checkpoint knows it."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return all that the rest of it depends on."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned, or raise an error and change nothing."""
        ...


class CheckpointWriter:
    """Writes one training's checkpoints to its place.

    Guarantees: what is read is whole, and of a training of the same `identity`; anything else is ignored, with a
    warning, and the training begins anew. When checkpoints are written decides nothing of what is learnt.

    Parameters
    ----------
    place : CheckpointPlace
    identity : mapping
        JSON values that tell this training from every other: model, arguments, samples, versions.
    clock : Clock, optional
    """

    def __init__(self, place: CheckpointPlace, identity: Mapping[str, Any], clock: Clock | None = None) -> None:
        self._place = place
        self._identity = sha256_hex(dump_state(identity).encode())
        self._clock = clock if clock is not None else SystemClock()
        self._due = self._clock.monotonic() + _PAUSE

    def begin(self, training: Resumable) -> bool:
        """Let `training` go on from the checkpoint of its own; return whether there was one."""
        content = self._place.load()
        if content is None:
            return False
        try:
            arrays, told = unpack_tensors(content, name="the checkpoint")
            if told.get("version") != _FORMAT or told.get("identity") != self._identity:
                raise ModelError("it is of another training: other data, arguments or versions")
            training.restore(arrays, told["state"])
        except (CorruptArtifactError, ModelError, *_MISFITS) as error:
            said = error.message if isinstance(error, CorruptArtifactError | ModelError) else repr(error)
            _logger.warning("model.checkpoint_ignored reason=%s", said)
            return False
        state = told["state"]
        _logger.info("model.resumed round=%d steps=%d", state["round"], state["steps"])
        return True

    def write_if_due(self, training: Resumable) -> None:
        """Write a checkpoint if the last one is some seconds old."""
        begun = self._clock.monotonic()
        if begun < self._due:
            return
        arrays, state = training.state()
        self._place.save(pack_tensors(arrays, {"version": _FORMAT, "identity": self._identity, "state": state}))
        now = self._clock.monotonic()
        self._due = now + max(_PAUSE, _SHARE * (now - begun))
