"""The worked example of `docs/pool.md`: what the page shows is in it, and it does what the page says on every store."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from rollwright.pool.urls import close_shared_stores

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "pool_workers.py"
PAGE = ROOT / "docs" / "pool.md"


def test_the_page_shows_what_the_example_does():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    code = SCRIPT.read_text(encoding="utf-8")
    assert all(block in code for block in blocks)


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mongo"])
def test_four_workers_one_killed_and_every_window_once(kind, request, tmp_path, capfd):
    url = f"sqlite:///{tmp_path / 'pool.db'}" if kind == "sqlite" else request.getfixturevalue(f"{kind}_url")
    spec = importlib.util.spec_from_file_location("pool_workers_example", SCRIPT)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    try:
        ended = example.main(tmp_path / "out", url)
    finally:
        close_shared_stores()
    assert sorted(ended["done"], key=ended["ids"].index) == ended["ids"]
    assert ended["events"][:4] == ["created", "claimed", "reaped", "claimed"]
    assert ended["events"][-1] == "done"
    assert ended["codes"] == [-9, 0, 0, 0]
    assert all(result["rows"] > 100 for result in ended["results"])
    assert "13 of 13 windows, 0 of them twice" in capfd.readouterr().out
