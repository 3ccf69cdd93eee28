"""A run of the tests that changes the checkout fails; and nothing that limits file sizes leaves bytecode cut short."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def guard():
    spec = importlib.util.spec_from_file_location("checkout_under_test", ROOT / "tools" / "checkout.py")
    module = sys.modules["checkout_under_test"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["checkout_under_test"]


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.py").write_text("x = 1\n")
    (root / "b.md").write_text("b")
    (root / ".gitignore").write_text("__pycache__/\n*.db\n/results/\n.venv/\n")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


def compiled(root):
    return Path(py_compile.compile(str(root / "src" / "a.py"), doraise=True))


def test_reading_importing_and_what_was_there_before_are_no_change(guard, checkout):
    (checkout / "pool.db").write_text("of the user")
    (checkout / "note.txt").write_text("untracked")
    before = guard.take_snapshot(checkout)
    assert (checkout / "b.md").read_text() == "b"
    compiled(checkout)
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "made").touch()
    assert guard.describe_changes(checkout, before) == []


def test_every_kind_of_change_is_named(guard, checkout):
    (checkout / "gone.txt").touch()
    before = guard.take_snapshot(checkout)
    (checkout / "gone.txt").unlink()
    (checkout / "b.md").write_text("c")
    (checkout / "src" / "new.py").touch()
    (checkout / "pool.db").touch()
    (checkout / "results").mkdir()
    (checkout / "results" / "summary.json").touch()
    path = compiled(checkout)
    path.write_bytes(path.read_bytes()[:40])
    assert guard.describe_changes(checkout, before) == [
        "new: src/new.py",
        "new: pool.db",
        "new: results/",
        "gone: gone.txt",
        "changed: b.md",
        f"cut short: {path.relative_to(checkout)}",
    ]


def test_a_file_written_again_with_the_same_bytes_is_a_change(guard, checkout):
    before = guard.take_snapshot(checkout)
    (checkout / "b.md").write_text("b")
    assert guard.describe_changes(checkout, before) == ["changed: b.md"]


def test_a_folder_without_git_is_not_watched(guard, tmp_path):
    assert guard.take_snapshot(tmp_path) is None


@pytest.mark.parametrize("writes", [True, False])
def test_a_run_that_writes_into_the_checkout_fails(checkout, tmp_path, writes):
    # a project with this conftest and one test, which passes
    for name in ("tests/conftest.py", "tools/checkout.py", "tools/mongo_wire.py"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    helpers, servers = (
        ("cpu_costs", "crash_size", "memory_folder"),
        ("network_hosts", "postgres_server", "slurm_server"),
    )
    imported = (*(f"helpers/{name}.py" for name in helpers), *(f"servers/{name}.py" for name in servers))
    for module in imported:  # by the conftest
        (checkout / "tests" / Path(module).name).write_bytes((ROOT / "tests" / module).read_bytes())
    write = "(Path(__file__).parent / 'left.txt').touch()" if writes else "pass"
    (checkout / "tests" / "test_one.py").write_text(f"from pathlib import Path\n\ndef test_one():\n    {write}\n")
    folder = f"--basetemp={tmp_path / 'inner'}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, "tests"]
    alone = {
        key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")
    }  # not a worker of this run
    done = subprocess.run(command, cwd=checkout, env=alone, capture_output=True, text=True, check=False, timeout=120)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == int(writes)
    assert ("new: tests/left.txt" in done.stderr) == writes


def test_a_sandboxed_child_writes_no_bytecode(tmp_path):
    (tmp_path / "large.py").write_text("".join(f"value_{number} = 'x{number}'\n" for number in range(500)))
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from rollwright.core.sandbox import enter_sandbox\n"
        "enter_sandbox(seconds=60, memory=1 << 32, file_size=100)\n"
        "import large\n"
    )
    writing = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=writing, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*.pyc")) == []
