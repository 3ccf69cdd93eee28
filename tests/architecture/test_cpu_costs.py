"""A run in which a fast test is far too dear fails and names it; what tests share is nobody's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = Path(__file__).parents[1] / "helpers"
TESTS = """\
import subprocess, sys, time
import pytest

BURN = "import time\\nwhile time.process_time() < {seconds}: pass"

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

@pytest.fixture(scope="module")
def shared():
    burn(0.35)

@pytest.fixture
def own():
    burn(0.35)

def test_sleeps(): time.sleep(0.2)
def test_shares(shared): pass
def test_computes(): burn({computes})
def test_starts(): subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
@pytest.mark.slow
def test_slow(): burn(0.35)
@pytest.mark.crash
def test_crash(own): pass
def test_sets_up({own}): pass
"""


@pytest.fixture
def run(tmp_path):
    def run(computes, seconds, own, *arguments):
        (tmp_path / "test_inner.py").write_text(
            TESTS.replace("{computes}", str(computes)).replace("{seconds}", str(seconds)).replace("{own}", own)
        )
        (tmp_path / "pytest.ini").write_text("[pytest]\ncpu_limit = 0.1\nmarkers =\n  slow\n  crash\n")
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        plugins = ["-p", "cpu_costs", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugins], cwd=tmp_path, env={**alone, "PYTHONPATH": str(HELPERS)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_fast_test_that_is_too_dear_fails_the_run_and_is_named(run, workers):
    done = run(0.35, 0.35, "own", "-n", workers)
    named = {line.split()[2].partition("::")[2] for line in done.stdout.splitlines() if line.startswith("too dear: ")}
    assert named == {"test_computes", "test_starts", "test_sets_up"}, done.stdout + done.stderr
    assert done.returncode == 1
    assert "7 passed" in done.stdout
    assert "CPU seconds and a fast test may take 0.1" in done.stdout


def test_one_that_is_above_the_limit_and_below_three_times_of_it_is_only_named(run):
    done = run(0.15, 0, "", "-n", "0")
    assert "too dear: test_inner.py::test_computes" in done.stdout
    assert done.returncode == 0


def test_what_waits_what_is_shared_and_what_is_slow_fails_nothing(run):
    done = run(0, 0, "", "-n", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "too dear" not in done.stdout
