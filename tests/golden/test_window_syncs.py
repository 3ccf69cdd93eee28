"""What a window makes durable in a real roll: each flush and commit of each process, counted where it is asked for."""

import os
import subprocess
import sys
from itertools import pairwise
from statistics import median_low

import pytest

# Runs first in each Python of the roll; writes a line for each flush, and for each transaction that changed something.
COUNTING = """
import importlib.util, os, sqlite3, sys

POSIX = "rollwright.core.posix"

def note(what):
    descriptor = os.open(os.environ["SYNCS"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, (what + chr(10)).encode())
    os.close(descriptor)

def counted(what, call):
    def counting(*arguments, **named):
        note(what)
        return call(*arguments, **named)
    return counting

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != POSIX:
            return None
        sys.meta_path.remove(Finder)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def load_counting(module):
            load(module)
            flush = module.sync_filesystem
            def flush_all(folder):
                note("run" if os.path.exists(os.path.join(folder, "artifacts.json")) else "flush")
                return flush(folder)
            module.sync_filesystem = flush_all
        spec.loader.exec_module = load_counting
        return spec

def connect(*arguments, **named):
    connection = opened(*arguments, **named)
    before = [0]
    def see(statement):
        if statement.startswith("BEGIN"):
            before[0] = connection.total_changes
        elif statement == "COMMIT" and connection.total_changes != before[0]:
            note("commit")
        elif not connection.in_transaction and statement.startswith(("INSERT", "UPDATE", "DELETE", "REPLACE")):
            note("commit")
    connection.set_trace_callback(see)
    return connection

opened, sqlite3.connect = sqlite3.connect, connect
os.fsync = counted("flush", os.fsync)
if hasattr(os, "fdatasync"):
    os.fdatasync = counted("flush", os.fdatasync)
sys.meta_path.insert(0, Finder)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each file of a run is flushed by itself")
def test_a_window_waits_for_the_disk_five_times_in_four_commits_and_one_flush(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(COUNTING)
    told = tmp_path / "syncs"
    told.touch()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "rollwright", "demo", "--dir", "d", "-j", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
        env={**kept, "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "first"), "SYNCS": str(told)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = told.read_text().splitlines()
    ends = [number for number, line in enumerate(lines) if line == "run"]  # each run flushes its files before its end
    assert len(ends) > 3
    windows = [lines[before:after] for before, after in pairwise(ends)]
    # The median, since a lease may be renewed meanwhile, and a member ends its results between two windows.
    assert median_low(window.count("commit") for window in windows) == 4, windows
    assert median_low(window.count("flush") for window in windows) == 0, windows
