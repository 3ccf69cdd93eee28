"""Reading YAML: values as YAML 1.2 has them, and every fault with its place."""

from __future__ import annotations

from datetime import date

import pytest

from rollwright.campaign.yaml.document import read_document
from rollwright.errors import ConfigError


def document(tmp_path, text: str, name: str = "c.yaml"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_document(path)


def test_values_are_yaml_1_2(tmp_path):
    data = document(tmp_path, "a: no\nb: 1e-3\nc: 2020-01-02\nd: on\ne: 012\n").data
    assert data["a"] == "no"
    assert data["b"] == pytest.approx(0.001)
    assert data["c"] == date(2020, 1, 2)
    assert data["d"] == "on"


def test_anchors_are_shared_values_and_listed(tmp_path):
    found = document(tmp_path, "market: &market csi300\nkwargs: {instruments: *market}\n")
    assert found.data["kwargs"]["instruments"] == "csi300"
    assert found.list_anchored() == {"market"}


def test_a_place_is_file_line_and_column(tmp_path):
    found = document(tmp_path, "task:\n  model: {class: A}\n  record:\n    - x\n    - y\n")
    assert found.locate(["task", "model", "class"]).endswith("c.yaml:2:18")
    assert found.locate(["task", "record", 1]).endswith("c.yaml:5:7")
    assert found.locate_key(["task", "model", "class"]).endswith("c.yaml:2:11")
    assert found.locate(["task", "nothing"]).endswith("c.yaml:2:3")


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        ("a: 1\na: 2\n", "twice", ":2:1"),
        ("a:\n\tb: 1\n", "not YAML", ":2"),
        ("a: !!python/object/apply:os.system [touch marker]\n", "refused", ":1:4"),
        ("a: [1, 2\n", "not YAML", ":2"),
        ("- 1\n- 2\n", "a mapping", ""),
        ("1: a\n", "not text", ":1:1"),
        ("a: {x: {2: b}}\n", "not text", ":1:9"),
        ("a: 2020-13-45\n", "no timestamp", ":1:4"),
        ("a: !!binary aGVsbG8=\n", "refused", ":1:4"),
        ("a: &x [*x]\n", "inside what it names", ":1:4"),
        ("a: {<<: [1]}\n", "takes in a mapping", ":1:10"),
        ("", "a mapping", ""),
        ("a: &x [*x, *x]\nb: *nothing\n", "not YAML", ""),
    ],
)
def test_a_fault_is_an_error_with_its_place(tmp_path, text, said, place):
    with pytest.raises(ConfigError) as caught:
        document(tmp_path, text)
    assert said in str(caught.value)
    assert f"c.yaml{place}" in str(caught.value)
    assert not (tmp_path / "marker").exists()


def test_an_alias_bomb_is_refused_before_it_expands(tmp_path):
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="aliases expand"):
        document(tmp_path, "\n".join(layers))


def test_deep_nesting_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"deeper|not YAML"):
        document(tmp_path, "a: " + "[" * 500 + "]" * 500)


def test_bytes_that_are_not_utf_8_are_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_document(path)


def test_a_byte_order_mark_and_crlf_are_accepted(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_document(path).data == {"a": 1, "b": 2}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no file .*gone\.yaml"):
        read_document(tmp_path / "gone.yaml")


def test_a_folder_is_no_campaign_and_the_file_in_it_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: {}\n")
    with pytest.raises(ConfigError, match="is a folder") as caught:
        read_document(tmp_path, ())
    assert "mine.yaml" in (caught.value.hint or "")
