"""The statistics of signals equal statsmodels, skfolio and arch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.honesty.discoveries import adjust_benjamini_hochberg
from rollwright.analysis.honesty.intervals import optimal_block_length
from rollwright.analysis.signal import daily_ic, standard_error
from rollwright.analysis.signal_tables.calibration import fit_line
from rollwright.analysis.signal_tables.day_regression import take_residuals

pytest.importorskip("statsmodels", reason="not run: no oracles, see `make oracles`")

import statsmodels.api as sm
from arch import bootstrap
from holdout.bootstrap import optimal_block_length as stationary_block_length
from skfolio.utils.stats import cs_pearson_correlation, cs_spearman_correlation
from statsmodels.stats.multitest import multipletests

TIGHT = {"rel": 1e-10, "abs": 1e-14}


def autoregress(days, rho, seed):
    rng = np.random.default_rng(seed)
    values = np.zeros(days)
    for day in range(1, days):
        values[day] = rho * values[day - 1] + rng.normal()
    return values


@pytest.mark.parametrize("lags", [0, 1, 5, 20])
def test_the_standard_error_is_that_of_newey_and_west_in_statsmodels(lags):
    values = autoregress(400, 0.5, lags)
    kind = {"cov_type": "HAC", "cov_kwds": {"maxlags": lags, "use_correction": False}} if lags else {}
    fitted = sm.OLS(values, np.ones(400)).fit(**kind)
    assert standard_error(pd.Series(values), lags=lags) == pytest.approx(fitted.bse[0], **TIGHT)


@pytest.mark.parametrize("lags", [0, 1, 4])
@pytest.mark.parametrize("through_zero", [False, True])
def test_calibration_errors_are_clustered_by_day_as_in_statsmodels(lags, through_zero):
    rng = np.random.default_rng(3)
    day = np.sort(rng.integers(0, 60, 900)).astype(np.intp)
    x = rng.normal(size=900) + 0.5
    y = 0.3 * x + rng.normal(size=900) + rng.normal(size=60)[day] * x
    design = x[:, None] if through_zero else np.column_stack([x, np.ones(900)])
    count = len(np.unique(day))
    if lags:
        kwds = {"time": day, "maxlags": lags, "use_correction": False}
        fitted = sm.OLS(y, design).fit(cov_type="hac-groupsum", cov_kwds=kwds)
        width = design.shape[1]
        scale = np.sqrt(count / (count - 1) * 899 / (900 - width))
    else:
        fitted = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": day})
        scale = 1.0
    found = fit_line(day, x, y, lags=lags, through_zero=through_zero)
    assert (found.slope, found.slope_error) == pytest.approx((fitted.params[0], fitted.bse[0] * scale), **TIGHT)
    if not through_zero:
        wanted = (fitted.params[1], fitted.bse[1] * scale)
        assert (found.intercept, found.intercept_error) == pytest.approx(wanted, **TIGHT)


def test_residuals_are_those_of_statsmodels():
    rng = np.random.default_rng(4)
    day = np.repeat(np.arange(10), 30).astype(np.intp)
    columns, values, group = rng.normal(size=(300, 3)), rng.normal(size=300), rng.integers(0, 4, 300)
    found = take_residuals(day, values, columns, group=group)
    for one in range(10):
        rows = day == one
        design = np.column_stack([columns[rows], *[(group[rows] == place) * 1.0 for place in range(4)]])
        np.testing.assert_allclose(found[rows], sm.OLS(values[rows], design).fit().resid, atol=1e-12)


def test_daily_coefficients_are_those_of_skfolio():
    rng = np.random.default_rng(5)
    scores, labels = np.round(rng.normal(size=(2, 40, 30)), 1)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    labels[rng.random(labels.shape) < 0.2] = np.nan
    index = pd.MultiIndex.from_product([pd.bdate_range("2021-03-01", periods=40), range(30)], names=["datetime", "i"])
    pred, label = pd.Series(scores.ravel(), index=index), pd.Series(labels.ravel(), index=index)
    for method, oracle in (("pearson", cs_pearson_correlation), ("spearman", cs_spearman_correlation)):
        found = daily_ic(pred, label, method=method).to_numpy()
        np.testing.assert_allclose(found, oracle(scores, labels, axis=1), rtol=1e-10, atol=1e-12)


def test_adjusted_p_values_are_those_of_statsmodels():
    p = np.random.default_rng(6).random(200) ** 3
    found = adjust_benjamini_hochberg(p)
    np.testing.assert_allclose(found, multipletests(p, method="fdr_bh")[1], rtol=1e-10)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_the_block_length_is_that_of_holdout_and_near_that_of_arch(rho):
    """Holdout's is for the stationary bootstrap, whose constant is 3/2 of the circular one's.

    arch takes the first lag of a run of small autocorrelations where the paper takes the last one before it, so that
    its window may be wider by two.
    """
    values = autoregress(1000, rho, 7)
    found = optimal_block_length(values)
    assert found == pytest.approx(max(1.5 ** (1 / 3) * stationary_block_length(values), 1.0), rel=1e-10)
    wanted = float(bootstrap.optimal_block_length(values)["circular"].iloc[0])
    assert found == pytest.approx(max(wanted, 1.0), rel=0.3)
