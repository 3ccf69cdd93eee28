"""Variables of a YAML file: what is filled, what is refused, and that lines stay those of the user's file."""

from __future__ import annotations

import pytest

from rollwright.campaign.yaml.document import read_document
from rollwright.campaign.yaml.template import MAX_CHARACTERS, render
from rollwright.errors import ConfigError

ENVIRON = {"MARKET": "csi300", "STEP": "20", "EMPTY": "", "LINES": "a\nb"}


def text(source: str) -> str:
    return render(source, name="c.yaml", environ=ENVIRON).text


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("a: {{ MARKET }}\n", "a: csi300\n"),
        ("a: {{ STEP | int * 2 }}\n", "a: 40\n"),
        ("a: {{ NONE | default('all') }}\n", "a: all\n"),
        ("{% if MARKET == 'csi300' %}\na: 1\n{% else %}\na: 2\n{% endif %}\n", "\na: 1\n\n"),
        ("{% set m = MARKET | upper %}a: {{ m }}\n", "a: CSI300\n"),
        ("a: {{ 'yes' if NONE is defined else 'no' }}\n", "a: no\n"),
        ("a: {{ MARKET[:3] }}\n", "a: csi\n"),
        ("a: {# a note #} 1\n", "a:  1\n"),
        ("a: {% raw %}{{ x }}{% endraw %}\n", "a: {{ x }}\n"),
        ("a: 1  # no tag\n", "a: 1  # no tag\n"),
    ],
)
def test_variables_are_filled(source, rendered):
    assert text(source) == rendered


@pytest.mark.parametrize(
    "source",
    [
        "a: 1  # {{ NOBODY }}\n",
        "# {% include 'x' %}\na: 1\n",
        "a: 'it''s # not {{ MARKET }}'  # {{ NOBODY }}\n",
        'a: "\\" # {{ MARKET }}"  # {# open\n',
        "- a: |\n    # text {{ MARKET }}\n  b: 1  # {{ NOBODY }}\n",
        "a: it's  # {{ NOBODY }}\nb: 'c'\n",
    ],
)
def test_a_comment_is_not_rendered(source):
    assert len(text(source).splitlines()) == len(source.splitlines())


def test_what_looks_like_a_comment_within_a_text_is_rendered():
    assert "# text csi300" in text("a: |\n  # text {{ MARKET }}\nb: 1\n")
    assert "x # csi300" in text("a: 'x # {{ MARKET }}'\n")


def test_every_undefined_name_is_told_at_once_with_its_line():
    with pytest.raises(ConfigError) as caught:
        text("a: 1\nb: {{ MARKT }}\nc: {{ WHO }}\n")
    assert "c.yaml:2: nothing defines `MARKT`; did you mean `MARKET`?" in str(caught.value)
    assert "c.yaml:3: nothing defines `WHO`" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a: 1\nb: {% include '/etc/passwd' %}\n", "c.yaml:2: a template has no include here"),
        ("{% import 'x' as y %}\n", "c.yaml:1: a template has no import here"),
        ("{% extends 'x' %}\n", "no extends"),
        ("{% for x in [1] %}{% endfor %}\n", "no for"),
        ("{% macro m() %}{% endmacro %}\n", "no macro"),
        ("a: {{ MARKET.__class__ }}\n", "no getattr"),
        ("a: {{ range(3) }}\n", "no call"),
        ("a: {{ MARKET ~ MARKET }}\n", "no concat"),
        ("a: {{ MARKET['__class__'] }}\n", "c.yaml:1"),
        ("a: {{ MARKET | center(1000000000) }}\n", "center"),
        ("a: {{ 'x' * 1000000000 }}\n", "c.yaml:1"),
        ("a: {{ '%1000000000d' % 1 }}\n", "c.yaml:1"),
        ("a: {{ '%9s' % MARKET }}\n", "`%` of str and str"),
        ("a: {{ 9 ** 9 ** 9 }}\n", "no pow"),
        ("a: 1\nb: {{ 1 / 0 }}\n", "c.yaml:2"),
        ("a: 1\nb: {{ STEP * 2 }}\n", "use `| int`"),
        ("a: 1\nb: {{ oops\n", "c.yaml:"),
        ("a: 1\nb: {{ MARKET | int + NONE }}\n", "nothing defines `NONE`"),
        ("a: \0 {{ MARKET }}\n", "NUL"),
    ],
)
def test_what_could_reach_or_grow_is_refused(source, said):
    with pytest.raises(ConfigError) as caught:
        text(source)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_result_that_grows_is_cut_off():
    doubling = "{% set a = 'x' %}" + "{% set a = a + a %}" * 12
    with pytest.raises(ConfigError, match="longer than"):
        text(doubling + "{% set a = a + a %}")
    with pytest.raises(ConfigError, match="renders to more"):
        text(doubling + "{{ a }}" * (2 * MAX_CHARACTERS // 4096 + 1))


def test_only_named_variables_are_read():
    asked = []

    class Watched(dict):
        def __getitem__(self, key):
            asked.append(key)
            return super().__getitem__(key)

    environ = Watched(ENVIRON, SECRET="hunter2")
    render("a: {{ MARKET }}\n", name="c.yaml", environ=environ)
    assert set(asked) == {"MARKET"}


def test_an_error_after_rendering_points_into_the_file(tmp_path):
    source = "{% if STEP == '1' %}\na: 1\nb: 1\n{% endif %}\nc: {{ LINES }}\nd: 1\nd: 2\n"
    path = tmp_path / "c.yaml"
    path.write_text(source)
    environ = {**ENVIRON, "LINES": "\n  - x\n  - y"}
    with pytest.raises(ConfigError, match=r"c\.yaml:7:1: key `d` stands twice"):
        read_document(path, environ=environ)
    path.write_text(source.replace("d: 2\n", "e: 2\n"))
    document = read_document(path, environ=environ)
    assert document.data == {"c": ["x", "y"], "d": 1, "e": 2}
    assert document.locate(["e"]).endswith("c.yaml:7:4")
    assert document.locate(["c", 1]).endswith("c.yaml:5:5")


def test_the_environment_is_that_of_the_process(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_MARKET", "csi500")
    monkeypatch.setenv("QLIB_MLFLOW_DEFAULT_EXP_NAME", "x")  # nothing here reads Qlib's variables (K9)
    path = tmp_path / "c.yaml"
    path.write_text("a: {{ MY_MARKET }}\n")
    document = read_document(path)
    assert document.data == {"a": "csi500"}
    assert document.text == "a: {{ MY_MARKET }}\n"  # as written: what a variable holds may be a secret
    assert document.rendered == "a: csi500\n"
