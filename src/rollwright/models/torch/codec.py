"""The file of a network: its weights in the safetensors format, which nothing is unpickled from.

The header that the format has for texts of one's own holds the class of the model, its arguments, the names of the
features, the evaluation and a SHA-256 over all of it. Reading checks, in this order,

1. that the header is JSON, of bounded size, and says which model it is;
2. the SHA-256;
3. the model's arguments, as its constructor does;
4. that the network which they describe has weights of just these names, types and shapes: of rollwright's own networks
   before any memory is taken for them;
5. that every weight is finite.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

from rollwright.codecs.registry import Codec, read_artifact
from rollwright.core.bounded_read import LARGE
from rollwright.core.optional import require
from rollwright.errors import (
    ConfigError,
    ConstructError,
    CorruptArtifactError,
    MissingExtraError,
    ModelError,
    UntrustedModuleError,
)
from rollwright.models.state import check_state, dump_state, is_exact_instance, refuse_other_classes
from rollwright.models.torch.network_model import NetworkModel, import_part
from rollwright.models.torch.tensor_file import pack_tensors, unpack_tensors

__all__ = ["MODELS", "NetworkCodec"]

_VERSION: Final = 1
_STATE: Final[dict[str, type | tuple[type, ...]]] = {
    "sha256": str,
    "model": str,
    "params": dict,
    "best_iteration": int,
    "evals_result": dict,
    "feature_names": list,
}
MODELS: Final = (
    "rollwright.models.torch.dnn.DNNModelPytorch",
    "rollwright.models.torch.general.GeneralPTNN",
    *(
        f"rollwright.models.torch.sequences.{before}{name}"
        for name in ("ALSTM", "GRU", "LSTM", "TCN", "TransformerModel")
        for before in ("", "Window")
    ),
)
"""The classes of models that a file may hold."""


class NetworkCodec(Codec):
    """Stores a fitted network: weights and header; ``safetensors`` alone opens the weights too.

    Guarantees: a model that was read predicts the same bytes as the one written; writing it again gives the same file;
    a network of the user's own is built only if a configuration might name its class.
    """

    kind = "network"
    suffix = ".safetensors"

    def accepts(self, obj: Any) -> bool:
        """Whether reading the file would bring back all of `obj`."""
        return _name_of(obj) in MODELS and is_exact_instance(obj, type(obj), type(obj)())

    def check(self, obj: Any) -> None:
        """Build the network of `obj` before it learns, so that what is wrong with it is told then.

        Raises
        ------
        ConfigError, ModelError, UnsupportedArtifactError, MissingExtraError
        """
        require("safetensors", extra="torch")
        _weights().as_arrays(obj.build_network())
        dump_state(obj.params)

    def write(self, obj: Any, path: Path) -> None:
        """Write the fitted model `obj` to `path`.

        Raises
        ------
        ModelError
            When it is not fitted.
        UnsupportedArtifactError
            When it is of a derived class or has attributes of its own, or a weight has a type that NumPy lacks.
        TaskValueError
            When one of its arguments has no JSON form.
        """
        refuse_other_classes(obj, type(obj), type(obj)())
        if obj.model is None:
            raise ModelError("the model is not fitted", hint="call fit(dataset) first")
        state = {"version": _VERSION, "model": _name_of(obj), **obj.state()}
        path.write_bytes(pack_tensors(_weights().as_arrays(obj.model), state))

    def read(self, path: Path) -> NetworkModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When it is not what `write` makes.
        UntrustedModuleError, ConstructError
            When its network is of a class that a configuration could not name here.
        MissingExtraError
            When PyTorch is not installed.
        """
        name = path.name
        arrays, state = unpack_tensors(read_artifact(path, limit=LARGE), name=name)
        check_state(state, _STATE, name=name, version=_VERSION)
        if state["model"] not in MODELS:
            raise CorruptArtifactError(f"{name} holds a model `{state['model'][:100]}`, which is no network's")
        module, _, kind = state["model"].rpartition(".")
        try:
            model: NetworkModel = getattr(importlib.import_module(module), kind)(**state["params"])
            model.restore(state, _weights().fill_network(model, arrays))
        except (ConstructError, MissingExtraError, UntrustedModuleError):  # nothing is wrong with the file
            raise
        except (ConfigError, ModelError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptArtifactError(f"{name}: {error}") from error
        return model


def _name_of(obj: Any) -> str:
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def _weights() -> Any:
    return import_part("weights")
