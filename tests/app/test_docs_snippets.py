"""The pages' Python runs as it stands, block after block, in a fresh folder; their settings are settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rollwright.config.settings import load_settings

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)[^\n]*\n([\s\S]*?)^```$", re.MULTILINE)
RUNS = ["record.md", "signal-analysis.md"]


def blocks(page: str, kind: str) -> list[str]:
    return [body for found, body in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")) if found == kind]


@pytest.mark.parametrize("page", RUNS)
def test_the_python_of_a_page_runs_in_order(page):
    names: dict[str, object] = {}
    made = blocks(page, "python")
    assert made
    for number, body in enumerate(made):
        exec(compile(body, f"{page}[{number}]", "exec"), names)


@pytest.mark.parametrize(
    ("page", "body"),
    [(path.name, body) for path in sorted(DOCS.glob("*.md")) for body in blocks(path.name, "toml")],
    ids=lambda value: value if value.endswith(".md") else "",
)
def test_the_toml_of_a_page_is_taken_as_settings(page, body):
    if "[project" in body:  # a package's own file
        tomllib.loads(body)
        return
    Path("rollwright.toml").write_text(body)
    assert any(origin == "rollwright.toml" for _, _, origin in load_settings().rows()), page
