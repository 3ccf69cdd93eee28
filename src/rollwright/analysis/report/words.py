"""The words of the report, in English and Chinese."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final, Literal, TypeAlias

__all__ = ["LANGUAGES", "Language", "Words", "load_words", "name_fact", "name_key"]

Language: TypeAlias = Literal["en", "zh"]
Words: TypeAlias = Mapping[str, str]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
_CATALOGUE: Final = "templates/words.toml"


@cache
def load_words(language: Language) -> Words:
    """Return every word of the report in a language, by key; each language has the same keys."""
    return {key: entry[language] for key, entry in _load_catalogue().items()}


@cache
def _load_catalogue() -> Mapping[str, Mapping[str, str]]:
    text = resources.files("rollwright.analysis.report").joinpath(_CATALOGUE).read_text(encoding="utf-8")
    return tomllib.loads(text)


def name_key(words: Words, prefix: str, key: str) -> str:
    """Return the words of ``PREFIX_KEY``; an unknown key is returned as it is, without its underscores."""
    return words.get(f"{prefix}_{key}", key.replace("_", " "))


def name_fact(language: Language, key: str) -> str:
    """Return the label of the fact `key` in the small print; an unknown key is returned as it is."""
    return load_words(language).get(f"fact_{key}", key)
