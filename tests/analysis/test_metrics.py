"""Numbers have keys and units for programs, and one text for people."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from rollwright.analysis.health import HealthFinding
from rollwright.analysis.metrics import (
    Metric,
    backtest_metrics,
    metrics_from_json,
    metrics_to_json,
    show_metrics,
    to_recorder_metrics,
)
from rollwright.backtest.risk import risk_analysis
from rollwright.errors import DataError

METRICS = (
    Metric(key="ic", value=0.04234, unit="correlation"),
    Metric(key="ic_error", value=0.0051, unit="correlation"),
    Metric(key="information_ratio", value=1.23456, unit="ratio"),
    Metric(key="max_drawdown", value=-0.0927, unit="fraction"),
    Metric(key="ic_days", value=1200.0, unit="sessions"),
    Metric(key="deflated_ratio", value=0.5, unit="ratio"),
)


def test_a_standard_error_stands_beside_its_metric_and_units_make_the_text():
    shown = {metric.key: (metric.label, metric.text) for metric in show_metrics(METRICS)}
    assert shown == {
        "ic": ("IC", "0.0423 ± 0.0051"),
        "information_ratio": ("information ratio", "1.235"),
        "max_drawdown": ("max drawdown", "-9.27%"),
        "ic_days": ("sessions with an IC", "1,200"),
        "deflated_ratio": ("deflated ratio", "0.5000"),
    }


def test_an_error_whose_metric_is_not_there_is_shown_by_itself():
    (shown,) = show_metrics(METRICS[1:2])
    assert (shown.key, shown.text) == ("ic_error", "0.0051")


def test_an_interval_stands_beside_its_metric_and_is_left_out_when_it_is_not_known():
    ends = (
        Metric(key="ic_low", value=0.0321, unit="correlation"),
        Metric(key="ic_high", value=0.0527, unit="correlation"),
    )
    (shown,) = show_metrics((*METRICS[:2], *ends))
    assert (shown.interval, shown.text) == ("0.0321 … 0.0527", "0.0423 ± 0.0051 (0.0321 … 0.0527)")
    (plain,) = show_metrics((METRICS[0], *ends))
    assert plain.text == "0.0423 (0.0321 … 0.0527)"
    (unknown,) = show_metrics((METRICS[0], ends[0], Metric(key="ic_high", value=math.nan, unit="correlation")))
    assert (unknown.interval, unknown.text) == ("", "0.0423")
    assert [one.key for one in show_metrics(ends)] == ["ic_low", "ic_high"]
    assert metrics_to_json(ends)["ic_high"] == {"value": 0.0527, "unit": "correlation"}


def test_details_stand_in_json_and_tables_alone():
    details = [Metric(key="calibration_raw_slope", value=1.0, unit="ratio"), *METRICS[:1]]
    assert [one.key for one in show_metrics(details)] == ["ic"]
    assert metrics_to_json(details).keys() == {"calibration_raw_slope", "ic"}


def test_what_makes_a_metric_doubtful_does_so_of_its_error_and_interval():
    finding = HealthFinding(kind="few_days", severity="warning", values={}, metrics=("ic",))
    metrics = [Metric(key=f"ic{end}", value=0.1, unit="correlation") for end in ("", "_error", "_low", "_high")]
    data = metrics_to_json(metrics, findings=[finding])
    assert all(entry["findings"] == ["few_days"] for entry in data.values())


def test_labels_are_translated_and_keys_are_not():
    shown = show_metrics(METRICS, "zh")
    assert [metric.key for metric in shown] == [metric.key for metric in show_metrics(METRICS)]
    assert shown[2].label == "最大回撤"


def test_a_value_that_is_not_defined_is_no_number_anywhere():
    metrics = (Metric(key="icir", value=math.nan, unit="ratio"),)
    assert show_metrics(metrics)[0].text == "–"
    data = metrics_to_json(metrics)
    assert data == {"icir": {"value": None, "unit": "ratio"}}
    assert math.isnan(metrics_from_json(data)[0].value)


def test_metrics_come_back_from_json_as_they_were():
    assert metrics_from_json(json.loads(json.dumps(metrics_to_json(METRICS)))) == METRICS


@pytest.mark.parametrize("changes", [{"key": "Rank IC"}, {"key": ""}, {"unit": "percent"}])
def test_another_key_or_unit_is_refused(changes):
    with pytest.raises(DataError, match=r"is not a metric key|has the unknown unit"):
        Metric(**{"key": "ic", "value": 0.0, "unit": "correlation", **changes})


def test_the_recorder_has_only_what_qlibs_recorders_have_and_by_their_names():
    assert to_recorder_metrics(METRICS) == {"IC": 0.04234}


def test_a_back_test_is_judged_after_costs_and_over_its_benchmark():
    report = pd.DataFrame({"return": [0.01, -0.02, 0.03], "cost": 0.001, "bench": 0.002, "turnover": [0.1, 0.2, 0.3]})
    found = {metric.key: metric.value for metric in backtest_metrics(report)}
    net = report["return"] - 0.001
    assert found["annualized_return"] == risk_analysis(net).loc["annualized_return", "risk"]
    assert found["max_drawdown"] == risk_analysis(net).loc["max_drawdown", "risk"]
    assert found["excess_return"] == risk_analysis(net - 0.002).loc["annualized_return", "risk"]
    assert found["information_ratio"] == risk_analysis(net - 0.002).loc["information_ratio", "risk"]
    assert found["turnover"] == pytest.approx(0.2)


def test_values_that_are_not_defined_are_equal():
    assert Metric(key="ic", value=float("nan"), unit="ratio") == Metric(key="ic", value=float("-nan"), unit="ratio")
