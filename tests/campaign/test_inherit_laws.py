"""Laws of a file over its base, on made-up trees."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollwright.campaign.yaml.document import read_document

KEYS = st.sampled_from("abcd")
LEAVES = st.integers(0, 9) | st.sampled_from(["x", "y"]) | st.booleans() | st.none()
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
MAPPINGS = st.dictionaries(KEYS, TREES, max_size=4)


def over(base, child):
    """Return what a child over a base has to be: the plain definition."""
    if not (isinstance(base, dict) and isinstance(child, dict)):
        return child
    return {**base, **{key: over(base[key], value) if key in base else value for key, value in child.items()}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("laws")


def read(folder, child, base, *overrides):
    (folder / "base.yaml").write_text(json.dumps(base))
    (folder / "child.yaml").write_text(json.dumps({"BASE_CONFIG_PATH": str(folder / "base.yaml"), **child}))
    return read_document(folder / "child.yaml", overrides, environ={}).data


@settings(max_examples=60)
@given(base=MAPPINGS, child=MAPPINGS)
def test_without_anchors_it_is_the_nested_merge(folder, base, child):
    assert read(folder, child, base) == over(base, child)


@settings(max_examples=60)
@given(base=MAPPINGS, child=MAPPINGS, key=KEYS, other=KEYS, value=TREES)
def test_an_override_is_a_child_of_one_value(folder, base, child, key, other, value):
    under = over(base, child)
    if isinstance(under.get(key, {}), dict):
        expected = {**under, key: {**under.get(key, {}), other: value}}
        assert read(folder, child, base, f"{key}.{other}={json.dumps(value)}") == expected


@settings(max_examples=60)
@given(old=TREES, new=LEAVES | st.lists(LEAVES, max_size=3))
def test_to_override_an_anchor_is_to_write_the_file_so(folder, old, new):
    text = "v: &v {}\nuse: {{a: *v, b: [*v, 1], c: {{d: *v}}}}\n"
    (folder / "old.yaml").write_text(text.format(json.dumps(old)))
    (folder / "new.yaml").write_text(text.format(json.dumps(new)))
    (folder / "child.yaml").write_text(f"BASE_CONFIG_PATH: {folder / 'old.yaml'}\nv: {json.dumps(new)}\n")
    wanted = read_document(folder / "new.yaml", environ={}).data
    assert read_document(folder / "child.yaml", environ={}).data == wanted
    assert read_document(folder / "old.yaml", [f"v={json.dumps(new)}"], environ={}).data == wanted
