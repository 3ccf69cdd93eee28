"""The models over windows by the names that Qlib's modules ending with ``_ts`` give them."""

from __future__ import annotations

from rollwright.models.torch.sequences import WindowALSTM as ALSTM  # noqa: N814 - Qlib's name
from rollwright.models.torch.sequences import WindowGRU as GRU  # noqa: N814 - Qlib's name
from rollwright.models.torch.sequences import WindowLSTM as LSTM  # noqa: N814 - Qlib's name
from rollwright.models.torch.sequences import WindowTCN as TCN  # noqa: N814 - Qlib's name
from rollwright.models.torch.sequences import WindowTransformerModel as TransformerModel

__all__ = ["ALSTM", "GRU", "LSTM", "TCN", "TransformerModel"]
