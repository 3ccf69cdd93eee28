"""Processors against the plain formula, in pandas or by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.dataset.processors import (
    CSRankNorm,
    CSZFillna,
    CSZScoreNorm,
    DropCol,
    DropnaLabel,
    DropnaProcessor,
    Fillna,
    FilterCol,
    HashStockFormat,
    MinMaxNorm,
    ProcessInf,
    Processor,
    RobustZScoreNorm,
    TanhProcess,
    ZScoreNorm,
    build_processor,
    get_group_columns,
    with_fit_range,
)
from rollwright.errors import ConfigError, ConstructError, DataError, UnknownFieldError, UnsupportedArtifactError

FIT = {"fit_start_time": "2020-01-03", "fit_end_time": "2020-01-20"}
COLUMNS = pd.MultiIndex.from_tuples([("feature", f"F{i}") for i in range(4)] + [("label", "LABEL0")])


def frame(*, seed: int = 5, infinite: bool = False, days: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2020-01-01", periods=days), list("ABCDEFG")], names=["datetime", "instrument"]
    )
    values = rng.normal(1, 2, (len(index), 5)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 2] = np.round(values[:, 2])
    values[:, 3] = 2
    if infinite:
        values[5, 0], values[40, 1] = np.inf, -np.inf
    return pd.DataFrame(values, index=index, columns=COLUMNS)


def by_day(df: pd.DataFrame, function) -> pd.DataFrame:
    return df.groupby("datetime", group_keys=False).apply(function)


def robust(day: pd.DataFrame) -> pd.DataFrame:
    centred = day - day.median()
    return (centred / centred.abs().median() / 1.4826).clip(-3, 3)


def inside(df: pd.DataFrame) -> pd.DataFrame:
    return df.sort_index().loc["2020-01-03":"2020-01-20"].astype(float)


def zscored(df: pd.DataFrame) -> pd.DataFrame:
    part = inside(df)
    std = part.std(ddof=0)
    return (df - part.mean().where(std != 0, 0)) / std.where(std != 0, 1)


def min_maxed(df: pd.DataFrame) -> pd.DataFrame:
    low, high = inside(df).min(), inside(df).max()
    return (df - low.where(low != high, 0)) / (high - low).where(low != high, 1)


def robust_fitted(df: pd.DataFrame) -> pd.DataFrame:
    part = inside(df)
    return (df - part.median()) / (((part - part.median()).abs().median() + 1e-12) * 1.4826)


def no_infinity(df: pd.DataFrame) -> pd.DataFrame:
    def day(part: pd.DataFrame) -> pd.DataFrame:
        finite = part.where(~np.isinf(part))
        return part.where(~np.isinf(part), finite.mean(), axis=1)

    return by_day(df, day)


CASES = {
    "CSZScoreNorm": (CSZScoreNorm(), lambda df: by_day(df, lambda day: (day - day.mean()) / day.std())),
    "CSZScoreNorm robust": (CSZScoreNorm(method="robust"), lambda df: by_day(df, robust)),
    "CSRankNorm": (CSRankNorm(), lambda df: (df.groupby("datetime").rank(pct=True) - 0.5) * 3.46),
    "CSZFillna": (CSZFillna(), lambda df: by_day(df, lambda day: day.fillna(day.mean()))),
    "Fillna": (Fillna(fill_value=7), lambda df: df.fillna(7)),
    "TanhProcess": (TanhProcess(), lambda df: pd.concat([np.tanh(df[["feature"]] - 1), df[["label"]]], axis=1)),
    "DropnaProcessor": (DropnaProcessor(), lambda df: df.dropna()),
    "DropnaLabel": (DropnaLabel(), lambda df: df[df["label"]["LABEL0"].notna()]),
    "DropCol": (DropCol(["F1", "LABEL0"]), lambda df: df[[("feature", "F0"), ("feature", "F2"), ("feature", "F3")]]),
    "FilterCol": (FilterCol(col_list=["F2"]), lambda df: df[[("feature", "F2"), ("label", "LABEL0")]]),
    "HashStockFormat": (HashStockFormat(), lambda df: df),
    "ZScoreNorm": (ZScoreNorm(**FIT), zscored),
    "MinMaxNorm": (MinMaxNorm(**FIT), min_maxed),
    "RobustZScoreNorm": (RobustZScoreNorm(**FIT, clip_outlier=False), robust_fitted),
    "RobustZScoreNorm clipped": (RobustZScoreNorm(**FIT), lambda df: robust_fitted(df).clip(-3, 3)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("order", ["sorted", "shuffled"])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_values_are_those_of_the_formula_and_the_input_stays(name: str, order: str) -> None:
    processor, formula = CASES[name]
    df = frame()
    if order == "shuffled":
        df = df.sample(frac=1, random_state=1)
    before = df.copy()
    processor.fit(df.sort_index())
    got = processor(df)
    want = formula(df).reindex(got.index) if order == "shuffled" else formula(df)
    pd.testing.assert_frame_equal(got.astype(float), want.astype(float), rtol=1e-5, atol=1e-5, check_index_type=False)
    pd.testing.assert_frame_equal(df, before)
    assert (got.dtypes == np.float32).all()


def test_infinities_become_the_mean_of_their_day() -> None:
    df = frame(infinite=True)
    got = ProcessInf()(df)
    pd.testing.assert_frame_equal(got.astype(float), no_infinity(df).astype(float), rtol=1e-6)
    assert not np.isinf(got.to_numpy()).any()


@pytest.mark.parametrize("cls", [ZScoreNorm, MinMaxNorm, RobustZScoreNorm])
def test_what_is_learnt_does_not_know_what_comes_after_the_fit_range(cls: type) -> None:
    df = frame()
    changed = df.copy()
    changed.loc["2020-01-21":] *= 1000
    changed.loc[:"2020-01-02"] = 3
    one, two = cls(**FIT), cls(**FIT)
    one.fit(df)
    two.fit(changed)
    for key, value in one.state().items():
        assert value.tobytes() == two.state()[key].tobytes()


@pytest.mark.parametrize("cls", [ZScoreNorm, MinMaxNorm, RobustZScoreNorm])
def test_what_was_learnt_can_be_moved_as_plain_arrays(cls: type) -> None:
    one, two = cls(**FIT), cls(**FIT)
    one.fit(frame())
    two.load_state(one.state())
    pd.testing.assert_frame_equal(one(frame(seed=6)), two(frame(seed=6)))


def test_a_group_leaves_the_other_columns_alone() -> None:
    df = frame()
    got = CSZScoreNorm("label")(df)
    pd.testing.assert_frame_equal(got[["feature"]], df[["feature"]])
    assert not got["label"].equals(df["label"])
    both = CSZScoreNorm(["feature", "label"])(df)
    pd.testing.assert_frame_equal(both, CSZScoreNorm()(df))


def test_an_unknown_group_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownFieldError, match="did you mean `label`"):
        CSZScoreNorm("labels")(frame())


def test_columns_without_groups_are_chosen_by_name() -> None:
    flat = frame()["feature"]
    got = Fillna("F1")(flat)
    pd.testing.assert_frame_equal(got, flat.fillna({"F1": 0}))


def test_an_empty_fit_range_is_an_error() -> None:
    with pytest.raises(DataError, match="no rows to learn from"):
        ZScoreNorm("2030-01-01", "2030-02-01").fit(frame())
    with pytest.raises(DataError, match="before it learnt"):
        ZScoreNorm(**FIT)(frame())


def test_a_column_without_values_stays_so() -> None:
    df = frame()
    df[("feature", "F1")] = np.nan
    for cls in (ZScoreNorm, MinMaxNorm, RobustZScoreNorm):
        processor = cls(**FIT)
        processor.fit(df)
        assert processor(df)[("feature", "F1")].isna().all()


def test_only_processors_without_labels_are_for_inference() -> None:
    assert not DropnaLabel().is_for_infer()
    assert DropnaProcessor("feature").is_for_infer()


def test_configurations_are_built_and_mistakes_named() -> None:
    assert isinstance(build_processor("Fillna"), Fillna)
    assert build_processor({"class": "CSZScoreNorm", "kwargs": {"method": "robust"}}).method == "robust"
    given = DropCol()
    assert build_processor(given) is given
    with pytest.raises(ConstructError, match="did you mean `Fillna`"):
        build_processor("FillNa")
    with pytest.raises(ConfigError, match="did you mean `robust`"):
        CSZScoreNorm(method="robst")
    with pytest.raises(ConfigError, match="did you mean `F2`"):
        FilterCol(col_list=["F22"])(frame())


def test_a_fit_range_reaches_those_that_learn_and_nobody_else() -> None:
    prepared = with_fit_range(["Fillna", {"class": "ZScoreNorm", "kwargs": {"fields_group": "feature"}}], "a", "b")
    assert prepared[0]["kwargs"] == {}
    assert prepared[1]["kwargs"] == {"fields_group": "feature", "fit_start_time": "a", "fit_end_time": "b"}
    with pytest.raises(ConfigError, match="fit_end_time"):
        with_fit_range(["MinMaxNorm"], "a", None)


def test_a_processor_of_a_users_own_that_learns_must_say_what() -> None:
    class Mine(Processor):
        def fit(self, df=None):
            self.top = df.max()

        def __call__(self, df):
            return df / self.top

    with pytest.raises(UnsupportedArtifactError, match="Mine"):
        Mine().state()


def test_text_columns_are_refused_by_name() -> None:
    df = frame()
    df[("feature", "NAME")] = "x"
    with pytest.raises(DataError, match="NAME"):
        Fillna()(df)


def test_group_columns_are_found_as_in_qlib() -> None:
    df = frame()
    assert list(get_group_columns(df, "feature")) == list(df.columns[:4])
    assert list(get_group_columns(df, None)) == list(df.columns)


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_ranks_keep_the_order_of_the_values(seed: int, days: int) -> None:
    df = frame(seed=seed, days=days)
    ranks = CSRankNorm()(df)
    assert ranks.isna().equals(df.isna())
    assert ranks.abs().max().max() <= 1.73 + 1e-6
    order = ranks.groupby("datetime").rank()
    pd.testing.assert_frame_equal(df.groupby("datetime").rank(), order)
