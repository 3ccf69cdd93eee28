"""What a library copies for itself stays in memory once: pages of the files it reads are dropped meanwhile."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rollwright.models.lightgbm import LGBModel
from rollwright.models.mapped_reading import drop_while_copied

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system tells of pages otherwise")
ROWS, COLUMNS = 40_000, 30


@pytest.fixture
def mapped(tmp_path):
    values = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    values.tofile(tmp_path / "values")
    return np.memmap(tmp_path / "values", dtype=np.float32, mode="r", shape=(ROWS, COLUMNS))


def resident(array) -> int:
    """Return how many bytes of the file are in this process's memory."""
    name, found, is_ours = str(array.filename), 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line[:1] in "0123456789abcdef" and "-" in line.split()[0]:
            is_ours = line.endswith(name)
        elif is_ours and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def test_pages_that_were_read_are_gone_when_the_copy_is_made_and_come_back_with_the_same_bytes(mapped):
    before = mapped.sum(dtype=np.float64)
    assert resident(mapped) > mapped.nbytes * 0.9
    with drop_while_copied([np.asarray(mapped)[1000:]]) as end_copying:
        assert resident(mapped) < mapped.nbytes * 0.1
        assert mapped.sum(dtype=np.float64) == before
        end_copying()
        assert resident(mapped) < mapped.nbytes * 0.1
    assert mapped.sum(dtype=np.float64) == before


def test_no_thread_outlives_the_copying(mapped):
    with drop_while_copied([mapped]):
        assert "rollwright-pages" in {thread.name for thread in threading.enumerate()}
    assert "rollwright-pages" not in {thread.name for thread in threading.enumerate()}


def test_other_arrays_are_left_alone_without_a_thread(tmp_path, mapped):
    mine = np.memmap(tmp_path / "mine", dtype=np.float32, mode="w+", shape=(100, 2))
    mine[:] = 7
    with drop_while_copied([np.ones((10, 2)), mine, mapped[:, 1:]]) as end_copying:
        assert "rollwright-pages" not in {thread.name for thread in threading.enumerate()}
        end_copying()
    assert (mine == 7).all()


def test_trees_are_the_same_whether_the_features_are_mapped_or_in_memory(tmp_path, new_dataset, new_fold):
    fold = new_fold(1, days=400, stocks=50, names=tuple(f"f{place:02d}" for place in range(40)))
    path = tmp_path / "features"
    fold.features.tofile(path)
    mapped = np.memmap(path, dtype=np.float32, mode="r", shape=fold.features.shape)
    texts = []
    for features in (fold.features, mapped):
        model = LGBModel(num_boost_round=5, early_stopping_rounds=5)
        model.fit(new_dataset(train=replace(fold, features=features), valid=new_fold(2, names=fold.names)))
        texts.append(model.to_text())
    assert texts[0] == texts[1]
    assert resident(mapped) < mapped.nbytes * 0.5  # the rounds needed none of it
