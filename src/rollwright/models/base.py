"""The interface of every model: `Model` learns and scores, `ModelFT` can go on learning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rollwright.models.folds import ModelDataset, SampleWeighter
from rollwright.models.learning import Learning
from rollwright.signing.serializable import Serializable

__all__ = ["ExplainsScores", "Model", "ModelFT", "TellsLearning"]


@runtime_checkable
class ExplainsScores(Protocol):
    """A model that tells how much each feature moved a score."""

    def contributions(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return for each row what each feature adds to its score, and last what the score is without them.

        Guarantees: float64 ``[rows, features + 1]``; a row's sum is its score, but for rounding.
        """
        ...


@runtime_checkable
class TellsLearning(Protocol):
    """A model that tells, once it is fitted, how it learnt and how much of it each feature makes up."""

    def tell_learning(self) -> Learning | None:
        """Return it; None where there is nothing to tell."""
        ...


class Model(Serializable, ABC):
    """Base class: learns from the train segment of a dataset and scores any of its segments.

    Guarantees: the same dataset, parameters and seed give the same model and the same scores, byte for byte, on the
    same host (decision D18). A stored model has all it learnt, whatever its attributes are called (S10).

    A class with `fit` and `predict` is a Model without deriving from it.
    """

    default_dump_all: ClassVar[bool] = True

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        wanted = {Model: ("fit", "predict"), ModelFT: ("fit", "predict", "finetune")}.get(cls)
        if wanted is None or not all(callable(getattr(other, name, None)) for name in wanted):
            return NotImplemented
        return True

    @abstractmethod
    def fit(self, dataset: ModelDataset, reweighter: SampleWeighter | None = None) -> None:
        """Learn from the segment ``train`` of `dataset`, and watch its segment ``valid`` where there is one."""

    @abstractmethod
    def predict(self, dataset: ModelDataset, segment: str = "test") -> Any:
        """Return one score per row of `segment`: a Series with the index (datetime, instrument)."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `predict` returns."""
        return self.predict(*args, **kwargs)


class ModelFT(Model):
    """Base class: a model that can go on learning from what it has learnt."""

    @abstractmethod
    def finetune(self, dataset: ModelDataset) -> None:
        """Go on learning from the segment ``train`` of `dataset`."""
