"""What each process of a roll imports: neither MLflow nor what it needs, and a model's library only where it trains."""

import os
import subprocess
import sys

import pytest

WATCHED = ("mlflow", "sqlalchemy", "alembic", "lightgbm", "lightgbm.libpath", "sklearn", "scipy")

# Runs first in each Python of the roll.
WATCHING = f"""
import os, sys

main = os.getpid()

def watch(event, arguments):
    if event == "import" and arguments[0] in {WATCHED}:
        where = "main" if os.getpid() == main else "slot"
        with open(os.environ["IMPORTS"], "a") as file:
            file.write(where + " " + arguments[0] + chr(10))

sys.addaudithook(watch)
"""


@pytest.mark.slow
def test_mlflow_is_imported_nowhere_and_lightgbm_where_models_are_trained_alone(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(WATCHING)
    told = tmp_path / "imports"
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    env = {**kept, "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "first"), "IMPORTS": str(told)}

    def run(*arguments):
        told.write_text("")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "rollwright", *arguments],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return sorted(told.read_text().splitlines())

    trained = run("demo", "--dir", "d", "-j", "2")
    assert trained.count("slot lightgbm.libpath") == 2  # LightGBM's own shared library, in each of them
    assert {line.split()[0] for line in trained} == {"slot"}
    assert {line.split()[1] for line in trained} <= {"lightgbm.libpath", "scipy"}
    assert run("demo", "--dir", "d") == []
