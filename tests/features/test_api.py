"""`D`: the ambient market data by Qlib's words."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.config.context import init
from rollwright.dataset.processors import TimeRangeFlt
from rollwright.errors import ConfigError, DataError, ExpressionError, UnknownInstrumentError
from rollwright.features.api import D
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider

FIELDS = ["$close", "Mean($close, 5)", "Ref($close, -1)/$close - 1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market") / "demo"
    make_demo_market(path, instruments=60, sessions=260, seed=1)
    return path


@pytest.fixture(autouse=True)
def market(folder: Path) -> QlibProvider:
    init(provider_uri=str(folder), region="us")
    return QlibProvider(folder)


def test_the_calendar_is_the_markets(market: QlibProvider) -> None:
    assert list(D.calendar()) == list(market.calendar().to_index())
    assert all(isinstance(session, pd.Timestamp) for session in D.calendar())
    part = D.calendar("2015-02-02", "2015-02-06")
    assert [str(day)[:10] for day in part] == [f"2015-02-0{n}" for n in range(2, 7)]


def test_universes_by_name_and_by_code() -> None:
    assert D.instruments("top50") == {"market": "top50", "filter_pipe": []}
    assert D.instruments(["A", "B"]) == ["A", "B"]
    with pytest.raises(UnknownInstrumentError, match="did you mean `top50`"):
        D.instruments("top5")
    with pytest.raises(ConfigError, match=r"a universe has no range(.|\n)*hint: .*D\.list_instruments"):
        D.instruments("top50", None, "2015-03-02")
    with pytest.raises(ConfigError, match="a universe has no range"):
        D.instruments("top50", end_time="2015-03-02")
    pipe = [{"filter_type": "NameDFilter", "name_rule_re": "R000[1-3]"}]
    assert D.list_instruments(D.instruments("all", filter_pipe=pipe), as_list=True) == ["R0001", "R0002", "R0003"]


def test_members_are_listed_with_their_ranges_cut_to_the_question() -> None:
    everybody = D.list_instruments(D.instruments("all"), as_list=True)
    assert len(everybody) == 60
    cut = D.list_instruments(D.instruments("all"), "2015-03-02", "2015-03-31")
    assert all(pd.Timestamp("2015-03-02") <= a <= b <= pd.Timestamp("2015-03-31") for v in cut.values() for a, b in v)
    assert set(cut) <= set(everybody)


def test_features_have_qlibs_shape_and_the_markets_values(market: QlibProvider) -> None:
    frame = D.features(D.instruments("all"), FIELDS, "2015-03-02", "2015-06-30")
    assert list(frame.index.names) == ["instrument", "datetime"]
    assert list(frame.columns) == FIELDS
    assert frame.index.is_monotonic_increasing
    assert (frame.dtypes == np.float32).all()
    codes = market.instruments()
    close = market.load(["close"], codes, 0, 260)[0]
    days = market.calendar().to_index()
    wide = frame["$close"].unstack("instrument")
    want = pd.DataFrame(close, index=days, columns=codes).loc["2015-03-02":"2015-06-30", wide.columns]
    np.testing.assert_array_equal(wide.to_numpy(), want.to_numpy())


@pytest.mark.parametrize("universe", ["all", "top50", ["R0001", "R0005"], None])
def test_the_store_gives_the_same_as_computing(universe) -> None:
    asked = D.instruments(universe) if universe is not None else None
    pd.testing.assert_frame_equal(
        D.features(asked, FIELDS, "2015-03-02", "2015-06-30"),
        D.features(asked, FIELDS, "2015-03-02", "2015-06-30", disk_cache=1),
    )


def test_rows_do_not_depend_on_the_range_asked_for() -> None:
    whole = D.features(["R0002", "R0003"], FIELDS)
    part = D.features(["R0003"], FIELDS, "2015-07-01", "2015-07-31")
    pd.testing.assert_frame_equal(whole.loc[["R0003"]].loc[(slice(None), slice("2015-07-01", "2015-07-31")), :], part)


def test_members_of_a_universe_have_rows_in_their_lifetimes_only() -> None:
    frame = D.features(D.instruments("top50"), ["$close"])
    spans = D.list_instruments(D.instruments("top50"))
    for code, part in frame.groupby("instrument"):
        days = part.index.get_level_values("datetime")
        assert all(any(start <= day <= end for start, end in spans[code]) for day in days)
    assert frame.groupby("datetime").size().max() <= 50


def test_instrument_processors_run_alone() -> None:
    frame = D.features(["R0002", "R0003"], ["$close"], inst_processors=[lambda df, instrument: df.tail(2)])
    assert len(frame) == 4
    whole = TimeRangeFlt("2015-01-05", "2015-06-30")
    assert len(D.features(D.instruments("all"), ["$close"], "2015-01-05", "2015-06-30", inst_processors=[whole])) > 0


@pytest.mark.parametrize(
    ("first", "last", "kept"),
    [
        ("2015-01-05", "2015-06-30", True),
        ("2015-01-01", "2015-12-31", True),
        ("2015-01-06", "2015-06-30", False),
        ("2015-01-05", "2015-06-29", False),
    ],
)
def test_an_instrument_that_begins_late_or_ends_early_is_left_out(first: str, last: str, kept: bool) -> None:
    frame = pd.DataFrame({"$close": 1.0}, index=pd.date_range(first, last))
    assert len(TimeRangeFlt("2015-01-05", "2015-06-30")(frame, "R0002")) == (len(frame) if kept else 0)
    assert len(TimeRangeFlt(None, "2015-06-30")(frame, "R0002")) == (len(frame) if last >= "2015-06-30" else 0)
    assert len(TimeRangeFlt("2015-01-05")(frame, "R0002")) == (len(frame) if first <= "2015-01-05" else 0)


def test_what_cannot_be_answered_is_an_error() -> None:
    with pytest.raises(UnknownInstrumentError, match="did you mean"):
        D.features(["R00O2"], ["$close"])
    with pytest.raises(DataError, match="no rows"):
        D.features(["R0002"], ["$close"], "2030-01-01", "2030-02-01")
    with pytest.raises(ExpressionError, match="there is no operator `__import__`"):
        D.features(["R0002"], ["__import__('os')"])
    with pytest.raises(ConfigError, match="the list of fields is empty"):
        D.features(["R0002"], [])


def test_a_small_result_is_computed_in_little_memory(folder: Path) -> None:
    init(provider_uri=str(folder), region="us", kernels=1)
    moments = [f"{name}($close,{window})" for window in range(5, 65, 3) for name in ("Std", "Slope", "Resi", "Rsquare")]
    D.features(D.instruments("all"), moments[:1])  # what a first call leaves
    tracemalloc.start()
    try:
        frame = D.features(D.instruments("all"), moments)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken - frame.size * 4 < 16 << 20  # 21 MB with the 28 that a thread may have, 13 with the 8 it is given
