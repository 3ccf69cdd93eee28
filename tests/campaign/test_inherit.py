"""A file over its base, and overrides over both: what an override reaches, and where values come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.campaign.yaml.document import read_document
from rollwright.errors import ConfigError

BASE = """\
market: &market csi300
handler_config: &handler_config
  start_time: 2008-01-01
  instruments: *market
task:
  model: {class: A, kwargs: {x: 1, y: 2}}
  handler: {kwargs: *handler_config}
  other: {kwargs: {<<: *handler_config, extra: 1}}
  record: [{class: R1}, {class: R2}]
"""


@pytest.fixture
def read(tmp_path):
    def reading(child: str, *overrides: str, base: str = BASE, **more: str):
        for name, text in {"base": base, "child": child, **more}.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return read_document(tmp_path / "child.yaml", overrides, environ={"BASE": "base.yaml", "MARKET": "hk"})

    return reading


def test_an_override_of_the_anchor_reaches_every_alias(read):
    data = read("BASE_CONFIG_PATH: base.yaml\nmarket: csi500\n").data
    assert data["market"] == "csi500"
    assert data["task"]["handler"]["kwargs"]["instruments"] == "csi500"
    assert data["task"]["other"]["kwargs"] == {
        "start_time": data["handler_config"]["start_time"],
        "instruments": "csi500",
        "extra": 1,
    }


def test_keys_added_to_an_anchored_mapping_reach_its_aliases(read):
    data = read("BASE_CONFIG_PATH: base.yaml\nhandler_config: {end_time: 2020-08-01, instruments: all}\n").data
    for place in ("handler", "other"):
        assert str(data["task"][place]["kwargs"]["end_time"]) == "2020-08-01"
        assert data["task"][place]["kwargs"]["instruments"] == "all"
    assert data["market"] == "csi300"


def test_an_override_of_one_alias_is_local_and_later_changes_still_reach_beneath(read):
    child = "BASE_CONFIG_PATH: base.yaml\ntask: {handler: {kwargs: {instruments: one}}}\n"
    document = read(child, "handler_config.start_time=2010-01-01", "handler_config.new=5")
    assert document.data["task"]["handler"]["kwargs"]["instruments"] == "one"
    assert document.data["task"]["other"]["kwargs"]["instruments"] == "csi300"
    assert document.data["market"] == "csi300"
    for place in ("handler", "other"):
        assert str(document.data["task"][place]["kwargs"]["start_time"]) == "2010-01-01"
        assert document.data["task"][place]["kwargs"]["new"] == 5


def test_mappings_merge_lists_are_replaced_and_drop_deletes(read):
    child = (
        "BASE_CONFIG_PATH: base.yaml\n"
        "task:\n"
        "  model: {kwargs: {y: 3, z: 4}}\n"
        "  record: [{class: R3}]\n"
        "  handler: __DROP__\n"
        "  other: {kwargs: {start_time: __DROP__}}\n"
    )
    data = read(child).data
    assert data["task"]["model"] == {"class": "A", "kwargs": {"x": 1, "y": 3, "z": 4}}
    assert data["task"]["record"] == [{"class": "R3"}]
    assert "handler" not in data["task"]
    assert data["task"]["other"]["kwargs"] == {"instruments": "csi300", "extra": 1}
    assert "start_time" in data["handler_config"]


@pytest.mark.parametrize("override", ["market=csi500", "market='csi500'"])
def test_an_override_of_the_command_line_reaches_every_alias(read, override):
    data = read(BASE, override).data
    assert data["task"]["handler"]["kwargs"]["instruments"] == "csi500"
    assert data["task"]["other"]["kwargs"]["instruments"] == "csi500"


def test_an_override_of_one_place_is_local(read):
    data = read(BASE, "task.handler.kwargs.instruments=x", "task.record.1.class=R9", "task.deep.er=1").data
    assert data["task"]["handler"]["kwargs"]["instruments"] == "x"
    assert data["market"] == data["handler_config"]["instruments"] == "csi300"
    assert data["task"]["record"] == [{"class": "R1"}, {"class": "R9"}]
    assert data["task"]["deep"] == {"er": 1}


def test_an_override_may_drop(read):
    data = read(BASE, "task.handler=__DROP__", "task.other.kwargs.instruments=__DROP__").data
    assert "handler" not in data["task"]
    assert "instruments" not in data["task"]["other"]["kwargs"]
    with pytest.raises(ConfigError, match="drops nothing"):
        read(BASE, "task.handlr=__DROP__")


def test_an_alias_in_a_list_is_overridden_alone(read):
    data = read("a: &a [1, {b: 2}]\nc: *a\nd: [*a]\n", "c.1.b=3", "a.0=9").data
    assert data == {"a": [9, {"b": 2}], "c": [9, {"b": 3}], "d": [[9, {"b": 2}]]}


def test_where_a_value_comes_from(read):
    document = read("BASE_CONFIG_PATH: base.yaml\n\nmarket: csi500\n", "task.model.kwargs.x=7")
    assert document.locate(["task", "handler", "kwargs", "instruments"]).endswith("child.yaml:3:9")
    assert document.locate(["task", "model", "class"]).endswith("base.yaml:6:18")
    assert document.locate(["task", "model", "kwargs", "x"]) == "override `task.model.kwargs.x=7`"
    assert document.locate_key(["market"]).endswith("child.yaml:3:1")
    assert document.list_anchored() == {"market", "handler_config"}


def test_bases_have_bases_and_are_rendered(read):
    document = read(
        "BASE_CONFIG_PATH: middle.yaml\nmarket: csi500\n",
        middle="BASE_CONFIG_PATH: {{ BASE }}\nhandler_config: {end_time: '{{ MARKET }}'}\n",
    )
    kwargs = document.data["task"]["other"]["kwargs"]
    assert (kwargs["instruments"], kwargs["end_time"], kwargs["extra"]) == ("csi500", "hk", 1)
    assert "BASE_CONFIG_PATH" not in document.data
    assert "market: csi500" in document.text
    assert "market: &market csi300" in document.text
    assert "end_time: '{{ MARKET }}'" in document.text
    assert "end_time: 'hk'" in document.rendered


def test_the_working_directory_comes_before_the_folder_of_the_file(read, tmp_path):
    Path("base.yaml").write_text("here: 1\n")
    assert read("BASE_CONFIG_PATH: base.yaml\n").data == {"here": 1}


def test_a_circle_of_bases_is_told_whole(read):
    with pytest.raises(ConfigError) as caught:
        read("BASE_CONFIG_PATH: base.yaml\n", base="BASE_CONFIG_PATH: child.yaml\n")
    assert "circle" in str(caught.value)
    assert str(caught.value).count("child.yaml") == 2
    assert "base.yaml:1:19" in str(caught.value)


def test_a_base_that_is_missing_is_told_with_the_chain(read):
    with pytest.raises(ConfigError) as caught:
        read("BASE_CONFIG_PATH: base.yaml\n", base="x: 1\nBASE_CONFIG_PATH: gone.yaml\n")
    assert "base.yaml:2:19: there is no base gone.yaml or " in str(caught.value)
    assert "child.yaml → " in str(caught.value)


def test_sixteen_bases_are_enough(tmp_path):
    for number in range(18):
        (tmp_path / f"{number}.yaml").write_text(f"BASE_CONFIG_PATH: {number + 1}.yaml\n")
    (tmp_path / "17.yaml").write_text("a: 1\n")
    assert read_document(tmp_path / "1.yaml").data == {"a": 1}
    with pytest.raises(ConfigError, match=r"more than 16 bases: .*0\.yaml → .*17\.yaml"):
        read_document(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("BASE_CONFIG_PATH: base.yaml\ntask: {modle: __DROP__}\n", "child.yaml:2:8: `modle: __DROP__` deletes nothing"),
        ("a: {b: __DROP__}\n", "child.yaml:1:5: `b: __DROP__` deletes nothing"),
        ("BASE_CONFIG_PATH: [a]\n", "is the path of a file"),
        ("BASE_CONFIG_PATH: base.yaml\nx: *market\n", "known in its own file only"),
    ],
)
def test_what_an_inheriting_file_may_not_say(read, child, said):
    with pytest.raises(ConfigError) as caught:
        read(child)
    assert said in str(caught.value)


def test_an_alias_bomb_of_a_child_is_refused_too(read):
    layers = ["BASE_CONFIG_PATH: base.yaml", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="aliases expand"):
        read("\n".join(layers))
