"""Features of a host: built once by whichever process is first, by another when that one is killed, and read by all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crash_size import sized
from rollwright.errors import DataStorageError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import random_source

FEATURES = ["Mean($close, 60)", "Std($close, 60)", "Rank($close, 60)"]
ASK = """
import hashlib, logging, sys
from pathlib import Path
import numpy as np
from rollwright.features.store import build
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import random_source

logging.basicConfig(level="INFO", stream=sys.stderr)
compute = build.compute_rows

def slow(*arguments, **terms):
    compute(*arguments, **terms)
    if sys.argv[2] == "stays":
        print("computed", flush=True)
        sys.stdin.read()

build.compute_rows = slow
source = random_source(np.random.default_rng(1), sessions=400, instruments=20)
matrix = FeatureStore(Path(sys.argv[1])).matrix(["Mean($close, 60)", "Std($close, 60)", "Rank($close, 60)"], source)
print(hashlib.sha256(np.array(matrix.view(0, 400)).tobytes()).hexdigest())
"""


def source():
    return random_source(np.random.default_rng(1), sessions=400, instruments=20)


def ask(root: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASK, str(root), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.crash
def test_when_the_builder_is_killed_one_of_those_who_wait_builds(tmp_path: Path) -> None:
    alone = np.array(FeatureStore(tmp_path / "alone").matrix(FEATURES, source()).view(0, 400))
    root = tmp_path / "shared"
    builder = ask(root, "stays")
    assert builder.stdout is not None
    assert builder.stdout.readline() == "computed\n"
    waiting = [ask(root, "goes on") for _ in range(sized(6, 3))]
    os.kill(builder.pid, signal.SIGKILL)
    builder.communicate()
    said = [process.communicate(timeout=120) for process in waiting]
    assert [process.returncode for process in waiting] == [0] * len(waiting), said
    assert sum(err.count("features.built") for _, err in said) == 1
    assert len({out for out, _ in said}) == 1
    found = np.array(FeatureStore(root).matrix(FEATURES, source()).view(0, 400))
    assert found.tobytes() == alone.tobytes()
    assert not [path for path in root.rglob("*") if path.name.startswith(".tmp") or path.suffix == ".tmp"]


def test_a_store_that_may_not_be_written_is_told_with_the_setting(tmp_path: Path, unprivileged: None) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(DataStorageError, match="features cannot be stored in") as caught:
        FeatureStore(closed / "features").matrix(FEATURES, source())
    assert caught.value.hint is not None
    assert "store.path" in caught.value.hint
    assert caught.value.is_away


def test_a_store_that_somebody_else_filled_is_read_without_writing(
    tmp_path: Path, unprivileged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "features"
    built = np.array(FeatureStore(root).matrix(FEATURES, source()).view(0, 400))
    for folder, _, files in os.walk(root):
        for name in files:
            os.chmod(Path(folder, name), 0o400)
        os.chmod(folder, 0o500)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # of a file of another user

    monkeypatch.setattr(os, "utime", refuse)
    read = FeatureStore(root).matrix(FEATURES, source())
    assert not read.is_new
    assert np.array(read.view(0, 400)).tobytes() == built.tobytes()
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o700)
