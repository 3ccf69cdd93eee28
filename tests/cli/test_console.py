"""Standard output is data: nothing that a model, a library or a process of ours writes gets into it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rollwright.cli.console import clean_stdout


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
