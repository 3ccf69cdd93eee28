"""No damage to any kind of file of the feature store passes as data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rollwright.errors import CorruptFileError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import random_source

FEATURES = ["$open/$close", "$high - $low"]
LABEL = ["Ref($close, -2)/Ref($close, -1) - 1"]
FLIPS, CUTS = 200, 50


@pytest.fixture(scope="module")
def source():
    return random_source(np.random.default_rng(8), sessions=270, instruments=3, suspensions=0.05)


def answer(root: Path, source) -> tuple[bytes, ...]:
    """Read the rows of everybody, and those that have labels, in a store opened anew."""
    store = FeatureStore(root)
    found = (store.matrix(FEATURES, source), store.matrix_with_labels(FEATURES, LABEL, source))
    return tuple(np.asarray(matrix.view(0, matrix.layout.sessions)).tobytes() for matrix in found)


def damaged(data: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    for bit in rng.integers(0, 8 * len(data), FLIPS).tolist():
        copy = bytearray(data)
        copy[bit // 8] ^= 1 << (bit % 8)
        yield bytes(copy)
    for length in rng.integers(0, len(data), CUTS).tolist():
        yield data[:length]
    start = int(rng.integers(0, max(1, len(data) - 4096)))
    yield data[:start] + bytes(min(4096, len(data) - start)) + data[start + 4096 :]


def kinds(root: Path) -> dict[str, Path]:
    """Return one file of each kind: a list, a header and its data, and a header that tells which rows there are."""
    folder = next(path.parent for path in root.rglob("*.f32") if "+" in path.parent.name)
    return {
        "list": next(root.rglob("*.list")),
        "header": next((folder.parent / "series").glob("*.json")),
        "data": next((folder.parent / "series").glob("*.f32")),
        "labelled": next(folder.glob("*.json")),
    }


@pytest.mark.parametrize("kind", ["list", "header", "data", "labelled"])
def test_sweep_no_damage_to_the_store_passes_as_data(
    tmp_path: Path, source, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)  # thousands of warnings say what is built anew
    want = answer(tmp_path, source)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    target = kinds(tmp_path)[kind]
    outcomes = set()
    for data in damaged(whole[target], np.random.default_rng(11)):
        target.write_bytes(data)
        try:
            assert answer(tmp_path, source) == want
            outcomes.add("right")
        except CorruptFileError:
            outcomes.add("told")
            assert answer(tmp_path, source) == want  # and the next use builds it anew
        for path in [path for path in tmp_path.rglob("*") if path.is_file() and path not in whole]:
            path.unlink()
        for path, bytes_before in whole.items():
            if not path.exists() or path.stat().st_size != len(bytes_before) or path.read_bytes() != bytes_before:
                path.unlink(missing_ok=True)  # a new inode: what is mapped stays as it is
                path.write_bytes(bytes_before)
    assert outcomes
