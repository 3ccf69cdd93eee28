"""The package's own source as syntax trees, for the tests of what it may and may not say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "rollwright"


def parse_source(name: str) -> ast.Module:
    """Return the tree of one file, named by its path below the package."""
    return ast.parse((SOURCE / name).read_text(encoding="utf-8"))


def parse_sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield each file's path below the package and its tree; whoever keeps what it found keeps no trees."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        yield name, parse_source(name)
