"""Typed JSON: a value as JSON from which exactly that value comes back.

What JSON knows stands as it is. Anything else is a dictionary ``{"$is": kind, "of": …}``: a tuple, a set, a date, a
timestamp with its unit and zone, a NumPy scalar with its dtype, a dictionary whose keys are not text. A dictionary that
has the key ``$is`` itself is written as one of those, so that nothing is mistaken for another.

Only values of the kinds listed here are made when typed JSON is read: no code, no class that the text names.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from rollwright.core.allowance import ARTIFACT, MAX_DEPTH, Allowance
from rollwright.errors import TaskValueError

__all__ = ["TAG", "TYPES", "as_pairs", "describe", "from_typed", "is_plain", "to_typed"]

TAG: Final = "$is"
_OF: Final = "of"
_MAX_INT: Final = 2**53
_MOST_DIGITS: Final = 4000  # Python reads no more without being told
_ARRAY_KINDS: Final = "biufcmMSU"

TYPES: Final = (
    *(f"builtins.{name}" for name in (
        "NoneType", "bool", "int", "float", "str", "list", "dict", "tuple", "set", "frozenset", "bytes", "bytearray",
        "complex", "range", "slice",
    )),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta")),
    *(f"pathlib.{name}" for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    "decimal.Decimal",
    "uuid.UUID",
    "numpy.ndarray",
    "numpy.generic",
    "pandas.Timestamp",
    "pandas.Timedelta",
    *(f"pandas._libs.tslibs.{name}" for name in (
        "timestamps.Timestamp", "timedeltas.Timedelta", "nattype.NaTType",
    )),
    *(f"pandas.{name}" for name in ("NaT", "api.typing.NaTType", "api.typing.NAType")),
    "pandas._libs.missing.NAType",
)  # fmt: skip
"""Qualified names of the classes whose objects have a typed form."""

Walk: TypeAlias = Callable[[Any], Any]


def to_typed(value: object, *, limit: int = ARTIFACT, widen: bool = False) -> Any:
    """Return `value` as typed JSON, from which `from_typed` makes exactly the same value.

    Parameters
    ----------
    value : object
    limit : int
        The most values and characters.
    widen : bool
        True: an object of a class derived from a dictionary, a list, a tuple, text, a number or a date, and any other
        mapping, is written as what it is derived from, and comes back as that.

    Raises
    ------
    TaskValueError
        For objects of any other class, also of derived ones without `widen`, and for nesting deeper than 64 or more
        than `limit` values and characters.
    """
    return _walk(value, 0, Allowance(limit), widen=widen)


def is_plain(value: object, *, limit: int = ARTIFACT) -> bool:
    """Tell whether JSON alone gives `value` back exactly."""
    try:
        allowance = Allowance(limit)
        allowance.spend(1)
        return _is_plain(value, 0, allowance)
    except TaskValueError:
        return False


def _walk(value: Any, depth: int, allowance: Allowance, *, widen: bool) -> Any:
    if depth > MAX_DEPTH:
        raise TaskValueError("$", f"nested deeper than {MAX_DEPTH}")
    allowance.spend(1)

    def inner(item: Any) -> Any:
        return _walk(item, depth + 1, allowance, widen=widen)

    kind = type(value)
    if _is_plain_scalar(value, allowance):
        return value
    if kind is list:
        return [inner(item) for item in value]
    if kind is dict:
        if _has_plain_keys(value):
            return {key: inner(item) for key, item in value.items()}
        return as_pairs(value, inner)
    found = describe(value, inner)
    if found is None and widen and (base := _find_base(value)) is not None:
        return _walk(base, depth, allowance, widen=widen)
    if found is None:
        raise TaskValueError("$", f"{kind.__module__}.{kind.__qualname__} has no typed form")
    if kind is not tuple:
        allowance.spend(_size(value))
    return found


def _find_base(value: Any) -> Any:
    """Return `value` as an object of the class it is derived from, None when that is no class of values."""
    if isinstance(value, Mapping):
        return dict(value)
    for base, convert in _BASES.items():
        if isinstance(value, base) and type(value) is not base:
            return convert(value)
    return None


_BASES: Final[dict[type, Callable[[Any], Any]]] = {
    str: str.__str__,
    int: int,
    float: float,
    list: list,
    tuple: tuple,
    datetime: lambda value: datetime.combine(date(value.year, value.month, value.day), value.timetz()),
    date: lambda value: date(value.year, value.month, value.day),
}


def _is_plain(value: Any, depth: int, allowance: Allowance) -> bool:
    """Tell it of a value that was counted already; its members are counted at once."""
    kind = type(value)
    if kind is not list and kind is not dict:
        return _is_plain_scalar(value, allowance)
    if depth >= MAX_DEPTH:
        return False
    allowance.spend(len(value))
    if kind is dict:
        for key in value:
            if type(key) is not str or not _is_plain_scalar(key, allowance):
                return False
    members = value.values() if kind is dict else value
    return all(_is_plain(item, depth + 1, allowance) for item in members)


def _is_plain_scalar(value: Any, allowance: Allowance) -> bool:
    kind = type(value)
    if kind is str:
        allowance.spend(len(value))
        return _is_encodable(value)
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(-_MAX_INT <= value <= _MAX_INT)
    return value is None or kind is bool


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_plain_keys(value: Mapping[Any, Any]) -> bool:
    return TAG not in value and all(type(key) is str and _is_encodable(key) for key in value)


def as_pairs(value: Mapping[Any, Any], inner: Walk) -> dict[str, Any]:
    """Return the typed form of a dictionary whose keys JSON does not have."""
    return _tagged("dict", [[inner(key), inner(item)] for key, item in value.items()])


def _size(value: Any) -> int:
    return int(getattr(value, "nbytes", 0)) * 4 // 3 or (
        len(value) if isinstance(value, bytes | bytearray | str) else 0
    )


def _tagged(kind: str, of: Any, **more: Any) -> dict[str, Any]:
    return {TAG: kind, _OF: of, **more}


# -- from a value to typed JSON ------------------------------------------------------------------------------------


def describe(value: Any, inner: Walk) -> dict[str, Any] | None:
    """Return the typed form of a value that JSON does not know, its parts as `inner` gives them; None for any other."""
    kind = type(value)
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value, inner)
    if isinstance(value, PurePath):
        return _path(value)
    root = kind.__module__.partition(".")[0]
    if root == "numpy":
        return _numpy(value, inner)
    if root == "pandas":
        return _pandas(value)
    return None


def _text(value: str) -> dict[str, Any]:
    return _tagged("text", base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii"))


def _integer(value: int) -> dict[str, Any] | None:
    # Counting bits first: writing the digits of a huge number takes long, and Python would not read them.
    return _tagged("int", str(value)) if value.bit_length() < 3 * _MOST_DIGITS else None


def _float(value: float) -> dict[str, Any]:
    return _tagged("float", repr(value))


def _base64(kind: str) -> Callable[[Any, Walk], dict[str, Any]]:
    return lambda value, _inner: _tagged(kind, base64.b64encode(value).decode("ascii"))


def _unordered(kind: str) -> Callable[[Any, Walk], dict[str, Any]]:
    def write(value: Any, inner: Walk) -> dict[str, Any]:
        items = [inner(item) for item in value]
        return _tagged(kind, sorted(items, key=lambda item: json.dumps(item, sort_keys=True)))

    return write


def _moment(kind: str) -> Callable[[Any, Walk], dict[str, Any] | None]:
    def write(value: Any, _inner: Walk) -> dict[str, Any] | None:
        more: dict[str, Any] = {"fold": 1} if value.fold else {}
        if value.tzinfo is not None:
            zone = _zone(value.tzinfo)
            if zone is None:
                return None
            more["zone"] = zone
        return _tagged(kind, value.replace(tzinfo=None).isoformat(), **more)

    return write


def _zone(zone: tzinfo) -> Any:
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        named = zone if zone.tzname(None) != timezone(offset).tzname(None) else None
        return {"seconds": offset.total_seconds(), **({"name": zone.tzname(None)} if named is not None else {})}
    return None


def _path(value: PurePath) -> dict[str, Any] | None:
    name = type(value).__name__
    if type(value).__module__.partition(".")[0] != "pathlib":
        return None
    return _tagged("path", str(value), **({} if isinstance(value, Path) else {"flavour": name}))


def _numpy(value: Any, inner: Walk) -> dict[str, Any] | None:
    import numpy as np  # noqa: PLC0415 - it is there, since the value is of it

    if type(value) is np.ndarray:
        return _array(value, inner)
    if not isinstance(value, np.generic) or type(value) is not value.dtype.type:
        return None
    dtype = value.dtype
    if dtype.kind not in _ARRAY_KINDS or not _has_width(dtype):
        return None
    if dtype.kind in "mM":
        return _tagged("numpy", int(value.view("i8")), dtype=dtype.str)
    return _tagged("numpy", inner(value.item()), dtype=dtype.str)


def _array(value: Any, inner: Walk) -> dict[str, Any] | None:
    dtype, shape = value.dtype, list(value.shape)
    if dtype.kind == "O":
        return _tagged("array", [inner(item) for item in value.ravel()], dtype="O", shape=shape)
    if dtype.kind not in _ARRAY_KINDS or dtype.names is not None or not _has_width(dtype):
        return None
    return _tagged("array", base64.b64encode(value.tobytes()).decode("ascii"), dtype=dtype.str, shape=shape)


def _has_width(dtype: Any) -> bool:
    """Tell whether all machines have numbers of this width; they differ about long doubles."""
    return dtype.kind not in "fc" or dtype.itemsize <= (8 if dtype.kind == "f" else 16)


def _pandas(value: Any) -> dict[str, Any] | None:
    import pandas as pd  # noqa: PLC0415 - it is there, since the value is of it

    if value is pd.NaT:
        return _tagged("NaT", None)
    if value is pd.NA:
        return _tagged("NA", None)
    if type(value) is pd.Timestamp:
        more: dict[str, Any] = {"unit": value.unit}
        if value.tzinfo is not None:
            more["zone"] = _zone(value.tzinfo)
            if more["zone"] is None:
                return None
        return _tagged("timestamp", str(value.asm8), **more)  # its moment in UTC
    if type(value) is pd.Timedelta:
        return _tagged("pandas.timedelta", int(value.asm8.view("i8")), unit=value.unit)
    return None


_WRITERS: Final[dict[type, Callable[[Any, Walk], dict[str, Any] | None]]] = {
    str: lambda value, _inner: _text(value),
    int: lambda value, _inner: _integer(value),
    float: lambda value, _inner: _float(value),
    tuple: lambda value, inner: _tagged("tuple", [inner(item) for item in value]),
    set: _unordered("set"),
    frozenset: _unordered("frozenset"),
    bytes: _base64("bytes"),
    bytearray: _base64("bytearray"),
    complex: lambda value, inner: _tagged("complex", [inner(value.real), inner(value.imag)]),
    range: lambda value, inner: _tagged("range", [inner(part) for part in (value.start, value.stop, value.step)]),
    slice: lambda value, inner: _tagged("slice", [inner(part) for part in (value.start, value.stop, value.step)]),
    date: lambda value, _inner: _tagged("date", value.isoformat()),
    datetime: _moment("datetime"),
    time: _moment("time"),
    timedelta: lambda value, _inner: _tagged("timedelta", [value.days, value.seconds, value.microseconds]),
    Decimal: lambda value, _inner: _tagged("decimal", str(value)),
    UUID: lambda value, _inner: _tagged("uuid", str(value)),
}


# -- from typed JSON to the value ----------------------------------------------------------------------------------


def from_typed(value: Any) -> Any:
    """Return the value that `to_typed` was given.

    Raises
    ------
    TaskValueError
        When it is no typed JSON, or of a kind that is not known here.
    """
    try:
        return _read(value)
    except RecursionError as error:
        raise TaskValueError("$", f"nested deeper than {MAX_DEPTH}") from error


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _read(item) for key, item in value.items()}
    kind = value[TAG]
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise TaskValueError("$", f"a value of the unknown kind {str(kind)[:80]!r}", hint="a newer rollwright wrote it")
    try:
        return read(value)
    except TaskValueError:
        raise
    except (KeyError, IndexError, ValueError, TypeError, ArithmeticError, AttributeError, OSError) as error:
        raise TaskValueError("$", f"no value of kind {kind!r}: {type(error).__name__}: {str(error)[:200]}") from error


def _items(value: dict[str, Any]) -> list[Any]:
    of = value[_OF]
    if not isinstance(of, list):
        raise TypeError("it is no list")
    return [_read(item) for item in of]


def _bytes(value: dict[str, Any]) -> bytes:
    return base64.b64decode(value[_OF], validate=True)


def _read_moment(kind: Any) -> Callable[[dict[str, Any]], Any]:
    def read(value: dict[str, Any]) -> Any:
        found = kind.fromisoformat(value[_OF]).replace(fold=value.get("fold", 0))
        return found.replace(tzinfo=_read_zone(value["zone"])) if "zone" in value else found

    return read


def _read_zone(zone: Any) -> tzinfo:
    if isinstance(zone, str):
        return ZoneInfo(zone)
    offset = timedelta(seconds=zone["seconds"])
    return timezone(offset, zone["name"]) if "name" in zone else timezone(offset)


def _read_path(value: dict[str, Any]) -> PurePath:
    flavours = {"PurePosixPath": PurePosixPath, "PureWindowsPath": PureWindowsPath}
    return flavours.get(value.get("flavour", ""), Path)(value[_OF])


def _read_dtype(value: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415 - only for those that saved such values

    dtype = np.dtype(str(value["dtype"]))
    if (dtype.kind not in _ARRAY_KINDS and dtype.kind != "O") or dtype.names is not None:
        raise TypeError(f"dtype {dtype}")
    return dtype


def _read_numpy(value: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415

    dtype = _read_dtype(value)
    item = _read(value[_OF])
    if dtype.kind == "O":
        raise TypeError("an object is no scalar")
    return np.int64(item).view(dtype) if dtype.kind in "mM" else dtype.type(item)


def _read_array(value: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415

    dtype, shape = _read_dtype(value), tuple(value["shape"])
    if dtype.kind != "O":
        return np.frombuffer(_bytes(value), dtype=dtype).reshape(shape).copy()
    items = _items(value)
    flat = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        flat[place] = item
    return flat.reshape(shape)


def _read_timestamp(value: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    found = pd.Timestamp(np.datetime64(value[_OF], value["unit"]))
    return found if "zone" not in value else found.tz_localize("UTC").tz_convert(_read_zone(value["zone"]))


def _read_pandas_timedelta(value: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    return pd.Timedelta(np.timedelta64(value[_OF], value["unit"]))


def _missing(name: str) -> Callable[[dict[str, Any]], Any]:
    def read(_value: dict[str, Any]) -> Any:
        import pandas as pd  # noqa: PLC0415

        return pd.NaT if name == "NaT" else pd.NA

    return read


_READERS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "dict": lambda value: {_read(key): _read(item) for key, item in value[_OF]},
    "text": lambda value: _bytes(value).decode("utf-8", "surrogatepass"),
    "int": lambda value: int(value[_OF]),
    "float": lambda value: float(value[_OF]),
    "tuple": lambda value: tuple(_items(value)),
    "set": lambda value: set(_items(value)),
    "frozenset": lambda value: frozenset(_items(value)),
    "bytes": _bytes,
    "bytearray": lambda value: bytearray(_bytes(value)),
    "complex": lambda value: complex(*_items(value)),
    "range": lambda value: range(*_items(value)),
    "slice": lambda value: slice(*_items(value)),
    "date": lambda value: date.fromisoformat(value[_OF]),
    "datetime": _read_moment(datetime),
    "time": _read_moment(time),
    "timedelta": lambda value: timedelta(*value[_OF]),
    "decimal": lambda value: Decimal(value[_OF]),
    "uuid": lambda value: UUID(value[_OF]),
    "path": _read_path,
    "numpy": _read_numpy,
    "array": _read_array,
    "timestamp": _read_timestamp,
    "pandas.timedelta": _read_pandas_timedelta,
    "NaT": _missing("NaT"),
    "NA": _missing("NA"),
}
