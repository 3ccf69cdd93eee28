"""The weights of a network as arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rollwright.core.optional import require
from rollwright.errors import ModelError, UnsupportedArtifactError
from rollwright.models.torch.network_model import NetworkModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = require("torch", extra="torch")

__all__ = ["as_arrays", "as_tensor", "compare_weights", "fill_network"]


def as_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the weights of `network` by their names.

    Raises
    ------
    UnsupportedArtifactError
        When one has a type that NumPy lacks, or is shared under two names.
    """
    found = {}
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            raise UnsupportedArtifactError(f"the state `{name}` of {type(network).__name__} is no tensor")
        try:
            found[name] = tensor.detach().cpu().contiguous().numpy()
        except TypeError as error:
            raise UnsupportedArtifactError(
                f"the weight `{name}` of {type(network).__name__} is {tensor.dtype}, which cannot be stored",
                hint="keep weights as float32",
            ) from error
    return found


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Return a copy of an array in memory of PyTorch's own, whose alignment is always the same."""
    return torch.from_numpy(np.array(array)).clone()


def fill_network(model: NetworkModel, arrays: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Return the network that the arguments of `model` describe, with the weights `arrays`.

    Of rollwright's own networks the shapes are compared before memory is taken for the weights.

    Raises
    ------
    ModelError
        When names, types or shapes are others, or a weight is not finite.
    ConfigError
        When the network's class or its arguments are refused.
    """
    with torch.device("meta"):
        shapes = model.build_network() if model.network_is_ours() else None
    if shapes is not None:
        compare_weights(shapes, arrays)
    network: nn.Module = model.build_network()
    compare_weights(network, arrays)
    network.load_state_dict({name: as_tensor(array) for name, array in arrays.items()})
    network.eval()
    return network


def compare_weights(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse arrays that `network` cannot have as its weights.

    Raises
    ------
    ModelError
        When names, types or shapes are others, or one is not finite.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelError(f"the weight `{name}` is not finite")
    wanted = {
        name: (str(item.dtype).removeprefix("torch."), tuple(item.shape)) for name, item in network.state_dict().items()
    }
    found = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    if wanted != found:
        differing = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
        first = differing[0]
        raise ModelError(
            f"{len(differing)} weights are not those of the network; `{first}` is {found.get(first)} "
            f"and the network has {wanted.get(first)}"
        )
