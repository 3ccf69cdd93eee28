"""Files are small, named by a noun, and silent: no file of 500 lines, no `utils`, no `print` outside the CLI."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from finding import ROOT, Finding, python_files, tell

MAX_LINES: Final = 500
# Names that say where code ended up, not what it is.
EMPTY_NAMES: Final = frozenset(
    {"base_utils", "common", "helper", "helpers", "lib", "misc", "shared", "tool", "tools", "util", "utils"}
)
MODULE_NAME: Final = re.compile(r"_?[a-z][a-z0-9]*(_[a-z0-9]+){0,2}|__init__|__main__")


def findings() -> Iterator[Finding]:
    """Yield every file that is too long, badly named or prints."""
    for path in python_files("src", "tests", "tools", "benchmarks", "examples"):
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines >= MAX_LINES:
            yield Finding(path=path, line=lines, text=f"{lines} lines; split it, the limit is {MAX_LINES}")
    for path in python_files("src"):
        yield from _names(path)
        if "cli" not in path.relative_to(ROOT).parts:
            yield from _prints(path)


def _names(path: Path) -> Iterator[Finding]:
    for part in (*path.relative_to(ROOT / "src").parent.parts, path.stem):
        if part in EMPTY_NAMES:
            yield Finding(path=path, line=1, text=f"`{part}` says nothing; name it by what it holds")
        if not MODULE_NAME.fullmatch(part):
            yield Finding(path=path, line=1, text=f"`{part}` is no short lower-case name")


def _prints(path: Path) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield Finding(path=path, line=node.lineno, text="a library is silent: log it, or return it to the CLI")


if __name__ == "__main__":
    sys.exit(tell("layout", findings()))
