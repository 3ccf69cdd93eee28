"""The table of honest numbers: what it holds, what it is taken over, and what it says against the ratio."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from made_trials import SteppingClock
from rollwright.analysis.health import EVERYTHING
from rollwright.analysis.health_text import describe_finding, list_kinds
from rollwright.analysis.honesty.discoveries import adjust_benjamini_hochberg
from rollwright.analysis.honesty.honest_numbers import COUNTS, HONESTY_COLUMNS, honest_numbers
from rollwright.analysis.honesty.overfitting import probability_of_backtest_overfitting
from rollwright.analysis.honesty.reading import describe_number, describe_reason, list_numbers, list_reasons, name_count
from rollwright.analysis.honesty.sharpe import (
    deflated_sharpe_ratio,
    expected_maximum_sharpe_ratio,
    measure_returns,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
)
from rollwright.analysis.honesty.trial_count import correlate_trials, count_trials
from rollwright.analysis.honesty.trial_set import TrialSet
from rollwright.analysis.metrics import metrics_from_json, metrics_to_json, show_metrics
from rollwright.errors import DataError
from rollwright.trials.registry import TrialRegistry
from rollwright.trials.return_series import ReturnSeries
from rollwright.trials.trial import Trial

YEAR = 252
DAYS = np.datetime64("2018-01-01") + np.arange(1000)


def make_returns(seed, *, edge=0.0, count=750, start=0):
    """Return daily returns with an annual Sharpe ratio of about `edge`, rounded as the registry rounds."""
    values = np.random.default_rng(seed).normal(0.01 * edge / math.sqrt(YEAR), 0.01, 1000)
    return pd.Series(values.round(8), index=pd.DatetimeIndex(DAYS, name="datetime")).iloc[start : start + count]


def series_of(returns):
    return ReturnSeries.of(returns.index.to_numpy(), returns.to_numpy())


def set_of(*returns, **fields):
    return TrialSet(others=tuple(map(series_of, returns)), **fields)


def pick(made, number, *, standard="", count=""):
    """Return the value of the one row of a number."""
    table = made.table
    rows = table[(table["number"] == number) & (table["standard"] == standard) & (table["count"] == count)]
    assert len(rows) == 1
    return rows["value"].item()


RIVALS = [make_returns(seed) for seed in range(1, 6)]
OWN = make_returns(0, edge=2.5)


def test_every_number_is_that_of_the_function_it_names():
    made = honest_numbers(OWN, set_of(*RIVALS), periods=YEAR, risk_free=0.0252)
    moments = [measure_returns(one, risk_free=0.0001) for one in (OWN, *RIVALS)]
    deviation = float(np.std([one.sharpe for one in moments], ddof=1))
    matrix = np.column_stack([OWN, *RIVALS])
    found = count_trials(correlate_trials(matrix))
    assert pick(made, "sharpe") == moments[0].sharpe * math.sqrt(YEAR)
    assert pick(made, "sharpe_session") == moments[0].sharpe
    assert pick(made, "risk_free") == 0.0252
    assert pick(made, "deviation") == pytest.approx(deviation * math.sqrt(YEAR), rel=1e-14)
    counts = dict(zip(COUNTS, (6, found.by_average, found.by_eigenvalues, found.by_participation), strict=True))
    for count, number in counts.items():
        assert pick(made, "trials", count=count) == pytest.approx(number, rel=1e-12)  # eigenvalues: by the library
        assert pick(made, "expected_maximum", count=count) == pytest.approx(
            expected_maximum_sharpe_ratio(number, deviation=deviation) * math.sqrt(YEAR), rel=1e-14
        )
        for standard, printed in (("2012", "2012/14"), ("2025", "2025/26")):
            assert pick(made, "deflated_sharpe", standard=printed, count=count) == pytest.approx(
                deflated_sharpe_ratio(moments[0], trials=number, deviation=deviation, standard=standard), rel=1e-12
            )
    for standard, printed in (("2012", "2012/14"), ("2025", "2025/26")):
        assert pick(made, "psr", standard=printed) == probabilistic_sharpe_ratio(moments[0], standard=standard)
        years = minimum_track_record_length(moments[0], standard=standard) / YEAR
        assert pick(made, "min_track_record", standard=printed) == years
    assert pick(made, "pbo") == probability_of_backtest_overfitting(matrix, blocks=16).probability
    values = [1 - probabilistic_sharpe_ratio(one) for one in moments]
    adjusted = adjust_benjamini_hochberg(values)
    assert pick(made, "p_value", standard="2012/14") == values[0]
    assert pick(made, "p_adjusted", standard="2012/14") == adjusted[0]
    assert pick(made, "discoveries", standard="2012/14") == (adjusted <= 0.05).sum() == 1


def test_the_table_has_one_form_and_words_for_every_number_in_both_languages():
    table = honest_numbers(OWN, set_of(*RIVALS), periods=YEAR).table
    assert tuple(table.columns) == HONESTY_COLUMNS
    assert set(table["number"]) == set(list_numbers())
    for number in list_numbers():
        for language in ("en", "zh"):
            text = describe_number(number, language)
            assert text.label
            assert text.reading
    assert {name_count(count, language) for count in COUNTS for language in ("en", "zh")}.isdisjoint(COUNTS[1:])
    assert describe_number("new_number") == ("new number", "")


def test_every_reason_is_told_in_both_languages_and_one_of_before_as_it_is():
    for reason in list_reasons():
        english, chinese = (describe_reason(reason, language) for language in ("en", "zh"))
        assert english.isascii()
        assert not chinese.isascii()
        assert reason not in (english, chinese)
    assert describe_reason("35 sessions that all trials have", "zh") == "35 sessions that all trials have"
    assert describe_reason("") == ""


def test_metrics_are_judged_by_the_earlier_standard_and_the_raw_number():
    made = honest_numbers(OWN, set_of(*RIVALS), periods=YEAR)
    values = {metric.key: metric.value for metric in made.metrics}
    assert values == {
        "sharpe": pick(made, "sharpe"),
        "psr": pick(made, "psr", standard="2012/14"),
        "deflated_sharpe": pick(made, "deflated_sharpe", standard="2012/14", count="raw"),
        "trials": 6,
        "pbo": pick(made, "pbo"),
        "min_track_record": pick(made, "min_track_record", standard="2012/14"),
    }
    assert metrics_from_json(metrics_to_json(made.metrics)) == made.metrics
    shown = {one.key: one.text for one in show_metrics(made.metrics)}
    assert shown["psr"] == f"{values['psr']:.3f}"
    assert shown["trials"] == "6"
    assert shown["min_track_record"] == f"{values['min_track_record']:.1f}"


def test_the_only_trial_is_deflated_by_nothing():
    made = honest_numbers(OWN, TrialSet(), periods=YEAR)
    for standard in ("2012/14", "2025/26"):
        deflated = pick(made, "deflated_sharpe", standard=standard, count="raw")
        assert deflated == pytest.approx(pick(made, "psr", standard=standard), rel=1e-12)
    assert pick(made, "expected_maximum", count="raw") == 0
    assert math.isnan(pick(made, "pbo"))
    reasons = made.table.set_index("number")["reason"]
    assert reasons["pbo"] == "no_other_trial"
    assert reasons["deviation"] == "worthless_strategies"
    assert set(reasons) - {""} <= set(list_reasons())
    assert made.findings == ()


def test_lost_records_count_as_trials():
    made = honest_numbers(OWN, TrialSet(lost=9), periods=YEAR)
    assert [pick(made, "trials", count=count) for count in COUNTS] == [10] * 4
    expected = expected_maximum_sharpe_ratio(10, deviation=1 / math.sqrt(len(OWN) - 1)) * math.sqrt(YEAR)
    assert pick(made, "expected_maximum", count="raw") == pytest.approx(expected)


def test_trials_on_other_sessions_count_as_independent_and_are_left_out_of_pbo():
    late = make_returns(9, start=500, count=500)
    made = honest_numbers(OWN, set_of(*RIVALS, late), periods=YEAR)
    found = count_trials(correlate_trials(np.column_stack([OWN, *RIVALS])))
    assert pick(made, "trials", count="raw") == 7
    assert pick(made, "trials", count="participation") == pytest.approx(found.by_participation + 1, rel=1e-12)
    assert pick(made, "uncompared") == 1
    assert pick(made, "pbo") == pick(honest_numbers(OWN, set_of(*RIVALS), periods=YEAR), "pbo")


def test_trials_of_nearly_the_same_sessions_are_compared_on_those_that_all_have():
    rivals = [make_returns(seed, start=start, count=count) for seed, start, count in ((1, 50, 700), (2, 0, 800))]
    common = set_of(*rivals).align(series_of(OWN))
    assert (common.sessions == OWN.index[50:].to_numpy().astype("datetime64[D]")).all()
    assert common.returns.shape == (700, 3)
    assert common.uncompared == 0
    np.testing.assert_array_equal(common.returns[:, 0], OWN.iloc[50:])


def test_a_rival_that_did_not_trade_on_the_common_sessions_is_apart():
    idle = make_returns(3, count=1000).where(DAYS[800] < DAYS, 0.0)
    made = honest_numbers(OWN, set_of(*RIVALS, idle), periods=YEAR)
    assert pick(made, "uncompared") == 1
    assert math.isfinite(pick(made, "pbo"))


def test_short_records_have_no_pbo_and_say_why():
    made = honest_numbers(OWN.iloc[:35], set_of(RIVALS[0].iloc[:35]), periods=YEAR)
    row = made.table[made.table["number"] == "pbo"]
    assert row["reason"].item() == "too_few_sessions"


def test_what_one_number_cannot_be_taken_of_is_said_and_the_others_stand():
    flat = pd.Series(np.where(np.arange(750) < 400, 0.0, OWN), index=OWN.index)
    made = honest_numbers(OWN, set_of(flat), periods=YEAR)
    row = made.table[made.table["number"] == "pbo"]
    assert row["reason"].item() == "not_defined"
    assert math.isfinite(pick(made, "deflated_sharpe", standard="2012/14", count="raw"))


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_returns_without_a_ratio_are_refused(value):
    with pytest.raises(DataError):
        honest_numbers(OWN * 0 + value, TrialSet(), periods=YEAR)


def test_a_ratio_that_luck_explains_is_a_finding_about_the_account():
    rivals = [make_returns(seed) for seed in range(100, 160)]
    best = max(rivals, key=lambda one: one.mean() / one.std())
    made = honest_numbers(best, set_of(*(one for one in rivals if one is not best)), periods=YEAR)
    (finding,) = [one for one in made.findings if one.kind == "ratio_of_luck"]
    assert finding.severity == "warning"
    assert finding.touches("annualized_return", "")
    assert finding.values["trials"] == 60
    for language, word in (("en", "60 strategies were tried"), ("zh", "试过 60 个策略")):
        text = describe_finding(finding, language)
        assert word in text.message
        assert text.hint


def test_a_ratio_near_zero_says_how_long_a_record_is_needed():
    noise = make_returns(0)
    weak = noise - noise.mean() + 0.3 * noise.std() / math.sqrt(YEAR)
    (finding,) = honest_numbers(weak, TrialSet(), periods=YEAR).findings
    assert finding.kind == "ratio_near_zero"
    assert finding.values["years"] > len(OWN) / YEAR
    assert "a record of" in describe_finding(finding).message.lower()


def test_a_ratio_below_zero_needs_no_finding():
    assert honest_numbers(make_returns(0, edge=-3), TrialSet(), periods=YEAR).findings == ()


def test_a_choice_that_fails_in_the_other_half_is_a_finding():
    rivals = [one - one.mean() for one in RIVALS]
    made = honest_numbers(make_returns(0) - make_returns(0).mean() + 1e-9, set_of(*rivals), periods=YEAR)
    (finding,) = [one for one in made.findings if one.kind == "likely_overfit"]
    assert finding.values["trials"] == 6
    assert "lottery" in describe_finding(finding).message


def test_a_damaged_registry_leads_the_findings():
    made = honest_numbers(OWN, TrialSet(damage=("a.chain, line 3: the record was changed",), lost=1), periods=YEAR)
    assert made.findings[0].kind == "registry_damaged"
    assert made.findings[0].severity == "serious"
    assert made.findings[0].touches("deflated_sharpe", "")
    for language in ("en", "zh"):
        assert "a.chain, line 3" in describe_finding(made.findings[0], language).message


def test_the_kinds_of_findings_have_words():
    kinds = {"ratio_of_luck", "ratio_near_zero", "likely_overfit", "registry_damaged", "trials_not_registered"}
    assert kinds <= set(list_kinds())
    assert len(set(EVERYTHING)) == len(EVERYTHING)
    assert {"sharpe", "psr", "deflated_sharpe"} <= set(EVERYTHING)


def trial_of(returns, **fields):
    return Trial(**{"data": "m", "source": "member", "name": "x", "settings": {}, **fields}, series=series_of(returns))


def test_a_set_holds_the_distinct_others_and_the_same_after_a_further_day(tmp_path):
    registry = TrialRegistry(tmp_path, clock=SteppingClock())
    registry.register([trial_of(one) for one in RIVALS])
    state = registry.register([trial_of(OWN)])
    alone = TrialSet.of(state, trial_of(OWN))
    assert (alone.count, len(alone.others), alone.lost, alone.damage) == (6, 5, 0, ())
    longer = make_returns(0, edge=2.5, count=751)
    assert TrialSet.of(registry.register([trial_of(longer)]), trial_of(longer)).count == 6
    assert TrialSet.of(registry.read(), trial_of(OWN)).count == 6
    assert TrialSet.of(registry.read(), trial_of(OWN, data="n")).count == 1


def test_a_set_counts_looks_at_the_holdout(tmp_path):
    registry = TrialRegistry(tmp_path, clock=SteppingClock())
    state = registry.register([trial_of(RIVALS[0], holdout=True), trial_of(OWN, holdout=True), trial_of(RIVALS[1])])
    found = TrialSet.of(state, trial_of(OWN, holdout=True))
    assert (found.holdout, found.count) == (2, 3)
    assert pick(honest_numbers(OWN, found, periods=YEAR), "holdout") == 2


def test_numbers_of_two_hundred_noise_strategies_are_no_discovery():
    rivals = [make_returns(seed) for seed in range(1000, 1200)]
    best = max(rivals, key=lambda one: one.mean() / one.std())
    made = honest_numbers(best, set_of(*(one for one in rivals if one is not best)), periods=YEAR)
    assert pick(made, "psr", standard="2012/14") > 0.95
    assert pick(made, "deflated_sharpe", standard="2012/14", count="raw") < 0.95
    assert 0.2 < pick(made, "pbo") < 0.8


@pytest.mark.parametrize(("count", "compared"), [(563, 2), (562, 1)])  # of 750: three quarters, and one less
def test_a_trial_is_compared_when_it_has_three_quarters_of_the_sessions(count, compared):
    common = set_of(make_returns(1, count=count)).align(series_of(OWN))
    assert common.returns.shape[1] == compared
    assert common.uncompared == 2 - compared
