"""docs/many-machines.md is executed: its commands as they stand, on a small campaign, as far as no engine is needed.

What an engine would be given is printed in place of being submitted; that real engines take it is tried in the other
files of this folder. `roll --on slurm` runs as `--on local`, whose results are those of a real Slurm
(`test_slurm_campaign.py`).
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from rollwright.cli.root import run
from small_campaign import CAMPAIGN, make_project

PAGE = (Path(__file__).parents[2] / "docs" / "many-machines.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(re.split(r" [|>] ", line)[0], comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("rollwright ")
]
ENGINES = {"slurm", "kubernetes", "ray"}
SETTINGS = [body for body in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if body.startswith("[cluster]\nimage")]
HERE = {"NAME": "small", "campaign.yaml": "small.yaml", "alpha": "small", "beta": "second"}
"""What the page calls by other names."""
NEEDS_SERVERS = {("worker", "join")}
"""What joins a campaign from elsewhere: tried with PostgreSQL and storage apart in ``tests/app``."""


def make_local(words: list[str]) -> list[str] | None:
    """Return a command of the page as it runs here; None for what needs servers."""
    here = [HERE.get(word, word) for word in words]
    if tuple(here[:2]) in NEEDS_SERVERS:
        return None
    if "--print" in here:
        return here
    if here[0] == "worker":
        return ["--until-empty" if word == "--keep-waiting" else word for word in here]  # else it waits for ever
    if "--elastic" in here:
        here += [] if "--once" in here else ["--once"]
    elif here[:2] == ["cluster", "up"]:
        return [*here, "--print"]
    return ["local" if word in ENGINES else word for word in here]


def test_the_commands_of_the_page_run_as_they_stand(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_project(tmp_path / "project").parent)
    Path("second.yaml").write_text(CAMPAIGN.replace("experiment_name: small", "experiment_name: second"))
    (settings,) = SETTINGS
    Path("rollwright.toml").write_text(settings)
    monkeypatch.setenv("ROLLWRIGHT_POOL__URL", postgres_url)
    monkeypatch.setenv("ROLLWRIGHT_CLUSTER__ONE_MACHINE", "true")
    assert {tuple(words[:2]) for words in COMMANDS} >= {("cluster", verb) for verb in ("up", "ls", "down", "bundle")}
    assert run(["roll", "second.yaml", "-j", "1"]) == 0
    done = 0
    for words in COMMANDS:
        here = make_local(words)
        if here is None:
            continue
        assert run(here) == 0, (here, capsys.readouterr())
        done += 1
    assert done >= 15
    printed = capsys.readouterr().out
    assert {*re.findall(r"kind\"?: \"?(\w+)", printed)} >= {"Job", "ScaledJob"}
    assert "#!/bin/sh" in printed
    assert "rollwright_pool_tasks" in printed
    summary = json.loads(Path("results/small/summary.json").read_text())
    assert summary["variants"]["main"]["windows"] == 4


def test_every_option_of_the_page_is_one_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, set[str]] = {}
    for words in COMMANDS:
        verb = words[:1] if words[0] == "roll" else words[:2]
        name = " ".join(verb)
        if name not in known:
            assert run([*verb, "--help"]) == 0
            known[name] = {*re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out)}
        assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known[name], words
