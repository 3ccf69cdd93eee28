"""What packages want of one another is written down: no `getattr` or `hasattr` asks an object of another package."""

from __future__ import annotations

import ast

import pytest

from source_trees import parse_sources

# How objects of the ports are called wherever they are used: their protocols say what they have.
OBJECTS = {
    "codec", "dataset", "experiment", "handler", "manager", "model", "pool", "processor", "record", "recorder",
    "reweighter", "source", "store", "strategy", "task_store",
}  # fmt: skip
# (package, what is asked): why no protocol says it.
ALLOWED = {
    ("analysis", "model.best_iteration_"): "only boosted models have rounds; a linear model has none",
    ("analysis", "model.evals_result_"): "the same",
    ("collect", "experiment.name"): "an experiment, or a function of the user's",
    ("collect", "experiment.__name__"): "the same",
    ("tasks", "handler.end_time"): "a handler that the user built, of any class",
    ("tracking", "store.engine"): "MLflow's own store: a database has an engine, a server none",
    ("training", "model.params"): "a user's model tells its parameters if it has any",
}


def asked(tree):
    """Yield (line, object, name) of every `getattr` and `hasattr` with a constant name on an object of a port."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or len(node.args) < 2:
            continue
        if node.func.id not in ("getattr", "hasattr") or not isinstance(node.args[1], ast.Constant):
            continue
        owner = ast.unparse(node.args[0]).rpartition(".")[2].lstrip("_")
        if owner in OBJECTS:
            yield node.lineno, f"{owner}.{node.args[1].value}"


@pytest.fixture(scope="module")
def found():
    """(package, what is asked, where) for the whole source."""
    return [
        (file.partition("/")[0], name, f"{file}:{line} asks for {name}")
        for file, tree in parse_sources()
        for line, name in asked(tree)
    ]


def test_no_object_of_a_port_is_asked_for_what_its_protocol_does_not_say(found):
    assert [where for package, name, where in found if (package, name) not in ALLOWED] == []


def test_what_is_allowed_is_still_asked(found):
    assert ALLOWED.keys() <= {(package, name) for package, name, _ in found}


def test_asking_is_found():
    source = "getattr(self._store, 'fetch_files', None)\nhasattr(dataset, 'warm')\ngetattr(module, 'x')\nstore.put(1)\n"
    assert [name for _, name in asked(ast.parse(source))] == ["store.fetch_files", "dataset.warm"]
