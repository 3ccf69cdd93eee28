"""The file of a `DEnsembleModel`: JSON with the file of each of its LightGBM models in it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rollwright.codecs.registry import Codec, read_artifact
from rollwright.core.bounded_read import LARGE
from rollwright.core.canonical import sha256_hex
from rollwright.errors import ConfigError, CorruptArtifactError, ModelError
from rollwright.models.double_ensemble import DEnsembleModel, SubModel
from rollwright.models.lightgbm import LGBModel, LightGBMTextCodec
from rollwright.models.state import Kinds, check_state, dump_state, is_exact_instance, parse_state, refuse_other_classes

__all__ = ["DoubleEnsembleCodec"]

_VERSION: Final = 1
_ARGUMENTS: Final[dict[str, type | tuple[type, ...]]] = {
    "base_model": str,
    "loss": str,
    "num_models": int,
    "enable_sr": bool,
    "enable_fs": bool,
    "alpha1": float,
    "alpha2": float,
    "bins_sr": int,
    "bins_fs": int,
    "decay": float,
    "sample_ratios": list,
    "sub_weights": list,
    "epochs": int,
    "early_stopping_rounds": (int, type(None)),
}
_STATE: Final[Kinds] = {**_ARGUMENTS, "params": dict, "feature_names": list, "members": list}
_MEMBER: Final[Kinds] = {"columns": list, "file": str}


class DoubleEnsembleCodec(Codec):
    """Stores a `DEnsembleModel`: a line with a checksum, and one of JSON.

    The JSON holds the arguments, the names of the features and, for each sub-model, which of them it has and the file
    that `LightGBMTextCodec` would write.

    Guarantees: a model that was read predicts the same bytes as the one written; writing it again gives the same file;
    LightGBM's parser sees nothing that was not checked before.
    """

    kind = "double_ensemble"
    suffix = ".json"

    def accepts(self, obj: Any) -> bool:
        """Tell whether the file holds all of `obj`; it cannot for a derived class or an object with more attributes."""
        return is_exact_instance(obj, DEnsembleModel, DEnsembleModel())

    def write(self, obj: Any, path: Path) -> None:
        """Write the fitted model `obj` to `path`.

        Raises
        ------
        ModelError
            When it is not fitted.
        UnsupportedArtifactError
            When it is of a derived class or has attributes of its own, which reading could not bring back, or when
            `read` would refuse its trees.
        TaskValueError
            When one of its parameters has no JSON form.
        """
        refuse_other_classes(obj, DEnsembleModel, DEnsembleModel())
        if obj.model is None:
            raise ModelError("the model is not fitted", hint="call fit(dataset) first")
        trees = LightGBMTextCodec()
        body = dump_state(
            {
                "version": _VERSION,
                **{name: getattr(obj, name) for name in _ARGUMENTS},
                "params": dict(obj.params),
                "feature_names": list(obj.feature_names_),
                "members": [
                    {
                        "version": _VERSION,
                        "columns": list(member.columns),
                        "file": trees.dump(member.trees).decode(),
                    }
                    for member in obj.model
                ],
            }
        ).encode()
        head = dump_state({"version": _VERSION, "sha256": sha256_hex(body)})
        path.write_bytes(head.encode() + b"\n" + body + b"\n")

    def read(self, path: Path) -> DEnsembleModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When it is not what `write` makes.
        """
        head, _, body = read_artifact(path, limit=LARGE).partition(b"\n")
        first = parse_state(head, name=f"the first line of {path.name}")
        wanted = check_state(first, {"sha256": str}, name=path.name, version=_VERSION)["sha256"]
        if not body.endswith(b"\n") or wanted != sha256_hex(body[:-1]):
            raise CorruptArtifactError(
                f"the trees in {path.name} are not those that were written: their sha256 differs"
            )
        state = check_state(parse_state(body, name=path.name), _STATE, name=path.name, version=_VERSION)
        try:
            model = DEnsembleModel(**{name: state[name] for name in _ARGUMENTS})
            LGBModel.check_given(state["params"])
        except (ConfigError, TypeError) as error:
            raise CorruptArtifactError(f"{path.name}: {error}") from error
        names = state["feature_names"]
        members = state["members"]
        if len(members) != model.num_models:
            raise CorruptArtifactError(f"{path.name} has {len(members)} sub-models, and says {model.num_models}")
        model.params = dict(state["params"])
        model.model = tuple(
            _read_member(member, names, name=f"sub-model {number} in {path.name}")
            for number, member in enumerate(members, 1)
        )
        model.feature_names_ = tuple(names)
        return model


def _read_member(content: object, names: Sequence[str], *, name: str) -> SubModel:
    """Return one sub-model; the features of its trees are those that its columns name."""
    member: Mapping[str, Any] = check_state(content, _MEMBER, name=name, version=_VERSION)
    columns = member["columns"]
    are_places = all(isinstance(place, int) and not isinstance(place, bool) for place in columns)
    rising = are_places and all(one < other for one, other in itertools.pairwise(columns))
    if not columns or not rising or columns[0] < 0 or columns[-1] >= len(names):
        raise CorruptArtifactError(f"{name} does not say which of {len(names)} features it has")
    trees: LGBModel = LightGBMTextCodec().parse(member["file"].encode(), name=name)
    if list(trees.feature_names_) != [names[place] for place in columns]:
        raise CorruptArtifactError(f"{name} has other features than its columns say")
    return SubModel(columns=tuple(columns), trees=trees)
