"""Standard output is data: nothing that a model, a library or a process of ours writes gets into it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollwright.cli.console import clean_stdout, print_json


def test_what_python_a_library_or_a_child_writes_goes_to_stderr(capfd):
    sys.stdout.write("before\n")
    with clean_stdout():
        sys.stdout.write("python\n")
        os.write(1, b"library\n")
        subprocess.run([sys.executable, "-S", "-c", "print('child')"], check=True)
    sys.stdout.write("after\n")
    sys.stdout.flush()
    captured = capfd.readouterr()
    assert captured.out == "before\nafter\n"
    assert set(captured.err.split()) == {"python", "library", "child"}


def test_stdout_is_back_after_an_error(capfd):
    with pytest.raises(ValueError, match="a body"), clean_stdout():
        raise ValueError("a body")
    sys.stdout.write("after\n")
    sys.stdout.flush()
    assert capfd.readouterr().out == "after\n"


def test_an_answer_for_programs_cannot_steer_a_terminal(capsys):
    print_json({"name": "滚动 \x9b31m\u202e", "path": Path("a")}, ok=False)
    said = capsys.readouterr().out
    assert said.isascii()
    assert json.loads(said) == {"ok": False, "data": {"name": "滚动 \x9b31m\u202e", "path": "a"}}
