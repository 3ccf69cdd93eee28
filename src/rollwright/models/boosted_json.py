"""A boosted model as one JSON object: what the library wrote, and what rollwright adds as its last key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rollwright.core.canonical import sha256_hex
from rollwright.errors import CorruptArtifactError
from rollwright.models.state import check_state, dump_state, parse_state

__all__ = ["ModelJsonError", "join_state", "split_state"]

_MARK: Final = ',"rollwright":'
_VERSION: Final = 1
_STATE: Final[dict[str, type | tuple[type, ...]]] = {
    "sha256": str,
    "early_stopping_rounds": (int, type(None)),
    "num_boost_round": int,
    "params": dict,
    "best_iteration": int,
    "evals_result": dict,
    "feature_names": list,
}


class ModelJsonError(ValueError):
    """What is wrong with a library's model; translated where it is met."""


def join_state(text: str, state: Mapping[str, Any]) -> str:
    """Return the JSON object `text` with our `state`, and the checksum of `text`, as its last key.

    Raises
    ------
    TaskValueError
        When a value of `state` has no JSON form.
    """
    line = dump_state({"version": _VERSION, "sha256": sha256_hex(text.encode()), **state})
    return f"{text[:-1]}{_MARK}{line}}}\n"


def split_state(whole: bytes, *, name: str, library: str, check: Callable[[Any], int]) -> tuple[str, dict[str, Any]]:
    """Return the library's text and our state from what `join_state` made.

    Parameters
    ----------
    whole : bytes
    name, library : str
        What messages call the file and who wrote the model.
    check : callable
        Raises `ModelJsonError` for a model the library's parser must not see; else returns its number of features.

    Raises
    ------
    CorruptArtifactError
        When our key is missing or does not fit the trees, or `check` refuses them.
    """
    try:
        text, mark, rest = whole.decode("utf-8").rpartition(_MARK)
    except UnicodeDecodeError as error:
        raise CorruptArtifactError(f"{name} is no text: {error}") from error
    rest = rest.rstrip()
    if not mark or not rest.endswith("}"):
        raise CorruptArtifactError(f"{name} does not end with rollwright's key, so it was cut or is another program's")
    state = check_state(parse_state(rest[:-1], name=name), _STATE, name=name, version=_VERSION)
    text += "}"
    if state["sha256"] != sha256_hex(text.encode()):
        raise CorruptArtifactError(f"the trees in {name} are not those that were written: their sha256 differs")
    try:
        features = check(parse_state(text, name=name))
    except ModelJsonError as error:
        raise CorruptArtifactError(f"{name} is no {library} model: {error}") from error
    if features != len(state["feature_names"]):
        raise CorruptArtifactError(f"{name} names {len(state['feature_names'])} features and its trees know {features}")
    return text, state
