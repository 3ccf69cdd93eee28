"""Files of JSON that people read too."""

import json

import pytest

from rollwright.core.json_lines import dump_lines

DOCUMENT = {"b": 1.5, "a": [{"name": "é", "of": [1, None]}, {"name": "y", "of": []}], "empty": {}, "text": 'a "b"\n'}


@pytest.mark.parametrize("levels", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("value", [DOCUMENT, [DOCUMENT, 1], {}, [], 3, "text", None])
def test_what_is_written_is_what_was_given(value, levels):
    assert json.loads(dump_lines(value, levels=levels)) == value


def test_each_member_has_a_line_and_text_stays_readable():
    assert dump_lines({"a": 1, "b": ["é"]}) == '{\n "a": 1,\n "b": ["é"]\n}\n'
    assert dump_lines({"b": [{"c": 1}, 2]}, levels=2) == '{\n "b": [\n  {"c": 1},\n  2\n ]\n}\n'


def test_keys_are_in_their_order_or_sorted_on_every_level():
    assert list(json.loads(dump_lines(DOCUMENT))) == ["b", "a", "empty", "text"]
    assert dump_lines({"b": {"d": 1, "c": 2}, "a": 0}, sort_keys=True) == '{\n "a": 0,\n "b": {"c": 2, "d": 1}\n}\n'


def test_no_number_without_a_json_form_is_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_lines({"a": [float("nan")]})
