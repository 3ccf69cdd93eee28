"""Any network of the user's own, under the name and with the arguments of Qlib's ``GeneralPTNN``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rollwright.models.torch.network_model import NetworkModel, name_network, own_arguments
from rollwright.models.torch.training_plan import Plateau, TrainingPlan

__all__ = ["GeneralPTNN"]

_GRU: Final = "qlib.contrib.model.pytorch_gru_ts.GRUModel"
_CLIP: Final = 3.0


class GeneralPTNN(NetworkModel):
    """A network given by its class, which learns from rows of a `DatasetH` or from windows of a `TSDatasetH`.

    Its ``forward`` takes ``[samples, features]`` or ``[samples, sessions, features]`` and returns one score per sample.

    Parameters
    ----------
    n_epochs : int
        Times that all samples are taken, at most.
    lr : float
        Halved after six rounds without improvement of ``valid``, to no less than 0.000001.
    metric : {"", "loss", "ic"}
        What of ``valid`` decides which round is kept; ``ic`` is the mean daily correlation of scores and labels.
    batch_size : int
    early_stop : int
        Rounds without improvement after which learning stops.
    loss : {"mse", "binary"}
        ``binary`` is the logistic loss of labels from 0 to 1; the score is the logit.
    weight_decay : float
    optimizer : {"adam", "gd", "sgd"}
    n_jobs : int
        Without effect: batches are gathered in this process.
    GPU : int or str
        Number of the GPU to learn on, where there is one; -1 for the CPU. Scores are always computed on the CPU.
    seed : int, optional
        0 if not given; a trainer gives one when the configuration does not.
    pt_model_uri : str or mapping
        The network's class, a `torch.nn.Module`: ``module.Class``, ``file.py.Class`` of a file beside the
        configuration, or ``{class, module_path}``. A function is refused.
    pt_model_kwargs : mapping, optional
        Its arguments.
    num_threads : int
        Of the linear algebra.

    Raises
    ------
    ConfigError
        When an argument is none that it may be; the network's own are looked at by `fit`.
    """

    def __init__(
        self,
        n_epochs: int = 200,
        lr: float = 0.001,
        metric: str = "",
        batch_size: int = 2000,
        early_stop: int = 20,
        loss: str = "mse",
        weight_decay: float = 0.0,
        optimizer: str = "adam",
        n_jobs: int = 10,
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        pt_model_uri: str | Mapping[str, Any] = _GRU,
        pt_model_kwargs: Mapping[str, Any] | None = None,
        *,
        num_threads: int = 1,
    ) -> None:
        pt_model_kwargs = {} if pt_model_kwargs is None else pt_model_kwargs
        super().__init__(own_arguments(locals()))

    def plan(self) -> TrainingPlan:
        """Return how the network learns."""
        given = self.params
        return TrainingPlan(
            rounds=given["n_epochs"],
            patience=given["early_stop"],
            weight_decay=given["weight_decay"],
            clip=_CLIP,
            plateau=Plateau(factor=0.5, patience=5, least=1e-6, threshold=1e-5),
            **self.plan_terms(),
        )

    def network_config(self) -> dict[str, Any]:
        """Return which network learns."""
        return name_network(self.params["pt_model_uri"], self.params["pt_model_kwargs"])
