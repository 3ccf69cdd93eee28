"""Damaged files of the feature store: none passes for data, all are built again in the command that meets them."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import CorruptFileError
from rollwright.features.store import build as store_build
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.file import BLOCK_SESSIONS, Matrix
from rollwright.features.universe import Universe
from rollwright.market.frame import FrameSource

FEATURES = ["Mean($close, 5)/$close", "$open/$close"]
LABEL = ["Ref($close, -2)/Ref($close, -1) - 1"]
DAYS = pd.bdate_range("2018-01-01", periods=640)
CODES = ["A", "B", "C"]


class Market:
    """The first `sessions` of a market; `unchanged` tells up to which session it is that of an earlier generation."""

    def __init__(self, sessions: int, *, generation: str = "g1", unchanged: dict[str, int] | None = None) -> None:
        index = pd.MultiIndex.from_product([DAYS[:sessions], CODES], names=["datetime", "instrument"])
        walk = np.random.default_rng(1).normal(10, 1, (len(DAYS), len(CODES), 2))[:sessions].reshape(-1, 2)
        self._inner = FrameSource(pd.DataFrame(walk, index=index, columns=["open", "close"]))
        self.generation = generation
        self.unchanged = unchanged or {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def unchanged_before(self, generation: str) -> int:
        return self.unchanged.get(generation, 0)


def values(store: FeatureStore, market: Market, expressions: list[str] = FEATURES, **terms: object) -> np.ndarray:
    matrix = store.matrix(expressions, market, **terms)
    return np.array(matrix.view(0, matrix.layout.sessions))


def right(folder: Path, market: Market, expressions: list[str] = FEATURES, **terms: object) -> np.ndarray:
    return values(FeatureStore(folder / "right"), market, expressions, **terms)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 4]))


def healed(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("features.healed")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.mark.parametrize("place", [0, 0.37, 0.999])
def test_a_flipped_bit_is_never_taken_for_data_and_is_healed_where_it_is_met(tmp_path, root, caplog, place):
    market = Market(300)
    FeatureStore(root).matrix(FEATURES, market)
    (path,) = root.rglob("*.f32")
    flip(path, int(place * path.stat().st_size))
    with caplog.at_level(logging.WARNING, "rollwright.features"):
        found = values(FeatureStore(root), market)
    assert same(found, right(tmp_path, market))
    assert healed(caplog) == [f"features.healed path={path} rows={len(found)}"]
    assert f"features.damaged path={path} reason=block" in caplog.text
    caplog.clear()
    assert same(values(FeatureStore(root), market), found)
    assert healed(caplog) == []


def test_all_damaged_files_are_healed_in_one_go(tmp_path, root, caplog):
    market = Market(300)
    half = Universe(name="half", lifetimes={"A": ((DAYS[0], DAYS[299]),)})
    every = Universe(name="every", lifetimes=dict.fromkeys(CODES, ((DAYS[0], DAYS[299]),)))

    def use(folder: Path) -> list[np.ndarray]:
        store = FeatureStore(folder)
        learnt = store.matrix_with_labels(FEATURES, LABEL, market, universe=half)
        return [
            values(store, market),
            values(store, market, LABEL, allow_lookahead=True),
            values(store, market, universe=half),
            values(store, market, universe=every),
            np.array(learnt.view(0, learnt.layout.sessions)),
            values(store, market, ["$close/$open"]),
        ]

    wanted = use(root)
    paths = sorted(root.rglob("*.f32"), key=str)
    assert len(paths) == 6
    for path in paths:
        flip(path, path.stat().st_size // 2)
    with caplog.at_level(logging.WARNING, "rollwright.features"):
        found = use(root)
    assert [same(one, other) for one, other in zip(found, wanted, strict=True)] == [True] * 6
    assert sorted(line.split("path=")[1].split()[0] for line in healed(caplog)) == [str(path) for path in paths]


def test_a_matrix_that_a_universe_shares_is_healed_through_either(tmp_path, root):
    market = Market(300)
    every = Universe(name="every", lifetimes=dict.fromkeys(CODES, ((DAYS[0], DAYS[299]),)))
    values(FeatureStore(root), market, universe=every)
    (path,) = root.rglob("*.f32")
    assert len([*root.rglob("*.json")]) == 2
    flip(path, 100)
    store = FeatureStore(root)
    assert same(values(store, market, universe=every), right(tmp_path, market))
    assert same(values(store, market), right(tmp_path, market))


def test_growth_does_not_bless_damage_in_earlier_rows(tmp_path, root):
    values(FeatureStore(root), Market(600))
    (path,) = root.rglob("*.f32")
    flip(path, 100)
    grown = Market(605, generation="g2", unchanged={"g1": 600})
    assert same(values(FeatureStore(root), grown), right(tmp_path, grown))


@pytest.mark.parametrize("session", [2 * BLOCK_SESSIONS, 2 * BLOCK_SESSIONS + 20, 589])
def test_an_append_that_cuts_a_block_does_not_bless_damage_in_what_stays_of_it(tmp_path, root, session):
    """The block's checksum is computed again from its bytes, so those that stay are verified before."""
    old = FeatureStore(root).matrix(FEATURES, Market(600))
    offset = int(old.layout.offsets[session]) * len(FEATURES) * 4
    del old
    (path,) = root.rglob("*.f32")
    flip(path, offset)
    grown = Market(605, generation="g2", unchanged={"g1": 590})
    assert same(values(FeatureStore(root), grown), right(tmp_path, grown))


def test_damage_in_a_matrix_whose_columns_are_reused_is_healed_by_who_reuses_it(tmp_path, root, caplog):
    market = Market(300)
    values(FeatureStore(root), market)
    (path,) = root.rglob("*.f32")
    flip(path, 100)
    more = [*FEATURES, "$close"]
    with caplog.at_level(logging.WARNING, "rollwright.features"):
        assert same(values(FeatureStore(root), market, more), right(tmp_path, market, more))
    assert f"features.damaged path={path}" in caplog.text
    assert not [*root.rglob("*.tmp")]


def test_an_open_matrix_heals_by_what_another_process_has_built_meanwhile(tmp_path, root, caplog):
    market = Market(300)
    opened = FeatureStore(root).matrix(FEATURES, market)
    values(FeatureStore(root), market)
    (path,) = root.rglob("*.f32")
    flip(path, 100)
    assert same(values(FeatureStore(root), market), right(tmp_path, market))
    inode = path.stat().st_ino
    with caplog.at_level(logging.WARNING, "rollwright.features"):
        assert same(np.array(opened.view(0, 300)), right(tmp_path, market))
    assert path.stat().st_ino == inode
    assert opened.handle is not None
    assert os.fstat(opened.handle).st_ino == inode


def test_a_disk_that_damages_what_is_built_again_is_an_error(root, monkeypatch):
    market = Market(300)
    FeatureStore(root).matrix(FEATURES, market)
    (path,) = root.rglob("*.f32")
    flip(path, 100)
    monkeypatch.setattr(Matrix, "open", damaging(Matrix.open))
    with pytest.raises(CorruptFileError, match="block 0"):
        values(FeatureStore(root), market)


def damaging(real: object) -> object:
    places = itertools.count(101, 5)  # bytes of different weight, whose changes cannot cancel out

    def open_damaged(folder: Path, generation: str) -> Matrix | None:
        found = real(folder, generation)
        if found is not None:
            flip(folder / found.header.data, next(places))
        return found

    return open_damaged


def test_damaged_market_data_are_not_taken_for_damage_of_the_store(root, tmp_path, monkeypatch):
    market = Market(300)

    def broken(*_: object, **__: object) -> None:
        calls.append(1)
        raise CorruptFileError(tmp_path / "close.day.bin", "it ends early")

    calls: list[int] = []
    monkeypatch.setattr(store_build, "compute_rows", broken)
    with pytest.raises(CorruptFileError, match=r"close\.day\.bin"):
        FeatureStore(root).matrix(FEATURES, market)
    assert len(calls) == 1
