"""A disk that refuses: an error of the environment, nothing changed, nothing half written left behind."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import DataStorageError
from rollwright.features.store import pages
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.file import Header
from rollwright.market.demo import make_demo_market
from rollwright.market.ingest.importer import import_market
from rollwright.testing.market import random_source

FIELDS = ["$close", "Mean($close, 5)"]


@pytest.fixture
def source():
    return random_source(np.random.default_rng(2), sessions=300, instruments=20)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Refuse to make any file larger than `size` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    compiles = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # the bytecode of a module imported meanwhile would be cut short
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = compiles


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix in (".tmp", ".f32", ".json")]


def test_a_store_without_room_leaves_nothing_and_works_again(tmp_path: Path, source) -> None:
    with largest_file(10_000), pytest.raises(DataStorageError) as caught:
        FeatureStore(tmp_path).matrix(FIELDS, source)
    assert caught.value.exit_code == 3
    assert "store.path" in str(caught.value.hint)
    assert left(tmp_path) == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 200]
    assert FeatureStore(tmp_path).matrix(FIELDS, source).is_new


def test_a_file_that_cannot_grow_is_as_long_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 100)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pages.os, "posix_fallocate", full)
    with pytest.raises(DataStorageError, match="No space left"):
        pages.allocate(path, 1000)
    assert path.read_bytes() == b"x" * 100
    with pytest.raises(DataStorageError, match="cannot be made 1,000 bytes long: No space left"):
        pages.allocate(tmp_path / "new", 1000)
    assert not (tmp_path / "new").exists()


def test_a_header_that_cannot_be_written_leaves_no_data_file(
    tmp_path: Path, source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Header, "to_bytes", full)
    with pytest.raises(DataStorageError, match="features cannot be stored"):
        FeatureStore(tmp_path).matrix(FIELDS, source)
    assert not [name for name in left(tmp_path) if name.endswith((".tmp", ".json"))]


def test_a_store_that_may_not_be_written_to_is_an_error_of_the_environment(
    tmp_path: Path, source, unprivileged: None
) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(DataStorageError, match=rf"{tmp_path / 'store'}.*Permission denied"):
        FeatureStore(tmp_path / "store").matrix(FIELDS, source)


def test_an_import_and_a_demo_without_room_change_nothing(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"symbol": "AAA", "date": pd.bdate_range("2020-01-01", periods=3000), "close": np.arange(1.0, 3001)}
    )
    with largest_file(5_000), pytest.raises(DataStorageError, match=r"market.*left as it was"):
        import_market(frame, tmp_path / "market")
    with largest_file(5_000), pytest.raises(DataStorageError, match=r"demo.*left as it was"):
        make_demo_market(tmp_path / "demo", instruments=20, sessions=1500, seed=1)
    assert not list(tmp_path.rglob("*market*")) + list(tmp_path.rglob("*demo*"))


def test_the_command_ends_with_3(tmp_path: Path) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000));"
        "from rollwright.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-B", "-c", program, "data", "demo", "--out", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "left as it was" in done.stderr
    assert not list(tmp_path.rglob("*demo*"))
