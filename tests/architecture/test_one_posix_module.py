"""What only POSIX has is called in one module, so that one place says what other systems do instead."""

from __future__ import annotations

import ast

import pytest

from source_trees import parse_sources

ONE = "core/posix.py"
MODULES = {"fcntl", "msvcrt", "termios", "grp", "pwd", "resource"}
CALLS = {"mkfifo", "register_at_fork"}


def names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


@pytest.fixture(scope="module")
def used():
    """The names that each file uses."""
    return {name: set(names(tree)) for name, tree in parse_sources()}


@pytest.mark.parametrize("forbidden", sorted(MODULES | CALLS))
def test_only_one_module_uses_it(used, forbidden):
    found = {name for name, those in used.items() if forbidden in those}
    assert found <= {ONE}
    assert forbidden not in {"fcntl", "mkfifo", "register_at_fork"} or found  # else this test looks for nothing
