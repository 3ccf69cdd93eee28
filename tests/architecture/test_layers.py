"""Packages import downwards only, and drivers are imported in their adapters only."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from source_trees import SOURCE, parse_sources

# From the top down; those in one row are siblings and do not import one another. `make check` asks import-linter the
# same through indirect imports too; this test needs no second tool and tells the line.
CONTRACT = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
LAYERS = (*(tuple(name.strip() for name in row.split("|")) for row in CONTRACT["layers"]), ("errors",))
DRIVERS = {
    "sqlite3": (
        "core/sqlite_connection",  # what the two adapters share: a connection for each process, and transactions
        "pool/stores/sqlite",
        "tracking/stores/embedded",
        "tracking/stores/mlflow",
    ),
    "psycopg": ("pool/stores/postgres",),
    "psycopg_pool": ("pool/stores/postgres/process_pool",),
    "pymongo": ("pool/stores/mongo",),
    "mlflow": ("tracking/stores/mlflow",),
    "lightgbm": ("models/lightgbm",),
    "xgboost": ("models/",),
    "catboost": ("models/",),
    "sklearn": ("models/",),
    "torch": ("models/",),
    "clarabel": ("backtest/index_optimizer",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "plotly": ("analysis/",),
}


def height(package):
    return next((place for place, row in enumerate(LAYERS) if package in row), None)


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, str(node.module)


@pytest.fixture(scope="module")
def files():
    """(file, its imports, its texts) of the whole source."""
    return [(name, list(imports(tree)), list(strings(tree))) for name, tree in parse_sources()]


def own_package(file):
    return file.partition("/")[0].removesuffix(".py")


def upward_imports(own, found):
    """Yield (line, name) of the imports that a file of the package `own` may not have."""
    for line, name in found:
        parts = name.split(".")
        if parts[0] != "rollwright" or len(parts) < 2 or height(own) is None:
            continue
        other = parts[1]
        if other == "testing" or (other != own and height(other) is not None and height(other) <= height(own)):
            yield line, name


def test_imports_point_downwards(files):
    wrong = [
        f"{file}:{line} imports {name}"
        for file, found, _ in files
        for line, name in upward_imports(own_package(file), found)
    ]
    assert wrong == []


def test_an_import_that_points_upwards_is_found():
    source = "import rollwright.cli\nfrom rollwright.core import clock\nfrom rollwright.testing import market\n"
    assert [line for line, _ in upward_imports("config", imports(ast.parse(source)))] == [1, 3]


def test_a_driver_is_imported_in_its_adapter_only(files):
    wrong = [
        f"{file}:{line} imports {name}"
        for file, found, _ in files
        for line, name in found
        if (homes := DRIVERS.get(name.split(".")[0])) and not file.startswith((*homes, "testing/"))
    ]
    assert wrong == []
    assert {"sqlite3", "typer"} <= {name for _, found, _ in files for _, name in found}  # else it looks at nothing


def strings(tree):
    """Yield every text of a module that is more than documentation: f-strings part by part, no docstrings."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def upward_names(own, text):
    """Return the packages that a text of the package `own` names and may not know."""
    level = height(own)
    found = re.findall(r"(?<![\w.])rollwright[.:/](\w+)", text)
    return [name for name in found if name != own and height(name) is not None and height(name) <= level]


def test_no_text_names_a_package_above(files):
    wrong = [
        f"{file}:{line} names {name}"
        for file, _, texts in files
        if (own := own_package(file)) != "registrations" and height(own) is not None  # they stand above all
        for line, text in texts
        for name in upward_names(own, text)
    ]
    assert wrong == []


def test_upward_names_are_found_in_messages_and_in_parts_of_f_strings():
    source = '"""rollwright.cli"""\nX = "see rollwright.models.lightgbm"\ny = f"rollwright.cli.{X}"\n'
    found = [upward_names("config", text) for _, text in strings(ast.parse(source))]
    assert sorted(found) == [["cli"], ["models"]]
    assert upward_names("config", "rollwright.core.clock") == []
    assert upward_names("pool", "rollwright.models.base") == ["models"]
    assert upward_names("pool", "rollwright.pool.types") == []


def test_every_package_has_its_layer():
    packages = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages - {"testing"} <= {name for row in LAYERS for name in row}
