"""PyTorch's settings of a whole process, put as a repeatable computation needs them and put back after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rollwright.core.optional import require

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="torch")

__all__ = ["choose_device", "repeatable"]

_CUBLAS: Final = "CUBLAS_WORKSPACE_CONFIG"
_mutex: Final = threading.RLock()
"""The settings are the process's, so one computation has them at a time."""


@contextmanager
def repeatable(*, threads: int, device: str = "cpu", seed: int | None = None) -> Iterator[None]:
    """Let what is computed in a block depend on nothing that other code of the process has set or drawn.

    Guarantees: random numbers start from `seed` and those of other code go on as if nothing had been drawn; the number
    of threads, the default type, the precision of products and the use of repeatable algorithms are as they were
    before when the block ends.

    Parameters
    ----------
    threads : int
        The last bits of a sum depend on how many share it.
    device : str
    seed : int, optional
        None where nothing is drawn.
    """
    with _mutex:
        before = torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision()
        strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        if device != "cpu":
            os.environ.setdefault(_CUBLAS, ":4096:8")  # without it, cuBLAS refuses to repeat itself
        cards = [] if device == "cpu" else [torch.device(device)]
        try:
            torch.set_num_threads(threads)
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")
            torch.use_deterministic_algorithms(mode=True)
            with torch.random.fork_rng(devices=cards), torch.inference_mode(mode=False), torch.set_grad_enabled(True):
                if seed is not None:
                    torch.manual_seed(seed)
                yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_default_dtype(before[1])
            torch.set_float32_matmul_precision(before[2])
            torch.use_deterministic_algorithms(mode=strict[0], warn_only=strict[1])


def choose_device(wanted: str) -> str:
    """Return `wanted`, or ``cpu`` where this machine has no such device."""
    if wanted == "cpu" or not torch.cuda.is_available():
        return "cpu"
    number = int(wanted.partition(":")[2] or 0)
    return wanted if number < torch.cuda.device_count() else "cpu"
