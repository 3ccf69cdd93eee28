"""What each honest number is called, and the sentence that says how it is read, in English and Chinese."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple

__all__ = ["NumberText", "describe_number", "describe_reason", "list_numbers", "list_reasons", "name_count"]


class NumberText(NamedTuple):
    """The name of a number, and how it is read."""

    label: str
    reading: str


@cache
def _load_words() -> Mapping[str, Any]:
    text = resources.files("rollwright.analysis").joinpath("templates/honesty.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def list_numbers() -> tuple[str, ...]:
    """Return the keys of all numbers there are words for."""
    return tuple(_load_words()["numbers"])


def describe_number(number: str, language: Literal["en", "zh"] = "en") -> NumberText:
    """Return the words of a number; of one that this version does not know, its key."""
    words = _load_words()["numbers"].get(number)
    if words is None:
        return NumberText(number.replace("_", " "), "")
    return NumberText(words[language], words[f"{language}_reading"])


def name_count(count: str, language: Literal["en", "zh"] = "en") -> str:
    """Return the name of a way of counting trials; "" where they play no part."""
    words = _load_words()["counts"].get(count)
    return count if words is None else str(words[language])


def list_reasons() -> tuple[str, ...]:
    """Return the keys of all reasons there are words for."""
    return tuple(_load_words()["reasons"])


def describe_reason(reason: str, language: Literal["en", "zh"] = "en") -> str:
    """Return why a number is not there; what is no key, as in tables of before, as it is."""
    words = _load_words()["reasons"].get(reason)
    return reason if words is None else str(words[language])
