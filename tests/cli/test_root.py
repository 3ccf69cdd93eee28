"""The root of the command line: whatever is typed wrong ends with a message and its code, never with a traceback."""

from __future__ import annotations

import json
import signal

import pytest

from rollwright.cli import root
from rollwright.cli.root import run


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


def test_what_the_machine_refuses_ends_with_3_and_the_path(capsys, monkeypatch):
    def refused(**_kwargs):
        raise PermissionError(13, "Permission denied", "/somewhere/pool.db")

    monkeypatch.setattr("rollwright.config.settings.load_settings", refused)
    assert run(["config", "show"]) == 3
    captured = capsys.readouterr()
    assert "/somewhere/pool.db" in captured.err
    assert "Permission denied" in captured.err
    assert captured.out == ""


def test_an_error_is_told_to_programs_too_when_they_asked_for_json(capsys):
    assert run(["roll", "gone.yaml", "--json"]) == 2
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["ok"] is False
    assert told["errors"][0]["type"] == "ConfigError"
    assert "gone.yaml" in told["errors"][0]["message"]
    assert "gone.yaml" in captured.err
