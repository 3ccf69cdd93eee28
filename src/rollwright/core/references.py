"""References: an object that is stored elsewhere (a recorder) as a small JSON value, which a pool can store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from rollwright.core.canonical import JSON
from rollwright.core.registry import OPENERS, REFERENCES, load_target
from rollwright.errors import ConfigError, CorruptArtifactError, TaskValueError

__all__ = ["Reference", "from_reference", "is_referable", "is_reference", "store_large_result", "to_reference"]

_KEY: Final = "$reference"
_STORER: Final = "store_large_result"


class Reference(Protocol):
    """Turns an object that is stored elsewhere into a small JSON value and finds it again."""

    def to_json(self, obj: Any) -> dict[str, JSON]:
        """Return what identifies `obj`."""
        ...

    def from_json(self, value: dict[str, JSON]) -> Any:
        """Return the object that `value` identifies."""
        ...


def store_large_result(obj: object) -> JSON:
    """Store `obj` as an artifact of its own and return the reference to it, from which `from_reference` gives it back.

    Raises
    ------
    UnsupportedArtifactError
        When no safe format holds it.
    ArtifactStorageError
        When the disk is full or the folder refuses.
    """
    opener = OPENERS.get(_STORER)
    if opener is None:
        raise ConfigError(
            "nothing is registered that stores large results", hint="import rollwright, which registers it"
        )
    return to_reference(load_target(opener.targets[0])(obj))


def is_referable(obj: object) -> bool:
    """Return whether `obj` is stored elsewhere, so that `to_reference` gives a reference to it."""
    return _kind_of(obj) is not None


def to_reference(obj: object) -> JSON:
    """Return the reference to an object that is stored elsewhere, as `is_referable` tells.

    Raises
    ------
    TaskValueError
        When it is not.
    """
    kind = _kind_of(obj)
    if kind is None:
        raise TaskValueError("$", f"{type(obj).__name__} is stored nowhere else")
    return {_KEY: kind, **_reference(kind).to_json(obj)}


def is_reference(value: object) -> bool:
    """Return whether `value` is a reference, or would be mistaken for one."""
    return isinstance(value, Mapping) and _KEY in value


def from_reference(value: Any) -> Any:
    """Return what `to_reference` was given; a value that is no reference is returned as it is.

    Raises
    ------
    CorruptArtifactError
        When it refers to an object of an unknown kind.
    """
    if not is_reference(value):
        return value
    kind = value[_KEY]
    if not isinstance(kind, str) or REFERENCES.get(kind) is None:
        raise CorruptArtifactError(f"a result refers to an object of unknown kind `{kind}`")
    return _reference(kind).from_json({key: item for key, item in value.items() if key != _KEY})


def _kind_of(obj: object) -> str | None:
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(obj).__mro__}
    return next((known.name for known in REFERENCES if names.intersection(known.types)), None)


def _reference(kind: str) -> Reference:
    registration = REFERENCES.get(kind)
    assert registration is not None  # noqa: S101 - narrows the type; both callers have looked
    found: Reference = load_target(registration.targets[0])()
    return found
