"""Codecs by kind: how an object becomes a file and comes back; without pickle wherever a format exists.

A codec is found by the qualified names of an object's classes, so that finding one imports nothing; the module that
can write the kind is imported only when it is used. `rollwright.registrations` lists what rollwright brings; a package
of the user's own adds to it by an entry point of the group ``rollwright.codecs``.
What no other codec takes goes into the signed envelope, the one kind that is unpickled, after its signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from rollwright.core.canonical import JSON, normalise, parse_json
from rollwright.core.registry import CODECS, Entry, Registry, load_target
from rollwright.errors import CorruptArtifactError, TaskValueError, UnsupportedArtifactError

__all__ = [
    "Codec",
    "CodecRegistry",
    "JsonCodec",
    "codecs",
    "read_object",
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


class CodecRegistry:
    """The codecs by kind; those registered later are asked first.

    Parameters
    ----------
    entries : Registry, optional
        A table of codecs that are imported when they are first needed, and of entry points.
    last : str, optional
        The kind that takes what no other codec takes.
    """

    def __init__(self, entries: Registry | None = None, *, last: str | None = None) -> None:
        self._table = entries
        self._last = last
        self._own: dict[str, tuple[str, ...]] = {}
        self._loaded: dict[str, Codec] = {}

    def register(self, codec: Codec, *, types: Sequence[str]) -> None:
        """Add `codec` for objects of the classes with these qualified names, or of their subclasses.

        It takes the place of a codec of the same kind, and is asked before all others.
        """
        self._own = {codec.kind: tuple(types), **self._own}
        self._own[codec.kind] = tuple(types)
        self._loaded[codec.kind] = codec

    def kinds(self) -> list[str]:
        """Return the registered kinds."""
        return [kind for kind, _ in self._entries()]

    def for_object(self, obj: object) -> Codec:
        """Return the codec for `obj`, by the most derived of its classes that has one which accepts it.

        Raises
        ------
        UnsupportedArtifactError
            When there is none.
        """
        names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(obj).__mro__]
        for name in names:
            for kind, types in self._entries():
                if name in types and (codec := self._accepting(kind, obj)) is not None:
                    return codec
        for kind in self._discovered(names):
            if (codec := self._accepting(kind, obj)) is not None:
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
        getattr(self.for_object(obj), "check", _accept_any)(obj)

    def for_kind(self, kind: str) -> Codec:
        """Return the codec of `kind`.

        Raises
        ------
        CorruptArtifactError
            When nobody registered such a kind.
        """
        if kind not in self._loaded:
            entry = self._entry(kind)
            if entry is None:
                raise CorruptArtifactError(f"kind `{kind}` is none of {', '.join(self.kinds())}")
            self._loaded[kind] = load_target(entry.targets[0])()
        return self._loaded[kind]

    def _entries(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        yield from self._own.items()
        for entry in self._table or ():
            if entry.name not in self._own:
                yield entry.name, entry.types

    def _entry(self, kind: str) -> Entry | None:
        if self._table is None:
            return None
        if self._table.get(kind) is None:
            self._table.discover()
        return self._table.get(kind)

    def _discovered(self, names: Sequence[str]) -> list[str]:
        """Return the kinds of newly found codecs of installed packages that state one of the classes `names`."""
        found: list[str] = []
        for entry in self._table.discover() if self._table is not None else ():
            codec = load_target(entry.targets[0])()
            self._own[entry.name] = types = tuple(getattr(codec, "types", ()))
            self._loaded[entry.name] = codec
            if any(name in types for name in names):
                found.append(entry.name)
        return found

    def _accepting(self, kind: str, obj: object) -> Codec | None:
        codec = self.for_kind(kind)
        return codec if getattr(codec, "accepts", _accept_any)(obj) else None


def _accept_any(_: object) -> bool:
    return True


codecs: Final = CodecRegistry(CODECS, last="envelope")


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
