"""Requirements files: packages by name and version, and nothing else reaches an installer."""

from __future__ import annotations

import re
import string
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from rollwright.compare.environments.requirements import plain_requirements, read_requirements
from rollwright.core.bounded_read import SMALL
from rollwright.errors import RequirementsError

TWO = "--"  # the options themselves stand in no file of the project
PLAIN = re.compile(r"[a-z0-9][a-z0-9-]*(\[[a-z0-9,-]+\])?([<>=!~]=?[A-Za-z0-9.*+!]+(,[<>=!~]=?[A-Za-z0-9.*+!]+)*)?")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "requirements.txt"


def read(file, text, encoding="utf-8"):
    file.write_text(text, encoding=encoding)
    return read_requirements(file)


def test_names_versions_extras_and_comments_are_read_and_sorted(file):
    text = (
        "\ufeff# what the model needs\nScikit_Learn >= 1.6, <1.7\r\n\n lightgbm==4.5.0  # pinned\ntorch[Opt.Einsum]\n"
    )
    assert read(file, text) == ("lightgbm==4.5.0", "scikit-learn<1.7,>=1.6", "torch[opt-einsum]")


def test_a_package_named_twice_is_passed_on_with_both_conditions(file):
    assert read(file, "numpy>2\nNumPy<3\nnumpy>2\n") == ("numpy<3", "numpy>2")


def test_lines_are_judged_by_their_markers_which_are_not_passed_on(file):
    text = f"here; sys_platform == '{sys.platform}'\nelsewhere; sys_platform == 'amiga'\nold; python_version < '3'\n"
    assert read(file, text) == ("here",)


def test_an_empty_file_asks_for_nothing(file):
    assert read(file, "\n# nothing\n") == ()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-e .", "option -e"),
        ("--editable=.", "option --editable"),
        ("-r other.txt", "option -r"),
        ("-rother.txt", "option -rother"),
        ("--requirement other.txt", "option --requirement"),
        ("-c constraints.txt", "option -c"),
        ("-i https://u:hunter2@index.invalid/simple", "option -i"),
        (f"{TWO}index-url https://index.invalid/simple", f"option {TWO}index-url"),
        (f"{TWO}extra-index-url https://index.invalid/simple", f"option {TWO}extra-index-url"),
        (f"{TWO}find-links ./wheels", f"option {TWO}find-links"),
        ("--trusted-host index.invalid", "option --trusted-host"),
        ("--no-binary :all:", "option --no-binary"),
        ("lightgbm --hash=sha256:" + "0" * 64, "option --hash"),
        ("lightgbm --config-settings=x=y", "option --config-settings"),
        ("lightgbm --global-option=x", "option --global-option"),
        ("name @ https://index.invalid/name.whl", "an address"),
        ("name@file:///etc/passwd", "an address"),
        ("git+https://index.invalid/x.git#egg=x", "an address"),
        ("https://index.invalid/x.whl", "an address"),
        ("./local", "a path"),
        ("../local", "a path"),
        ("/etc/passwd", "a path"),
        ("folder/name", "a path"),
        ("C:\\folder", "a path"),
        ("~local", "a path"),
        (".", "a path"),
        ("name-1.0-py3-none-any.whl", "an archive"),
        ("name-1.0.tar.gz", "an archive"),
        ("NAME.ZIP", "an archive"),
        ("name; rm -rf ~", "a path|no package|option"),
        ("name; touch x", "no package"),
        ("name && touch x", "no package"),
        ("name | sh", "no package"),
        ("name > file", "no package"),
        ("`id`", "no package"),
        ("$(id)", "a variable"),
        ("${HOME}", "a variable"),
        ("name==${VERSION}", "a variable"),
        ("name===anything", "==="),
        ("name==1.0 \\", "goes on in the next"),
        ("# a comment \\", "goes on in the next"),
        ("name\x00", "control character"),
        ("na\x1bme", "control character"),
        ("name==not a version", "no package"),
        ("naïve", "no package"),
        ("name; extra == 'x'", "no package"),
        ("name; " + "(" * 900, "no package"),
        ("rollwright", "runs the comparison"),
        ("RollWright[lightgbm]>=0.1", "runs the comparison"),
        ("x" * 1001, "1,001 characters"),
    ],
)
def test_all_else_is_refused_with_its_line(file, line, says):
    with pytest.raises(RequirementsError, match=says) as caught:
        read(file, f"# first\nlightgbm\n{line}\nnumpy\n")
    assert caught.value.line == 3
    assert caught.value.path == str(file)
    assert f"{file}:3:" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_files_that_no_person_writes_are_refused(file, tmp_path):
    for content, says in (
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a\n" * 1001, "1,002 lines"),
        (b"#" * (SMALL + 1), "larger"),
    ):
        file.write_bytes(content)
        with pytest.raises(RequirementsError, match=says):
            read_requirements(file)
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RequirementsError, match="cannot be read"):
            read_requirements(path)


WORDS = (
    r"- -- -r -e @ :// file: https / .. . ~ \ $ { } ; # == === >= < , [ ] ( ) ' extra python_version sys_platform in"
)
NAMES = ("name", "pkg-x", "Pkg.Y", "1.0", "1!2.0+local", "*", "whl", "rollwright", "ı", "１", '"', " and ")
SPACES = (" ", "\t", "\n", "\r", "\x00", "\x0b", "\x85", "\u2028")
TOKENS = st.sampled_from([*WORDS.split(), *NAMES, *SPACES])


@given(
    st.one_of(st.lists(TOKENS, max_size=12).map("".join), st.text(max_size=40), st.text(string.printable, max_size=40))
)
def test_whatever_is_written_only_names_and_versions_come_through(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "hostile.txt"
    file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        found = read_requirements(file)
    except RequirementsError:
        return
    for line in found:
        assert PLAIN.fullmatch(line), line
        assert Requirement(line).url is None
        assert not line.startswith(("-", ".", "~"))
        assert not set(line) & set(" \t\n\r/\\@$;#'\"()&|`")


def test_the_needs_of_a_package_lose_extras_and_markers():
    needs = ["NumPy >=2.4", "ruamel.yaml>=0.18", 'uv>=0.9; extra == "compare"', 'old; python_version < "3"']
    assert plain_requirements(needs) == ("numpy>=2.4", "ruamel-yaml>=0.18")
