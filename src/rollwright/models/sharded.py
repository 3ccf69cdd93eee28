"""What the shards of a task learnt apart, as one model."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pandas as pd

from rollwright.codecs.registry import Codec, codecs, read_artifact
from rollwright.core.bounded_read import LARGE
from rollwright.core.canonical import sha256_hex
from rollwright.dataset.contract import TaskDataset
from rollwright.dataset.instrument_part import InstrumentPart
from rollwright.errors import CorruptArtifactError, ModelError
from rollwright.models.base import Model
from rollwright.models.folds import ModelDataset, SampleWeighter
from rollwright.models.scores import check_scores
from rollwright.models.state import Kinds, check_state, dump_state, is_exact_instance, parse_state, refuse_other_classes

__all__ = ["ShardedModel", "ShardedModelCodec", "average_scores", "join_scores"]

_VERSION: Final = 1
_STATE: Final[Kinds] = {"version": int, "members": list, "parts": (list, type(None))}
_MEMBER: Final[Kinds] = {"version": int, "kind": str, "file": str}


class ShardedModel(Model):
    """Several fitted models that score together.

    Parameters
    ----------
    models : sequence of Model
        In the order of the shards.
    parts : sequence of mapping, optional
        Which instruments each scores, as `InstrumentPart` takes them. Without, each scores all and the score is their
        mean.

    Guarantees: the scores are, bit for bit, those that the shards gave, joined by `average_scores` or `join_scores`.
    """

    def __init__(self, models: Sequence[Any] = (), parts: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.models = tuple(models)
        self.parts = None if parts is None else tuple(dict(part) for part in parts)

    def fit(self, dataset: ModelDataset, reweighter: SampleWeighter | None = None) -> None:
        """Refuse: each of its models has learnt in a task of its own.

        Raises
        ------
        ModelError
        """
        del dataset, reweighter
        raise ModelError("a model of shards does not learn", hint="train the task that has the `shards`")

    def predict(self, dataset: ModelDataset, segment: str = "test") -> pd.DataFrame:
        """Return one score per row of `segment`."""
        if not self.models:
            raise ModelError("this model of shards has none", hint="train the task that has the `shards`")
        expected = dataset.inference_index(segment)
        if self.parts is None:
            return average_scores(
                [check_scores(model.predict(dataset, segment), expected, model=model) for model in self.models]
            )
        found = []
        for model, part in zip(self.models, self.parts, strict=True):
            own = InstrumentPart(cast("TaskDataset", dataset), part)
            rows = own.inference_index(segment)
            if len(rows):
                found.append(check_scores(model.predict(own, segment), rows, model=model))
        return join_scores(found, expected)


def average_scores(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean of the scores of frames that have the same rows: added in order in float64, then divided.

    Raises
    ------
    ModelError
        When one has other rows than the first.
    """
    index = frames[0].index
    total = np.zeros(len(index), dtype=np.float64)
    for place, frame in enumerate(frames):
        if not frame.index.equals(index):
            raise ModelError(f"shard {place + 1} scored other rows than shard 1: {len(frame)}, not {len(index)}")
        total += frame["score"].to_numpy(dtype=np.float64)
    return pd.DataFrame({"score": total / len(frames)}, index=index)


def join_scores(frames: Sequence[pd.DataFrame], expected: pd.MultiIndex) -> pd.DataFrame:
    """Return the rows of all frames in the order of `expected`.

    Raises
    ------
    ModelError
        When a row is there twice, is missing or was not expected.
    """
    joined = pd.concat(frames) if frames else pd.DataFrame({"score": np.zeros(0)}, index=expected[:0])
    places = expected.get_indexer(joined.index)
    if len(joined) != len(expected) or (places < 0).any() or len(np.unique(places)) != len(places):
        raise ModelError(f"the shards scored {len(joined)} rows, and {len(expected)} were to be scored, each once")
    return joined.iloc[np.argsort(places, kind="stable")].set_axis(expected, axis=0)


class ShardedModelCodec(Codec):
    """Stores a `ShardedModel`: a line with a checksum, and one of JSON with the file of each of its models in it.

    Guarantees: each model is stored as it would be alone, and read by the same checks; one that only the signed
    envelope holds is signed for this very place.
    """

    kind = "sharded"
    suffix = ".json"

    def accepts(self, obj: Any) -> bool:
        """Tell whether the file holds all of `obj`."""
        return is_exact_instance(obj, ShardedModel, ShardedModel())

    def check(self, obj: Any) -> None:
        """Refuse now what one of the models could not be stored for."""
        for model in obj.models:
            codecs.check(model)

    def write(self, obj: Any, path: Path) -> None:
        """Write `obj` to `path`."""
        self.write_as("", obj, path)

    def read(self, path: Path) -> ShardedModel:
        """Return the model in `path`."""
        return self.read_as("", path)

    def write_as(self, name: str, obj: Any, path: Path) -> None:
        """Write `obj` to the new file `path`; `name` is signed with what needs a signature."""
        refuse_other_classes(obj, ShardedModel, ShardedModel())
        with tempfile.TemporaryDirectory(prefix="rollwright-") as folder:
            members = [
                _dump_member(model, _member_name(name, place), Path(folder) / str(place))
                for place, model in enumerate(obj.models)
            ]
        parts = None if obj.parts is None else [dict(part) for part in obj.parts]
        body = dump_state({"version": _VERSION, "members": members, "parts": parts}).encode()
        head = dump_state({"version": _VERSION, "sha256": sha256_hex(body)})
        path.write_bytes(head.encode() + b"\n" + body + b"\n")

    def read_as(self, name: str, path: Path) -> ShardedModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When it is not what `write_as` makes.
        """
        head, _, body = read_artifact(path, limit=LARGE).partition(b"\n")
        first = parse_state(head, name=f"the first line of {path.name}")
        wanted = check_state(first, {"sha256": str}, name=path.name, version=_VERSION)["sha256"]
        if not body.endswith(b"\n") or wanted != sha256_hex(body[:-1]):
            raise CorruptArtifactError(f"the models in {path.name} are not those written: their sha256 differs")
        state = check_state(parse_state(body, name=path.name), _STATE, name=path.name, version=_VERSION)
        parts, members = state["parts"], state["members"]
        if parts is not None and (len(parts) != len(members) or not all(_is_part(part) for part in parts)):
            raise CorruptArtifactError(f"{path.name} does not say which instruments each of its models scores")
        with tempfile.TemporaryDirectory(prefix="rollwright-") as folder:
            models = [
                _load_member(member, _member_name(name, place), Path(folder) / str(place))
                for place, member in enumerate(members)
            ]
        return ShardedModel(models, parts)


def _member_name(name: str, place: int) -> str:
    return f"{name}#shard{place}"


def _dump_member(model: Any, name: str, path: Path) -> dict[str, Any]:
    codec = codecs.for_object(model)
    codec.write_as(name, model, path)
    file = base64.b64encode(read_artifact(path, limit=LARGE)).decode("ascii")
    return {"version": _VERSION, "kind": codec.kind, "file": file}


def _load_member(content: object, name: str, path: Path) -> Any:
    member = check_state(content, _MEMBER, name="a model of a shard", version=_VERSION)
    try:
        path.write_bytes(base64.b64decode(member["file"], validate=True))
    except (binascii.Error, ValueError) as error:
        raise CorruptArtifactError(f"a model of a shard is not written in base64: {error}") from error
    return codecs.for_kind(member["kind"]).read_as(name, path)


def _is_part(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    if isinstance(part.get("groups"), dict):
        return part.get("group") in part["groups"] and all(isinstance(one, list) for one in part["groups"].values())
    number, count = part.get("number"), part.get("count")
    return type(number) is int and type(count) is int and 0 <= number < count
