"""Rank-mean and IC-weighted ensembles: what pandas says of them, and nothing of the future in a weight."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rollwright
from rollwright.analysis.signal import daily_ic
from rollwright.collect.ensemble import AverageEnsemble, ICWeightedEnsemble, RankEnsemble
from rollwright.errors import ConfigError, CoverageError, DataError

DAYS = pd.bdate_range("2020-01-01", periods=40, name="datetime")
NAMES = [f"S{number:02d}" for number in range(12)]


def panel(seed: int, *, days=DAYS, names=NAMES, name="score") -> pd.DataFrame:
    index = pd.MultiIndex.from_product([days, names], names=["datetime", "instrument"])
    return pd.DataFrame({name: np.random.default_rng(seed).normal(size=len(index))}, index=index)


def members(*seeds: int) -> dict[tuple[str, int], pd.DataFrame]:
    return {("m", seed): panel(seed) for seed in seeds}


LABEL = panel(99, name="label")
ENSEMBLES = {
    "average": AverageEnsemble,
    "rank": RankEnsemble,
    "ic": lambda **options: ICWeightedEnsemble(LABEL, label_span=2, min_days=5, **options),
}


def by_pandas(scores: dict, reduce) -> pd.Series:
    table = pd.concat([frame["score"] for frame in scores.values()], axis=1)
    return table.groupby(level="datetime").transform(reduce).mean(axis=1)


def test_the_rank_mean_is_the_mean_of_pandas_percentile_ranks():
    scores = members(1, 2, 3)
    scores["m", 1]["score"] = scores["m", 1]["score"].round(0)  # with equal ones
    expected = by_pandas(scores, lambda column: column.rank(pct=True))
    found = RankEnsemble()(scores)
    pd.testing.assert_series_equal(found, expected, check_names=False)
    assert found.name == "score"


def test_the_average_is_the_mean_of_pandas_z_scores():
    scores = members(1, 2, 3)
    expected = by_pandas(scores, lambda column: (column - column.mean()) / column.std())
    pd.testing.assert_series_equal(AverageEnsemble()(scores), expected, check_names=False)


def test_members_that_lack_scores_are_averaged_as_pandas_does_when_that_is_declared():
    scores = members(1, 2)
    scores["m", 1].iloc[[0, 5, 30]] = float("nan")
    scores["m", 2] = scores["m", 2].drop([(DAYS[0], "S00"), *((DAYS[4], name) for name in NAMES)])
    reductions = {
        AverageEnsemble: lambda column: (column - column.mean()) / column.std(),
        RankEnsemble: lambda column: column.rank(pct=True),
    }
    for kind, reduce in reductions.items():
        found = kind(missing="skip")(scores)
        pd.testing.assert_series_equal(found, by_pandas(scores, reduce).reindex(found.index), check_names=False)
        assert found.isna().sum() == 1  # the first row, which nobody scored


def weights_by_pandas(scores, label, *, span, window, least) -> pd.DataFrame:
    ics = pd.concat([daily_ic(frame, label) for frame in scores.values()], axis=1)
    means = ics.rolling(window, min_periods=least).mean().shift(span + 1).clip(lower=0).fillna(0)
    return means.div(means.sum(axis=1), axis=0).fillna(1 / len(scores))


@pytest.mark.parametrize(("span", "window", "least"), [(0, 10, 5), (2, 10, 5), (5, 30, 1)])
def test_a_weight_is_the_share_in_the_mean_of_the_ics_that_were_known(span, window, least):
    scores = members(1, 2, 3)
    ensemble = ICWeightedEnsemble(LABEL, label_span=span, window=window, min_days=least)
    found = ensemble.weights(scores)
    expected = weights_by_pandas(scores, LABEL, span=span, window=window, least=least)
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert list(found.columns) == list(scores)
    assert found.index.equals(DAYS)
    first = found.iloc[: span + least]  # nothing is known yet
    np.testing.assert_allclose(first.to_numpy(), 1 / 3)


def test_the_weighted_score_is_the_weighted_mean_of_the_z_scores():
    scores = members(1, 2)
    ensemble = ENSEMBLES["ic"](window=None)
    table = pd.concat([frame["score"] for frame in scores.values()], axis=1)
    standard = table.groupby(level="datetime").transform(lambda column: (column - column.mean()) / column.std())
    weights = ensemble.weights(scores).reindex(table.index, level="datetime").to_numpy()
    np.testing.assert_allclose(ensemble(scores), (standard.to_numpy() * weights).sum(axis=1), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    since=st.integers(0, len(DAYS) - 1),
    span=st.integers(0, 8),
    window=st.sampled_from([None, 6, 15]),
    seed=st.integers(1000, 9999),
)
def test_look_ahead_changing_later_labels_never_changes_an_earlier_weight(since, span, window, seed):
    scores = members(1, 2, 3)
    ensemble = ICWeightedEnsemble(LABEL, label_span=span, window=window, min_days=2)
    changed = LABEL.copy()
    later = changed.index.get_level_values("datetime") >= DAYS[since]
    changed.loc[later] = panel(seed, name="label").loc[later]
    other = ICWeightedEnsemble(changed, label_span=span, window=window, min_days=2)
    # The label of `since` is known after session since + span: the weights up to that one stand, to the bit.
    stand = slice(0, since + span + 1)
    assert ensemble.weights(scores).iloc[stand].equals(other.weights(scores).iloc[stand])
    assert (
        ensemble(scores)
        .loc[: DAYS[min(since + span, len(DAYS) - 1)]]
        .equals(other(scores).loc[: DAYS[min(since + span, len(DAYS) - 1)]])
    )


def test_the_first_weight_that_may_change_does():
    """Else the law above would hold for weights that never change."""
    changed = LABEL.copy()
    scores = {seed: panel(seed) + LABEL.to_numpy() for seed in (1, 2)}
    changed.loc[DAYS[20:]] = panel(7, name="label").loc[DAYS[20:]]
    one, other = (
        ICWeightedEnsemble(label, label_span=2, window=None, min_days=2).weights(scores) for label in (LABEL, changed)
    )
    assert (one != other).any(axis=1).idxmax() == DAYS[23]


def test_a_model_that_is_worse_than_chance_and_one_without_a_known_ic_have_no_weight():
    good = LABEL.rename(columns={"label": "score"})
    scores = {"good": good, "bad": -good, "alike": good * 0}
    weights = ENSEMBLES["ic"]().weights(scores)
    assert weights.iloc[-1].tolist() == [1, 0, 0]
    np.testing.assert_allclose(weights.iloc[0], 1 / 3)


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_a_row_that_a_model_lacks_is_an_error_that_names_it_or_declared(kind):
    scores = members(1, 2)
    late = scores["m", 2].drop([(DAYS[-1], "S03"), (DAYS[-1], "S04")])
    with pytest.raises(CoverageError, match="2 scores are missing between 2 models") as caught:
        ENSEMBLES[kind]()({"one": scores["m", 1], "late": late})
    assert caught.value.problems == (f"late: 2 scores are missing, {DAYS[-1]:%Y-%m-%d} (S03, S04)",)
    assert caught.value.exit_code == 4
    assert 'missing="skip"' in caught.value.hint
    found = ENSEMBLES[kind](missing="skip")({"one": scores["m", 1], "late": late})
    assert found.notna().all()
    assert len(found) == len(LABEL)


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_the_order_of_rows_levels_and_members_changes_nothing(kind):
    scores = members(1, 2)
    plain = ENSEMBLES[kind]()(scores)
    shuffled = {
        key: frame.sample(frac=1, random_state=1).reorder_levels(["instrument", "datetime"])
        for key, frame in reversed(scores.items())
    }
    pd.testing.assert_series_equal(ENSEMBLES[kind]()(shuffled), plain, check_exact=False)
    assert plain.index.equals(scores["m", 1].index)


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_what_is_no_score_is_refused(kind):
    ensemble = ENSEMBLES[kind]()
    good = panel(1)
    with pytest.raises(CoverageError, match="there is no prediction to average"):
        ensemble({})
    with pytest.raises(CoverageError, match="1 member") as caught:
        ensemble({"one": good, "none": good.iloc[:0]})
    assert caught.value.problems == ("none",)
    infinite = good.copy()
    infinite.iloc[5] = np.inf
    with pytest.raises(CoverageError, match="1 scores are infinite") as caught:
        ensemble({"one": good, "two": infinite})
    assert caught.value.problems == ("two: 1 scores are infinite, 2020-01-01 (S05)",)
    with pytest.raises(CoverageError, match=r"two: 1 rows are predicted twice, 2020-01-01 \(S00\)"):
        ensemble({"one": good, "two": pd.concat([good, good.iloc[:1]])})
    with pytest.raises(DataError, match="not `datetime` and an instrument"):
        ensemble({"one": good.reset_index(drop=True)})


@pytest.mark.parametrize("options", [{"label_span": -1}, {"min_days": 0}, {"window": 5, "min_days": 6}])
def test_weights_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError, match=r"needed|or more"):
        ICWeightedEnsemble(LABEL, **{"label_span": 2, **options})
    with pytest.raises(ConfigError, match="missing is error or skip, not 'drop'"):
        RankEnsemble(missing="drop")(members(1))


def test_the_names_are_public():
    assert rollwright.RankEnsemble is RankEnsemble
    assert rollwright.ICWeightedEnsemble is ICWeightedEnsemble


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_the_parts_of_the_members_add_up_to_each_score(kind):
    ensemble = ENSEMBLES[kind](missing="skip")
    scores = members(1, 2, 3)
    scores["m", 2] = scores["m", 2].drop(index=[(DAYS[30], NAMES[0]), (DAYS[0], NAMES[1])])
    whole = ensemble(scores)
    for row in ((DAYS[30], NAMES[0]), (DAYS[30], NAMES[5]), (DAYS[0], NAMES[1])):
        shares = ensemble.explain(scores, row)
        assert [*shares.index] == [*scores]
        assert shares["part"].sum() == pytest.approx(whole[row], abs=1e-12)
        assert shares["weight"].sum() == pytest.approx(1.0)
        np.testing.assert_allclose(shares["part"], (shares["weight"] * shares["scaled"]).fillna(0.0))
        lacks = row != (DAYS[30], NAMES[5])
        assert (shares["weight"].iloc[1] == 0.0) == lacks == np.isnan(shares["scaled"].iloc[1])
    if kind == "ic":
        told = ensemble.weights(scores).loc[DAYS[30]]
        np.testing.assert_allclose(ensemble.explain(scores, (DAYS[30], NAMES[5]))["weight"], told)
    with pytest.raises(CoverageError, match="no member scores S99"):
        ensemble.explain(scores, (DAYS[30], "S99"))
