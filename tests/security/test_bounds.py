"""Work is bounded by what comes out, not by what goes in (promise I25): a typed error, in little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "bounds.py"
SECONDS = 5.0
MEGABYTES = 256
# How many cases there are at least: a group that yields none would pass.
GROUPS = {"files": 100, "archives": 1, "definitions": 20, "templates": 14, "yaml": 13, "answers": 7}


def try_group(group, folder):
    """Return what each case of a group came to, in a process of its own."""
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
    command = [sys.executable, str(SCRIPT), group, str(folder / "work")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=240)
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"did not end after {(error.stdout or b'').decode().splitlines()[-1:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended after {lines[-1:]}: {done.stderr[-2000:]}"
    return lines


@pytest.mark.parametrize(
    "group", [pytest.param(group, marks=[pytest.mark.slow] if group == "definitions" else []) for group in GROUPS]
)
def test_every_case_is_refused_in_little_time_and_memory(group, tmp_path):
    rows = try_group(group, tmp_path)
    assert len(rows) >= GROUPS[group]
    assert [row for row in rows if row["told"].startswith("NOT")] == []
    assert [row for row in rows if row["exit"] not in (2, 3, 4)] == []
    assert [row["name"] for row in rows if len(row["told"]) > 20_000] == []
    assert [row for row in rows if row["seconds"] > SECONDS] == []
    assert [row for row in rows if row["megabytes"] > MEGABYTES] == []
