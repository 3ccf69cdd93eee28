"""The public names and the drawn error tree are what the package says they are."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import mypy.api
import pytest

import rollwright
from rollwright import errors

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(rollwright.__path__, "rollwright.")
    if not module.name.endswith("__main__")
]


def test_public_names_are_sorted_and_importable():
    listed = list(rollwright.__all__)
    assert listed == sorted(set(listed))
    assert dir(rollwright) == listed
    for name in listed:
        assert getattr(rollwright, name) is not None


def test_type_checkers_see_the_public_names_that_run_time_has_and_in_the_same_modules():
    source = (ROOT / "src" / "rollwright" / "__init__.py").read_text(encoding="utf-8")
    seen = {name: module for module, name in re.findall(r"from ([\w.]+) import (\w+) as \2", source)}
    assert set(seen) == set(rollwright.__all__) - {"__version__"}
    assert seen == rollwright._PUBLIC


def test_the_public_names_are_written_out_where_tools_can_read_them():
    tree = ast.parse((ROOT / "src" / "rollwright" / "__init__.py").read_text(encoding="utf-8"))
    (listed,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert ast.literal_eval(listed) == rollwright.__all__


@pytest.mark.slow
def test_a_type_checker_knows_a_public_name_and_misses_a_misspelt_one(tmp_path):
    """As an editor does: from outside the project, by the installed package."""
    user = tmp_path / "user.py"
    user.write_text(
        "from rollwright import R, TaskManager, RollingGen\n"
        "from rollwright import RolingGen\n"
        "reveal_type(R)\n"
        "reveal_type(RollingGen(step=5).step)\n"
        "R.lgo_metrics(ic=1.0)\n"
    )
    found, _, _ = mypy.api.run([str(user), "--cache-dir", str(ROOT / ".mypy_cache"), "--no-error-summary"])
    # the cache tells the path under which the same text was checked last
    said = [line.partition("/user.py:")[2].split(": ", 1)[1] for line in found.splitlines() if "/user.py:" in line]
    assert 'error: Module "rollwright" has no attribute "RolingGen"' in said[0]
    assert any('Revealed type is "rollwright.tracking.r.QlibRecorder"' in line for line in said)
    assert any('Revealed type is "int"' in line or 'Revealed type is "builtins.int"' in line for line in said)
    assert any('"QlibRecorder" has no attribute "lgo_metrics"' in line for line in said)


def test_a_name_nobody_knows_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        rollwright.no_such_name  # noqa: B018 - reading it is the test


def test_star_import_gives_the_public_names():
    scope = {}
    exec("from rollwright import *", scope)
    del scope["__builtins__"]
    assert scope == {name: getattr(rollwright, name) for name in rollwright.__all__}


def test_a_module_lists_only_what_it_has():
    listed = {name: getattr(importlib.import_module(name), "__all__", ()) for name in MODULES}
    assert listed["rollwright.errors"]
    assert [
        f"{name}.__all__ lists {public}"
        for name, those in listed.items()
        for public in those
        if not hasattr(sys.modules[name], public)
    ] == []


def test_the_error_tree_is_drawn_as_it_is(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    check = importlib.import_module("check_errors")
    assert [str(finding) for finding in check.findings()] == []
    assert next(name for name, _ in check.drawn()) == "RollwrightError"
    assert len(check.drawn()) == len(check.classes())
    assert {cls.__name__ for cls in check.classes()} == set(errors.__all__) - {"nearest"}
    for tool in ("check_errors", "finding"):
        sys.modules.pop(tool, None)


def test_the_version_is_told_once():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{rollwright.__version__}"' in pyproject
