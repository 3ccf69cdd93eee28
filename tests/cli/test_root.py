"""The root of the command line: whatever is typed wrong ends with a message and its code, never with a traceback."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from rollwright.cli import root
from rollwright.cli.root import run
from rollwright.core.atomic import write_text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["roll", "x.yaml", "--jbs", "3"], "--jbs"),
        (["roll", "x.yaml", "-j", "0"], "--jobs"),
        (["roll", "x.yaml", "-j", "many"], "--jobs"),
        (["roll"], "file"),
        (["rol"], "rol"),
        (["config", "shw"], "shw"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_what_is_typed_wrong_ends_with_2_and_is_named(capsys, arguments, named):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err


def test_help_and_version_end_with_0(capsys):
    assert run(["--version"]) == 0
    assert run(["roll", "--help"]) == 0
    assert "Walk a campaign" in capsys.readouterr().out


def test_the_commands_are_made_once_for_all_that_a_process_runs(capsys, monkeypatch):
    assert run(["--version"]) == 0
    monkeypatch.setattr("typer.main.get_group", lambda *_, **__: pytest.fail("they are made again"))
    assert run(["config", "show"]) == 0
    assert run(["roll"]) == 2  # and keep nothing of what was given to them
    assert run(["config", "show"]) == 0
    assert "file" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_anywhere_ends_with_130_and_says_how_to_go_on(capsys, monkeypatch, number):
    before = signal.getsignal(signal.SIGTERM)

    def interrupted(**_kwargs):
        signal.raise_signal(number)
        pytest.fail("it went on")

    monkeypatch.setattr("rollwright.config.settings.load_settings", interrupted)
    assert run(["config", "show"]) == root.INTERRUPTED
    assert "nothing is lost" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


IMPORTING = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
signal.signal(signal.SIGINT, {handler})
from rollwright.cli import main
sys.argv = ["rollwright", "--version"]
main()
"""


@pytest.mark.parametrize("module", ["rollwright.cli.root", "typer", "rollwright.cli.why"])
def test_ctrl_c_while_the_command_line_is_imported_ends_with_130_and_no_traceback(module):
    code = IMPORTING.format(module=module, handler="signal.default_int_handler")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (root.INTERRUPTED, "", "")


def test_a_command_that_was_started_to_ignore_ctrl_c_goes_on():
    code = IMPORTING.format(module="typer", handler="signal.SIG_IGN")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_the_machine_refuses_ends_with_3_and_the_path(capsys, monkeypatch):
    def refused(**_kwargs):
        raise PermissionError(13, "Permission denied", "/somewhere/pool.db")

    monkeypatch.setattr("rollwright.config.settings.load_settings", refused)
    assert run(["config", "show"]) == 3
    captured = capsys.readouterr()
    assert "/somewhere/pool.db" in captured.err
    assert "Permission denied" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("number", "todo"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EROFS, "name another place"),
        (errno.EIO, "give the same command again"),
    ],
)
def test_a_file_that_the_system_refuses_to_write_is_named_with_what_to_do(capsys, monkeypatch, tmp_path, number, todo):
    path = tmp_path / "results" / "report.html"

    def full(draft, _target):
        raise OSError(number, os.strerror(number), str(draft), None, str(path))

    monkeypatch.setattr("pathlib.Path.replace", full)
    monkeypatch.setattr("rollwright.config.settings.load_settings", lambda **_: write_text(path, "x"))
    assert run(["config", "show", "--json"]) == 3
    captured = capsys.readouterr()
    assert f"OSError: the system refuses {path}: {os.strerror(number)}\nhint: " in captured.err
    assert todo in captured.err
    assert todo in json.loads(captured.out)["errors"][0]["hint"]
    assert list(path.parent.iterdir()) == []


def test_an_error_is_told_to_programs_too_when_they_asked_for_json(capsys):
    assert run(["roll", "gone.yaml", "--json"]) == 2
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["ok"] is False
    assert told["errors"][0]["type"] == "ConfigError"
    assert "gone.yaml" in told["errors"][0]["message"]
    assert "gone.yaml" in captured.err
