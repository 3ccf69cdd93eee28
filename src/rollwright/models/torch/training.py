"""Training a network: the one loop behind every model of PyTorch.

A fit is a row of rounds. In each

1. batches are drawn, by a generator that nothing else draws from,
2. the network takes a step of the optimiser on each,
3. the segment ``valid`` is evaluated, where there is one,
4. the best weights so far are kept, the learning rate is adapted, and learning stops when nothing improves.

Where it is offered a place for a checkpoint, it puts there, every few seconds, all that the rest of the fit depends on:
weights, the optimiser's numbers, the states of both random generators, the best weights, and how far it has come. A fit
that finds one of its own there goes on from it, to the same bytes.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.fit_rounds import tell_round
from rollwright.core.optional import require
from rollwright.errors import ModelError
from rollwright.models.tabular import finite_or_none, map_history, nan_if_none
from rollwright.models.torch.checkpoint import CheckpointWriter
from rollwright.models.torch.learning_rate import LearningRate
from rollwright.models.torch.repeatable import choose_device, repeatable
from rollwright.models.torch.samples import Samples, TrainingSet
from rollwright.models.torch.training_plan import TrainingPlan
from rollwright.models.torch.weights import as_arrays, as_tensor, compare_weights

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
    checkpoint: CheckpointWriter | None = None,
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
    checkpoint : CheckpointWriter, optional
        Where to begin, and to note how far it has come.

    Raises
    ------
    ModelError
        When the loss is no finite number any more, the network does not give one score per sample, or PyTorch refuses
        to compute it.
    """
    device = choose_device(plan.device)
    try:
        with repeatable(threads=plan.threads, device=device, seed=plan.seed):
            fit = _Training(network, plan, train, valid, device=device, period=period, checkpoint=checkpoint)
            if checkpoint is not None:
                checkpoint.begin(fit)
            return fit.run()
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
        checkpoint: CheckpointWriter | None,
    ) -> None:
        self._network = network.to(device)
        self._checkpoint = checkpoint
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
        self._draws_before = self._draws.get_state()
        self._round = 0
        self._steps = 0
        self._loss_sum = 0.0
        self._seen = 0
        self._best: dict[str, Tensor] = {}
        self._best_round = 0
        self._best_value = math.inf

    def run(self) -> TrainedNetwork:
        while self._round < self._plan.rounds:
            self._take_round()
            tell_round(self._round, self._plan.rounds)
            if self._period and self._round % self._period == 0:
                told = {key: {name: values[-1] for name, values in of.items()} for key, of in self._history.items()}
                _logger.info("model.round round=%d evaluation=%s", self._round, json.dumps(told))
            if self._valid is not None and self._round - self._best_round >= self._plan.patience:
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

    def _take_round(self) -> None:
        """Take the round that stands next, from the step that stands next on."""
        self._draws_before = self._draws.get_state()
        batches = self._draw_batches()
        for batch in batches[self._steps :]:
            self._network.train()
            self._loss_sum += self._step(batch) * len(batch)
            self._seen += len(batch)
            self._steps += 1
            if self._checkpoint is not None:
                self._checkpoint.write_if_due(self)
        self._history["train"]["loss"].append(self._loss_sum / self._seen)
        if self._valid is not None:
            self._judge(self._valid)
        self._round, self._steps, self._loss_sum, self._seen = self._round + 1, 0, 0.0, 0

    def _draw_batches(self) -> list[NDArray[np.intp]]:
        """Return the samples of each batch of a round.

        Batches that take each sample once are of equal size, but for one sample: none is left out, and none is small.
        """
        rows, size = len(self._train.label), self._plan.batch_size
        steps = self._plan.steps_of(self._round)
        if steps is None:
            order = torch.randperm(rows, generator=self._draws).numpy()
            return list(np.array_split(order, math.ceil(rows / size)))
        return list(torch.randint(rows, (steps, size), generator=self._draws).numpy())

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return all that the rest of the fit depends on: arrays by name, and JSON values."""
        arrays = {f"weights.{name}": array for name, array in as_arrays(self._network).items()}
        arrays |= {f"best.{name}": tensor.cpu().numpy() for name, tensor in self._best.items()}
        for number, told in self._optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer.{number}.{name}": tensor.cpu().numpy() for name, tensor in told.items()}
        arrays["draws"] = self._draws_before.numpy()
        arrays["random"] = torch.get_rng_state().numpy()
        if self._device != "cpu":
            arrays["random_of_device"] = torch.cuda.get_rng_state(self._device).numpy()
        return arrays, {
            "round": self._round,
            "steps": self._steps,
            "loss_sum": self._loss_sum,
            "seen": self._seen,
            "best_round": self._best_round,
            "best_value": finite_or_none(self._best_value),
            "rate": self._rate.state(),
            "history": map_history(self._history, finite_or_none),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; nothing is changed unless all of it fits.

        Raises
        ------
        ModelError, KeyError, TypeError, ValueError, RuntimeError
            When it is the state of another fit.
        """
        parts: dict[str, dict[str, NDArray[Any]]] = {"weights": {}, "best": {}, "optimizer": {}}
        for name, array in arrays.items():
            group, _, rest = name.partition(".")
            if group in parts:
                parts[group][rest] = array
        compare_weights(self._network, parts["weights"])
        if parts["best"]:
            compare_weights(self._network, parts["best"])
        numbers = self._read_numbers(parts["optimizer"])
        history = map_history(state["history"], nan_if_none)
        done, best = int(state["round"]), int(state["best_round"])
        lengths = {len(values) for metrics in history.values() for values in metrics.values()}
        same_metrics = {key: set(of) for key, of in history.items()} == {
            key: set(of) for key, of in self._history.items()
        }
        if lengths != {done} or not same_metrics or not 0 <= best <= done < self._plan.rounds:
            raise ModelError(f"its history is not that of {done} rounds")
        if bool(parts["best"]) != (best > 0):
            raise ModelError("its best weights are missing")
        rate = LearningRate(self._plan)
        rate.restore(state["rate"])
        draws, random = torch.Generator(), torch.Generator()
        draws.set_state(as_tensor(arrays["draws"]))
        random.set_state(as_tensor(arrays["random"]))
        if self._device != "cpu":
            torch.cuda.set_rng_state(as_tensor(arrays["random_of_device"]), self._device)
        steps, seen, total = int(state["steps"]), int(state["seen"]), float(state["loss_sum"])
        if steps < 1 or seen < 1 or not math.isfinite(total):
            raise ModelError(f"it has {steps} steps of {seen} samples")
        value = math.inf if state["best_value"] is None else float(state["best_value"])
        # from here on nothing can fail
        self._network.load_state_dict({name: as_tensor(array) for name, array in parts["weights"].items()})
        self._best = {name: as_tensor(array).to(self._device) for name, array in parts["best"].items()}
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": numbers, "param_groups": groups})
        self._draws.set_state(draws.get_state())
        torch.set_rng_state(random.get_state())
        self._rate, self._history = rate, history
        self._round, self._steps, self._seen, self._loss_sum = done, steps, seen, total
        self._best_round, self._best_value = best, value

    def _read_numbers(self, arrays: Mapping[str, NDArray[Any]]) -> dict[int, dict[str, Tensor]]:
        """Return the optimiser's numbers of each parameter: as many as the parameter has, or one."""
        shapes = [tuple(parameter.shape) for group in self._optimizer.param_groups for parameter in group["params"]]
        found: dict[int, dict[str, Tensor]] = {}
        for name, array in arrays.items():
            number, _, what = name.partition(".")
            if (
                array.dtype != np.float32
                or array.shape not in {(), shapes[int(number)]}
                or not np.isfinite(array).all()
            ):
                raise ModelError(f"the optimiser's `{name}` is not that of its parameter")
            found.setdefault(int(number), {})[what] = as_tensor(array)
        return found

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

    def _judge(self, valid: TrainingSet) -> None:
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
            self._best_value, self._best_round = value, self._round + 1
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
