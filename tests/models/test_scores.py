"""What a user's model hands back is checked at the border: what came, from whom, and what is right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import ModelError
from rollwright.models.scores import check_scores

INDEX = pd.MultiIndex.from_product(
    [pd.to_datetime(["2021-01-04", "2021-01-05"]), ["A", "B", "C"]], names=["datetime", "instrument"]
)
SCORES = pd.Series(np.arange(6.0), index=INDEX)
RIGHT = "`predict` returns a Series of numbers, or a frame with the column `score`, on dataset.inference_index(segment)"


class Mine:
    """A model of a user's own."""


def check(pred):
    return check_scores(pred, INDEX, model=Mine())


@pytest.mark.parametrize(
    "pred",
    [
        SCORES,
        SCORES.rename("yesterday"),
        SCORES.to_frame("anything"),
        SCORES.astype("Float64"),
        SCORES.astype("int32"),
        SCORES.set_axis(INDEX.set_names([None, None])),
    ],
    ids=["series", "named", "frame", "nullable", "whole numbers", "without names"],
)
def test_a_score_for_each_row_is_taken_in_any_of_its_forms(pred):
    made = check(pred)
    assert list(made.columns) == ["score"]
    assert made.index.names == INDEX.names
    assert made["score"].to_list() == SCORES.to_list()


@pytest.mark.parametrize(
    ("pred", "said", "hint"),
    [
        (None, "Mine.predict returned None", "is its `return` missing"),
        (SCORES.to_numpy(), "returned an array of shape (6,)", "pd.Series(scores, index=dataset.inference_index("),
        (SCORES.to_list(), "returned a list", "pd.Series(scores, index="),
        (SCORES.to_numpy()[:4], "returned an array of shape (4,)", RIGHT),
        (np.ones((6, 2)), "returned an array of shape (6, 2)", RIGHT),
        (0.5, "returned a float", RIGHT),
        ({"score": SCORES}, "returned a dict", RIGHT),
        (pd.DataFrame(index=INDEX), "returned a frame without a column", RIGHT),
        (
            SCORES.iloc[:4],
            "scored 4 rows and 6 were to be scored: 2 are missing, the first (2021-01-05, B)",
            "one score",
        ),
        (
            SCORES.iloc[::-1],
            "scored 6 rows and 6 were to be scored: they are the same in another order",
            "in its order",
        ),
        (SCORES.rename({"C": "X"}, level=1), "2 are missing, the first (2021-01-04, C); 2 are unexpected, the", "one"),
        (pd.concat([SCORES, SCORES.iloc[:1]]), "scored 1 row(s) more than once, the first is (2021-01-04, A)", "one"),
        (
            SCORES.swaplevel(),
            "indexed by ['instrument', 'datetime'], and ['datetime', 'instrument'] was to be",
            "swaple",
        ),
        (SCORES.reset_index(drop=True), "scored 6 rows on an index of 1 level(s), [None]", "pd.Series(scores"),
        (SCORES.astype(object), "of dtype object, which holds no plain numbers, the first is 0.0", "astype(float)"),
        (SCORES.astype(str), "holds no plain numbers, the first is '0.0'", "astype(float)"),
        (SCORES.astype(complex), "of dtype complex128", "astype(float)"),
        (SCORES.replace(3.0, np.inf), "1 of 6 scores of Mine are infinite", "division"),
        (SCORES * np.nan, "all 6 scores of Mine are NaN", "fitted"),
    ],
    ids=str,
)
def test_anything_else_is_refused_with_class_what_came_and_what_is_right(pred, said, hint):
    with pytest.raises(ModelError) as caught:
        check(pred)
    assert said in caught.value.message
    assert "Mine" in caught.value.message
    assert hint in caught.value.hint


def test_of_several_columns_the_one_called_score_is_measured_and_that_is_said(caplog):
    made = check(pd.DataFrame({"risk": 1.0, "score": SCORES}))
    assert list(made.columns) == ["score", "risk"]
    assert "model.other_columns model=Mine measured=score others=`risk`" in caplog.text


def test_of_several_columns_without_that_name_it_is_asked_which_counts():
    with pytest.raises(ModelError, match="2 columns, `fast`, `slow`, and it cannot be told which"):
        check(pd.DataFrame({"fast": SCORES, "slow": SCORES}))
    with pytest.raises(ModelError, match="2 columns"):
        check(pd.concat([SCORES, SCORES], axis=1, keys=["score", "score"]))


def test_a_few_scores_may_be_missing():
    assert check(SCORES.where(SCORES > 0))["score"].isna().sum() == 1
