"""The file of a linear model: JSON with its coefficients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from rollwright.codecs.registry import Codec, read_artifact
from rollwright.core.bounded_read import MEDIUM
from rollwright.core.canonical import sha256_hex
from rollwright.core.json_lines import dump_lines
from rollwright.errors import ConfigError, CorruptArtifactError
from rollwright.models.linear import LinearModel
from rollwright.models.state import check_state, is_exact_instance, parse_state, refuse_other_classes

__all__ = ["LinearCodec"]

_VERSION: Final = 1
_STATE: Final[dict[str, type | tuple[type, ...]]] = {
    "sha256": str,
    "estimator": str,
    "alpha": float,
    "fit_intercept": bool,
    "include_valid": bool,
    "intercept": float,
    "coefficients": list,
    "feature_names": list,
}


class LinearCodec(Codec):
    """Stores a `LinearModel` as JSON: its parameters, the names of the features, their coefficients and a checksum.

    Guarantees: every number is written so that it reads back to the same bits; a model that was read predicts the same
    bytes as the one written; writing it again gives the same file.
    """

    kind = "linear"
    suffix = ".json"

    def accepts(self, obj: Any) -> bool:
        """Whether reading the file would bring back all of `obj`."""
        return is_exact_instance(obj, LinearModel, LinearModel())

    def write(self, obj: Any, path: Path) -> None:
        """Write the fitted model `obj` to `path`.

        Raises
        ------
        ModelError
            When it is not fitted.
        UnsupportedArtifactError
            When it is of a derived class or has attributes of its own, which reading could not bring back.
        """
        refuse_other_classes(obj, LinearModel, LinearModel())
        state = {
            "version": _VERSION,
            "estimator": obj.estimator,
            "alpha": obj.alpha,
            "fit_intercept": obj.fit_intercept,
            "include_valid": obj.include_valid,
            "intercept": obj.intercept_,
            "coefficients": obj._require_fitted().tolist(),  # noqa: SLF001 - model and codec are two halves of one thing
            "feature_names": list(obj.feature_names_),
        }
        path.write_text(dump_lines({**state, "sha256": _checksum(state)}), encoding="utf-8")

    def read(self, path: Path) -> LinearModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When the file is not what `write` makes.
        """
        state = check_state(
            parse_state(read_artifact(path, limit=MEDIUM), name=path.name), _STATE, name=path.name, version=_VERSION
        )
        if state.pop("sha256") != _checksum(state):
            raise CorruptArtifactError(
                f"the numbers in {path.name} are not those that were written: their sha256 differs"
            )
        numbers = state["coefficients"]
        if len(numbers) != len(state["feature_names"]):
            raise CorruptArtifactError(
                f"{path.name} has {len(numbers)} coefficients for {len(state['feature_names'])} features"
            )
        if not all(isinstance(number, float) for number in numbers):
            raise CorruptArtifactError(f"{path.name} has coefficients that are not numbers")
        coefficients = np.array(numbers, dtype=np.float64)
        if not np.isfinite(coefficients).all():
            raise CorruptArtifactError(f"{path.name} has coefficients that are not finite")
        try:
            model = LinearModel(state["estimator"], state["alpha"], state["fit_intercept"], state["include_valid"])
        except (ConfigError, TypeError) as error:
            raise CorruptArtifactError(f"{path.name}: {error}") from error
        model.coef_, model.intercept_ = coefficients, float(state["intercept"])
        model.feature_names_ = tuple(state["feature_names"])
        return model


def _checksum(state: Mapping[str, Any]) -> str:
    return sha256_hex(json.dumps(state, sort_keys=True).encode())
