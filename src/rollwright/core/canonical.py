"""Identity: a definition is normalised, written in one canonical form, and hashed.

Two definitions that mean the same task have the same fingerprint, whatever the order of their keys, the type of
their dates or the library their numbers come from (decision D16). What has no JSON form is refused with its path.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime
from json.encoder import encode_basestring
from pathlib import PurePath
from typing import Any, Final, TypeAlias, cast

from rollwright.core.allowance import MAX_BYTES, MAX_DEPTH, Allowance
from rollwright.core.typed import TAG, as_pairs, describe
from rollwright.errors import TaskValueError

__all__ = [
    "JSON",
    "LEAF_WRITERS",
    "canonical_json",
    "dump_canonical",
    "dump_leaf",
    "fingerprint",
    "normalise",
    "parse_json",
    "sha256_hex",
    "with_segment_tuples",
]

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_ENCODE: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode
_SHORT: Final = 64  # characters of a text that are not counted one by one
MAX_INT: Final = 2**53
_FORBIDDEN_TEXT: Final = re.compile("[\x00\ud800-\udfff]")


def normalise(value: object, *, path: str = "$", limit: int = MAX_BYTES, typed: bool = False) -> JSON:
    """Return `value` in its canonical JSON form.

    Tuples become lists, dates and midnight timestamps ``YYYY-MM-DD``, other naive timestamps
    ``YYYY-MM-DD HH:MM:SS``, NumPy scalars Python numbers, paths strings, and the negative zero zero.

    Parameters
    ----------
    value : object
    path : str
        Where it stands, for errors.
    limit : int
        The most values and characters.
    typed : bool
        True: what has no JSON form but a typed one (`rollwright.core.typed`) gets that. Its parts are in canonical form
        too, so that it is the form of everything that means the same; `from_typed` does not always give `value` back.

    Raises
    ------
    TaskValueError
        Without `typed` for NaN, NaT and infinities, integers beyond 2**53, fractions of a second, time zones, sets,
        bytes, keys that are not strings, text with NUL or lone surrogates. Always for nesting deeper than 64 and any
        other object; the error carries the path of the value. For more than `limit` values and characters, too.
    """
    # What stands alone is most often asked for, and needs neither.
    if type(value) is not str or len(value) <= min(_SHORT, limit):
        convert: Callable[[Any, str], JSON] | None = _EXACT.get(type(value))
        if convert is None and isinstance(value, date):
            convert = _date
        try:
            if convert is not None:
                return convert(value, path)
        except TaskValueError:
            if not typed:
                raise
    # Most values are valid, and their paths are not needed: the walk that tracks each path is for the others.
    allowance = Allowance(limit)
    try:
        return _quick(value, 0, allowance, typed=typed)
    except (TaskValueError, RecursionError):
        if allowance.left < 0:
            raise
        return _normalise(value, path, 0, Allowance(limit), typed=typed)


def _quick(value: object, depth: int, allowance: Allowance, *, typed: bool) -> JSON:
    """Return what `_normalise` returns, or raise an error without the path of the value."""
    kind = type(value)
    convert = _EXACT.get(kind)
    if convert is not None:
        if kind is str and len(value) > _SHORT:  # type: ignore[arg-type]  # text, as was just asked
            allowance.spend(len(value))  # type: ignore[arg-type]
        return convert(value, "$")
    # Exact types first: asking whether something is a Mapping takes longer than all the rest.
    is_list = kind is list or kind is tuple or (kind is not dict and isinstance(value, list | tuple))
    if not is_list and kind is not dict and not isinstance(value, Mapping):
        return _scalar(value, "$")
    if depth >= MAX_DEPTH and value:
        raise TaskValueError("$", f"nested deeper than {MAX_DEPTH}")
    allowance.spend(2 * len(value))  # type: ignore[arg-type]  # a value and a comma each; see above
    if is_list:
        return [_quick(item, depth + 1, allowance, typed=typed) for item in value]  # type: ignore[attr-defined]
    if typed and TAG in value:  # type: ignore[operator]
        raise TaskValueError("$", f"key {TAG!r}")
    return {
        _quick_text(key, "$") if type(key) is str else _key(key, "$"): _quick(item, depth + 1, allowance, typed=typed)
        for key, item in value.items()  # type: ignore[attr-defined]
    }


def _normalise(value: object, path: str, depth: int, allowance: Allowance, *, typed: bool) -> JSON:
    if depth > MAX_DEPTH:
        raise TaskValueError(path[:200], f"nested deeper than {MAX_DEPTH}")

    def inner(item: object, where: str = "") -> JSON:
        return _normalise(item, path + where, depth + 1, allowance, typed=typed)

    if isinstance(value, Mapping | list | tuple | str):
        allowance.spend(len(value) if isinstance(value, str) else 2 * len(value))
    if isinstance(value, Mapping):
        if typed and not all(_is_key(key) for key in value):
            pairs: dict[str, JSON] = as_pairs(value, inner)
            return {**pairs, "of": sorted(cast("list[JSON]", pairs["of"]), key=dump_canonical)}
        return {_key(key, path): inner(item, f".{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [inner(item, f"[{place}]") for place, item in enumerate(value)]
    try:
        return _scalar(value, path)
    except TaskValueError:
        found = describe(value, inner) if typed else None
        if found is None:
            raise
        allowance.spend(len(dump_canonical(found)))
        return found


def _scalar(value: object, path: str) -> JSON:
    if value is None or isinstance(value, bool):
        return value
    for kind, convert in _SCALARS:
        if isinstance(value, kind):
            return convert(value, path)
    plain = _plain(value, path)
    if plain is not None:
        return _scalar(plain, path)
    raise TaskValueError(
        path,
        f"{type(value).__name__} has no JSON form",
        hint="use numbers, text, booleans, dates, lists and dictionaries; name objects by class and module_path",
    )


def _plain(value: object, path: str) -> object | None:
    """Return the Python value of a NumPy scalar, or None for anything else."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or getattr(value, "shape", None) != ():
        return None
    array: Any = value
    if dtype.kind == "M":  # its `item` is an integer when the unit is a nanosecond, and None for NaT
        return _moment(array, path)
    plain = array.item() if dtype.kind in "biufUO" else None
    return None if type(plain) is type(value) else plain


def _moment(value: Any, path: str) -> datetime:
    seconds = value.astype("datetime64[s]")
    if seconds != value:  # NaT is unequal to itself
        raise TaskValueError(path, f"{value} is no whole second")
    moment = seconds.item()
    if not isinstance(moment, datetime):
        raise TaskValueError(path, f"{value} is outside the years 1 to 9999")
    return moment


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise TaskValueError(path, f"key {key!r} is {type(key).__name__}, not text")
    return _text(key, path)


def _is_key(key: object) -> bool:
    return isinstance(key, str) and key != TAG and not _FORBIDDEN_TEXT.search(key)


def _text(value: str, path: str) -> str:
    if _FORBIDDEN_TEXT.search(value):
        raise TaskValueError(path, "text with NUL or a lone surrogate")
    return value


def _integer(value: int, path: str) -> int:
    if abs(value) > MAX_INT:
        raise TaskValueError(path, f"integer {value if abs(value) < 10**30 else 'of many digits'} is beyond 2**53")
    return value


def _number(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise TaskValueError(path, f"{value} has no JSON form", hint="leave the key out, or write null")
    return value + 0.0  # the negative zero means zero


def _date(value: date, path: str) -> str:
    if not isinstance(value, datetime):
        return value.isoformat()
    if value != value:  # noqa: PLR0124 - NaT is the one datetime unequal to itself
        raise TaskValueError(path, "NaT has no JSON form")
    if value.tzinfo is not None:
        raise TaskValueError(path, f"{value} has a time zone; sessions are naive labels")
    if value.microsecond or getattr(value, "nanosecond", 0):
        raise TaskValueError(path, f"{value} is no whole second")
    midnight = value.hour == value.minute == value.second == 0
    return value.date().isoformat() if midnight else value.isoformat(sep=" ", timespec="seconds")


# In this order: a subclass of two of them (numpy.str_, numpy.float64) is met under its Python name first.
_SCALARS: Final[tuple[tuple[type, Callable[[Any, str], JSON]], ...]] = (
    (str, lambda value, path: _text(str.__str__(value), path)),
    (int, lambda value, path: _integer(int(value), path)),
    (float, lambda value, path: _number(float(value), path)),
    (date, _date),
    (PurePath, lambda value, path: _text(str(value), path)),
)


def _quick_text(value: str, path: str) -> str:
    return value if value.isascii() and "\x00" not in value else _text(value, path)


_EXACT: Final[dict[type, Callable[[Any, str], JSON]]] = {
    str: _quick_text,
    bool: lambda value, _path: value,
    type(None): lambda _value, _path: None,
    int: _integer,
    float: _number,
}


def canonical_json(value: object, *, typed: bool = False) -> str:
    """Return the canonical text of a definition: sorted keys, no spaces, no NaN.

    With `typed` as `normalise`.

    Raises
    ------
    TaskValueError
        As `normalise`, and when the text is longer than 1 MiB.
    """
    text = dump_canonical(normalise(value, limit=MAX_BYTES, typed=typed))
    if len(text.encode()) > MAX_BYTES:
        raise TaskValueError("$", f"the definition has {len(text.encode()):,} bytes, more than {MAX_BYTES:,}")
    return text


def dump_canonical(value: JSON) -> str:
    """Return the text of a JSON value: sorted keys, no spaces, no NaN."""
    return _ENCODE(value)


def dump_leaf(value: JSON) -> str:
    """Return what `dump_canonical` does, sooner for text, numbers, booleans and None in their canonical form."""
    write = LEAF_WRITERS.get(type(value))
    return _ENCODE(value) if write is None else write(value)


LEAF_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: encode_basestring,
    int: int.__repr__,
    float: float.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _value: "null",
}
"""What writes a leaf that is canonical JSON, by its type."""


def parse_json(text: str) -> JSON:
    """Return the value of a JSON text.

    Raises
    ------
    TaskValueError
        For text that is not JSON, NaN and infinities, and a key given twice.
    """

    def refuse(constant: str) -> JSON:
        raise TaskValueError("$", f"{constant} has no JSON form")

    try:
        parsed: JSON = json.loads(text, parse_constant=refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise TaskValueError("$", f"this is not JSON: {error}") from error
    return parsed


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise TaskValueError("$", f"key {twice[:200]!r} is given twice")
    return found


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: object, *, typed: bool = False) -> str:
    """Return the identity of a definition: the SHA-256 of its canonical JSON, in hex; with `typed` as `normalise`."""
    return sha256_hex(canonical_json(value, typed=typed).encode())


def with_segment_tuples(definition: JSON) -> JSON:
    """Return a stored definition with its segments as tuples again, as code written for Qlib expects them.

    Raises
    ------
    TaskValueError
        When it is nested so deeply that nothing here can have written it.
    """
    try:
        return _with_tuples(definition)
    except RecursionError as error:
        raise TaskValueError("$", f"nested deeper than {MAX_DEPTH}") from error


def _with_tuples(definition: JSON) -> JSON:
    if isinstance(definition, dict):
        return {key: _tuples(item) if key == "segments" else _with_tuples(item) for key, item in definition.items()}
    if isinstance(definition, list):
        return [_with_tuples(item) for item in definition]
    return definition


def _tuples(segments: JSON) -> JSON:
    if isinstance(segments, dict):
        return {key: _tuples(item) for key, item in segments.items()}
    if isinstance(segments, list) and len(segments) == 2:
        return tuple(segments)  # type: ignore[return-value]  # Qlib's segments are tuples; JSON has none
    return segments
