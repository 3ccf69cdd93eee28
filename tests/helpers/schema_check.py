"""A check against a JSON Schema with the keywords that ours has; another keyword fails, so that none is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
SILENT = {"$defs", "$id", "$schema", "default", "description", "title"}
LIMITS = {
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
}
LENGTHS = {"minItems": list, "minLength": str, "minProperties": dict}


def find_mistakes(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "") -> list[str]:
    """Return what of `value`, as YAML reads it, the schema does not allow, each with its place."""
    return [*_walk(value, schema, schema if root is None else root, at)]


def _walk(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for keyword, asked in schema.items():
        if keyword in LIMITS:
            if _is_a(value, "number") and not LIMITS[keyword](value, asked):
                yield f"{at}: {value!r} misses {keyword} {asked}"
        elif keyword in LENGTHS:
            if isinstance(value, LENGTHS[keyword]) and len(value) < asked:
                yield f"{at}: {value!r} misses {keyword} {asked}"
        elif keyword in OF_VALUES:
            yield from OF_VALUES[keyword](value, asked, root, at)
        elif keyword in OF_OBJECTS:
            if isinstance(value, dict):
                yield from OF_OBJECTS[keyword](value, asked, root, at, schema)
        elif keyword not in SILENT:
            raise NotImplementedError(keyword)


def _follow(value, asked, root, at):
    return _walk(value, root["$defs"][asked.removeprefix("#/$defs/")], root, at)


def _choose(value, asked, root, at):
    tried = [[*_walk(value, choice, root, at)] for choice in asked]
    return [f"{at}: no choice allows it: {min(tried, key=len)}"] if all(tried) else []


def _check_type(value, asked, _root, at):
    return [] if _is_a(value, asked) else [f"{at}: {value!r} is not of type {asked}"]


def _check_const(value, asked, _root, at):
    return [] if value == asked else [f"{at}: {value!r} is not {asked!r}"]


def _check_enum(value, asked, _root, at):
    return [] if value in asked else [f"{at}: {value!r} is not of {asked!r}"]


def _check_pattern(value, asked, _root, at):
    fits = not isinstance(value, str) or re.search(asked, value)
    return [] if fits else [f"{at}: {value!r} does not match {asked}"]


def _check_items(value, asked, root, at):
    for place, one in enumerate(value if isinstance(value, list) else ()):
        yield from _walk(one, asked, root, f"{at}.{place}")


def _check_required(value, asked, _root, at, _schema):
    return [f"{at}: lacks {name}" for name in asked if name not in value]


def _check_names(value, asked, root, at, _schema):
    for name in value:
        yield from _walk(name, asked, root, f"{at}.{name}")


def _check_properties(value, asked, root, at, _schema):
    for name in asked.keys() & value.keys():
        yield from _walk(value[name], asked[name], root, f"{at}.{name}")


def _check_others(value, asked, root, at, schema):
    for name in value.keys() - schema.get("properties", {}).keys():
        if asked is False:
            yield f"{at}: {name} is not known"
        elif asked is not True:
            yield from _walk(value[name], asked, root, f"{at}.{name}")


OF_VALUES = {
    "$ref": _follow,
    "anyOf": _choose,
    "type": _check_type,
    "const": _check_const,
    "enum": _check_enum,
    "pattern": _check_pattern,
    "items": _check_items,
}
OF_OBJECTS = {
    "required": _check_required,
    "propertyNames": _check_names,
    "properties": _check_properties,
    "additionalProperties": _check_others,
}


def _is_a(value: Any, name: str) -> bool:
    if name in ("number", "integer"):
        return not isinstance(value, bool) and isinstance(value, int if name == "integer" else (int, float))
    return isinstance(value, TYPES[name])
