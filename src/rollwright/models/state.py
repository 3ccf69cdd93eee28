"""The JSON state in a model file: writing, parsing and checking it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from rollwright.core.allowance import ARTIFACT
from rollwright.core.canonical import normalise
from rollwright.errors import CorruptArtifactError, UnsupportedArtifactError

__all__ = ["check_state", "dump_state", "is_exact_instance", "parse_state", "refuse_other_classes"]

MAX_FEATURES: Final = 1 << 20

Kinds = Mapping[str, type | tuple[type, ...]]


def dump_state(state: Mapping[str, Any]) -> str:
    """Return `state` as one line of ASCII, the same for equal states.

    Raises
    ------
    TaskValueError
        When a value has no JSON form.
    """
    return json.dumps(normalise(dict(state), limit=ARTIFACT), sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_state(text: str | bytes, *, name: str) -> Any:
    """Return the JSON value of `text`; NaN and infinities, which JSON does not have, are refused.

    Raises
    ------
    CorruptArtifactError
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{name} is not JSON: {error}") from error


def check_state(state: object, kinds: Kinds, *, name: str, version: int) -> dict[str, Any]:
    """Return `state` if it is a mapping of that `version` with a value of the right type under each key.

    A key ``feature_names`` must be a list of texts.

    Raises
    ------
    CorruptArtifactError
    """
    if not isinstance(state, dict) or state.get("version") != version:
        raise CorruptArtifactError(f"the state of rollwright in {name} is missing or not of version {version}")
    for key, kind in kinds.items():
        found = state.get(key)
        wrong = key not in state or not isinstance(found, kind)
        if wrong or (isinstance(found, bool) and not _takes_bool(kind)):
            raise CorruptArtifactError(f"{name} has no usable `{key}`")
        if isinstance(found, float) and not math.isfinite(found):
            raise CorruptArtifactError(f"`{key}` in {name} is not finite")
    names = state.get("feature_names", [])
    if not all(isinstance(feature, str) for feature in names) or len(names) > MAX_FEATURES:
        raise CorruptArtifactError(f"{name} has feature names that are not text, or too many of them")
    return state


def is_exact_instance(obj: Any, cls: type, unfitted: Any) -> bool:
    """Whether the class of `obj` is exactly `cls`, and it has no attributes that `unfitted`, a new one, lacks."""
    return type(obj) is cls and not set(vars(obj)) - set(vars(unfitted))


def refuse_other_classes(obj: Any, cls: type, unfitted: Any) -> None:
    """Raise an error unless `is_exact_instance`: reading a file could not bring back all of another object.

    Raises
    ------
    UnsupportedArtifactError
    """
    if not is_exact_instance(obj, cls, unfitted):
        unknown = sorted(set(vars(obj)) - set(vars(unfitted)))
        raise UnsupportedArtifactError(
            f"a {type(obj).__qualname__} with the attributes {unknown} of its own would come back without them",
            hint="save it as `codecs.for_object(model)` says: in a signed envelope",
        )


def _takes_bool(kind: type | tuple[type, ...]) -> bool:
    return bool in (kind if isinstance(kind, tuple) else (kind,))


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")
