"""`Serializable`: an object decides which of its attributes are written to a file, by Qlib's rules.

In this order:

1. the flags of these rules: never;
2. what `include` names: always;
3. what `exclude` names: never;
4. a name without a leading underscore: always;
5. any other name: with `dump_all` only.

The rules are for files. A copy within the process, or sent to another one, is always complete.

The file is a signed envelope: it is opened only where its signature is trusted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final, Self, SupportsIndex

from rollwright.core.atomic import write_atomically
from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactTypeError,
    ConfigError,
    CorruptArtifactError,
    UnknownSettingError,
)

__all__ = ["FileRules", "SealedBackend", "Serializable", "apply_file_rules"]

_logger: Final = logging.getLogger("rollwright.signing")

FORMAT: Final = "serializable"
RULES: Final = ("dump_all", "exclude", "include")
_BACKENDS: Final = ("pickle", "dill")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writing:
    """A file is being written: which rules replace the objects' own, and for which objects."""

    root: object = None
    recursive: bool = False
    dump_all: bool | None = None
    include: Sequence[str] | None = None
    exclude: Sequence[str] | None = None

    def covers(self, obj: object) -> bool:
        return self.recursive or obj is self.root


_WRITING: Final[ContextVar[_Writing | None]] = ContextVar("rollwright_writing", default=None)


@contextmanager
def apply_file_rules() -> Iterator[None]:
    """Apply the rules of every object that is pickled inside the block."""
    token = _WRITING.set(_WRITING.get() or _Writing())
    try:
        yield
    finally:
        _WRITING.reset(token)


class FileRules:
    """Base class: an object that decides which of its attributes are written to a file.

    Attributes
    ----------
    default_dump_all : bool
        Whether names with a leading underscore are kept when nothing else says so.
    include_attr, exclude_attr : sequence of str
        Kept always, or never; ``config(include=…)`` and ``config(exclude=…)`` take their place for one object.
    emptied_attr : mapping of str to callable
        What is written without its contents, unless everything is: the name, and what makes the empty value.
    """

    default_dump_all: ClassVar[bool] = False
    config_attr: ClassVar[Sequence[str]] = ("_dump_all", "_include", "_exclude")
    include_attr: ClassVar[Sequence[str]] = ()
    exclude_attr: ClassVar[Sequence[str]] = ()
    emptied_attr: ClassVar[Mapping[str, Callable[[], object]]] = {}

    @property
    def dump_all(self) -> bool:
        """Whether names with a leading underscore are kept."""
        return bool(self.__dict__.get("_dump_all", self.default_dump_all))

    def config(self, recursive: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - Qlib's signature
        """Set the rules of this object until they are set again.

        Parameters
        ----------
        recursive : bool
            Set them for every object with such rules within it too, through attributes, lists, tuples, sets and
            dictionaries, each once, in cycles too. Nothing but the rules is changed.
        dump_all : bool
        include, exclude : sequence of str

        Raises
        ------
        UnknownSettingError
            For any other name.
        """
        for name in self.take_rules({**kwargs, "recursive": recursive}):
            raise UnknownSettingError(name, (*RULES, "recursive"), where=f"{type(self).__name__}.config")

    def take_rules(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Set the rules that `given` holds, as `config` does, and return what else it holds."""
        rules = {name: _check_rule(name, given[name]) for name in RULES if name in given}
        if rules:
            for obj in find_nested(self) if given.get("recursive", False) else (self,):
                obj.__dict__.update({f"_{name}": value for name, value in rules.items()})
        return {name: value for name, value in given.items() if name not in RULES and name != "recursive"}

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        reduced = super().__reduce_ex__(protocol)
        writing = _WRITING.get()
        if writing is None or isinstance(reduced, str) or len(reduced) < 3 or not isinstance(reduced[2], dict):
            return reduced
        return (*reduced[:2], self._state_to_write(reduced[2], writing), *reduced[3:])

    def _state_to_write(self, state: dict[str, Any], writing: _Writing) -> dict[str, Any]:
        over = writing if writing.covers(self) else _Writing()
        dump_all = self.dump_all if over.dump_all is None else over.dump_all
        include = self._rule_names("include", over.include)
        exclude = self._rule_names("exclude", over.exclude)
        kept: dict[str, Any] = {}
        dropped: list[str] = []
        for name, value in state.items():
            if name in self.config_attr:
                continue
            if name in include:
                kept[name] = value
            elif name in exclude:
                continue
            elif dump_all or not name.startswith("_"):
                kept[name] = value
            elif name in self.emptied_attr:
                kept[name] = self.emptied_attr[name]()
            else:
                dropped.append(name)
        if dropped:  # an attribute that is left out is reported
            _logger.info("serializable.dropped class=%s names=%s", type(self).__qualname__, ",".join(sorted(dropped)))
        return kept

    def _rule_names(self, rule: str, given: Sequence[str] | None) -> Sequence[str]:
        own: Sequence[str] | None = self.__dict__.get(f"_{rule}")
        of_class: Sequence[str] = getattr(self, f"{rule}_attr")
        return given if given is not None else own if own is not None else of_class


class Serializable(FileRules):
    """An object that can be written to a file and decides which of its attributes are written.

    Attributes
    ----------
    pickle_backend : {"pickle", "dill"}
        For Qlib's callers: both write functions and classes of your own files by value, into a signed envelope.
    """

    pickle_backend: ClassVar[str] = "pickle"

    def to_pickle(self, path: str | Path, **kwargs: Any) -> None:
        """Write this object to `path`, atomically, in an envelope that this machine signs.

        Parameters
        ----------
        path : path
            A file there is replaced.
        **kwargs
            Rules as `config` takes them, for this file only.

        Raises
        ------
        UnknownSettingError
            For a name that is no rule.
        UnsupportedArtifactError
            When an attribute to be written cannot be pickled; the old file stays.
        KeyringError
        """
        for name in kwargs.keys() - {*RULES, "recursive"}:
            raise UnknownSettingError(name, (*RULES, "recursive"), where=f"{type(self).__name__}.to_pickle")
        rules = {name: _check_rule(name, kwargs[name]) for name in RULES if name in kwargs}
        token = _WRITING.set(_Writing(root=self, recursive=bool(kwargs.get("recursive", False)), **rules))
        try:
            data = self.get_backend().dumps(self)
        finally:
            _WRITING.reset(token)
        write_atomically(Path(path), lambda draft: _write(draft, data))

    @classmethod
    def load(cls, filepath: str | Path) -> Self:
        """Return the object in `filepath`.

        Raises
        ------
        ArtifactNotFoundError
            When there is no such file.
        UntrustedArtifactError
            When nobody this machine trusts signed it; nothing of it was read then.
        CorruptArtifactError
            When it is no such file.
        ArtifactTypeError
            When its object is of another class.
        """
        path = Path(filepath)
        found = cls.get_backend().load_file(path)
        if not _is_a(found, cls):
            raise ArtifactTypeError(
                f"{path.name} holds a {type(found).__module__}.{type(found).__qualname__}, not a {cls.__qualname__}"
            )
        return found  # type: ignore[no-any-return]  # checked, by name when the class was loaded twice

    @classmethod
    def get_backend(cls) -> SealedBackend:
        """Return what writes and reads: ``dump``, ``load``, ``dumps`` and ``loads``, always signed.

        Raises
        ------
        ConfigError
            When `pickle_backend` names no backend.
        """
        if cls.pickle_backend not in _BACKENDS:
            raise ConfigError(f"pickle_backend = {cls.pickle_backend!r} is neither `pickle` nor `dill`")
        return SealedBackend(name=cls.pickle_backend)

    @staticmethod
    def general_dump(obj: object, path: str | Path) -> None:
        """Write any object to `path`: a `Serializable` by its rules, another as it is; `load` of any class reads it."""
        if isinstance(obj, Serializable):
            obj.to_pickle(path)
            return
        data = SealedBackend().dumps(obj)
        write_atomically(Path(path), lambda draft: _write(draft, data))


def open_saved(path: Path) -> Any:
    """Return the object that `Serializable.to_pickle` wrote to the file `path`; errors as `Serializable.load`."""
    return Serializable.get_backend().load_file(path)


class SealedBackend:
    """Pickles into a signed envelope, and unpickles nothing that did not come in one.

    Parameters
    ----------
    name : str
        Qlib's name of it.
    """

    def __init__(self, *, name: str = "pickle") -> None:
        self.name = name

    def dumps(self, obj: object) -> bytes:
        """Return `obj` in an envelope that this machine signs."""
        from rollwright.signing.envelope import seal  # noqa: PLC0415 - collectors and handlers are made without it
        from rollwright.signing.unpickling import pickle_object  # noqa: PLC0415

        with apply_file_rules():
            payload = pickle_object(obj)
        return seal(payload, fmt=FORMAT, name=f"{type(obj).__module__}.{type(obj).__qualname__}")

    def loads(self, data: bytes, *, where: str = "the data") -> Any:
        """Return the object in the envelope `data`, called `where` in messages.

        Raises
        ------
        UntrustedArtifactError, CorruptArtifactError, KeyringError
        """
        from rollwright.signing.envelope import open_sealed  # noqa: PLC0415 - collectors and handlers are made without it
        from rollwright.signing.unpickling import unpickle_object  # noqa: PLC0415

        return unpickle_object(open_sealed(data, fmt=FORMAT, name=None, where=where))

    def load_file(self, path: Path) -> Any:
        """Return the object in the file `path`; errors as `Serializable.load`."""
        from rollwright.signing.envelope import read_envelope  # noqa: PLC0415 - as in `loads`

        try:
            data = read_envelope(path)
        except FileNotFoundError as error:
            raise ArtifactNotFoundError(f"there is no file {path}") from error
        except OSError as error:
            raise CorruptArtifactError(f"the saved object {path} cannot be read: {error.strerror}") from error
        return self.loads(data, where=path.name)

    def dump(self, obj: object, file: BinaryIO) -> None:
        """Write `obj` to an open file."""
        file.write(self.dumps(obj))

    def load(self, file: BinaryIO) -> Any:
        """Return the object in an open file; errors as `loads`."""
        return self.loads(file.read(), where=str(getattr(file, "name", "the file")))


def find_nested(start: FileRules) -> list[FileRules]:
    """Return `start` and every object with rules within it, each once."""
    found: list[FileRules] = []
    seen: set[int] = set()
    waiting: list[object] = [start]
    while waiting:
        obj = waiting.pop()
        if id(obj) in seen or isinstance(obj, str | bytes):
            continue
        seen.add(id(obj))
        if isinstance(obj, FileRules):
            found.append(obj)
            waiting.extend(obj.__dict__.values())
        elif isinstance(obj, Mapping):
            waiting.extend(obj.values())
        elif isinstance(obj, list | tuple | set | frozenset):
            waiting.extend(obj)
    return found


def _check_rule(name: str, value: object) -> Any:
    if name == "dump_all":
        if not isinstance(value, bool):
            raise ConfigError(f"dump_all = {value!r} is neither True nor False")
        return value
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} = {value!r} is no list of names", hint=f'write {name}=["name"]')
    return tuple(value)


def _is_a(found: object, cls: type) -> bool:
    """Return whether `found` is of `cls`; a class that was pickled by value is compared by its name."""
    return isinstance(found, cls) or any(
        (base.__module__, base.__qualname__) == (cls.__module__, cls.__qualname__) for base in type(found).__mro__
    )


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
