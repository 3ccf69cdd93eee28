"""Codecs by kind: how an object becomes a file and comes back; without pickle wherever a format exists.

One registry holds them all. A built-in codec is found by the qualified names of an object's classes, so that finding
one imports nothing; the module that can write the kind is imported only when it is used. References work the same way:
they turn an object that lives elsewhere (a recorder) into a small JSON value, which is all a task pool stores.
What no other codec takes goes into the signed envelope, the one kind that is unpickled, after its signature.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from rollwright.core.ids import JSON, normalise, parse_json
from rollwright.errors import CorruptArtifactError, TaskValueError, UnsupportedArtifactError

__all__ = [
    "Codec",
    "CodecRegistry",
    "JsonCodec",
    "Reference",
    "codecs",
    "from_reference",
    "keep",
    "read_object",
    "refers",
    "to_reference",
    "write_object",
]


class Codec(Protocol):
    """Writes one kind of object to a file and reads it back.

    Guarantees, of all but the envelope: `read(write(obj))` equals `obj`; equal objects give equal bytes; reading
    executes nothing. A codec may further have ``accepts(obj) -> bool``, to leave some objects of its classes to the
    next codec; ``check(obj)``, which raises when `write` would; and ``named = True``, when its `write` and `read` take
    the keyword `name`, what the object is called where it is kept.
    """

    kind: str
    suffix: str

    def write(self, obj: Any, path: Path) -> None:
        """Write `obj` to the new file `path`."""
        ...

    def read(self, path: Path) -> Any:
        """Return the object in the file `path`."""
        ...


class JsonCodec:
    """Anything with a JSON form: numbers, text, lists, dictionaries with text keys."""

    kind = "json"
    suffix = ".json"

    def write(self, obj: Any, path: Path) -> None:
        """Write `obj` as JSON."""
        text = json.dumps(normalise(obj), indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")

    def accepts(self, obj: Any) -> bool:
        """Tell whether `obj` has a JSON form that is all of it: a class of one's own would come back without itself."""
        if type(obj).__module__ not in ("builtins", "numpy"):
            return False
        try:
            normalise(obj)
        except TaskValueError:
            return False
        return True

    def read(self, path: Path) -> JSON:
        """Return the JSON value in `path`.

        Raises
        ------
        CorruptArtifactError
            When it holds none.
        """
        try:
            return parse_json(path.read_text(encoding="utf-8"))
        except (TaskValueError, UnicodeDecodeError) as error:
            raise CorruptArtifactError(f"{path} holds no JSON value: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    kind: str
    types: tuple[str, ...]
    target: str  # "module:Class" of a codec, imported at first use


_BUILTIN: Final[tuple[_Entry, ...]] = (
    _Entry(
        kind="parquet",
        types=("pandas.DataFrame", "pandas.Series", "pandas.core.frame.DataFrame", "pandas.core.series.Series"),
        target="rollwright.record.codecs:ParquetCodec",
    ),
    _Entry(kind="npy", types=("numpy.ndarray",), target="rollwright.record.codecs:NpyCodec"),
    _Entry(
        kind="lightgbm",
        types=("rollwright.model.lightgbm.LGBModel",),
        target="rollwright.model.lightgbm:LightGBMTextCodec",
    ),
    _Entry(
        kind="linear",
        types=("rollwright.model.linear.LinearModel",),
        target="rollwright.model.linear_codec:LinearCodec",
    ),
    _Entry(
        kind="xgboost",
        types=("rollwright.model.xgboost.XGBModel",),
        target="rollwright.model.xgboost:XGBoostJsonCodec",
    ),
    _Entry(
        kind="catboost",
        types=("rollwright.model.catboost.CatBoostModel",),
        target="rollwright.model.catboost:CatBoostJsonCodec",
    ),
    _Entry(
        kind="skops",
        types=("rollwright.model.sklearn.SklearnModel",),
        target="rollwright.model.sklearn_codec:SkopsCodec",
    ),
    _Entry(kind="dataset", types=("rollwright.data.dataset.DatasetH",), target="rollwright.data.codecs:DatasetCodec"),
    _Entry(
        kind="json",
        types=(
            "builtins.dict",
            "builtins.list",
            "builtins.tuple",
            "builtins.str",
            "builtins.int",
            "builtins.float",
            "builtins.bool",
            "builtins.NoneType",
        ),
        target="rollwright.core.serial:JsonCodec",
    ),
    _Entry(kind="envelope", types=(), target="rollwright.core.envelope_codec:EnvelopeCodec"),
)


class CodecRegistry:
    """The codecs by kind; those registered later are asked first.

    Parameters
    ----------
    last : str, optional
        The kind that takes what no other codec takes.
    """

    def __init__(self, entries: Sequence[_Entry] = (), *, last: str | None = None) -> None:
        self._entries = list(entries)
        self._last = last
        self._loaded: dict[str, Codec] = {}

    def register(self, codec: Codec, *, types: Sequence[str]) -> None:
        """Add `codec` for objects of the classes with these qualified names, or of their subclasses.

        It takes the place of a codec of the same kind, and is asked before all others.
        """
        self._entries = [entry for entry in self._entries if entry.kind != codec.kind]
        self._entries.insert(0, _Entry(kind=codec.kind, types=tuple(types), target=""))
        self._loaded[codec.kind] = codec

    def kinds(self) -> list[str]:
        """Return the registered kinds."""
        return [entry.kind for entry in self._entries]

    def for_object(self, obj: object) -> Codec:
        """Return the codec for `obj`, by the most derived of its classes that has one which accepts it.

        Raises
        ------
        UnsupportedArtifactError
            When there is none.
        """
        for cls in type(obj).__mro__:
            name = f"{cls.__module__}.{cls.__qualname__}"
            for entry in self._entries:
                if name in entry.types:
                    codec = self._codec(entry)
                    if getattr(codec, "accepts", _anything)(obj):
                        return codec
        if self._last is not None:
            return self.for_kind(self._last)
        raise UnsupportedArtifactError(
            f"no codec can store {type(obj).__module__}.{type(obj).__qualname__}",
            hint="store a DataFrame, a Series, an array, a JSON value or a model, or register a codec for it",
        )

    def check(self, obj: object) -> None:
        """Refuse `obj` now if it is known already that it could not be stored.

        Raises
        ------
        UnsupportedArtifactError
        """
        getattr(self.for_object(obj), "check", _anything)(obj)

    def for_kind(self, kind: str) -> Codec:
        """Return the codec of `kind`.

        Raises
        ------
        CorruptArtifactError
            When nobody registered such a kind.
        """
        for entry in self._entries:
            if entry.kind == kind:
                return self._codec(entry)
        raise CorruptArtifactError(f"kind `{kind}` is none of {', '.join(self.kinds())}")

    def _codec(self, entry: _Entry) -> Codec:
        if entry.kind not in self._loaded:
            self._loaded[entry.kind] = _load(entry.target)()
        return self._loaded[entry.kind]


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _anything(_: object) -> bool:
    return True


codecs: Final = CodecRegistry(_BUILTIN, last="envelope")


def write_object(codec: Codec, obj: object, path: Path, *, name: str) -> None:
    """Write `obj`, which is called `name` where it is kept, to the new file `path`."""
    if getattr(codec, "named", False):
        codec.write(obj, path, name=name)  # type: ignore[call-arg]  # a named codec takes it
    else:
        codec.write(obj, path)


def read_object(codec: Codec, path: Path, *, name: str) -> Any:
    """Return the object in `path`, which must be the one that was written as `name`."""
    if getattr(codec, "named", False):
        return codec.read(path, name=name)  # type: ignore[call-arg]  # a named codec takes it
    return codec.read(path)


class Reference(Protocol):
    """Turns an object that lives elsewhere into a small JSON value and finds it again."""

    def to_json(self, obj: Any) -> dict[str, JSON]:
        """Return what identifies `obj`."""
        ...

    def from_json(self, value: dict[str, JSON]) -> Any:
        """Return the object that `value` identifies."""
        ...


_REFERENCE_KEY: Final = "$reference"
_REFERENCES: Final[dict[str, tuple[str, str]]] = {
    "recorder": ("rollwright.record.recorder.Recorder", "rollwright.record.recorder:RecorderReference"),
    "result": ("rollwright.record.results.KeptResult", "rollwright.record.results:KeptResultReference"),
    "experiment": ("rollwright.record.experiment.Experiment", "rollwright.record.references:ExperimentReference"),
}


_KEEPER: Final = "rollwright.record.results:keep_result"


def keep(obj: object) -> JSON:
    """Store `obj` as an artifact of its own and return the reference to it, from which `from_reference` gives it back.

    Raises
    ------
    UnsupportedArtifactError
        When no safe format holds it.
    ArtifactStorageError
        When the disk is full or the folder refuses.
    """
    return to_reference(_load(_KEEPER)(obj))


def refers(obj: object) -> bool:
    """Tell whether `obj` lives elsewhere, so that `to_reference` gives a reference to it."""
    return _reference_kind(obj) is not None


def _reference_kind(obj: object) -> str | None:
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(obj).__mro__}
    return next((kind for kind, (type_name, _) in _REFERENCES.items() if type_name in names), None)


def to_reference(obj: object) -> JSON:
    """Return the JSON form of a result: the value itself, or a reference to an object that lives elsewhere.

    Raises
    ------
    TaskValueError
        When `obj` is neither JSON nor referable, or would be mistaken for a reference.
    """
    kind = _reference_kind(obj)
    if kind is not None:
        found: Reference = _load(_REFERENCES[kind][1])()
        return {_REFERENCE_KEY: kind, **found.to_json(obj)}
    value = normalise(obj)
    if isinstance(value, dict) and _REFERENCE_KEY in value:
        raise TaskValueError(f"$.{_REFERENCE_KEY}", "this key is kept for references to objects that live elsewhere")
    return value


def from_reference(value: JSON) -> Any:
    """Return what `to_reference` was given; a JSON value that is no reference is returned as it is.

    Raises
    ------
    CorruptArtifactError
        When it refers to an object of a kind nobody knows.
    """
    if not isinstance(value, dict) or _REFERENCE_KEY not in value:
        return value
    kind = value[_REFERENCE_KEY]
    if not isinstance(kind, str) or kind not in _REFERENCES:
        raise CorruptArtifactError(f"a result refers to an object of unknown kind `{kind}`")
    found: Reference = _load(_REFERENCES[kind][1])()
    return found.from_json({key: item for key, item in value.items() if key != _REFERENCE_KEY})
