"""How much the store takes, and the knobs that decide what goes through it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rollwright.config.context import C, current_settings, init
from rollwright.dataset.alpha import Alpha158
from rollwright.errors import ConfigError
from rollwright.features.api import D
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.size import entries, prune
from rollwright.features.universe import Universe
from rollwright.market.demo import make_demo_market
from rollwright.testing.market import ArraySource, random_source


def market(seed: int = 0) -> ArraySource:
    return random_source(np.random.default_rng(seed), sessions=120, instruments=6)


def test_files_are_listed_the_longest_unused_first(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for place, text in enumerate(["$close", "$open", "$high"]):
        matrix = store.matrix([text], market())
        header = next(matrix.folder.glob("*.json"))
        os.utime(header, (100 - place, 100 - place))
    listed = entries(tmp_path)
    assert [entry.used for entry in listed] == [98, 99, 100]
    assert all((entry.columns, entry.freq) == (1, "day") and entry.size == entry.rows * 4 for entry in listed)
    FeatureStore(tmp_path).matrix(["$high"], market())
    assert entries(tmp_path)[0].used == 99


def test_pruning_removes_whole_matrices_and_what_is_asked_for_again_is_built_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    source = market()
    universe = Universe(name="all", lifetimes=source.members("all"))
    kept = store.matrix(["$close"], source, universe=universe)
    before = np.array(kept.view(0, 120))
    view = kept.view(0, 120)
    del kept, store
    assert prune(tmp_path, max_bytes=0) == []  # a view alone holds the file
    del view
    assert len(prune(tmp_path, max_bytes=0)) == 1
    assert not list(tmp_path.rglob("*.f32"))
    assert not list(tmp_path.rglob("*.json"))
    store = FeatureStore(tmp_path)
    again = store.matrix(["$close"], source, universe=universe)
    np.testing.assert_array_equal(again.view(0, 120), before)


def test_what_a_crash_left_is_pruned_first(tmp_path: Path) -> None:
    matrix = FeatureStore(tmp_path).matrix(["$close"], market())
    (matrix.folder / "0123456789abcdef.f32.tmp").write_bytes(bytes(1000))
    removed = prune(tmp_path, max_bytes=entries(tmp_path)[-1].size)
    assert [entry.path.suffix for entry in removed] == [".tmp"]


def test_a_limit_holds_after_every_build(tmp_path: Path) -> None:
    size = FeatureStore(tmp_path / "one").matrix(["$close"], market()).header.size
    for text in ("$close", "$open", "$high"):
        FeatureStore(tmp_path / "two", max_bytes=2 * size).matrix([text], market())
    assert sum(entry.size for entry in entries(tmp_path / "two")) == 2 * size


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    make_demo_market(tmp_path / "market", instruments=60, sessions=120, seed=1)
    init(provider_uri=str(tmp_path / "market"), region="us")
    return current_settings().resolve(current_settings().store.path)


def test_the_disk_cache_is_skipped_used_or_replaced(demo: Path) -> None:
    D.features(["R0001"], ["$close"])
    assert not demo.exists()
    D.features(["R0001"], ["$close"], disk_cache=1)
    first = {path: path.stat().st_ino for path in demo.rglob("*.f32")}
    D.features(["R0001"], ["$close"], disk_cache=1)
    assert {path: path.stat().st_ino for path in demo.rglob("*.f32")} == first
    D.features(["R0001"], ["$close"], disk_cache=2)
    assert {path: path.stat().st_ino for path in demo.rglob("*.f32")} != first
    with pytest.raises(ConfigError, match="disk_cache is 3"):
        D.features(["R0001"], ["$close"], disk_cache=3)


def test_the_default_of_the_disk_cache_is_a_setting(demo: Path) -> None:
    C.default_disk_cache = 0
    assert len(Alpha158("top50").fetch())
    assert not demo.exists()
    C.default_disk_cache = 1
    D.features(["R0001"], ["$close"])
    assert list(demo.rglob("*.f32"))
