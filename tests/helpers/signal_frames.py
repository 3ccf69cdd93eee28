"""Small scores and labels for tests of signals, and hypothesis strategies of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st


def frame_signal(scores, labels, stocks=None):
    """Return pred and label of a matrix [days, instruments]."""
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=float)
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2021-03-01", periods=len(scores)), stocks or [f"S{n:02d}" for n in range(scores.shape[1])]],
        names=["datetime", "instrument"],
    )
    return pd.Series(scores.ravel(), index=index), pd.Series(labels.ravel(), index=index)


@st.composite
def draw_signals(draw, least_days=1, most_days=6, most_names=12):
    """Small panels full of ties, missing values and missing rows, in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    days, names = draw(st.integers(least_days, most_days)), draw(st.integers(1, most_names))
    grain = draw(st.sampled_from([1.0, 0.5, 1e-9]))
    scores = np.round(rng.normal(size=(days, names)) / grain) * grain
    labels = np.round(rng.normal(size=(days, names)) / grain) * grain
    missing = draw(st.floats(0, 0.6))
    scores[rng.random(scores.shape) < missing] = np.nan
    labels[rng.random(labels.shape) < missing] = np.nan
    pred, label = frame_signal(scores, labels)
    pred = pred[rng.random(len(pred)) < 0.8]
    return pred.sample(frac=1, random_state=int(rng.integers(100))), label
