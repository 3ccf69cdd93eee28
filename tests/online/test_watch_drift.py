"""Drift of features by ranks: what is usual is read off the reference, and an alarm needs more than some wild days."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

import watch_calibration
from rollwright.errors import DataError, OnlineError
from rollwright.online.watch.feature_drift import BLOCK, DriftWatch, FeatureReference

NAMES = ("steady", "wide", "gappy")


def draw(seed, sessions, *, rows=60):
    """Return rows of three features, the market of each session moved by a shift of its own, and their sessions."""
    rng = np.random.default_rng(seed)
    days = np.repeat(np.arange(sessions), rows)
    values = rng.standard_normal((len(days), 3)) + rng.normal(0, 0.5, (sessions, 3))[days]
    values[rng.random(len(days)) < 0.2, 2] = np.nan
    return values, days


@pytest.fixture(scope="module")
def reference():
    values, days = draw(1, 200)
    return FeatureReference.build(values, days, NAMES)


def test_what_moves_the_whole_market_is_usual(reference):
    values, days = draw(2, 300)
    shares = [reference.measure(values[days == day]).share for day in range(300)]
    assert 0.02 < np.mean(shares) < 0.09


def test_units_and_outliers_do_not_matter(reference):
    values, days = draw(1, 200)
    stretched = np.sign(values) * np.exp(3 * np.abs(values))
    other = FeatureReference.build(stretched, days, NAMES)
    assert np.allclose(other.limits, reference.limits)
    today = draw(3, 1)[0]
    there = other.measure(np.sign(today) * np.exp(3 * np.abs(today)))
    assert np.allclose(there.distances, reference.measure(today).distances)


def test_a_feature_that_changed_is_named_and_the_most_important_first(reference):
    values, _ = draw(4, 1)
    values[:, 1] *= 100.0
    values[:, 2] = np.nan
    found = reference.measure(values)
    assert found.list_far() == ("gappy", "wide")
    assert found.list_far({"wide": 0.6, "gappy": 0.1}) == ("wide", "gappy")
    assert found.list_far(most=1) == ("gappy",)
    assert found.share == pytest.approx(2 / 3)


def test_a_feature_that_never_varies_is_far_only_when_it_changes():
    values, days = draw(5, 60)
    values[:, 0] = 7.0
    reference = FeatureReference.build(values, days, NAMES)
    today = draw(6, 1)[0]
    today[:, 0] = 7.0
    assert "steady" not in reference.measure(today).list_far()
    today[:, 0] = 7.5
    assert reference.measure(today).list_far()[0] == "steady"


def test_a_feature_without_values_is_far_when_it_has_some():
    values, days = draw(5, 60)
    values[:, 2] = np.nan
    reference = FeatureReference.build(values, days, NAMES)
    today = draw(6, 1)[0]
    assert reference.measure(today).distances[2] > 0.5
    today[:, 2] = np.nan
    assert reference.measure(today).distances[2] == 0.0


def test_a_stored_reference_measures_the_same(reference):
    again = FeatureReference.from_json(json.loads(json.dumps(reference.to_json())))
    today = draw(7, 1)[0]
    assert np.array_equal(again.measure(today).distances, reference.measure(today).distances)
    assert np.array_equal(again.limits, reference.limits)
    with pytest.raises(OnlineError, match="no reference"):
        FeatureReference.from_json({**reference.to_json(), "limits": [0.1]})


def test_few_sessions_or_rows_tell_nothing(reference):
    values, days = draw(8, 39)
    with pytest.raises(DataError, match="39 sessions"):
        FeatureReference.build(values, days, NAMES)
    with pytest.raises(DataError, match="0 sessions"):
        FeatureReference.build(values[:0], days[:0], NAMES)
    assert reference.measure(values[:9]) is None


def sessions(values):
    days = pd.bdate_range("2024-01-01", periods=len(values))
    return {f"{day:%Y-%m-%d}": value for day, value in zip(days, values, strict=True)}


def test_some_wild_days_are_no_alarm_and_a_lasting_change_is():
    watch = DriftWatch(tolerated=0.25, false_alarms_a_year=0.1)
    calm = [0.05] * 100
    assert watch.measure(sessions([*calm, *[1.0] * 15, *calm])).alarms == ()
    found = watch.measure(sessions([*calm, *[1.0] * 60]))
    assert len(found.alarms) == 1
    assert found.alarms[0] > list(sessions([0.0] * 100))[-1]


def test_sessions_without_a_share_are_left_out_and_a_block_waits_until_it_is_full():
    watch = DriftWatch(tolerated=0.25, false_alarms_a_year=0.1)
    full = watch.measure(sessions([1.0] * BLOCK))
    waiting = watch.measure(sessions([math.nan, *[1.0] * (BLOCK - 1)]))
    assert (waiting.value, waiting.known, waiting.missing) == (0.0, BLOCK - 1, 1)
    later = watch.measure(sessions([math.nan, *[1.0] * BLOCK]))
    assert later.value == full.value > 1
    assert math.isnan(watch.measure({}).recent)


def test_features_that_stay_as_they_were_give_no_more_alarms_than_were_asked_for():
    assert watch_calibration.count_drift_alarms(half_life=5, repeats=6, years=5) <= 0.1
