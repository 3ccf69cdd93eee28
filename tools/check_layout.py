"""Files are small, named by a noun, and silent: no long file, no `utils`, no `print` outside the CLI.

A file has at most 800 lines, of which at most 400 are code: neither blank, nor a comment, nor a docstring.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from finding import ROOT, Finding, python_files, tell

MAX_LINES: Final = 800
MAX_CODE: Final = 400
# Names that say where code ended up, not what it is.
EMPTY_NAMES: Final = frozenset(
    {"base_utils", "common", "helper", "helpers", "lib", "misc", "shared", "tool", "tools", "util", "utils"}
)
_NO_CODE: Final = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
MODULE_NAME: Final = re.compile(r"_?[a-z][a-z0-9]*(_[a-z0-9]+){0,2}|__init__|__main__")


def findings() -> Iterator[Finding]:
    """Yield every file that is too long, badly named or prints."""
    for path in python_files("src", "tests", "tools", "benchmarks", "examples"):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > MAX_LINES:
            yield Finding(path=path, line=lines, text=f"{lines} lines; split it, the limit is {MAX_LINES}")
        elif lines > MAX_CODE and (code := count_code(text)) > MAX_CODE:
            yield Finding(path=path, line=lines, text=f"{code} lines of code; split it, the limit is {MAX_CODE}")
    for path in python_files("src"):
        yield from _names(path)
        if "cli" not in path.relative_to(ROOT).parts:
            yield from _prints(path)


def count_code(text: str) -> int:
    """Return how many lines hold code: those of a docstring, a comment alone on its line or nothing do not count."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def _names(path: Path) -> Iterator[Finding]:
    for part in (*path.relative_to(ROOT / "src").parent.parts, path.stem):
        if part in EMPTY_NAMES:
            yield Finding(path=path, line=1, text=f"`{part}` says nothing; name it by what it holds")
        if not MODULE_NAME.fullmatch(part):
            yield Finding(path=path, line=1, text=f"`{part}` is no short lower-case name")


def _prints(path: Path) -> Iterator[Finding]:
    text = path.read_text(encoding="utf-8")
    if "print" not in text:
        return
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield Finding(path=path, line=node.lineno, text="a library is silent: log it, or return it to the CLI")


if __name__ == "__main__":
    sys.exit(tell("layout", findings()))
