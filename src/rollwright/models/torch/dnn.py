"""A multilayer perceptron, under the name and with the arguments of Qlib's ``DNNModelPytorch``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from rollwright.errors import ConfigError
from rollwright.models.torch.network_model import NetworkModel, name_network, own_arguments
from rollwright.models.torch.training_plan import Decay, Plateau, TrainingPlan, check_number, check_whole

__all__ = ["DNNModelPytorch"]

_NET: Final = "qlib.contrib.model.pytorch_nn.Net"


class DNNModelPytorch(NetworkModel):
    """A network that learns in steps: each takes a batch drawn with replacement.

    Parameters
    ----------
    lr : float
    max_steps : int
        Steps at most.
    batch_size : int
    early_stop_rounds : int
        Evaluations without improvement after which learning stops.
    eval_steps : int
        Steps between two evaluations of the segment ``valid``.
    optimizer : {"gd", "sgd", "adam"}
    loss : {"mse", "binary"}
        ``binary`` is the logistic loss of labels from 0 to 1; the score is the logit.
    GPU : int or str
        Number of the GPU to learn on, where there is one; -1 for the CPU. Scores are always computed on the CPU.
    seed : int, optional
        0 if not given; a trainer gives one when the configuration does not.
    weight_decay : float
    scheduler : {"default"} or None
        ``default`` halves the learning rate after eleven evaluations without improvement, to no less than 0.00001.
    pt_model_uri : str or mapping
        The network's class, a `torch.nn.Module`: ``module.Class``, ``file.py.Class`` of a file beside the
        configuration, or ``{class, module_path}``.
    pt_model_kwargs : mapping, optional
        Its arguments; 360 features and a layer of 256 if not given.
    lr_decay : float, optional
        What the learning rate is multiplied by after every `lr_decay_steps` steps.
    lr_decay_steps : int
    metric : {"loss", "ic"}
        What of ``valid`` decides which weights are kept.
    num_threads : int
        Of the linear algebra.
    """

    def __init__(
        self,
        lr: float = 0.001,
        max_steps: int = 300,
        batch_size: int = 2000,
        early_stop_rounds: int = 50,
        eval_steps: int = 20,
        optimizer: str = "gd",
        loss: str = "mse",
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        weight_decay: float = 0.0,
        scheduler: str | None = "default",
        pt_model_uri: str | Mapping[str, Any] = _NET,
        pt_model_kwargs: Mapping[str, Any] | None = None,
        *,
        lr_decay: float | None = None,
        lr_decay_steps: int = 100,
        metric: str = "loss",
        num_threads: int = 1,
    ) -> None:
        if scheduler not in ("default", None):
            raise ConfigError(
                f"`scheduler` is {scheduler!r}: it is `default` or null",
                hint="`lr_decay` and `lr_decay_steps` lower the learning rate in another way",
            )
        pt_model_kwargs = {"input_dim": 360, "layers": [256]} if pt_model_kwargs is None else pt_model_kwargs
        super().__init__(own_arguments(locals()))

    def plan(self) -> TrainingPlan:
        """Return how the network learns."""
        given = self.params
        steps = check_whole("eval_steps", given["eval_steps"], least=1)
        total = check_whole("max_steps", given["max_steps"], least=1)
        decay = None
        if given["lr_decay"] is not None:
            decay = Decay(
                factor=check_number("lr_decay", given["lr_decay"], above=0.0),
                steps=check_whole("lr_decay_steps", given["lr_decay_steps"], least=1),
            )
        plateau = Plateau(factor=0.5, patience=10, least=1e-5, threshold=1e-4)
        return TrainingPlan(
            rounds=math.ceil(total / steps),
            steps=steps,
            total_steps=total,
            patience=given["early_stop_rounds"],
            weight_decay=given["weight_decay"],
            plateau=plateau if given["scheduler"] == "default" else None,
            decay=decay,
            **self.plan_terms(),
        )

    def network_config(self) -> dict[str, Any]:
        """Return which network learns."""
        return name_network(self.params["pt_model_uri"], self.params["pt_model_kwargs"])
