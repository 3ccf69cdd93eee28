"""`docs/online.md`: the commands of its walk are typed as they stand, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rollwright.cli.root import run
from served_project import CAMPAIGN, make_arriving

PAGE = Path(__file__).parents[2] / "docs" / "online.md"
WALK = "## From the first day on"


def read_walk():
    """Return the blocks of the walk: their kind and their text."""
    text = PAGE.read_text(encoding="utf-8").partition(WALK)[2]
    walk = re.split(r"^## ", text, flags=re.MULTILINE)[0]
    return re.findall(r"^```(sh|yaml)\n(.*?)^```$", walk, flags=re.DOTALL | re.MULTILINE)


def test_every_command_of_the_walk_ends_with_0(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())  # the prices are random
    file = make_arriving(tmp_path / "project")
    monkeypatch.chdir(file.parent)
    blocks = read_walk()
    assert len(blocks) >= 6
    for kind, text in blocks:
        if kind == "yaml":
            file.write_text(f"{CAMPAIGN}{text}")
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "rollwright"
            assert run(words[1:]) == 0, (line, capsys.readouterr().err)
    assert (file.parent / "today.csv").is_file()


@pytest.mark.parametrize(
    "verb", ["init", "routine", "catch-up", "status", "signals", "strategy", "simulate", "schedule"]
)
def test_every_verb_is_on_the_page_and_has_help(capsys, verb):
    assert f"rollwright online {verb}" in PAGE.read_text(encoding="utf-8")
    assert run(["online", verb, "--help"]) == 0
    assert capsys.readouterr().out
