"""Features beside those of Alpha158 and Alpha360: after them, under their names, of prices and of reports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright import Alpha158, Alpha360, D
from rollwright.config.context import using
from rollwright.errors import ConfigError, LookAheadError, NotPointInTimeError
from rollwright.market.frame import FrameSource

DAYS = pd.bdate_range("2020-01-01", periods=90)
EXTRA = (["P($$eps_q)/$close", "Ref($close, 1)"], ["YIELD", "BEFORE"])


@pytest.fixture(autouse=True)
def market():
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([DAYS, ["A", "B"]], names=["datetime", "instrument"])
    fields = ["open", "high", "low", "close", "vwap", "volume"]
    frame = pd.DataFrame(rng.uniform(9, 11, (len(index), 6)), index=index, columns=fields)
    reports = pd.DataFrame(
        [("A", 201904, "2020-02-03", 1.0), ("A", 202001, "2020-04-01", 2.0), ("B", 201904, "2020-03-02", 3.0)],
        columns=["instrument", "period", "known_at", "value"],
    )
    with using(market=FrameSource(frame, by_period={"eps_q": reports})):
        yield


def test_they_come_after_the_features_of_the_handler_as_d_computes_them():
    plain, wide = Alpha158("all"), Alpha158("all", extra_features=EXTRA)
    features = wide.fetch(col_set="feature", data_key="raw")
    names = plain.fetch(col_set="feature", data_key="raw").columns.tolist()
    assert features.columns.tolist() == [*names, "YIELD", "BEFORE"]
    pd.testing.assert_frame_equal(features[names], plain.fetch(col_set="feature", data_key="raw"))
    own = D.features(["A", "B"], EXTRA[0]).swaplevel().sort_index()
    np.testing.assert_array_equal(features[["YIELD", "BEFORE"]].to_numpy(), own.to_numpy())


def test_a_plain_list_names_each_by_its_expression():
    handler = Alpha158("all", extra_features=["P($$eps_q)"])
    assert handler.fetch(col_set="feature", data_key="raw").columns[-1] == "P($$eps_q)"


def test_alpha360_takes_them_too():
    handler = Alpha360("all", extra_features=EXTRA, infer_processors=[])
    assert handler.fetch(col_set="feature", data_key="raw").shape[1] == 362


@pytest.mark.parametrize(
    ("extra", "error", "said"),
    [
        ((["$close"], ["KMID"]), ConfigError, "`KMID` is there twice"),
        ("P($$eps_q)", ConfigError, "the fields of `extra_features` are no list"),
        ([], ConfigError, "the fields of `extra_features` are no list"),
        (["Ref($close, -1)"], LookAheadError, "Ref"),
        (["Ref(P($$eps_q), -1)"], LookAheadError, "Ref"),
        (["$$eps_q"], NotPointInTimeError, r"\$\$eps_q"),
    ],
)
def test_what_cannot_be_one_is_refused(extra, error, said):
    with pytest.raises(error, match=said):
        Alpha158("all", extra_features=extra).fetch(data_key="raw")
