"""The port of every model."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["Model", "ModelFT"]


@runtime_checkable
class Model(Protocol):
    """Learns from the train segment of a dataset and scores any of its segments.

    Guarantees: the same dataset, parameters and seed give the same model and the same scores, byte for byte, on the
    same host (decision D18).
    """

    def fit(self, dataset: Any, reweighter: Any = None) -> None:
        """Learn from ``dataset``'s train segment, and watch its valid segment where there is one."""
        ...

    def predict(self, dataset: Any, segment: str = "test") -> Any:
        """Return one score per row of `segment`: a Series with the index (datetime, instrument)."""
        ...


class ModelFT(Model, Protocol):
    """A model that can go on learning from where it stands."""

    def finetune(self, dataset: Any) -> None:
        """Learn further from ``dataset``'s train segment."""
        ...
