"""PyTorch as worker processes share it, imported before they are forked: its compiler too, which optimisers import.

Both take seconds of CPU time. Where libraries have one thread, neither starts another, so that forking is safe; a GPU
is not looked for before a fit.
"""

from __future__ import annotations

import torch._dynamo

__all__ = ["torch"]
