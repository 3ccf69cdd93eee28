"""Nested dictionaries as flat ones."""

from __future__ import annotations

import pytest

from rollwright.core.nested import FLATTEN_TUPLE, flatten_dict

NESTED = {"a": 1, "c": {"a": 2, "b": {"x": 5, "y": (10,)}}, "empty": {}}


@pytest.mark.parametrize(
    ("sep", "parent", "flat"),
    [
        (".", "", {"a": 1, "c.a": 2, "c.b.x": 5, "c.b.y": (10,)}),
        ("/", "", {"a": 1, "c/a": 2, "c/b/x": 5, "c/b/y": (10,)}),
        (".", "p", {"p.a": 1, "p.c.a": 2, "p.c.b.x": 5, "p.c.b.y": (10,)}),
        (FLATTEN_TUPLE, "", {"a": 1, ("c", "a"): 2, ("c", "b", "x"): 5, ("c", "b", "y"): (10,)}),
        (FLATTEN_TUPLE, "p", {("p", "a"): 1, ("p", "c", "a"): 2, ("p", "c", "b", "x"): 5, ("p", "c", "b", "y"): (10,)}),
    ],
)
def test_each_value_stands_under_the_keys_that_lead_to_it(sep, parent, flat):
    assert flatten_dict(NESTED, parent, sep=sep) == flat


def test_keys_that_are_no_text_or_empty_are_not_lost():
    assert flatten_dict({1: {0: "a", "": {"x": 2}}, "": 3}) == {"1.0": "a", "1..x": 2, "": 3}
    assert flatten_dict({0: {"x": 1}, None: {"x": 2}}, sep=FLATTEN_TUPLE) == {(0, "x"): 1, (None, "x"): 2}
