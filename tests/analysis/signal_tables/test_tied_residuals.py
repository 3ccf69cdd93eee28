"""Residuals that are equal share a rank: rounding errors of a regression tell nothing apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rollwright.analysis.signal_tables.contribution import measure_contribution
from rollwright.analysis.signal_tables.neutralisation import compare_neutralised
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from signal_frames import frame_signal

DAYS = 20


@pytest.fixture
def market():
    """Scores that differ between two groups by a constant, and labels; with it the Rank IC without the constant."""
    rng = np.random.default_rng(4)
    within = np.tile(rng.integers(0, 3, (DAYS, 7)), 2)  # both groups have the same, so each residual is there twice
    lifted = within + np.repeat([0.1, 5.7], 7)
    label = rng.normal(size=lifted.shape)
    wanted = [stats.spearmanr(one, two).statistic for one, two in zip(within, label, strict=True)]
    return (*frame_signal(lifted, label), float(np.nanmean(wanted)))


def test_the_rank_ic_without_a_group_is_that_of_scores_that_never_had_it(market):
    pred, label, wanted = market
    names = pred.index.unique("instrument")
    groups = pd.Series(["a"] * 7 + ["b"] * 7, index=names)
    for column in (groups, (groups == "b") * 3.3):
        found = compare_neutralised(build_signal_panel(pred, label), {"group": column})
        assert found["rank_ic_after"].item() == pytest.approx(wanted, abs=1e-12)


def test_the_own_part_of_a_member_has_the_ranks_that_it_has_without_rounding(market):
    pred, label, wanted = market
    other = pd.Series((pred.index.get_level_values("instrument") >= "S07") * 1.7, index=pred.index)
    found = measure_contribution({"one": pred, "other": other}, label).set_index("member")
    assert found.loc["one", "rank_ic_own"] == pytest.approx(wanted, abs=1e-12)


def test_a_row_that_is_explained_wholly_has_no_residual(market):
    pred, label, _ = market
    names = pred.index.unique("instrument")
    groups = pd.Series([*"abcdefg", *["h"] * 7], index=names)
    size = pd.Series(np.random.default_rng(5).normal(size=len(pred)), index=pred.index)
    label[pred.index.get_level_values("instrument") >= "S07"] = np.nan  # what is left of the others is nothing
    found = compare_neutralised(build_signal_panel(pred, label), {"group": groups, "size": size})
    assert found["sessions"].iloc[[0, 2]].tolist() == [0, 0]
