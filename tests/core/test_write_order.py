"""What is on the disk, and in which order: one table of all writers.

A rename that reaches the disk before the bytes of its file leaves an empty or torn file after a power failure, and a
name that is not flushed is lost. No kill shows it, since the system remembers; so the order of what each writer asks
the system for is held here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.core import atomic
from rollwright.errors import RollwrightError
from rollwright.expression.planner import compile_plan
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.folder import atomic_replace
from rollwright.market.frame import FrameSource
from rollwright.signing.keys import Keyring
from rollwright.signing.trusted_keys import Trusted
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore
from rollwright.tracking.large_results import store_large_result
from rollwright.tracking.outbox.fetching import fetch_files
from rollwright.tracking.outbox.journal import Journal
from rollwright.tracking.outbox.names import ExperimentNames
from rollwright.tracking.stores.mlflow.database import ensure_database
from write_order import WriteOrder

resource = pytest.importorskip("resource", reason="no limits on the size of files here")

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the name of an open file is asked of /proc")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.fixture
def order(root: Path) -> Iterator[WriteOrder]:
    with pytest.MonkeyPatch.context() as patch:
        yield WriteOrder(root, patch)


def write_x(path: Path) -> None:
    path.write_bytes(b"x")


def items(*names: str) -> list[ArtifactWrite]:
    return [ArtifactWrite(name=name, kind="file", suffix="", fill=write_x) for name in names]


def new_file(root: Path) -> Callable[[], object]:
    return lambda: atomic.write_text(root / "a" / "b" / "f", "x")


def file_by_content(root: Path) -> Callable[[], object]:
    return lambda: atomic.write_by_content(root, write_x, lambda digest: root / digest.sha256)


def artifacts_of_a_run(root: Path) -> Callable[[], object]:
    return lambda: LocalArtifactStore(root / "run").write(items("a", "b"))


def artifact_that_goes(root: Path) -> Callable[[], object]:
    store = LocalArtifactStore(root / "run")
    store.write(items("a"))
    return lambda: store.delete("a")


def large_result(root: Path) -> Callable[[], object]:
    install(load_settings(start=root, environ={}))
    return lambda: store_large_result(np.arange(3))


def journal_that_is_new(root: Path) -> Callable[[], object]:
    return lambda: Journal(root / "runs" / "a.jsonl").add({"op": "x"})


def journal_that_grows(root: Path) -> Callable[[], object]:
    journal = Journal(root / "runs" / "a.jsonl")
    journal.add({"op": "x"})

    def act() -> None:
        journal.add({"op": "x"})
        journal.add({"note": "sent", "count": 1}, sync=False)
        journal.rename_to("b")

    return act


def names_of_experiments(root: Path) -> Callable[[], object]:
    names = ExperimentNames(root / "experiments.jsonl")
    return lambda: (names.create("e"), names.create("f"))


class Server:
    """Gives the files of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, _location: str, name: str, path: Path) -> bool:
        found = self.folder / "artifacts" / name
        found = found if found.exists() else self.folder / "artifacts.json"
        path.write_bytes(found.read_bytes())
        return True


def files_that_are_fetched(root: Path) -> Callable[[], object]:
    store = LocalArtifactStore(root / "there")
    store.write(items("a", "deep/b"))
    return lambda: fetch_files(Server(store.folder), "x", root / "1" / "run")


def tracking_database(root: Path) -> Callable[[], object]:
    def fill(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE experiments (x)")

    return lambda: ensure_database(root / "mlflow.db", head=lambda: "1", fill=fill)


def first_key(root: Path) -> Callable[[], object]:
    return lambda: Keyring(root / "share" / "rollwright").signing_key()


def next_key(root: Path) -> Callable[[], object]:
    keyring = Keyring(root / "rollwright")
    keyring.signing_key()
    return keyring.rotate


def trusted_file(root: Path) -> Callable[[], object]:
    (root / "rollwright").mkdir(mode=0o700)
    trusted = Trusted(root / "rollwright")
    return lambda: trusted.add("0" * 64, name="a")


def market_that_is_new(root: Path) -> Callable[[], object]:
    def act() -> None:
        with atomic_replace.replace_folder(root / "market") as staging:
            atomic_replace.write_file(staging / "features" / "a", b"x")

    return act


def market_that_is_replaced(root: Path) -> Callable[[], object]:
    market_that_is_new(root)()

    def act() -> None:
        with atomic_replace.replace_folder(root / "market") as staging:
            atomic_replace.write_file(staging / "b", b"x")

    return act


def market_of_many_files(root: Path) -> Callable[[], object]:
    def act() -> None:
        with atomic_replace.replace_folder(root / "market") as staging:
            for number in range(300):
                atomic_replace.write_file(staging / str(number), b"x")

    return act


def matrix_of_features(root: Path) -> Callable[[], object]:
    days = pd.bdate_range("2020-01-01", periods=5)
    index = pd.MultiIndex.from_product([days, ["A"]], names=["datetime", "instrument"])
    source = FrameSource(pd.DataFrame({"close": np.arange(5.0)}, index=index))
    compile_plan(["$close"])
    return lambda: FeatureStore(root).matrix(["$close"], source)


WRITERS: dict[str, tuple[Callable[[Path], Callable[[], object]], list[str]]] = {
    "a file, in folders that are new": (
        new_file,
        [
            "make a",
            "flush .",
            "make a/b",
            "flush a",
            "flush a/b/draft",
            "a/b/draft -> a/b/f",
            "flush a/b",
        ],
    ),
    "a file named by its content": (
        file_by_content,
        [
            "flush draft",
            "draft -> DIGEST",
        ],
    ),
    "artifacts of a run": (
        artifacts_of_a_run,
        [
            "make run",
            "flush .",
            "make run/artifacts",
            "flush run",
            "lock run/artifacts.lock",
            "flush run/artifacts/draft",
            "run/artifacts/draft -> run/artifacts/a",
            "flush run/artifacts/draft",
            "run/artifacts/draft -> run/artifacts/b",
            "flush run/artifacts",
            "flush run/draft",
            "run/draft -> run/artifacts.json",
            "flush run",
        ],
    ),
    "an artifact that goes": (
        artifact_that_goes,
        [
            "lock run/artifacts.lock",
            "flush run/draft",
            "run/draft -> run/artifacts.json",
            "flush run",
            "remove run/artifacts/a",
        ],
    ),
    "a large result": (
        large_result,
        [
            "make .rollwright",
            "flush .",
            "make .rollwright/artifacts",
            "flush .rollwright",
            "make .rollwright/artifacts/results",
            "flush .rollwright/artifacts",
            "flush .rollwright/artifacts/results/draft",
            "make .rollwright/artifacts/results/XX",
            "flush .rollwright/artifacts/results",
            ".rollwright/artifacts/results/draft -> .rollwright/artifacts/results/XX/DIGEST.npy",
            "flush .rollwright/artifacts/results/XX",
        ],
    ),
    "a journal that is new": (
        journal_that_is_new,
        [
            "make runs",
            "flush .",
            "flush runs/a.jsonl",
            "flush runs",
        ],
    ),
    "a journal that grows": (
        journal_that_grows,
        [
            "flush runs/a.jsonl",
            "runs/a.jsonl -> runs/b.jsonl",
            "flush runs",
        ],
    ),
    "names of experiments": (
        names_of_experiments,
        [
            "lock experiments.jsonl",
            "flush experiments.jsonl",
            "flush .",
            "lock experiments.jsonl",
            "flush experiments.jsonl",
        ],
    ),
    "files that are fetched": (
        files_that_are_fetched,
        [
            "make 1",
            "flush .",
            "make 1/fetched",
            "make 1/fetched/artifacts",
            "flush 1/fetched/artifacts/a",
            "make 1/fetched/artifacts/deep",
            "flush 1/fetched/artifacts/deep/b",
            "flush 1/fetched/artifacts.json",
            "flush 1/fetched/artifacts",
            "flush 1/fetched/artifacts/deep",
            "flush 1/fetched",
            "1/fetched -> 1/run",
            "flush 1",
        ],
    ),
    "the tracking database": (
        tracking_database,
        [
            "flush draft",
            "draft -> mlflow.db",
            "remove draft",
            "flush .",
        ],
    ),
    "the first key": (
        first_key,
        [
            "make share",
            "flush .",
            "make share/rollwright",
            "flush share",
            "flush share/rollwright/draft",
            "share/rollwright/draft -> share/rollwright/key",
            "remove share/rollwright/draft",
            "flush share/rollwright",
        ],
    ),
    "the next key": (
        next_key,
        [
            "make rollwright/keys",
            "flush rollwright",
            "lock rollwright/lock",
            "flush rollwright/keys/draft",
            "rollwright/keys/draft -> rollwright/keys/DIGEST",
            "remove rollwright/keys/draft",
            "flush rollwright/keys",
            "flush rollwright/draft",
            "rollwright/draft -> rollwright/draft",
            "remove rollwright/draft",
            "flush rollwright",
            "rollwright/draft -> rollwright/key",
            "flush rollwright",
        ],
    ),
    "a file that is trusted": (
        trusted_file,
        [
            "lock rollwright/lock",
            "flush rollwright/draft",
            "rollwright/draft -> rollwright/trusted.json",
            "flush rollwright",
        ],
    ),
    "a market that is new": (
        market_that_is_new,
        [
            "make staging",
            "make staging/features",
            "flush staging/features/a",
            "flush staging/features",
            "flush staging",
            "staging -> market",
            "flush .",
        ],
    ),
    "a market that is replaced": (
        market_that_is_replaced,
        [
            "make staging",
            "make staging/features",
            "market/features/a -> staging/features/a",
            "flush staging/b",
            "flush staging/features",
            "flush staging",
            "staging <-> market",
            "flush .",
        ],
    ),
    "a market of many files": (
        market_of_many_files,
        [
            "make staging",
            "flush all of staging",
            "staging -> market",
            "flush .",
        ],
    ),
    # Features can be computed again: nothing is flushed, and the header comes last, so that a kill leaves no half one.
    "a matrix of features": (
        matrix_of_features,
        [
            "make day",
            "day/draft -> day/HASH.list",
            "make day/HASH",
            "make day/HASH/series",
            "lock day/HASH/series/lock",
            "day/HASH/series/HASH.f32.tmp -> day/HASH/series/HASH.f32",
            "day/HASH/series/draft -> day/HASH/series/HASH.json",
        ],
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_flushes_renames_and_locks_in_this_order(root: Path, order: WriteOrder, writer: str) -> None:
    prepare, expected = WRITERS[writer]
    act = prepare(root)
    order.start()
    act()
    assert order.steps == expected


def test_it_records_what_is_done_and_nothing_that_failed(root: Path, order: WriteOrder) -> None:
    order.start()
    with pytest.raises(FileNotFoundError):
        os.rename(root / "absent", root / "x")
    (root / "f").write_bytes(b"x")
    atomic.sync_file(root / "f")
    os.rename(root / "f", root / f"g{datetime.now(UTC).year}")
    assert order.steps == ["flush f", f"f -> g{datetime.now(UTC).year}"]


NAMED_BY_ITS_STORE = "the tracking database"


@contextmanager
def no_room() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(root: Path) -> Iterator[None]:
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o700)


@pytest.mark.parametrize("writer", sorted({*WRITERS} - {NAMED_BY_ITS_STORE}))
def test_an_error_about_a_full_disk_names_the_path(root: Path, writer: str) -> None:
    act = WRITERS[writer][0](root)
    with pytest.raises((OSError, RollwrightError)) as caught, no_room():
        act()
    assert str(root) in str(caught.value), str(caught.value)
    assert not isinstance(caught.value, RollwrightError) or caught.value.is_away
    assert [path.name for path in root.rglob(".tmp-*")] == []


@pytest.mark.usefixtures("unprivileged")
@pytest.mark.parametrize("writer", sorted({*WRITERS} - {NAMED_BY_ITS_STORE}))
def test_an_error_about_a_read_only_disk_names_the_path(root: Path, writer: str) -> None:
    act = WRITERS[writer][0](root)
    with read_only(root), pytest.raises((OSError, RollwrightError)) as caught:
        act()
    assert str(root) in str(caught.value), str(caught.value)
    assert not isinstance(caught.value, RollwrightError) or caught.value.is_away
