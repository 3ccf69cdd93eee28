"""Packages import downwards only, and drivers are imported in their adapters only."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "rollwright"
# From the top down; those in one row are siblings and do not import one another. `make check` asks import-linter the
# same through indirect imports too; this test needs no second tool and tells the line.
CONTRACT = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
LAYERS = (*(tuple(name.strip() for name in row.split("|")) for row in CONTRACT["layers"]), ("errors",))
DRIVERS = {
    "sqlite3": ("pool/stores/sqlite", "tracking/stores/mlflow"),
    "psycopg": ("pool/stores/postgres",),
    "pymongo": ("pool/stores/mongo",),
    "mlflow": ("tracking/stores/mlflow",),
    "lightgbm": ("models/lightgbm",),
    "xgboost": ("models/",),
    "catboost": ("models/",),
    "sklearn": ("models/",),
    "torch": ("models/",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "plotly": ("analysis/",),
}
FILES = sorted(SOURCE.rglob("*.py"))


def height(package):
    return next((place for place, row in enumerate(LAYERS) if package in row), None)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, str(node.module)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_downwards(path):
    relative = path.relative_to(SOURCE)
    own = relative.parts[0].removesuffix(".py")
    wrong = []
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] != "rollwright" or len(parts) < 2 or height(own) is None:
            continue
        other = parts[1]
        if other == "testing" or (other != own and height(other) is not None and height(other) <= height(own)):
            wrong.append(f"{relative}:{line} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_driver_is_imported_in_its_adapter_only(path):
    relative = path.relative_to(SOURCE).as_posix()
    wrong = [
        f"{relative}:{line} imports {name}"
        for line, name in imports(path)
        if (homes := DRIVERS.get(name.split(".")[0])) and not relative.startswith((*homes, "testing/"))
    ]
    assert wrong == []


def test_every_package_has_its_layer():
    packages = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages - {"testing"} <= {name for row in LAYERS for name in row}
