"""Files are read in one module, which knows pipes, devices and sizes (promise I25)."""

from __future__ import annotations

import ast

from source_trees import parse_sources

CALLS = {"read_bytes", "read_text"}
# The kernel's own small files, those of this package, and folders that are opened to be flushed to the disk.
OTHERS = {
    "core/memory.py": 3, "app/data.py": 1, "analysis/report/page.py": 1, "analysis/report/words.py": 1,
    "analysis/health_text.py": 1, "core/atomic.py": 1,
    "core/posix.py": 2, "tracking/stores/mlflow/tables.py": 1, "analysis/honesty/reading.py": 1,
    "backtest/rules/rule_table.py": 1, "compare/environments/own_wheel.py": 2,
}  # fmt: skip


def reads(tree):
    """Yield the calls that read a file by its path, or open one for reading."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        words = [ast.unparse(argument) for argument in node.args]
        if called in ("os.open", "np.fromfile", "tomllib.load", "json.load"):
            flags = " ".join(words[1:])
            if not any(word in flags for word in ("WRONLY", "RDWR", "O_DIRECTORY", "READ_FLAGS", "flags")):
                yield node
        elif called.endswith(".open") or called == "open":
            if {"'r'", "'rb'", "'rt'"} & set(words):
                yield node
        elif called.rpartition(".")[2] in CALLS and "." in called:
            yield node


def test_only_one_module_reads_files():
    found = {}
    for name, tree in parse_sources():
        count = len(list(reads(tree)))
        if count and not name.startswith("testing/"):
            found[name] = count
    assert found.pop("core/bounded_read.py") == 1
    assert found == OTHERS
