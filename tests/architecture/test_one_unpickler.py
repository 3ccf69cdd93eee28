"""Unpickling stands in exactly one module, and only what was opened with its signature gets there.

One more reads foreign pickles, without ever looking a name up.
"""

from __future__ import annotations

import ast

import pytest

from source_trees import SOURCE, parse_source, parse_sources

ONE = "signing/unpickling.py"
READER = "compat/pickle_reader.py"
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
CALLS = {"read_pickle", "Unpickler", "load_module"}
# What of PyTorch pickles: its tensors go through safetensors.
PICKLED_TENSORS = "torch.load and its like"
OF_TORCH = {"load", "save", "hub", "jit", "package", "serialization", "export"}


def names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
            if any(
                alias.name.split(".")[:1] == ["torch"] and {*alias.name.split(".")} & OF_TORCH for alias in node.names
            ):
                yield PICKLED_TENSORS
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module.partition(".")[0]
            words = {*module.split(".")[1:], *(alias.name for alias in node.names)}
            if module.partition(".")[0] == "torch" and words & OF_TORCH:
                yield PICKLED_TENSORS
        elif isinstance(node, ast.Attribute) and node.attr in OF_TORCH and ast.unparse(node.value).endswith("torch"):
            yield PICKLED_TENSORS
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            yield node.attr


def object_loads(tree):
    """Yield the lines that load an array and do not say that it holds no objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            if ast.unparse(node.func.value) not in ("np", "numpy"):
                continue
            allowed = {word.arg: ast.unparse(word.value) for word in node.keywords}.get("allow_pickle")
            if allowed != "False":
                yield node.lineno


@pytest.fixture(scope="module")
def found():
    """The picklers that each file uses, and where it loads arrays that may hold objects."""
    return {
        name: ((MODULES | CALLS | {PICKLED_TENSORS}) & set(names(tree)), list(object_loads(tree)))
        for name, tree in parse_sources()
    }


PICKLING = ["import torch\ntorch.load(f)", "from torch import save", "import torch.jit as j", "self.torch.hub"]


@pytest.mark.parametrize("text", PICKLING)
def test_what_of_pytorch_pickles_is_noticed(text):
    assert PICKLED_TENSORS in {*names(ast.parse(text))}


def test_one_module_imports_a_pickler_and_one_reads_foreign_pickles(found):
    assert {name for name, (picklers, _) in found.items() if picklers} == {ONE, READER}


def test_what_it_unpickles_was_opened_by_the_envelope():
    tree = parse_source(ONE)
    public = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert ast.unparse(public["unpickle_object"].args) == "opened: Opened"
    callers = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "unpickle_object(" in path.read_text(encoding="utf-8") and path.relative_to(SOURCE).as_posix() != ONE
    ]
    assert sorted(callers) == ["codecs/envelope.py", "signing/serializable.py"]
    for caller in callers:
        assert "open_sealed(" in (SOURCE / caller).read_text(encoding="utf-8")


def test_the_reader_of_foreign_pickles_can_look_nothing_up():
    """Its one unpickler has a `find_class` that only answers from a table of classes made in that module."""
    tree = parse_source(READER)
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {name for name in used if name.startswith("pickle.")} == {"pickle.Unpickler", "pickle.UnpicklingError"}
    (reader,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(ast.unparse, node.bases)
    ]
    (find,) = [node for node in reader.body if isinstance(node, ast.FunctionDef) and node.name == "find_class"]
    calls = {ast.unparse(node.func) for node in ast.walk(find) if isinstance(node, ast.Call)}
    assert calls == {"_CLASSES.get", "UntrustedArtifactError"}
    callers = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "read_notes(" in path.read_text(encoding="utf-8") and path.relative_to(SOURCE).as_posix() != READER
    ]
    assert callers == ["compat/pickle_child.py"]  # which has confined itself first


def test_no_array_is_ever_loaded_with_objects(found):
    assert [f"{name}:{line}" for name, (_, lines) in found.items() for line in lines] == []


def test_an_array_that_may_hold_objects_is_found():
    source = "np.load(a)\nnumpy.load(a, allow_pickle=True)\nnp.load(a, allow_pickle=False)\nother.load(a)\n"
    assert list(object_loads(ast.parse(source))) == [1, 2]
