"""`docs/point-in-time-test-set.md` is run as it stands, and prints what it shows."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "point-in-time-test-set.md"


def test_every_example_prints_what_the_page_shows(capsys):
    steps = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(steps) >= 2
    for number, (code, shown) in enumerate(steps):
        exec(compile(code, f"step {number} of {PAGE.name}", "exec"), {"__name__": "page"})
        assert capsys.readouterr().out == shown, code
