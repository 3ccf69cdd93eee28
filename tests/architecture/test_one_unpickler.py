"""Unpickling stands in exactly one module, and only what was opened with its signature gets there."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "rollwright"
ONE = "signing/unpickling.py"
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle", "torch"}
CALLS = {"read_pickle", "Unpickler", "load_module"}


def names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            yield node.attr


def test_one_module_imports_a_pickler():
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if (MODULES | CALLS) & set(names(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {ONE}


def test_what_it_unpickles_was_opened_by_the_envelope():
    tree = ast.parse((SOURCE / ONE).read_text(encoding="utf-8"))
    public = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert ast.unparse(public["unpickled"].args) == "opened: Opened"
    callers = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "unpickled(" in path.read_text(encoding="utf-8") and path.relative_to(SOURCE).as_posix() != ONE
    ]
    assert sorted(callers) == ["codecs/envelope.py", "signing/serializable.py"]
    for caller in callers:
        assert "open_sealed(" in (SOURCE / caller).read_text(encoding="utf-8")


def test_no_array_is_ever_loaded_with_objects():
    wrong = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                allowed = {word.arg: ast.unparse(word.value) for word in node.keywords}.get("allow_pickle")
                if allowed != "False":
                    wrong.append(f"{path.name}:{node.lineno}")
    assert wrong == []
