"""Networks that learn from sequences, under Qlib's names and with its arguments.

Those of Qlib's plain modules learn from sequences written as rows, as Alpha360's: all sessions of the first feature,
oldest first, then those of the second, ``d_feat × sessions`` columns. Those called ``Window…`` here learn from windows
of a `TSDatasetH`; a configuration names them as Qlib's modules that end with ``_ts`` do, by the names of the others.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Final

from rollwright.models.torch.network_model import NETWORKS, NetworkModel, own_arguments
from rollwright.models.torch.training_plan import TrainingPlan, check_whole

__all__ = [
    "ALSTM",
    "GRU",
    "LSTM",
    "TCN",
    "SequenceModel",
    "TransformerModel",
    "WindowALSTM",
    "WindowGRU",
    "WindowLSTM",
    "WindowTCN",
    "WindowTransformerModel",
]

_CLIP: Final = 3.0
_DEEPEST: Final = 1 << 10


class SequenceModel(NetworkModel):
    """Base class: a network whose class is `network`, and whose arguments are among those of the model.

    Parameters that all of them have
    --------------------------------
    d_feat : int
        Features of a session.
    n_epochs : int
        Times that all samples are taken, at most.
    lr : float
    metric : {"", "loss", "ic"}
        What of ``valid`` decides which round is kept; ``ic`` is the mean daily correlation of scores and labels.
    batch_size : int
    early_stop : int
        Rounds without improvement after which learning stops.
    loss : {"mse", "binary"}
    optimizer : {"adam", "gd", "sgd"}
    n_jobs : int
        Without effect: batches are gathered in this process.
    GPU : int or str
        Number of the GPU to learn on, where there is one; -1 for the CPU. Scores are always computed on the CPU.
    seed : int, optional
        0 if not given; a trainer gives one when the configuration does not.
    num_threads : int
        Of the linear algebra.
    """

    windowed = False
    network: ClassVar[str]

    @abstractmethod
    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of the network."""

    def network_config(self) -> dict[str, Any]:
        """Return which network learns."""
        return {"class": self.network, "module_path": NETWORKS, "kwargs": self.network_arguments()}

    def plan(self) -> TrainingPlan:
        """Return how the network learns."""
        given = self.params
        return TrainingPlan(
            rounds=given["n_epochs"],
            patience=given["early_stop"],
            weight_decay=given.get("reg", 0.0),
            clip=_CLIP,
            **self.plan_terms(),
        )


class _RecurrentModel(SequenceModel):
    """Base class of the recurrent networks, which take the same arguments."""

    def __init__(
        self,
        d_feat: int = 6,
        hidden_size: int = 64,
        num_layers: int = 2,
        dropout: float = 0.0,
        n_epochs: int = 200,
        lr: float = 0.001,
        metric: str = "",
        batch_size: int = 2000,
        early_stop: int = 20,
        loss: str = "mse",
        optimizer: str = "adam",
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        *,
        n_jobs: int = 10,
        num_threads: int = 1,
    ) -> None:
        super().__init__(own_arguments(locals()))

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of the network."""
        return {name: self.params[name] for name in ("d_feat", "hidden_size", "num_layers", "dropout")}


class LSTM(_RecurrentModel):
    """Long short-term memory (`SequenceModel` tells the other parameters).

    Parameters
    ----------
    hidden_size : int
        Width of the states.
    num_layers : int
    dropout : float
        Between layers.
    """

    network = "LSTMModel"


class GRU(_RecurrentModel):
    """Gated recurrent units; parameters as `LSTM`."""

    network = "GRUModel"


class ALSTM(SequenceModel):
    """Recurrent units whose states are weighed by what the network learns of them; parameters as `LSTM`, and one more.

    Parameters
    ----------
    rnn_type : {"GRU", "LSTM"}
    """

    network = "ALSTMModel"

    def __init__(
        self,
        d_feat: int = 6,
        hidden_size: int = 64,
        num_layers: int = 2,
        dropout: float = 0.0,
        n_epochs: int = 200,
        lr: float = 0.001,
        metric: str = "",
        batch_size: int = 2000,
        early_stop: int = 20,
        loss: str = "mse",
        optimizer: str = "adam",
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        *,
        rnn_type: str = "GRU",
        n_jobs: int = 10,
        num_threads: int = 1,
    ) -> None:
        super().__init__(own_arguments(locals()))

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of the network."""
        return {name: self.params[name] for name in ("d_feat", "hidden_size", "num_layers", "dropout", "rnn_type")}


class TCN(SequenceModel):
    """A temporal convolutional network (`SequenceModel` tells the other parameters).

    Parameters
    ----------
    n_chans : int
        Channels of each layer.
    kernel_size : int
        Sessions that a convolution sees.
    num_layers : int
        Each doubles how far the network looks back.
    dropout : float
    """

    network = "TCNModel"

    def __init__(
        self,
        d_feat: int = 6,
        n_chans: int = 128,
        kernel_size: int = 5,
        num_layers: int = 5,
        dropout: float = 0.5,
        n_epochs: int = 200,
        lr: float = 0.0001,
        metric: str = "",
        batch_size: int = 2000,
        early_stop: int = 20,
        loss: str = "mse",
        optimizer: str = "adam",
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        *,
        n_jobs: int = 10,
        num_threads: int = 1,
    ) -> None:
        super().__init__(own_arguments(locals()))

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of the network."""
        given = self.params
        layers = check_whole("num_layers", given["num_layers"], least=1, most=_DEEPEST)
        return {
            "num_input": given["d_feat"],
            "output_size": 1,
            "num_channels": [given["n_chans"]] * layers,
            "kernel_size": given["kernel_size"],
            "dropout": given["dropout"],
        }


class TransformerModel(SequenceModel):
    """A Transformer's encoder (`SequenceModel` tells the other parameters).

    Parameters
    ----------
    d_model : int
        Width; `nhead` divides it.
    nhead, num_layers : int
    dropout : float
    reg : float
        Weight decay.
    """

    network = "Transformer"

    def __init__(
        self,
        d_feat: int = 20,
        d_model: int = 64,
        batch_size: int = 2048,
        nhead: int = 2,
        num_layers: int = 2,
        dropout: float = 0,
        n_epochs: int = 100,
        lr: float = 0.0001,
        metric: str = "",
        early_stop: int = 5,
        loss: str = "mse",
        optimizer: str = "adam",
        reg: float = 1e-3,
        n_jobs: int = 10,
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        *,
        num_threads: int = 1,
    ) -> None:
        super().__init__(own_arguments(locals()))

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of the network."""
        return {name: self.params[name] for name in ("d_feat", "d_model", "nhead", "num_layers", "dropout")}


class WindowLSTM(LSTM):
    """`LSTM` over windows."""

    windowed = True


class WindowGRU(GRU):
    """`GRU` over windows."""

    windowed = True


class WindowALSTM(ALSTM):
    """`ALSTM` over windows."""

    windowed = True


class WindowTCN(TCN):
    """`TCN` over windows; some defaults differ, as in Qlib."""

    windowed = True

    def __init__(
        self,
        d_feat: int = 6,
        n_chans: int = 128,
        kernel_size: int = 5,
        num_layers: int = 2,
        dropout: float = 0.0,
        n_epochs: int = 200,
        lr: float = 0.001,
        metric: str = "",
        batch_size: int = 2000,
        early_stop: int = 20,
        loss: str = "mse",
        optimizer: str = "adam",
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        *,
        n_jobs: int = 10,
        num_threads: int = 1,
    ) -> None:
        super().__init__(**own_arguments(locals()))


class WindowTransformerModel(TransformerModel):
    """`TransformerModel` over windows, in larger batches."""

    windowed = True

    def __init__(
        self,
        d_feat: int = 20,
        d_model: int = 64,
        batch_size: int = 8192,
        nhead: int = 2,
        num_layers: int = 2,
        dropout: float = 0,
        n_epochs: int = 100,
        lr: float = 0.0001,
        metric: str = "",
        early_stop: int = 5,
        loss: str = "mse",
        optimizer: str = "adam",
        reg: float = 1e-3,
        n_jobs: int = 10,
        GPU: int | str = 0,  # noqa: N803 - Qlib's name
        seed: int | None = None,
        *,
        num_threads: int = 1,
    ) -> None:
        super().__init__(**own_arguments(locals()))
