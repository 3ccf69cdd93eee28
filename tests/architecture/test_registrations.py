"""What rollwright registers exists: a name that is misspelt there would be noticed by a user first."""

from __future__ import annotations

import importlib

import pandas as pd
import pytest

from rollwright.codecs.registry import Codec, codecs
from rollwright.core.registry import ALIASES, CODECS, OPENERS, REFERENCES, load_target


def load_class(name):
    """Return the class that a qualified name such as `numpy.ndarray` names."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("entry", [*CODECS], ids=lambda entry: entry.name)
def test_a_codec_has_the_kind_it_is_registered_as_and_its_classes_exist(entry):
    codec = codecs.for_kind(entry.name)
    assert isinstance(codec, Codec)
    assert codec.kind == entry.name
    assert codec.suffix.startswith(".")
    for name in entry.types:
        found = type(None) if name == "builtins.NoneType" else load_class(name)
        assert isinstance(found, type) or found is pd.NaT  # which says it is a class of its own name


@pytest.mark.parametrize("entry", [*REFERENCES], ids=lambda entry: entry.name)
def test_a_reference_has_both_ways_and_its_classes_exist(entry):
    reference = load_target(entry.targets[0])()
    assert callable(reference.to_json)
    assert callable(reference.from_json)
    for name in entry.types:
        found = load_class(name)
        assert f"{found.__module__}.{found.__qualname__}" == name


@pytest.mark.parametrize("entry", [*OPENERS], ids=lambda entry: entry.name)
def test_an_opener_is_a_function(entry):
    assert callable(load_target(entry.targets[0]))


@pytest.mark.parametrize("entry", [*ALIASES], ids=lambda entry: entry.name)
def test_an_alias_leads_to_modules_that_exist(entry):
    for module in entry.targets:
        assert importlib.import_module(module).__name__ == module
