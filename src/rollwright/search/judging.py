"""How a trial is judged: its daily coefficients on the windows that it has, and what its scores would have earned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd

from rollwright.analysis.metrics import backtest_metrics
from rollwright.analysis.panel import take_column
from rollwright.analysis.signal import calc_ic, summarise
from rollwright.backtest.daily import run_inputs
from rollwright.backtest.risk import periods_per_year
from rollwright.campaign.config import BacktestConfig, CampaignConfig, ObjectConfig
from rollwright.campaign.plan import DEFAULT_RECORDS
from rollwright.campaign.search_section import IC_METRICS, PORTFOLIO_METRICS, SearchMetric
from rollwright.campaign.trade_terms import make_trade_terms
from rollwright.market.source import DataSource
from rollwright.tracking.recorder import Recorder

__all__ = ["Portfolio", "add_validation", "join_days", "measure_days", "read_days", "trade_scores"]

Segment = Literal["valid", "test"]

VALIDATION_ARTIFACT: Final = "validation/daily_ic.pkl"
_VALIDATION_RECORD: Final = ObjectConfig.model_validate(
    {"class": "ValidationRecord", "module_path": "rollwright.analysis.signal_records"}
)


def add_validation(config: CampaignConfig) -> CampaignConfig:
    """Return the configuration with a last record that judges the segment ``valid`` of each window.

    What is learnt and the other records stay as they are, so that a campaign without it finds both.
    """
    records = config.task.record or [ObjectConfig.model_validate(name) for name in DEFAULT_RECORDS]
    task = config.task.model_copy(update={"record": [*records, _VALIDATION_RECORD]})
    return config.model_copy(update={"task": task})


def read_days(recorder: Recorder, segment: Segment) -> pd.DataFrame:
    """Return the daily coefficients of one window, by ``datetime``, in the columns ``ic`` and ``rank_ic`` (float64).

    Raises
    ------
    RecordError
        When the recorder does not hold what they are made of.
    """
    if segment == "valid":
        frame: pd.DataFrame = recorder.load_object(VALIDATION_ARTIFACT)
        return frame
    scores = take_column(recorder.load_object("pred.pkl"), what="prediction")
    label = take_column(recorder.load_object("label.pkl"), what="label", column=0)
    ic, rank_ic = calc_ic(scores, label)
    return pd.DataFrame({"ic": ic, "rank_ic": rank_ic})


def join_days(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the days of several windows in order of time; one that several have counts once, with their mean."""
    joined = pd.concat(parts)
    return joined.groupby(level=0, sort=True).mean()


def measure_days(days: pd.DataFrame) -> dict[SearchMetric, float]:
    """Return the metrics of daily coefficients; NaN where one is not defined."""
    found = summarise(days["ic"], days["rank_ic"])
    return {"ic": found.ic, "icir": found.icir, "rank_ic": found.rank_ic, "rank_icir": found.rank_icir}


def find_column(metric: SearchMetric) -> str:
    """Return the daily column that a metric is made of; that of the ranks for one of a back-test."""
    return "ic" if metric in IC_METRICS[:2] else "rank_ic"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portfolio:
    """What the scores of a trial would have earned.

    Attributes
    ----------
    net : Series
        The daily return after costs, as a fraction (index ``datetime``).
    metrics : mapping of str to float
        By the keys `PORTFOLIO_METRICS`.
    settings : mapping
        The terms, as `TrialBook.make_trial` takes them.
    periods, risk_free : float
        Sessions of a year, and the rate of a year that Sharpe ratios are taken over.
    """

    net: pd.Series
    metrics: Mapping[str, float]
    settings: Mapping[str, Any]
    periods: float
    risk_free: float


def trade_scores(pred: pd.DataFrame, config: BacktestConfig, *, source: DataSource, region: str) -> Portfolio:
    """Return what a prediction would have earned by the terms of the file: the numbers that its campaign would show.

    Raises
    ------
    DataError
        And whatever else the back-test raises.
    """
    terms = make_trade_terms(config, region)
    report = run_inputs(terms.load(take_column(pred, what="prediction"), source)).report
    periods = periods_per_year(source.freq)
    found = {one.key: one.value for one in backtest_metrics(report, periods=periods)}
    return Portfolio(
        net=report["return"] - report["cost"],
        metrics={key: found.get(key, math.nan) for key in PORTFOLIO_METRICS},
        settings=terms.to_json(),
        periods=periods,
        risk_free=terms.risk_free,
    )
