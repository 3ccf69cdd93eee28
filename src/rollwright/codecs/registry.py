"""Codecs by kind: each writes one kind of object to a file and reads it back; without pickle where a format exists.

A codec is found by the qualified names of an object's classes, so that finding one imports nothing; the module that
writes the kind is imported when it is first used. `rollwright.registrations` lists the codecs of rollwright; an
installed package adds its own by entry points of the group ``rollwright.codecs``. What no codec takes goes into the
signed envelope, the one kind that is unpickled, after its signature.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.core.canonical import JSON, parse_json
from rollwright.core.json_lines import dump_lines
from rollwright.core.registry import CODECS, Registration, Registry, find_entry_points, load_target
from rollwright.core.typed import is_plain
from rollwright.errors import ConfigError, CorruptArtifactError, TaskValueError, UnsupportedArtifactError

__all__ = ["ENTRY_POINTS", "Codec", "CodecRegistry", "JsonCodec", "codecs", "read_artifact"]

ENTRY_POINTS: Final = "rollwright.codecs"
"""The group of entry points by which an installed package adds codecs; the name of each is the codec's kind."""
_logger: Final = logging.getLogger("rollwright.codecs")


class Codec(ABC):
    """Base class: writes one kind of object to a file and reads it back.

    Guarantees, of all but the envelope: `read` returns an object that equals the one written; equal objects, in
    the same order, give equal bytes; reading executes nothing that the file brings.

    Attributes
    ----------
    kind : str
        The name of the format, which is stored beside each file and finds the codec again.
    suffix : str
        What the file's name ends with.
    types : tuple of str
        Qualified names of the classes it stores; read from codecs of installed packages.
    """

    kind: ClassVar[str]
    suffix: ClassVar[str]
    types: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def write(self, obj: Any, path: Path) -> None:
        """Write `obj` to the new file `path`."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """Return the object in the file `path`."""

    def accepts(self, obj: Any) -> bool:  # noqa: ARG002 - every object of its classes
        """Return whether it stores all of `obj`; if not, the next codec is asked."""
        return True

    def check(self, obj: Any) -> None:  # noqa: B027 - nothing is known by default
        """Raise now what `write` would raise later, as far as it can be known."""

    def write_as(self, name: str, obj: Any, path: Path) -> None:  # noqa: ARG002 - for codecs that sign the name
        """Write `obj` to the new file `path`; `name` says what it is: the run's id and the artifact's name."""
        self.write(obj, path)

    def read_as(self, name: str, path: Path) -> Any:  # noqa: ARG002 - for codecs that sign the name
        """Return the object in `path`, which was written with the same `name`."""
        return self.read(path)


def read_artifact(path: Path, *, limit: int) -> bytes:
    """Return the bytes of an artifact's file.

    Raises
    ------
    CorruptArtifactError
        When it is larger than `limit` bytes, is no regular file, or cannot be read.
    """
    try:
        return read_whole(path, limit=limit)
    except OSError as error:
        raise CorruptArtifactError(f"the artifact {path} cannot be read: {error.strerror}") from error


class JsonCodec(Codec):
    """What JSON alone gives back exactly: numbers, text, truths, None, lists, dictionaries with text keys."""

    kind = "json"
    suffix = ".json"

    def write(self, obj: Any, path: Path) -> None:
        """Write `obj` as JSON, its keys in their order.

        Raises
        ------
        TaskValueError
            When JSON would not give it back.
        """
        if not is_plain(obj):
            raise TaskValueError("$", f"JSON does not give back all of this {type(obj).__name__}")
        path.write_text(dump_lines(obj), encoding="utf-8")

    def accepts(self, obj: Any) -> bool:
        """Return whether JSON holds all of `obj`; a tuple would come back as a list, a date as text."""
        return is_plain(obj)

    def read(self, path: Path) -> JSON:
        """Return the JSON value in `path`.

        Raises
        ------
        CorruptArtifactError
            When it holds none.
        """
        try:
            return parse_json(read_artifact(path, limit=MEDIUM).decode("utf-8"))
        except (TaskValueError, UnicodeDecodeError) as error:
            raise CorruptArtifactError(f"{path} holds no JSON value: {error}") from error


class CodecRegistry:
    """The codecs by kind.

    For each class of an object, from the most derived one on, it asks: codecs registered by `register`, the latest
    first; those of the table; those of installed packages. So a package adds classes and kinds, and never changes what
    becomes of a class that rollwright stores itself.

    Parameters
    ----------
    table : Registry, optional
        Codecs that are imported when they are first used.
    entry_points : str, optional
        The group of entry points in which installed packages name further codecs. It is read once, for the first
        object or kind that nobody else knows.
    fallback : str, optional
        The kind that takes what no other codec takes.
    """

    def __init__(
        self, table: Registry | None = None, *, entry_points: str | None = None, fallback: str | None = None
    ) -> None:
        self._table = table if table is not None else Registry()
        self._group = entry_points
        self._fallback = fallback
        self._registered: dict[str, tuple[str, ...]] = {}
        self._installed: dict[str, tuple[str, ...]] | None = None
        self._loaded: dict[str, Codec] = {}
        self._mutex = threading.RLock()

    def register(self, codec: Codec, *, types: Sequence[str]) -> None:
        """Add `codec` for objects of the classes with these qualified names, or of their subclasses.

        It takes the place of a codec of the same kind, and is asked before all others.
        """
        others = {kind: names for kind, names in self._registered.items() if kind != codec.kind}
        self._registered = {codec.kind: tuple(types), **others}
        self._loaded[codec.kind] = codec

    def kinds(self) -> list[str]:
        """Return the kinds that are known without asking installed packages."""
        return [kind for kind, _ in self._list_known()]

    def for_object(self, obj: object) -> Codec:
        """Return the codec for `obj`, by the most derived of its classes that has one which accepts it.

        Raises
        ------
        UnsupportedArtifactError
            When there is none.
        ConfigError
            When a codec of an installed package cannot be used.
        """
        for cls in type(obj).__mro__[:-1]:
            name = f"{cls.__module__}.{cls.__qualname__}"
            # Installed packages are asked only when nobody else takes the class.
            for entries in (self._list_known, self._find_installed):
                for kind, types in entries():
                    if name in types and (codec := self.for_kind(kind)).accepts(obj):
                        return codec
        if self._fallback is not None:
            return self.for_kind(self._fallback)
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
        self.for_object(obj).check(obj)

    def for_kind(self, kind: str) -> Codec:
        """Return the codec of `kind`.

        Raises
        ------
        CorruptArtifactError
            When nobody has such a kind.
        ConfigError
            When a codec of an installed package cannot be used.
        """
        if kind not in self._loaded:
            entry = self._table.get(kind)
            if entry is not None:
                self._loaded[kind] = load_target(entry.targets[0])()
            elif kind not in dict(self._find_installed()):
                raise CorruptArtifactError(
                    f"kind `{kind}` is none of {', '.join(self.kinds())}",
                    hint="is the package installed here that stores such objects?",
                )
        return self._loaded[kind]

    def _list_known(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        yield from self._registered.items()
        for entry in self._table:
            if entry.name not in self._registered:
                yield entry.name, entry.types

    def _find_installed(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Return the codecs of installed packages, loaded."""
        with self._mutex:
            if self._installed is None:
                installed: dict[str, tuple[str, ...]] = {}
                for entry in find_entry_points(self._group) if self._group is not None else ():
                    taken = self._table.get(entry.name) is not None or entry.name in installed
                    if taken or entry.name in self._registered:
                        _logger.warning("codec.ignored kind=%s package=%s reason=taken", entry.name, entry.package)
                        continue
                    self._loaded[entry.name] = codec = _load_codec(entry)
                    installed[entry.name] = codec.types
                self._installed = installed
            return [(kind, types) for kind, types in self._installed.items() if kind not in self._registered]


def _load_codec(entry: Registration) -> Codec:
    """Return the codec of an installed package.

    Raises
    ------
    ConfigError
        When it cannot be imported or is no codec: storing its objects some other way would go unnoticed.
    """
    cause: Exception | None = None
    try:
        codec = load_target(entry.targets[0])()
        problem = _find_problem(codec, entry)
    except (ImportError, AttributeError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
        cause = error
    if problem is not None:
        raise ConfigError(
            f"the codec `{entry.name}` of the installed package `{entry.package}` cannot be used: {problem}",
            hint=f"update or remove {entry.package}",
        ) from cause
    return codec  # type: ignore[no-any-return]  # _find_problem has looked


def _find_problem(codec: Any, entry: Registration) -> str | None:
    """Return why what an entry point names is no codec, None when it is one."""
    if not isinstance(codec, Codec):
        return f"{entry.targets[0]} does not derive from rollwright.codecs.registry.Codec"
    if codec.kind != entry.name:
        return f"its kind is `{codec.kind}`, and its entry point says `{entry.name}`"
    types: Any = codec.types
    if not isinstance(types, tuple) or not types or not all(isinstance(name, str) and "." in name for name in types):
        return "its `types` is no tuple of qualified class names"
    return None


codecs: Final = CodecRegistry(CODECS, entry_points=ENTRY_POINTS, fallback="envelope")
