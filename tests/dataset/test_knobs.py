"""The seeds' knobs reach the work: threads, disk cache, memory cache (K1), also after a second `init` (K2)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from rollwright import Alpha158, C, D, init
from rollwright.features import api
from rollwright.features.store import fill as store_fill
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import provider_from_settings


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("knobs") / "market"
    make_demo_market(folder, instruments=20, sessions=120, seed=5)
    return folder


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many threads each evaluation was given."""
    seen: list[int] = []
    for module in (api, store_fill):
        original = module.evaluate_each

        def counted(*args, original=original, **kwargs):
            seen.append(kwargs["threads"])
            return original(*args, **kwargs)

        monkeypatch.setattr(module, "evaluate_each", counted)
    return seen


def test_kernels_are_the_threads_of_every_computation_and_change_no_value(demo: Path, threads: list[int]) -> None:
    init(provider_uri=str(demo), kernels=3)
    three = D.features("all", ["Mean($close, 5)"])
    C.kernels = 1
    one = D.features("all", ["Mean($close, 5)"])
    pd.testing.assert_frame_equal(one, three)
    C.kernels = 2
    Alpha158("all").fetch()
    assert threads[:2] == [3, 1]
    assert set(threads[2:]) == {2}


def test_k2_a_second_init_loses_no_knob(demo: Path) -> None:
    init(provider_uri=str(demo), mem_cache_size_limit=7, default_disk_cache=0, kernels=1)
    init(region="us")
    assert (C.mem_cache_size_limit, C.default_disk_cache, C.kernels) == (7.0, 0, 1)
    assert provider_from_settings().cache.limit == 7_000_000


def test_disk_cache_0_writes_nothing_and_every_mode_gives_the_same(demo: Path, tmp_path: Path) -> None:
    frames = []
    for mode in (0, 1, 2, 1):
        init(provider_uri=str(demo), store__path=str(tmp_path / "store"), default_disk_cache=mode)
        frames.append(Alpha158("all").fetch())
        assert (tmp_path / "store").exists() == (mode > 0 or len(frames) > 1)
    for other in frames[1:]:
        pd.testing.assert_frame_equal(other, frames[0])


def test_disk_cache_2_computes_anew_and_1_does_not(demo: Path, tmp_path: Path, threads: list[int]) -> None:
    computed = []
    for mode in (1, 1, 2, 1):
        init(provider_uri=str(demo), store__path=str(tmp_path / "store"), default_disk_cache=mode)
        threads.clear()
        D.features("all", ["$close", "Ref($close, 1)"])
        computed.append(bool(threads))
    assert computed == [True, False, True, False]
