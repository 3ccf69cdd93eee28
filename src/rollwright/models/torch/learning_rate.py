"""The learning rate of a fit as it goes on."""

from __future__ import annotations

import math
from typing import Any

from rollwright.models.torch.training_plan import TrainingPlan

__all__ = ["LearningRate"]


class LearningRate:
    """The rate of the next step: lower after steps, and after rounds without improvement, as the plan says.

    Attributes
    ----------
    value : float
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        self.value = float(plan.lr)
        self._steps = 0
        self._lowest = math.inf
        self._waited = 0

    def note_step(self) -> None:
        """Count a step of the optimiser."""
        self._steps += 1
        decay = self._plan.decay
        if decay is not None and self._steps % decay.steps == 0:
            self.value *= decay.factor

    def note_round(self, loss: float) -> None:
        """Look at the loss of ``valid`` after a round."""
        plateau = self._plan.plateau
        if plateau is None:
            return
        if loss < self._lowest * (1.0 - plateau.threshold):
            self._lowest, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited > plateau.patience:
            self.value, self._waited = max(self.value * plateau.factor, min(plateau.least, self.value)), 0

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        lowest = self._lowest if math.isfinite(self._lowest) else None
        return {"value": self.value, "steps": self._steps, "lowest": lowest, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it is something else.
        """
        self.value = float(state["value"])
        self._steps = int(state["steps"])
        self._lowest = math.inf if state["lowest"] is None else float(state["lowest"])
        self._waited = int(state["waited"])
