"""Every command and every line of Python on the page about features runs, in its order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_the_page_on_features_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    script = "".join(body for kind, body in blocks if kind == "python")
    lines = [line for kind, body in blocks if kind == "console" for line in body.splitlines()]
    (tmp_path / "page.py").write_text(script)
    (tmp_path / "rollwright.toml").write_text('[data]\nprovider_uri = "market"\n')
    commands = [
        [sys.executable, "-m", "rollwright", *shlex.split(line.removeprefix("$ rollwright "))] for line in lines
    ]
    assert len(commands) == 3
    assert script.count("assert") == 6
    for command in (commands[0], [sys.executable, "page.py"], *commands[1:]):
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "0 files removed" in done.stdout
