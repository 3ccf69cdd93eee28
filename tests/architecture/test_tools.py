"""The tools of `make check` find what they are for: each breach below is one they must tell."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    """Import a tool as if the working directory were the project."""
    monkeypatch.syspath_prepend(str(TOOLS))
    before = set(sys.modules)

    def load(name):
        module = importlib.import_module(name)
        for part in (importlib.import_module("finding"), module):
            monkeypatch.setattr(part, "ROOT", Path.cwd())
        return module

    yield load
    for name in set(sys.modules) - before:
        if (TOOLS / f"{name}.py").exists():
            del sys.modules[name]


def write(path, text):
    path = Path.cwd() / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def told(module):
    return sorted(str(finding) for finding in module.findings())


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("src/p/utils.py", '"""D."""\n', "says nothing"),
        ("src/p/common/x.py", '"""D."""\n', "says nothing"),
        ("src/p/CamelCase.py", '"""D."""\n', "lower-case"),
        ("src/p/long.py", "x = 1\n" * 401, "401 lines of code"),
        ("src/p/long.py", '"""D."""\n' + "x = (\n" + "    1,\n" * 399 + ")\n", "401 lines of code"),
        ("tests/test_long.py", "# why\n" * 801, "801 lines"),
        ("src/p/x.py", "print('x')\n", "silent"),
    ],
)
def test_layout_tells(tool, path, text, words):
    write(path, text)
    found = told(tool("check_layout"))
    assert len(found) == 1
    assert words in found[0]
    assert found[0].startswith(path)


def test_layout_lets_the_command_line_print(tool):
    write("src/p/cli/x.py", "print('x')\n")
    assert told(tool("check_layout")) == []


def test_layout_counts_no_blank_line_no_comment_and_no_docstring_as_code(tool):
    write("src/p/long.py", '"""D.\n\nMore.\n"""\n\n' + "# why\n" * 395 + "x = 1  # why\n" * 400)
    assert told(tool("check_layout")) == []


def slash(*parts):
    return "/" + "/".join(parts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'"""D."""\nX = "{slash("tmp", "x")}"\n', "machine"),
        (f'"""D."""\n# see {slash("home", "me")}\n', "machine"),
        ('"""D."""\nX = "--' + 'index-url"\n', "index"),
        ('"""D."""\nX = "https://' + 'pypi.org/simple"\n', "index"),
        ('"""D."""\n# TO' + "DO: later\n", "unfinished"),
        ('"""D."""\nimport pickle\n', "pickles"),
        ('"""D."""\nfrom dill import loads\n', "pickles"),
        ('"""D."""\nimport pandas as pd\nX = pd.read_pickle\n', "pickles"),
        ('"""D."""\n\n\ndef f(x=[]):\n    """F."""\n', "mutable default"),
        ('"""D."""\n\n\ndef _f(*, x={}):\n    pass\n', "mutable default"),
        ('"""D."""\n\n\ndef f():\n    pass\n', "no docstring"),
        ('"""D."""\n\n\nclass A:\n    """A."""\n\n    def f(self):\n        pass\n', "no docstring"),
        ("X = 1\n", "no docstring"),
    ],
)
def test_text_tells(tool, text, words):
    subprocess.run(["git", "init", "-q"], check=True)
    write("src/p/x.py", text)
    found = told(tool("check_text"))
    assert len(found) == 1
    assert words in found[0]


def test_text_lets_ordinary_code_pass(tool):
    subprocess.run(["git", "init", "-q"], check=True)
    write("src/p/x.py", '"""D."""\n\n\ndef f(x=()):\n    """F, a/tmp/b and ~/.config."""\n\n\ndef _g():\n    pass\n')
    write("docs/picture.bin", "x")
    (Path.cwd() / "docs" / "picture.bin").write_bytes(b"\xff\xfe")
    assert told(tool("check_text")) == []


ENGLISH = "# A\n\n```sh\nmake x    # words\n```\n\n## B\n\n| a | b |\n|---|---|\n| it | `tests/test_x.py::test_it` |\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("## B\n", "### B\n"), "headings"),
        (("make x ", "make y "), "code"),
        (("| it | `", "| it | x | `"), "tables"),
        (("::test_it", ""), "tests"),
        (("## B\n", "## B\n\n[x](docs/x.md)\n"), "links"),
    ],
)
def test_readme_tells_of_different_structures(tool, monkeypatch, change, words):
    module = tool("check_readme")
    monkeypatch.setattr(module, "ENGLISH", write("README.md", ENGLISH))
    monkeypatch.setattr(module, "CHINESE", write("README.zh-CN.md", ENGLISH.replace("# words", "# 词")))
    write("tests/test_x.py", "def test_it():\n    pass\n")
    write("docs/x.md", "")
    assert told(module) == []
    write("README.zh-CN.md", ENGLISH.replace(*change))
    assert any(f": {words} differ" in line for line in told(module))


def test_readme_tells_of_a_table_that_is_not_that_of_its_file(tool, monkeypatch):
    module = tool("check_readme")
    page = "# A\n\n<!-- table results/x.md -->\n{}<!-- end -->\n\nMore.\n"
    for name in ("ENGLISH", "CHINESE"):
        monkeypatch.setattr(module, name, write(f"{name}.md", page.format("")))
    monkeypatch.setattr(module, "ROOT", Path.cwd())
    assert told(module) == []
    write("results/x.md", "| a |\n|---|\n| 1 |\n")
    assert [line for line in told(module) if "make docs" in line] == told(module) != []
    for name in ("ENGLISH", "CHINESE"):
        write(f"{name}.md", module.with_tables(page.format("an older table\n")))
    assert told(module) == []
    assert "\n\n| a |\n|---|\n| 1 |\n\n<!-- end -->\n\nMore." in (Path.cwd() / "ENGLISH.md").read_text()


def test_readme_tells_of_a_test_that_is_not_there(tool, monkeypatch):
    module = tool("check_readme")
    monkeypatch.setattr(module, "ENGLISH", write("README.md", ENGLISH))
    monkeypatch.setattr(module, "CHINESE", write("README.zh-CN.md", ENGLISH))
    write("tests/test_x.py", "def test_it_not():\n    pass\n")
    assert len(told(module)) == 2


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("src/rollwright/p/x.py", "class RingsTheDoorbell:\n    pass\n", "`doorbell` was retired; use: notifier"),
        ("src/rollwright/p/x.py", "def f(*, wish):\n    pass\n", "`wish` was retired"),
        ("src/rollwright/p/x.py", "def give_back():\n    pass\n", "`give back` was retired; use: trim"),
        ("src/rollwright/p/x.py", "def f(x):\n    x.presence = 1\n", "`presence` was retired"),
        ("src/rollwright/p/x.py", "X = 1  # rows nobody expects are Strangers\n", "`strangers` was retired"),
        ("src/rollwright/p/x.py", "X = f'the doorman {1}'\n", "`doorman` was retired"),
        ("src/rollwright/p/active.py", "X = 1\n", "`active` was retired; use: run stack"),
        ("src/rollwright/p/x.py", "X = 'rollwright.p.y.Z'\n", "names no module"),
        ("src/rollwright/p/x.py", "X = 'rollwright.record.Recorder'\n", "names no module"),
        ("src/rollwright/p/x.py", "def sent():\n    pass\n", "`sent` is a participle"),
        ("src/rollwright/p/x.py", "def _checked_fill():\n    pass\n", "`_checked_fill` is a participle"),
        ("tests/p/test_x.py", "def test_the_doorbell_answers():\n    pass\n", "`doorbell` was retired"),
        ("docs/x.md", "How far a file may unfold.\n", "`unfold` was retired"),
        ("README.md", "Ring the bells.\n", "`bells` was retired"),
    ],
)
def test_words_tells(tool, path, text, words):
    module = tool("check_words")
    write(path, text)
    found = told(module)
    assert len(found) == 1
    assert words in found[0]
    assert found[0].startswith(path)


def test_words_lets_words_in_use_pass(tool):
    module = tool("check_words")
    text = "def need():\n    active = 'rollwright.p.x and rollwright.toml, bellow'\n    return active\n"
    write("src/rollwright/p/x.py", text + "class C:\n    @property\n    def closed(self):\n        return 1\n")
    write("docs/decisions/0001.md", "The bells.\n")
    assert told(module) == []


def test_words_tells_of_two_classes_of_one_name(tool):
    module = tool("check_words")
    write("src/rollwright/p/x.py", "class Rows:\n    pass\n\n\nclass _Own:\n    pass\n")
    write("src/rollwright/q/y.py", "class Rows:\n    pass\n\n\nclass _Own:\n    pass\n")
    assert told(module) == ["src/rollwright/q/y.py:1: `Rows` is the name of a class in src/rollwright/p/x.py too"]


LOGGER = "import logging\n\n_logger = logging.getLogger('rollwright.p')\n"
EVENTS = """## `rollwright.p`

| event | level | fields | meaning |
|---|---|---|---|
| `run.ended` | info, warning | `id`, `status` | a run ended |
| `task.*` | debug | – | a task changed |
"""
CALLS = (
    "_logger.info('run.ended id=%s status=%s', 1, 2)\n_logger.warning('run.ended id=%s', 1)\n"
    "_logger.debug('task.%s', 'done')\n"
)


@pytest.mark.parametrize(
    ("source", "page", "words"),
    [
        (LOGGER + CALLS + "_logger.info('run.begun')\n", EVENTS, "`run.begun` is not listed"),
        (LOGGER + CALLS.replace("run.ended id=%s status=%s", "run.ended id=%s"), EVENTS, "fields id"),
        (LOGGER + CALLS.replace("_logger.warning", "_logger.error"), EVENTS, "levels error, info"),
        (LOGGER + CALLS, EVENTS + "| `run.lost` | info | – | it is lost |\n", "no module of `p` logs `run.lost`"),
        (LOGGER + CALLS, EVENTS + "| `run.ended` | info | – | again |\n", "or twice"),
        (LOGGER + CALLS + "_logger.info('it has ended')\n", EVENTS, "name.part key=value"),
        (LOGGER + CALLS + "_logger.info('run.ended id=%s: too late', 1)\n", EVENTS, "name.part key=value"),
        (LOGGER + CALLS + "_logger.info(f'run.ended id={CALLS}')\n", EVENTS, "in one constant"),
        ("import logging\nlog = logging.getLogger('rollwright.p')\n" + LOGGER + CALLS, EVENTS, "a module logs by"),
        ("import logging\n_logger = logging.getLogger('rollwright.q')\n" + CALLS, EVENTS, "a module logs by"),
    ],
)
def test_log_events_tells(tool, monkeypatch, source, page, words):
    module = tool("check_log_events")
    monkeypatch.setattr(module, "PAGE", write("docs/logging.md", EVENTS))
    write("src/rollwright/p/x.py", LOGGER + CALLS)
    assert told(module) == []
    write("src/rollwright/p/x.py", source)
    write("docs/logging.md", page)
    found = told(module)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize("path", sorted(TOOLS.glob("check_*.py")), ids=lambda path: path.stem)
def test_every_tool_says_what_it_is_for(path):
    source = path.read_text(encoding="utf-8")
    assert source.startswith('"""')
    assert "sys.exit(tell(" in source
