"""How a network is trained: rounds, batches, optimiser, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from rollwright.errors import ConfigError, nearest

__all__ = ["Decay", "Plateau", "TrainingPlan", "check_choice", "check_number", "check_whole"]

_LOSSES: Final = ("mse", "binary")
_METRICS: Final = ("loss", "ic")
_OPTIMIZERS: Final = ("adam", "gd", "sgd")
_MOST: Final = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau:
    """The learning rate is multiplied by `factor` when the loss of ``valid`` stops falling.

    Attributes
    ----------
    factor : float
    patience : int
        Rounds without improvement that it waits before.
    least : float
        No learning rate falls below it.
    threshold : float
        Share of the best loss by which another must be lower to be an improvement.
    """

    factor: float
    patience: int
    least: float
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """The learning rate is multiplied by `factor` after every `steps` steps."""

    factor: float
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """Everything that decides how a network learns from given samples.

    Attributes
    ----------
    rounds : int
        At most; after each the segment ``valid`` is evaluated.
    steps : int or None
        Batches of a round, drawn with replacement; None: a round takes each sample once, in batches of equal size.
    total_steps : int or None
        Steps of all rounds together, so that the last round may be shorter; None without `steps`.
    batch_size : int
        Samples of a batch at most.
    patience : int
        Rounds without improvement after which learning stops.
    seed : int
    metric : {"loss", "ic"}
        What of ``valid`` decides which round is kept: the lowest loss, or the highest mean daily correlation of scores
        and labels.
    loss : {"mse", "binary"}
    optimizer : {"adam", "gd", "sgd"}
        The last two are stochastic gradient descent.
    lr, weight_decay : float
    clip : float or None
        Gradients are cut to ``[-clip, clip]``.
    plateau : Plateau or None
    decay : Decay or None
    device : str
        ``cpu``, or ``cuda:NUMBER``, which is the CPU where there is no such device.
    threads : int
        Of the linear algebra.

    Raises
    ------
    ConfigError
        When a value is none that it may be.
    """

    rounds: int
    batch_size: int
    patience: int
    seed: int
    lr: float
    steps: int | None = None
    total_steps: int | None = None
    metric: str = "loss"
    loss: str = "mse"
    optimizer: str = "adam"
    weight_decay: float = 0.0
    clip: float | None = None
    plateau: Plateau | None = None
    decay: Decay | None = None
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("rounds", "batch_size", "patience", "threads"):
            check_whole(name, getattr(self, name), least=1)
        check_choice("loss", self.loss, _LOSSES)
        check_choice("metric", self.metric, _METRICS)
        check_choice("optimizer", self.optimizer, _OPTIMIZERS)
        check_number("lr", self.lr, above=0.0)
        check_number("weight_decay", self.weight_decay)

    def steps_of(self, number: int) -> int | None:
        """Return the steps of the round `number`, counted from 0; None where a round takes each sample once."""
        if self.steps is None or self.total_steps is None:
            return self.steps
        return min(self.steps, self.total_steps - number * self.steps)


def check_whole(name: str, value: Any, *, least: int, most: int = _MOST) -> int:
    """Return a whole number from `least` to `most`.

    Raises
    ------
    ConfigError
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"`{name}` is {value!r}: it is a whole number from {least} to {most}")
    return value


def check_number(name: str, value: Any, *, above: float | None = None, below: float = math.inf) -> float:
    """Return a finite number from 0, or above `above`, to below `below`.

    Raises
    ------
    ConfigError
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < 0 or (above is not None and value <= above) or value >= below:
        least = "0 or more" if above is None else f"above {above:g}"
        raise ConfigError(
            f"`{name}` is {value!r}: it is a number, {least}" + (f" and below {below:g}" if below < math.inf else "")
        )
    return float(value)


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> str:
    """Return a text that is one of `known`.

    Raises
    ------
    ConfigError
        With the nearest one.
    """
    if value not in known:
        close = nearest(str(value), known)
        raise ConfigError(
            f"`{name}` is {value!r}: it is one of {', '.join(known)}",
            hint=f"did you mean `{close}`?" if close else None,
        )
    return str(value)
