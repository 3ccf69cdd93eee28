"""Every command and every line of Python on the page about models runs, in its order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_page_on_models_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    script = "".join(body for kind, body in blocks if kind == "python")
    (line,) = [line for kind, body in blocks if kind == "console" for line in body.splitlines()]
    (tmp_path / "page.py").write_text(script)
    assert script.count("assert") == 6
    command = [sys.executable, "-m", "rollwright", *shlex.split(line.removeprefix("$ rollwright "))]
    for arguments in (command, [sys.executable, "page.py"]):
        done = subprocess.run(arguments, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
