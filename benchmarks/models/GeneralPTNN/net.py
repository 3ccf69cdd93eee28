"""A network of one's own, for `GeneralPTNN`: a linear score, and a gated layer that corrects it."""

from __future__ import annotations

import torch
from torch import nn


class GatedNet(nn.Module):
    """Scores rows of features.

    Parameters
    ----------
    inputs : int
        Features of a row.
    hidden : int
        Width of the gated layer.
    """

    def __init__(self, inputs: int = 158, hidden: int = 32) -> None:
        super().__init__()
        self.direct = nn.Linear(inputs, 1)
        self.gate = nn.Linear(inputs, hidden)
        self.value = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.out.weight)  # it begins as the linear model

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return one score for each row of ``[samples, features]``."""
        gated = torch.sigmoid(self.gate(rows)) * torch.tanh(self.value(rows))
        return (self.direct(rows) + self.out(gated)).squeeze(-1)
