"""The one module that unpickles, and only what `open_sealed` found signed.

Classes and functions of ``.py`` files beside a configuration go by value, since no other process can import them by
name; so do those of a notebook or a script. What lives elsewhere and is only referred to (a recorder) goes as its
reference, so that no connection is ever carried along.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any, Final

import cloudpickle  # noqa: TID251 - this is the one guarded module

from rollwright.config.construct import FILE_ALIAS
from rollwright.core.references import from_reference, is_referable, to_reference
from rollwright.errors import CorruptArtifactError, RollwrightError, UnsupportedArtifactError
from rollwright.signing.envelope import Opened

__all__ = ["pickle_object", "unpickle_object"]

_PROTOCOL: Final = 5
_MAKERS: Final = ("_make_skeleton_class", "_make_skeleton_enum")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle tells no types
    def reducer_override(self, obj: Any) -> Any:
        if is_referable(obj):
            return _refound, (to_reference(obj),)
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and str(obj.__module__).startswith(FILE_ALIAS) and isinstance(reduced, tuple):
            return _drop_class_tracking(reduced)
        return reduced


def _drop_class_tracking(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return how a class of a user's file is rebuilt, without the random number that cloudpickle gives it.

    The number makes what a process wrote and what it reads back the same class. It also makes the bytes of equal
    models differ between processes, so that none would ever replay. Without it, each file opened has its own classes.
    """
    maker, arguments, *rest = reduced
    if getattr(maker, "__name__", "") in _MAKERS and isinstance(arguments[-2], str):
        arguments = (*arguments[:-2], None, arguments[-1])
    return (maker, arguments, *rest)


def _refound(value: Any) -> Any:
    return from_reference(value)


def pickle_object(obj: object) -> bytes:
    """Return `obj` pickled, to be sealed.

    Not guaranteed: that equal objects give equal bytes. Classes of a user's ``.py`` file do, whatever the process; a
    set of texts does not, as each process orders it anew.

    Raises
    ------
    UnsupportedArtifactError
        When it holds what no pickle can: a lock, an open file, a connection.
    """
    _by_value()
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=_PROTOCOL).dump(obj)
    except RollwrightError:
        raise
    except Exception as error:  # whatever a class's own reduction raises
        kind = type(obj)
        raise UnsupportedArtifactError(
            f"{kind.__module__}.{kind.__qualname__} cannot be stored: {type(error).__name__}: {error}",
            hint="leave out what lives in this process only (locks, files, connections): define __getstate__",
        ) from error
    return buffer.getvalue()


def unpickle_object(opened: Opened) -> Any:
    """Return the object that the signed envelope `opened` holds.

    Raises
    ------
    CorruptArtifactError
        When it cannot be rebuilt here: a package it needs is missing, or is another version.
    """
    if type(opened) is not Opened:
        raise TypeError("only what open_sealed returns is ever unpickled")
    try:
        return _load(opened.payload)
    except RollwrightError:
        raise
    except Exception as error:  # whatever the object's own code raises
        raise CorruptArtifactError(
            f"{opened.fmt} {opened.name!r} is signed by {opened.signer} and cannot be rebuilt here: "
            f"{type(error).__name__}: {error}",
            hint=f"it was written with {opened.producer}; install the packages it needs",
        ) from error


_load: Final[Callable[[Any], Any]] = cloudpickle.loads


def _by_value() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith(FILE_ALIAS):
            cloudpickle.register_pickle_by_value(module)
