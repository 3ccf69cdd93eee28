"""Placeholders of a configuration: ``<MODEL>`` and ``<dataset.kwargs.segments.train.0>``.

Filled before anything is built and without touching what the caller gave (defects R2, R3, Q3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rollwright.core.allowance import Allowance
from rollwright.errors import ConfigError, TaskValueError

__all__ = ["fill_paths", "fill_values"]

_PLACEHOLDER: Final = re.compile(r"<([A-Za-z_][\w.]*)>")
MAX_CHAIN: Final = 16


def fill_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `config` with every ``<a.b.0>`` replaced by what stands at that path in `config` itself.

    Only a text that is one placeholder and nothing else is replaced, by the value and not by its text; chains
    (a path that leads to another placeholder) are followed. Placeholders without a dot name run-time objects and
    are left for `fill_values`.

    Raises
    ------
    ConfigError
        When a path leads nowhere, or in a circle.
    TaskValueError
        When the filled copy would have more than 1 Mi values and characters, or be nested deeper than any definition.
    """
    allowance = Allowance()

    def fill(value: Any, chain: tuple[str, ...]) -> Any:
        if isinstance(value, str):
            allowance.spend(len(value))
        elif isinstance(value, list | tuple):
            allowance.spend(2 * len(value))  # a value and what parts it from the next
            return type(value)(fill(item, chain) for item in value)
        elif isinstance(value, dict | Mapping):  # in this order: it takes longest to tell that something is a Mapping
            allowance.spend(2 * len(value))
            return {key: fill(item, chain) for key, item in value.items()}
        path = _name(value)
        if path is None or "." not in path:
            return value
        if path in chain or len(chain) >= MAX_CHAIN:
            raise ConfigError(f"placeholders go in a circle: {' → '.join((*chain, path))}")
        return fill(_at(config, path), (*chain, path))

    try:
        filled: dict[str, Any] = fill(dict(config), ())
    except RecursionError as error:
        raise TaskValueError("$", "nested too deeply") from error
    return filled


def fill_values(config: Any, values: Mapping[str, object]) -> Any:
    """Return a copy of `config` with every ``<NAME>`` of `values` replaced by the object of that name.

    Raises
    ------
    ConfigError
        When a placeholder has no value.
    """
    if isinstance(config, Mapping):
        return {key: fill_values(item, values) for key, item in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(fill_values(item, values) for item in config)
    name = _name(config)
    if name is None:
        return config
    if name not in values:
        raise ConfigError(f"nothing fills the placeholder <{name}>", hint=f"known: {', '.join(sorted(values))}")
    return values[name]


def _name(value: object) -> str | None:
    match = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return match.group(1) if match else None


def _at(config: Any, path: str) -> Any:
    place = config
    for part in path.split("."):
        try:
            place = place[int(part)] if isinstance(place, list | tuple) else place[part]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ConfigError(f"the placeholder <{path}> leads nowhere: there is no `{part}`") from error
    return place
