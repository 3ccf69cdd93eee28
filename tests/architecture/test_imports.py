"""Importing the package and asking the command line for help cost next to nothing, and draw in nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "alembic", "lightgbm", "mlflow", "numpy", "pandas", "plotly", "pyarrow", "scipy", "sklearn", "sqlalchemy", "torch",
)  # fmt: skip
# The CPU time of a process that imports nothing is taken off: how fast Python itself starts is not ours.
MEASURE = """
import json, resource, sys
before = resource.getrusage(resource.RUSAGE_SELF)
{body}
after = resource.getrusage(resource.RUSAGE_SELF)
spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({{"spent": spent, "modules": sorted({{name.partition(".")[0] for name in sys.modules}})}}))
"""
HELP = """
import contextlib, io
from rollwright.cli import main
shown = io.StringIO()
sys.argv = ["rollwright", "--help"]
try:
    with contextlib.redirect_stdout(shown):
        main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert "Usage" in shown.getvalue(), shown.getvalue()
"""


def measured(body, *, runs=5):
    """Return the least CPU seconds of several runs, and the top-level modules that were imported.

    The first run compiles, into a folder of its own, and the others read that, as they do wherever it is installed.
    """
    found = []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(runs):
        command = [sys.executable, "-c", MEASURE.format(body=body)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60,
            env={**environment, "PYTHONPYCACHEPREFIX": str(Path("bytecode").absolute())},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return min(run["spent"] for run in found), set(found[0]["modules"])


def test_importing_the_package_is_quick_and_draws_in_nothing_heavy():
    seconds, modules = measured("import rollwright")
    assert not modules.intersection(HEAVY)
    assert "pydantic" not in modules
    assert seconds < 0.150


def test_asking_for_help_is_quick_and_draws_in_nothing_heavy():
    seconds, modules = measured(HELP)
    assert not modules.intersection(HEAVY)
    parser, _ = measured("import typer, rich.console")  # what it cannot do without, at the speed of this moment
    assert seconds < max(0.4, 5 * parser)


def test_planning_draws_in_nothing_that_judges():
    judging = ["rollwright.analysis.report", "rollwright.analysis.records", "rollwright.campaign.results", "plotly"]
    ask = f"import sys, rollwright.app.plan; print(sorted(sys.modules.keys() & {judging}))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_command_looks_for_no_cycles_while_it_imports_and_not_once_more_as_it_ends():
    tell = "print(gc.get_threshold()[0], gc.get_freeze_count(), file=sys.stderr)"
    ends = f"import atexit, gc\natexit.register(lambda: {tell})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{ends}\n{HELP}"], capture_output=True, text=True, check=True, timeout=60
    )
    threshold, frozen = map(int, done.stderr.split())
    assert threshold > 7_000  # Python's own is 700
    assert frozen > 10_000


@pytest.mark.parametrize(
    "arguments", [["--version"], ["config", "show"], ["config", "show", "--json"], ["roll", "--help"]]
)
def test_small_commands_draw_in_nothing_heavy(arguments):
    body = f"from rollwright.cli.root import run\nassert run({arguments!r}) == 0"
    _, modules = measured(body, runs=1)
    assert not modules.intersection(HEAVY)


def test_importing_every_package_runs_nothing_and_draws_in_nothing_heavy():
    body = (
        "import importlib, pkgutil, rollwright\n"
        "for module in pkgutil.iter_modules(rollwright.__path__):\n"
        "    if module.name != '__main__': importlib.import_module(f'rollwright.{module.name}')"
    )
    _, modules = measured(body, runs=1)
    assert not modules.intersection(HEAVY)
