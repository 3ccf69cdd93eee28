"""The honest numbers on series whose truth is known, and the page that says so."""

import pytest

import calibration


def test_the_best_of_worthless_trials_passes_only_the_number_that_was_not_deflated():
    verdicts = calibration.judge_campaigns(0.0, campaigns=20)
    assert verdicts.probabilistic > 0.7
    assert verdicts.deflated <= 0.05


@pytest.mark.slow
def test_the_page_says_what_is_measured_and_that_is_within_its_bounds():
    tables = calibration.make_tables()
    assert calibration.measured_part(calibration.PAGE.read_text(encoding="utf-8")) == tables
    noise = calibration.judge_campaigns(0.0)
    assert noise.probabilistic > 0.85
    assert noise.deflated <= 0.025
    assert noise.deflated_2025 <= 0.025
    assert 0.45 < noise.overfitting < 0.55
    for days in calibration.LENGTHS:
        for span in calibration.SPANS:
            for rho in calibration.CORRELATIONS:
                assert 0.92 <= calibration.cover(days, span, rho) <= 0.97, (days, span, rho)
