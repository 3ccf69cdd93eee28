"""Training a network: the one loop behind every model of PyTorch.

A fit is a row of rounds. In each

1. batches are drawn, by a generator that nothing else draws from,
2. the network takes a step of the optimiser on each,
3. the segment ``valid`` is evaluated, where there is one,
4. the best weights so far are kept, the learning rate is adapted, and learning stops when nothing improves.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.fit_rounds import tell_round
from rollwright.core.optional import require
from rollwright.errors import ModelError
from rollwright.models.torch.learning_rate import LearningRate
from rollwright.models.torch.repeatable import choose_device, repeatable
from rollwright.models.torch.samples import Samples, TrainingSet
from rollwright.models.torch.training_plan import TrainingPlan

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = require("torch", extra="torch")
    nn = torch.nn

__all__ = ["TrainedNetwork", "score_parts", "train_network"]

_logger: Final = logging.getLogger("rollwright.models")
_SCORED: Final = 512
"""Samples that are scored at a time."""
History = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """What a fit gave, beside the weights that the network has now.

    Attributes
    ----------
    best : int
        The round that was kept, counted from 1.
    history : mapping
        ``{segment: {metric: [one value per round]}}``.
    """

    best: int
    history: History


def train_network(
    network: nn.Module,
    plan: TrainingPlan,
    train: TrainingSet,
    valid: TrainingSet | None,
    *,
    period: int | None = None,
) -> TrainedNetwork:
    """Let `network` learn, and leave it on the CPU with the weights of its best round.

    Guarantees: the same network, plan and samples give the same bytes of weights on one machine, whatever else the
    process computes; the random numbers of other code are not touched.

    Parameters
    ----------
    network : Module
        On the CPU, with its first weights.
    plan : TrainingPlan
    train : TrainingSet
    valid : TrainingSet or None
        None: every round is made, and the last one kept.
    period : int, optional
        The evaluation is logged every so many rounds.

    Raises
    ------
    ModelError
        When the loss is no finite number any more, the network does not give one score per sample, or PyTorch refuses
        to compute it.
    """
    device = choose_device(plan.device)
    try:
        with repeatable(threads=plan.threads, device=device, seed=plan.seed):
            return _Training(network, plan, train, valid, device=device, period=period).run()
    except ModelError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"{type(network).__name__} cannot learn: {error}", hint=_hint(error)) from error


def score_parts(
    network: nn.Module,
    samples: Samples,
    parts: Iterable[NDArray[np.intp]],
    *,
    into: NDArray[np.float64],
    threads: int,
) -> None:
    """Write one score per sample, each part computed alone, on the CPU.

    Guarantees: the bits of a sample's score depend on its part alone.

    Parameters
    ----------
    network : Module
    samples : Samples
    parts : iterable of int ``[samples of the part]``
    into : float64 ``[samples]``
        Gets the scores.
    threads : int

    Raises
    ------
    ModelError
        When PyTorch refuses to compute it, or there is not one score per sample.
    """
    try:
        with repeatable(threads=threads), torch.no_grad():
            network.eval()
            for part in parts:
                into[part] = _score(network, samples, part, size=_SCORED, device="cpu")
    except ModelError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"{type(network).__name__} cannot score: {error}", hint=_hint(error)) from error


class _Training:
    """One fit as it goes on."""

    def __init__(
        self,
        network: nn.Module,
        plan: TrainingPlan,
        train: TrainingSet,
        valid: TrainingSet | None,
        *,
        device: str,
        period: int | None,
    ) -> None:
        self._network = network.to(device)
        self._plan = plan
        self._train = train
        self._valid = valid
        self._device = device
        self._period = period
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if not parameters:
            raise ModelError(f"{type(network).__name__} has no weights to learn")
        kind = torch.optim.Adam if plan.optimizer == "adam" else torch.optim.SGD
        self._optimizer: torch.optim.Optimizer = kind(parameters, lr=plan.lr, weight_decay=plan.weight_decay)
        self._rate = LearningRate(plan)
        self._draws = torch.Generator().manual_seed(plan.seed)
        self._history: History = {"train": {"loss": []}}
        if valid is not None:
            self._history["valid"] = {name: [] for name in dict.fromkeys(("loss", plan.metric))}
        self._best: dict[str, Tensor] = {}
        self._best_round = 0
        self._best_value = math.inf

    def run(self) -> TrainedNetwork:
        for number in range(self._plan.rounds):
            self._take_round(number)
            done = number + 1
            tell_round(done, self._plan.rounds)
            if self._period and done % self._period == 0:
                told = {key: {name: values[-1] for name, values in of.items()} for key, of in self._history.items()}
                _logger.info("model.round round=%d evaluation=%s", done, json.dumps(told))
            if self._valid is not None and done - self._best_round >= self._plan.patience:
                break
        if self._valid is None:
            self._best_round = len(self._history["train"]["loss"])
        elif not self._best:
            raise ModelError(
                f"`{self._plan.metric}` of segment `valid` has no value in any round",
                hint="a correlation needs days with several samples whose labels and scores differ",
            )
        else:
            self._network.load_state_dict(self._best)
        self._network.to("cpu").eval()
        return TrainedNetwork(best=self._best_round, history=self._history)

    def _take_round(self, number: int) -> None:
        batches = self._draw_batches(number)
        total = count = 0.0
        self._network.train()
        for batch in batches:
            loss = self._step(batch)
            total += loss * len(batch)
            count += len(batch)
        self._history["train"]["loss"].append(total / count)
        if self._valid is not None:
            self._judge(number, self._valid)

    def _draw_batches(self, number: int) -> list[NDArray[np.intp]]:
        """Return the samples of each batch of a round.

        Batches that take each sample once are of equal size, but for one sample: none is left out, and none is small.
        """
        rows, size = len(self._train.label), self._plan.batch_size
        steps = self._plan.steps_of(number)
        if steps is None:
            order = torch.randperm(rows, generator=self._draws).numpy()
            return list(np.array_split(order, math.ceil(rows / size)))
        return list(torch.randint(rows, (steps, size), generator=self._draws).numpy())

    def _step(self, batch: NDArray[np.intp]) -> float:
        features = _to_tensor(self._train.samples.take(batch), self._device)
        label = _to_tensor(self._train.label[batch], self._device)
        weights = None if self._train.weights is None else _to_tensor(self._train.weights[batch], self._device)
        loss = _loss(self._plan.loss, _flat(self._network(features), len(batch), self._network), label, weights)
        value = float(loss.item())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is {value} after {len(self._history['train']['loss'])} rounds: learning diverged",
                hint="take a smaller lr, or normalise features and label",
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate.value
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not annotate it
        if self._plan.clip is not None:
            nn.utils.clip_grad_value_(self._network.parameters(), self._plan.clip)
        self._optimizer.step()
        self._rate.note_step()
        return value

    def _judge(self, number: int, valid: TrainingSet) -> None:
        """Evaluate ``valid``, keep the weights if they are the best so far, and adapt the learning rate."""
        with torch.no_grad():
            self._network.eval()
            everything = np.arange(len(valid.label), dtype=np.intp)
            scores = _score(self._network, valid.samples, everything, size=self._plan.batch_size, device=self._device)
            weights = None if valid.weights is None else _to_tensor(valid.weights, "cpu").double()
            label = _to_tensor(valid.label, "cpu").double()
            loss = float(_loss(self._plan.loss, torch.from_numpy(scores), label, weights).item())
        told = self._history["valid"]
        told["loss"].append(loss)
        value = loss
        if self._plan.metric == "ic":
            told["ic"].append(_daily_correlation(scores, valid.label, valid.days))
            value = -told["ic"][-1]
        if value < self._best_value:  # False for NaN
            self._best_value, self._best_round = value, number + 1
            self._best = {name: copy.deepcopy(item) for name, item in self._network.state_dict().items()}
        self._rate.note_round(loss)


def _score(
    network: nn.Module, samples: Samples, numbers: NDArray[np.intp], *, size: int, device: str
) -> NDArray[np.float64]:
    """Return the scores of some samples, `size` of them computed at a time."""
    found = np.empty(len(numbers))
    for start in range(0, len(numbers), size):
        block = numbers[start : start + size]
        scores = _flat(network(_to_tensor(samples.take(block), device)), len(block), network)
        found[start : start + size] = scores.detach().cpu().numpy()
    return found


def _to_tensor(values: NDArray[Any], device: str) -> Tensor:
    """Return a copy as float32 in memory of PyTorch's own: the last bits of a product may depend on its alignment."""
    made = torch.empty(values.shape, dtype=torch.float32)
    made.numpy()[...] = values
    return made.to(device)


def _flat(scores: Any, count: int, network: nn.Module) -> Tensor:
    """Return one score per sample.

    Raises
    ------
    ModelError
    """
    if not isinstance(scores, torch.Tensor) or scores.numel() != count:
        found = list(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise ModelError(
            f"{type(network).__name__} gave {found} for {count} samples",
            hint="its `forward` returns one score per sample: a tensor [samples] or [samples, 1]",
        )
    return scores.reshape(-1)


def _loss(kind: str, scores: Tensor, label: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over the samples of their loss times their weight."""
    if kind == "mse":
        each = (scores - label) ** 2
    else:
        each = nn.functional.binary_cross_entropy_with_logits(scores, label, reduction="none")
    return (each if weights is None else each * weights).mean()


def _daily_correlation(scores: NDArray[Any], label: NDArray[Any], days: NDArray[np.intp]) -> float:
    """Return the mean over days of the correlation of scores and labels; NaN when no day has one."""
    order = np.argsort(days, kind="stable")
    ends = np.flatnonzero(np.diff(days[order])) + 1
    found = []
    for part in np.split(order, ends):
        left = scores[part] - scores[part].mean()
        right = label[part].astype(np.float64) - label[part].mean(dtype=np.float64)
        size = math.sqrt(float(left @ left) * float(right @ right))
        if size > 0:
            found.append(float(left @ right) / size)
    return math.fsum(found) / len(found) if found else math.nan


def _hint(error: Exception) -> str:
    if "shape" in str(error) or "size" in str(error):
        return "is the network's input as wide as the dataset has features (d_feat, input_dim)?"
    return "see what PyTorch says above"
