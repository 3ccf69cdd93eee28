"""The stage `analyze` has the tables of the signal, as their functions make them, or says why it has not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.signal import group_returns
from rollwright.analysis.signal_tables.breakdown import break_by_column, break_by_period
from rollwright.analysis.signal_tables.calibration import measure_calibration
from rollwright.analysis.signal_tables.contribution import measure_contribution
from rollwright.analysis.signal_tables.decay import HORIZONS, measure_decay, read_prices
from rollwright.analysis.signal_tables.groups import summarise_groups
from rollwright.analysis.signal_tables.neutralisation import compare_neutralised
from rollwright.analysis.signal_tables.persistence import measure_autocorrelation, measure_turnover
from rollwright.analysis.signal_tables.row_coverage import expect_members, measure_coverage
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.analysis.stages.analyze import ANALYSIS_TABLES, AnalysisTerms, analyze
from rollwright.analysis.stages.files import read_stage, write_stage
from rollwright.errors import DataError
from rollwright.market.frame import FrameSource

DAYS = pd.bdate_range("2021-03-01", periods=60)
NAMES = [f"S{n:02d}" for n in range(20)]
RNG = np.random.default_rng(0)
INDEX = pd.MultiIndex.from_product([DAYS[:50], NAMES], names=["datetime", "instrument"])
PRICES = np.exp(0.02 * RNG.normal(size=(60, 20)).cumsum(axis=0))
MARKET = FrameSource(
    pd.DataFrame(
        {"$close": PRICES.ravel()}, index=pd.MultiIndex.from_product([DAYS, NAMES], names=["datetime", "instrument"])
    )
)
LABEL = pd.Series((PRICES[2:52] / PRICES[1:51] - 1).ravel(), index=INDEX)
SCORE = LABEL + pd.Series(RNG.normal(size=1000) * 0.05, index=INDEX)
MEMBERS = {name: SCORE + pd.Series(RNG.normal(size=1000) * 0.05, index=INDEX) for name in ("one", "two")}
COLUMNS = pd.DataFrame(
    {"sector": [f"I{n % 3}" for n in range(20)], "size": np.arange(20.0)}, index=pd.Index(NAMES, name="instrument")
)
TERMS = AnalysisTerms(label="x", label_span=2, label_horizon=1, groups_by=("sector",), neutralise=("sector", "size"))


@pytest.fixture(scope="module")
def whole():
    return analyze(SCORE, LABEL, terms=TERMS, source=MARKET, members=MEMBERS, universe="all", columns=COLUMNS)


def test_every_table_is_made_and_is_what_its_function_makes(whole):
    panel = build_signal_panel(SCORE, LABEL)
    sector, size = COLUMNS["sector"], COLUMNS["size"]
    ic = whole.frame("ic")
    expected = expect_members(panel, MARKET.members("all"))
    wanted = {
        "group_summary": summarise_groups(group_returns(SCORE, LABEL), label_span=2)[0],
        "decay": measure_decay(panel, read_prices(MARKET, panel)),
        "autocorrelation": measure_autocorrelation(panel),
        "turnover": measure_turnover(panel),
        "calibration": measure_calibration(panel, label_span=2)[0],
        "coverage": measure_coverage(expected, fill=False)[0],
        "ic_by_month": break_by_period(ic, period="month", label_span=2),
        "ic_by_year": break_by_period(ic, period="year", label_span=2),
        "ic_by_group": break_by_column(panel, {"sector": sector}, label_span=2),
        "neutralised": compare_neutralised(panel, {"sector": sector, "size": size}, label_span=2),
        "contribution": measure_contribution(MEMBERS, LABEL, label_span=2),
    }
    assert not set(wanted) - set(ANALYSIS_TABLES)
    assert not whole.left_out.keys() & wanted.keys()
    for name, frame in wanted.items():
        pd.testing.assert_frame_equal(whole.tables[name].frame, frame)
    values = {metric.key: metric.value for metric in whole.metrics}
    for metric in (
        *summarise_groups(group_returns(SCORE, LABEL), label_span=2)[1],
        *measure_calibration(panel, label_span=2)[1],
        *measure_coverage(expected, fill=False)[1],
    ):
        assert values[metric.key] == metric.value


def test_the_tables_come_back_from_the_disk_as_they_were(whole, tmp_path):
    write_stage(whole, tmp_path)
    found = read_stage(tmp_path, "analyze")
    assert found.settings["horizons"] == list(HORIZONS)
    assert found.settings["groups_by"] == ["sector"]
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(found.tables[name].frame, table.frame, check_freq=False)


def test_what_lacks_an_input_is_left_out_with_the_reason():
    found = analyze(SCORE, LABEL, terms=replace(TERMS, groups_by=(), neutralise=()))
    reasons = {name: found.left_out[name] for name in ("decay", "ic_by_group", "neutralised", "contribution")}
    assert reasons == {
        "decay": "no source was given",
        "ic_by_group": "no columns were given",
        "neutralised": "no columns were given",
        "contribution": "no members were given",
    }
    named = analyze(SCORE, LABEL, terms=replace(TERMS, neutralise=()), columns=COLUMNS, members={"one": SCORE})
    assert named.left_out["neutralised"] == "no columns were named as `neutralise`"
    assert "at least two" in named.left_out["contribution"]
    assert named.frame("ic_by_group") is not None


def test_a_market_that_lacks_a_day_of_the_scores_leaves_the_decay_out():
    late = SCORE.copy()
    late.index = late.index.set_levels(late.index.levels[0] + pd.Timedelta(days=5000), level=0)
    found = analyze(late, LABEL, terms=TERMS, source=MARKET)
    assert "lacks a day" in found.left_out["decay"]


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="no column `beta`"):
        analyze(SCORE, LABEL, terms=replace(TERMS, neutralise=("beta",)), columns=COLUMNS)


def test_the_decay_begins_where_the_label_begins():
    terms = AnalysisTerms(label="x", label_span=1, label_horizon=1, horizons=(1,))
    now = pd.Series((PRICES[1:51] / PRICES[:50] - 1).ravel(), index=INDEX)
    found = analyze(SCORE, now, terms=terms, source=MARKET)
    daily = found.frame("ic")["ic"]
    assert found.frame("decay")["ic"].iloc[0] == pytest.approx(daily.mean(), abs=1e-6)  # prices are float32
    assert found.frame("autocorrelation")["lag"].tolist() == [1]
