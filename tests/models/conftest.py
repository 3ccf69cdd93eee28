"""A dataset of plain arrays, which is all a model asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest


@dataclass(kw_only=True)
class Fold:
    features: np.ndarray
    label: np.ndarray | None
    index: pd.MultiIndex
    names: tuple[str, ...]


@dataclass(kw_only=True)
class ArrayDataset:
    folds: dict[str, Fold]
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def segments(self) -> dict[str, tuple[str, str]]:
        return dict.fromkeys(self.folds, ("", ""))

    def fold(self, segment: str, *, data_key: str) -> Fold:
        self.asked.append((segment, data_key))
        return self.folds[segment]

    def inference_index(self, segment: str) -> pd.MultiIndex:
        return self.folds[segment].index

    def prepare(self, segment: str, col_set: object = None, data_key: str = "infer") -> pd.DataFrame:
        fold = self.folds[segment]
        frame = pd.DataFrame(fold.features, index=fold.index, columns=list(fold.names))
        return pd.concat({"feature": frame, "label": pd.DataFrame({"L": fold.label}, index=fold.index)}, axis=1)


def make_fold(seed: int, days: int = 40, stocks: int = 20, names: tuple[str, ...] = ("a", "b", "c", "d")) -> Fold:
    rng = np.random.default_rng(seed)
    rows = days * stocks
    features = rng.normal(size=(rows, len(names))).astype(np.float32)
    features[rng.random(features.shape) < 0.02] = np.nan
    noise = rng.normal(size=rows)
    label = (np.nan_to_num(features[:, 0]) * 0.5 - np.nan_to_num(features[:, 1]) * 0.3 + noise).astype(np.float32)
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2020-01-01", periods=days), [f"S{place:03d}" for place in range(stocks)]],
        names=["datetime", "instrument"],
    )
    return Fold(features=features, label=label, index=index, names=names)


@pytest.fixture
def dataset() -> ArrayDataset:
    return ArrayDataset(folds={"train": make_fold(1), "valid": make_fold(2), "test": make_fold(3)})


@pytest.fixture
def new_fold():
    return make_fold


@pytest.fixture
def new_dataset():
    def build(**folds: Fold) -> ArrayDataset:
        return ArrayDataset(folds=folds)

    return build
