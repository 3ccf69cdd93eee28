"""The serving example runs as it stands, from the first training to a promotion and a simulation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "online" / "daily_serving.py"


@pytest.mark.parametrize("days", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_it_runs_as_its_first_lines_say(tmp_path, days):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", "serving", "--days", str(days)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count(": published by entry") == days + 1
    delivered = sorted((tmp_path / "serving" / "delivered").glob("*.json"))
    assert len(delivered) == days + 1
    notes = [json.loads(file.read_text()) for file in delivered]
    assert all(note["rows"] >= 50 for note in notes)
    assert len({note["digest"] for note in notes}) == days + 1
