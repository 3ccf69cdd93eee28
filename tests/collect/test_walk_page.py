"""`docs/walk.md` is run as it stands: each step prints what the page shows beneath it."""

from __future__ import annotations

import re
from pathlib import Path

from rollwright.pool.urls import close_shared_stores

PAGE = Path(__file__).parents[2] / "docs" / "walk.md"


def test_every_step_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    steps = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(steps) > 8
    known = {}
    try:
        for number, (code, shown) in enumerate(steps):
            exec(compile(code, f"step {number} of {PAGE.name}", "exec"), known)
            assert capsys.readouterr().out == shown, code
    finally:
        close_shared_stores()
