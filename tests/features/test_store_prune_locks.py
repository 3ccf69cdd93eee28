"""Pruning waits for nobody: neither for a build of its own process nor for one of another."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd

from rollwright.core.locks import file_lock
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.file import LOCK_NAME
from rollwright.features.store.size import entries, prune, remove
from rollwright.features.universe import Universe
from rollwright.testing.market import ArraySource, random_source


def market(seed: int) -> ArraySource:
    return random_source(np.random.default_rng(seed), sessions=120, instruments=6)


def half() -> Universe:
    spans = ((pd.Timestamp("2020-02-03"), pd.Timestamp("2020-04-30")),)
    return Universe(name="half", lifetimes=dict.fromkeys(["SH600001", "SH600003"], spans))


def test_a_cap_reached_in_the_middle_of_a_universe_does_not_stop_it(tmp_path: Path) -> None:
    FeatureStore(tmp_path).matrix(["$close"], market(1), universe=half())
    made = []
    thread = threading.Thread(
        target=lambda: made.append(FeatureStore(tmp_path, max_bytes=1).matrix(["$close"], market(2), universe=half())),
        daemon=True,
    )
    thread.start()
    thread.join(30)
    assert made, "it waits for a lock that it holds itself"
    assert {one for entry in entries(tmp_path) for one in entry.generations} == {market(2).generation}


def test_a_folder_in_which_another_process_builds_is_left_alone(tmp_path: Path) -> None:
    folder = FeatureStore(tmp_path).matrix(["$close"], market(1)).folder
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rollwright.core.locks import file_lock\n"
        "with file_lock(Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script, str(folder / LOCK_NAME)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        assert prune(tmp_path, max_bytes=0) == []
        other.communicate("\n")
    assert len(prune(tmp_path, max_bytes=0)) == 1


def test_what_is_removed_is_told_and_what_is_being_built_is_not(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    one, two = (store.matrix([text], market(1)).folder for text in ("$close", "$open"))
    del store
    with file_lock(one / LOCK_NAME):
        gone = remove(entries(tmp_path))
    assert [entry.path.parent for entry in gone] == [two]
    assert [entry.path.parent for entry in entries(tmp_path)] == [one]
