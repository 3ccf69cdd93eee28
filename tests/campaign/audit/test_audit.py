"""The audit by perturbation: what it finds on a toy market, with which proof, and what a clean verdict says."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from audited_market import audit_task, audit_toy, found_columns, segments_of, task_of, toy_market
from rollwright.config.context import using
from rollwright.dataset.processors import Processor
from rollwright.errors import ConfigError

CLEAN = ["$close/Ref($close,1)-1", "Mean($close,5)/$close", "Rank($volume,10)"]


class Shifted(Processor):
    """Gives each row the next row's features."""

    def __call__(self, df):
        made = df.copy()
        part = made["feature"].groupby(level="instrument").shift(-1)
        made["feature"] = part.to_numpy()
        return made


class Centred(Processor):
    """Subtracts the mean of the whole frame."""

    def __call__(self, df):
        made = df.copy()
        made["feature"] = (made["feature"] - made["feature"].mean()).to_numpy()
        return made


def test_a_clean_handler_has_no_finding_and_says_what_would_have_been_seen():
    report = audit_toy(CLEAN, dates=3)
    assert report.ok
    assert report.findings == ()
    power = report.power
    assert (power.features, power.labels, power.blind, power.empty, power.unseen) == (3, 1, (), (), ())
    assert len({probe.date for probe in power.probes}) == 3
    assert all(probe.names >= 10 and probe.ahead >= 10 and probe.rows > 300 for probe in power.probes)


def test_a_feature_that_looks_ahead_is_proved_with_the_session_that_moves_it():
    market = toy_market()
    report = audit_toy([*CLEAN, "Mean(Ref($close,-3),2)/$close"], market=market)
    (leak,) = report.leaks
    assert (leak.kind, leak.columns) == ("feature", ("F3",))
    proof, calendar = leak.proof, market.calendar()
    assert proof.before != proof.after
    assert calendar.distance(proof.date, proof.earliest) == proof.distance
    assert proof.distance in (2, 3)  # Mean(.., 2) reads two and three sessions ahead
    assert proof.earliest > report.power.probes[0].date >= proof.date
    assert f"`F3` of {proof.instrument} on {proof.date}" in proof.text


@pytest.mark.parametrize("processor", [Shifted(), Centred()], ids=["shift", "mean"])
def test_a_processor_of_ones_own_that_looks_at_later_rows_is_found_for_each_column(processor):
    report = audit_toy(CLEAN, infer_processors=[processor])
    assert found_columns(report, "processors") == {"F0", "F1", "F2"}
    assert all(leak.proof.distance == 1 for leak in report.leaks)


def test_a_label_that_reaches_into_the_next_segment_is_proved():
    report = audit_toy(CLEAN, label="Ref($close,-6)/Ref($close,-1)-1")
    leaks = [leak for leak in report.leaks if leak.kind == "label"]
    assert leaks
    assert any(leak.proof is not None and leak.proof.column == "L" for leak in leaks)


def test_a_processor_that_learns_beyond_train_is_proved():
    market = toy_market()
    fit = {"fields_group": "feature", "fit_start_time": market.calendar()[20], "fit_end_time": market.calendar()[150]}
    report = audit_toy(CLEAN, market=market, infer_processors=[{"class": "ZScoreNorm", "kwargs": fit}])
    (leak,) = [leak for leak in report.leaks if leak.kind == "processors"]
    assert set(leak.columns) == {"F0", "F1", "F2"}
    assert leak.proof.before != leak.proof.after


def test_prices_themselves_depend_on_what_they_are_adjusted_to():
    report = audit_toy(["$close", "$close*$volume", "Log($close)", "Mean($volume,5)", "$close/$open"])
    assert found_columns(report) == found_columns(report, "adjustment") == {"F0", "F2", "F3"}
    assert "100% of its values move" in report.leaks[0].message


def test_a_list_of_survivors_is_found():
    market = toy_market(dropouts=5)
    calendar = market.calendar()
    bounds = market.bounds(market.instruments())
    survivors = [code for code, (_, stop) in zip(market.instruments(), bounds, strict=True) if stop == len(calendar)]
    report = audit_toy(CLEAN, market=market, instruments=survivors)
    (leak,) = report.leaks
    assert leak.kind == "members"
    assert "none of the 5 of them that were delisted since" in leak.message


def test_a_filter_that_wants_series_to_last_is_found():
    market = toy_market()
    with using(market=market):
        loader = {
            "class": "QlibDataLoader",
            "kwargs": {
                "config": {"feature": (["$close/$open"], ["F0"])},
                "inst_processors": [{"class": "TimeRangeFlt", "kwargs": {"end_time": market.calendar()[190]}}],
            },
        }
        report = audit_toy(market=market, loader=loader)
    assert {leak.kind for leak in report.leaks} == {"members"}
    assert report.leaks[0].columns == ("(row)",)


def test_what_the_file_declares_is_no_leak_and_keeps_its_proof():
    report = audit_toy(["$close"], allowed={"adjustment": "a paper uses prices"})
    assert report.ok
    (finding,) = report.findings
    assert (finding.severity, finding.reason) == ("declared", "a paper uses prices")
    assert finding.proof is not None


def test_features_of_the_whole_past_are_no_leak_but_noted():
    report = audit_toy(["EMA($close,90)/$close", "Sum($close,0)/$close"])
    assert report.ok
    assert {"F0", "F1"} == {name for note in report.findings if note.kind == "warm-up" for name in note.columns}


def test_a_column_from_a_file_is_blind_and_its_processors_are_still_seen():
    market = toy_market()
    index = pd.MultiIndex.from_product(
        [market.calendar().to_index(), market.instruments()], names=["datetime", "instrument"]
    )
    frame = pd.DataFrame({("feature", "A"): range(len(index))}, index=index, dtype=float)
    loader = {"class": "StaticDataLoader", "kwargs": {"config": frame}}
    assert audit_toy(market=market, loader=loader, instruments=None).power.blind == ("A",)


def test_nothing_shows_on_no_date_or_on_two_names():
    market = toy_market()
    for wrong in ({"dates": 0}, {"names": 2}):
        with pytest.raises(ConfigError, match="show nothing"):
            audit_task(market, task_of(market), **wrong)


def test_the_report_is_plain_json():
    report = audit_toy(["$close"])
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["findings"][0]["kind"] == "adjustment"
    assert segments_of(toy_market())["test"][0] > segments_of(toy_market())["train"][1]
