"""docs/compare.md is executed: its commands as they stand, but for the environments, which need a package index."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from compared_models import make_comparison_project
from rollwright.cli.root import run

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("rollwright ")
]
INSTALLING = {"run", "reproduce"}


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_comparison_project(tmp_path / "project", "ridge", "ols").parent)
    assert {words[1] for words in COMMANDS} == {"run", "table", "logs", "envs", "reproduce"}
    for words in COMMANDS:
        here = ["--this-environment"] if words[1] in INSTALLING else []
        assert run([*words, *here]) == 0, words
    assert "the same bytes" in capsys.readouterr().out


def test_the_options_of_the_page_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    table = PAGE.partition("| option of `run` | |")[2].partition("\n\n")[0]
    told = {
        word for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for word in re.findall(r"--[a-z-]+", cell)
    }
    assert run(["compare", "run", "--help"]) == 0
    known = {*re.findall(r"--[a-z-]+", capsys.readouterr().out)}
    assert told <= known
    assert known - told <= {"--help", "--keep-env", "--jobs", "--json"}
