"""The networks that Qlib's configurations name, in the form that their authors and Qlib give them.

Importing this module imports PyTorch, so that only who builds a network does. Each network that learns from sequences
takes windows ``[samples, sessions, features]``, or rows ``[samples, features × sessions]`` in which all sessions of the
first feature come first, oldest first, as those of Alpha360.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rollwright.core.optional import require
from rollwright.models.torch.training_plan import check_choice, check_number, check_whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = require("torch", extra="torch")
    nn = torch.nn

__all__ = ["ALSTMModel", "GRUModel", "LSTMModel", "Net", "TCNModel", "Transformer"]

_WIDEST: Final = 1 << 16
_DEEPEST: Final = 1 << 10
_SLOPE: Final = 0.1


class Net(nn.Module):
    """A multilayer perceptron; each layer is linear, normalised over the batch, and activated.

    Parameters
    ----------
    input_dim : int
        Number of features.
    output_dim : int
        One score comes of each row, so 1.
    layers : sequence of int
        Width of each hidden layer.
    act : {"LeakyReLU", "SiLU"}
    """

    def __init__(
        self, input_dim: int = 360, output_dim: int = 1, layers: Sequence[int] = (256,), act: str = "LeakyReLU"
    ) -> None:
        super().__init__()
        check_choice("act", act, ("LeakyReLU", "SiLU"))
        check_whole("output_dim", output_dim, least=1, most=1)
        widths = [check_whole("input_dim", input_dim, least=1, most=_WIDEST), *layers]
        check_whole("the number of `layers`", len(widths) - 1, least=0, most=_DEEPEST)
        parts: list[nn.Module] = [nn.Dropout(0.05)]
        for before, width in itertools.pairwise(widths):
            check_whole("a width in `layers`", width, least=1, most=_WIDEST)
            active = nn.LeakyReLU(_SLOPE) if act == "LeakyReLU" else nn.SiLU()
            parts += [nn.Linear(before, width), nn.BatchNorm1d(width), active]
        parts += [nn.Dropout(0.05), nn.Linear(widths[-1], output_dim)]
        for part in parts:
            if isinstance(part, nn.Linear):
                nn.init.kaiming_normal_(part.weight, a=_SLOPE, mode="fan_in", nonlinearity="leaky_relu")
        self.layers = nn.Sequential(*parts)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``[rows, 1]`` of features ``[rows, input_dim]``."""
        found: Tensor = self.layers(features)
        return found


class LSTMModel(nn.Module):
    """Long short-term memory, scored from its last state."""

    def __init__(self, d_feat: int = 6, hidden_size: int = 64, num_layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        _check_sizes(d_feat, hidden_size, num_layers, dropout)
        self.d_feat = d_feat
        self.rnn = nn.LSTM(
            d_feat, hidden_size, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0
        )
        self.fc_out = nn.Linear(hidden_size, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``[samples, 1]``."""
        states, _ = self.rnn(_as_windows(features, self.d_feat))
        found: Tensor = self.fc_out(states[:, -1, :])
        return found


class GRUModel(nn.Module):
    """Gated recurrent units, scored from their last state."""

    def __init__(self, d_feat: int = 6, hidden_size: int = 64, num_layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        _check_sizes(d_feat, hidden_size, num_layers, dropout)
        self.d_feat = d_feat
        self.rnn = nn.GRU(d_feat, hidden_size, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0)
        self.fc_out = nn.Linear(hidden_size, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``[samples, 1]``."""
        states, _ = self.rnn(_as_windows(features, self.d_feat))
        found: Tensor = self.fc_out(states[:, -1, :])
        return found


class ALSTMModel(nn.Module):
    """Recurrent units, scored from their last state and a mean of all states whose weights the network learns."""

    def __init__(
        self,
        d_feat: int = 6,
        hidden_size: int = 64,
        num_layers: int = 2,
        dropout: float = 0.0,
        rnn_type: str = "GRU",
    ) -> None:
        super().__init__()
        _check_sizes(d_feat, hidden_size, num_layers, dropout)
        check_choice("rnn_type", rnn_type.upper() if isinstance(rnn_type, str) else rnn_type, ("GRU", "LSTM"))
        check_whole("hidden_size", hidden_size, least=2, most=_WIDEST)
        kind = nn.GRU if rnn_type.upper() == "GRU" else nn.LSTM
        self.d_feat = d_feat
        self.fc_in = nn.Linear(d_feat, hidden_size)
        self.rnn = kind(
            hidden_size, hidden_size, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0
        )
        self.weigh = nn.Sequential(
            nn.Linear(hidden_size, hidden_size // 2),
            nn.Dropout(dropout),
            nn.Tanh(),
            nn.Linear(hidden_size // 2, 1, bias=False),
        )
        self.fc_out = nn.Linear(2 * hidden_size, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``[samples, 1]``."""
        states, _ = self.rnn(torch.tanh(self.fc_in(_as_windows(features, self.d_feat))))
        share = torch.softmax(self.weigh(states), dim=1)
        found: Tensor = self.fc_out(torch.cat([states[:, -1, :], (states * share).sum(dim=1)], dim=1))
        return found


class TCNModel(nn.Module):
    """A temporal convolutional network: causal convolutions whose reach doubles with each layer, with residuals.

    Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
    Modeling", 2018.

    Parameters
    ----------
    num_input : int
        Features of a session.
    output_size : int
        1.
    num_channels : sequence of int
        Channels of each layer.
    kernel_size : int
        Sessions that a convolution sees.
    dropout : float
    """

    def __init__(
        self,
        num_input: int = 6,
        output_size: int = 1,
        num_channels: Sequence[int] = (128, 128, 128, 128, 128),
        kernel_size: int = 5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_whole("num_input", num_input, least=1, most=_WIDEST)
        check_whole("output_size", output_size, least=1, most=1)
        check_whole("the number of layers", len(num_channels), least=1, most=20)
        check_whole("kernel_size", kernel_size, least=1, most=_DEEPEST)
        check_number("dropout", dropout, below=1.0)
        self.num_input = num_input
        widths = [num_input, *(check_whole("n_chans", width, least=1, most=_WIDEST) for width in num_channels)]
        self.blocks = nn.Sequential(
            *(
                _CausalBlock(before, width, kernel_size, 1 << level, dropout)
                for level, (before, width) in enumerate(itertools.pairwise(widths))
            )
        )
        self.linear = nn.Linear(widths[-1], output_size)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``[samples, 1]``."""
        states = self.blocks(_as_windows(features, self.num_input).transpose(1, 2))
        found: Tensor = self.linear(states[:, :, -1])
        return found


class _CausalBlock(nn.Module):
    """Two convolutions over a session and those before it, added to what came in."""

    def __init__(self, before: int, width: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.first = _causal_convolution(before, width, kernel_size, dilation)
        self.second = _causal_convolution(width, width, kernel_size, dilation)
        self.dropout = nn.Dropout(dropout)
        self.reach = (kernel_size - 1) * dilation
        self.skip = nn.Identity() if before == width else _small(nn.Conv1d(before, width, 1))

    def forward(self, states: Tensor) -> Tensor:
        """Return states ``[samples, width, sessions]``."""
        found = states
        for convolution in (self.first, self.second):
            padded = nn.functional.pad(found, (self.reach, 0))
            found = self.dropout(torch.relu(convolution(padded)))
        return torch.relu(found + self.skip(states))


class Transformer(nn.Module):
    """A Transformer's encoder over the sessions of a sample, scored from its last session.

    Parameters
    ----------
    d_feat : int
        Features of a session.
    d_model : int
        Width; `nhead` divides it.
    nhead, num_layers : int
    dropout : float
    """

    def __init__(
        self, d_feat: int = 6, d_model: int = 8, nhead: int = 4, num_layers: int = 2, dropout: float = 0.5
    ) -> None:
        super().__init__()
        _check_sizes(d_feat, d_model, num_layers, dropout)
        check_whole("nhead", nhead, least=1, most=_DEEPEST)
        check_whole(f"the remainder of `d_model` = {d_model} by `nhead` = {nhead}", d_model % nhead, least=0, most=0)
        self.d_feat = d_feat
        self.feature_layer = nn.Linear(d_feat, d_model)
        layer = nn.TransformerEncoderLayer(d_model=d_model, nhead=nhead, dropout=dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=num_layers, enable_nested_tensor=False)
        self.decoder_layer = nn.Linear(d_model, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``[samples, 1]``."""
        states = self.feature_layer(_as_windows(features, self.d_feat))
        states = self.encoder(states + _positions(states))
        found: Tensor = self.decoder_layer(states[:, -1, :])
        return found


def _positions(states: Tensor) -> Tensor:
    """Return sines and cosines of each session's place, of ever longer waves: ``[sessions, width]``."""
    _, sessions, width = states.shape
    place = torch.arange(sessions, dtype=states.dtype, device=states.device)[:, None]
    pace = torch.exp(
        torch.arange(0, width, 2, dtype=states.dtype, device=states.device) * (-math.log(10_000.0) / width)
    )
    found = torch.empty(sessions, width, dtype=states.dtype, device=states.device)
    found[:, 0::2] = torch.sin(place * pace)
    found[:, 1::2] = torch.cos(place * pace[: width // 2])
    return found


def _causal_convolution(before: int, width: int, kernel_size: int, dilation: int) -> nn.Module:
    convolution = _small(nn.Conv1d(before, width, kernel_size, dilation=dilation))
    normed: nn.Module = nn.utils.parametrizations.weight_norm(convolution)
    return normed


def _small(convolution: nn.Conv1d) -> nn.Conv1d:
    nn.init.normal_(convolution.weight, 0.0, 0.01)
    return convolution


def _as_windows(features: Tensor, width: int) -> Tensor:
    """Return windows ``[samples, sessions, width]``; rows have all sessions of the first feature first."""
    if features.dim() == 3:
        return features
    return features.reshape(len(features), width, -1).transpose(1, 2)


def _check_sizes(d_feat: int, hidden_size: int, num_layers: int, dropout: float) -> None:
    check_whole("d_feat", d_feat, least=1, most=_WIDEST)
    check_whole("the width of the network", hidden_size, least=1, most=_WIDEST)
    check_whole("num_layers", num_layers, least=1, most=_DEEPEST)
    check_number("dropout", dropout, below=1.0)
