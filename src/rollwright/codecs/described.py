"""Objects that remember the arguments of their construction, so that a configuration can build them again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from rollwright.errors import UnsupportedArtifactError
from rollwright.signing.serializable import FileRules

__all__ = ["Described", "describe_value"]

_FROM_CONTEXT: Final = ("source", "store")
_read_signature: Final = lru_cache(maxsize=256)(inspect.signature)


class Described(FileRules):
    """Remembers the arguments of its construction, those of the most derived class.

    ``source`` and ``store`` are left out: where the data lies is the reader's context, not the object's identity.
    """

    # What a file needs of the attributes of ours; data are read again, unless everything is kept.
    include_attr: ClassVar = ("_arguments", "_config", "_source", "_store", "_opened", "_fitted", "_independent")
    emptied_attr: ClassVar = MappingProxyType({"_whole": dict, "_data": type(None)})

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create an instance and record its arguments."""
        made = super().__new__(cls)
        signature = _read_signature(cls.__init__)
        try:
            bound = signature.bind(made, *args, **kwargs).arguments
        except TypeError:  # the constructor, which runs next, says it better
            return made
        arguments: dict[str, Any] = {}
        for name, value in list(bound.items())[1:]:
            several = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            arguments.update(value if several else {name: value})
        made._arguments = {name: value for name, value in arguments.items() if name not in _FROM_CONTEXT}
        return made

    def describe(self) -> dict[str, Any]:
        """Return the configuration ``{class, module_path, kwargs}`` that makes an equal object.

        Raises
        ------
        UnsupportedArtifactError
            When an argument exists in memory only.
        """
        cls = type(self)
        return {
            "class": cls.__qualname__,
            "module_path": cls.__module__,
            "kwargs": {
                name: describe_value(value, f"{cls.__name__}.{name}") for name, value in self._arguments.items()
            },
        }


def describe_value(value: Any, where: str) -> Any:
    """Return `value` with every described object in it replaced by its configuration."""
    if isinstance(value, Described):
        return value.describe()
    if isinstance(value, Mapping):
        return {key: describe_value(item, f"{where}.{key}") for key, item in value.items()}
    import pandas as pd  # noqa: PLC0415 - whoever looks at a pool meets no such value, and needs no pandas

    if isinstance(value, pd.Index):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [describe_value(item, where) for item in value]
    if isinstance(value, pd.DataFrame | pd.Series):
        raise UnsupportedArtifactError(
            f"{where} is a frame that exists in memory only, so a stored dataset could not find it again",
            hint="write it to a Parquet file and give the path",
        )
    return value
