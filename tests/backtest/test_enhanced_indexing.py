"""Enhanced indexing: the optimiser against another solver, its limits, the files of a risk model, and back-tests."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from rollwright.backtest.daily import backtest, backtest_daily
from rollwright.backtest.enhanced_indexing import EnhancedIndexingStrategy
from rollwright.backtest.index_optimizer import EnhancedIndexingOptimizer
from rollwright.backtest.risk_model import read_risk_model
from rollwright.errors import ConfigError, DataError, MissingExtraError
from rollwright.testing.market import ArraySource

NAMES = [f"N{place:02d}" for place in range(12)]
FACTORS = ["size", "value", "beta"]


def make_risk(seed=1, n=12, k=3):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, k)) * 0.01
    return rng.normal(size=(n, k)), root @ root.T + 1e-5 * np.eye(k), rng.uniform(0.01, 0.03, n)


def make_case(seed=1, n=12):
    rng = np.random.default_rng(seed + 100)
    exposure, covariance, specific = make_risk(seed, n)
    index = rng.dirichlet(np.ones(n))
    now = rng.dirichlet(np.ones(n))
    return rng.normal(size=n), exposure, covariance, specific**2, now, index


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises((MissingExtraError, ModuleNotFoundError)):
        EnhancedIndexingOptimizer()


class TestOptimizer:
    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip("clarabel")

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("limits", [{"delta": None, "b_dev": None}, {"delta": None, "b_dev": 0.05, "f_dev": 0.2}])
    def test_it_finds_what_another_solver_finds(self, seed, limits):
        optimize = pytest.importorskip("scipy.optimize")
        r, exposure, covariance, variance, now, index = make_case(seed)
        r = r * 0.01
        found = EnhancedIndexingOptimizer(lamb=5.0, scale_return=False, epsilon=0.0, **limits)(
            r, exposure, covariance, variance, now, index
        )

        def loss(w):
            d = w - index
            v = d @ exposure
            return -(d @ r - 5.0 * (v @ covariance @ v + variance @ d**2)) * 1e3

        rules = [{"type": "eq", "fun": lambda w: w.sum() - 1}]
        if "f_dev" in limits:
            rules += [
                {"type": "ineq", "fun": lambda w, sign=sign: 0.2 - sign * ((w - index) @ exposure)} for sign in (1, -1)
            ]
        width = limits["b_dev"] or 1.0
        bounds = [(max(0, one - width), min(1, one + width)) for one in index]
        other = optimize.minimize(
            loss, index, bounds=bounds, constraints=rules, method="SLSQP", options={"maxiter": 999}
        )
        assert found.sum() == pytest.approx(1, abs=1e-9)
        assert loss(found) <= other.fun + 1e-5
        np.testing.assert_allclose(found, other.x, atol=2e-3)

    @pytest.mark.parametrize("seed", range(3))
    def test_it_keeps_its_limits(self, seed):
        r, exposure, covariance, variance, _, index = make_case(seed, 40)
        rng = np.random.default_rng(seed)
        now = np.maximum(index + rng.uniform(-0.005, 0.005, 40), 0)
        now /= now.sum()
        hold, sell = np.zeros(40, bool), np.zeros(40, bool)
        hold[3], sell[5] = True, True
        index[5] = 0.004
        index /= index.sum()
        now[5] = index[5]
        now /= now.sum()
        found = EnhancedIndexingOptimizer(delta=0.3, b_dev=0.02, f_dev=[0.5, 0.5, 0.5], epsilon=0.0)(
            r, exposure, covariance, variance, now, index, hold, sell
        )
        slack = 1e-6
        assert found.sum() == pytest.approx(1, abs=slack)
        assert (found >= -slack).all()
        assert found[5] == pytest.approx(0, abs=slack)
        assert found[3] == pytest.approx(now[3], abs=slack)
        free = np.delete(np.arange(40), [3, 5])
        assert np.abs(found - index)[free].max() <= 0.02 + slack
        assert np.abs(found - now).sum() <= 0.3 + slack
        assert np.abs((found - index) @ exposure).max() <= 0.5 + slack
        assert (found - index) @ r > 0

    def test_small_weights_are_none(self):
        found = EnhancedIndexingOptimizer(delta=None, b_dev=None, epsilon=0.02)(*make_case(2))
        assert not ((found > 0) & (found < 0.02)).any()
        assert found.sum() == pytest.approx(1)

    def test_a_turnover_that_cannot_be_kept_is_dropped_and_then_the_weights_stay(self, caplog):
        r, exposure, covariance, variance, _, index = make_case(1)
        now = np.zeros(12)
        now[0] = 1.0
        found = EnhancedIndexingOptimizer(delta=0.01, b_dev=0.05)(r, exposure, covariance, variance, now, index)
        assert "backtest.optimizer_failed instruments=12 action=turnover_dropped" in caplog.text
        assert np.abs(found - index).max() < 0.06
        kept = EnhancedIndexingOptimizer(delta=0.01)(
            r, exposure, covariance, variance, now, index, mfs=np.ones(12, dtype=bool)
        )
        assert (kept == now).all()
        assert "action=weights_kept" in caplog.text

    def test_more_aversion_takes_less_risk(self):
        r, exposure, covariance, variance, now, index = make_case(3)

        def risk(lamb):
            d = EnhancedIndexingOptimizer(lamb=lamb, delta=None, b_dev=None)(
                r, exposure, covariance, variance, now, index
            )
            d = d - index
            return float(d @ exposure @ covariance @ exposure.T @ d + variance @ d**2)

        assert risk(1.0) > risk(30.0) > risk(1000.0)

    @pytest.mark.parametrize(
        ("kwargs", "words"),
        [
            ({"lamb": -1.0}, r"lamb = -1\.0 is below zero"),
            ({"f_dev": [0.1, -0.1]}, "f_dev = "),
            ({"solver_kwargs": {"max_iters": 5}}, r"no setting `max_iters`(.|\n)*`max_iter`"),
        ],
    )
    def test_limits_and_settings_that_are_none_are_refused(self, kwargs, words):
        with pytest.raises(ConfigError, match=words):
            EnhancedIndexingOptimizer(**kwargs)


# --- files of a risk model -------------------------------------------------------------------------------------------


def write_risk(root, day, *, names=NAMES, ending="parquet", blacklist=(), seed=1):
    exposure, covariance, specific = make_risk(seed, len(names))
    folder = root / f"{day:%Y%m%d}"
    folder.mkdir(parents=True)
    tables = {
        "factor_exp": pd.DataFrame(exposure, names, FACTORS),
        "factor_cov": pd.DataFrame(covariance, FACTORS, FACTORS),
        "specific_risk": pd.DataFrame({"risk": specific}, names),
    }
    if blacklist:
        tables["blacklist"] = pd.DataFrame({"why": "st"}, list(blacklist))
    for name, table in tables.items():
        if ending == "csv":
            table.to_csv(folder / f"{name}.csv")
        else:
            table.to_parquet(folder / f"{name}.parquet")
    return folder


DAY = pd.Timestamp("2020-01-06")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_risk_model_is_read_of_its_folder(tmp_path, ending):
    write_risk(tmp_path, DAY, ending=ending, blacklist=["N03"])
    found = read_risk_model(tmp_path, DAY)
    exposure, covariance, specific = make_risk()
    assert found.instruments == tuple(NAMES)
    np.testing.assert_allclose(found.exposure, exposure)
    np.testing.assert_allclose(found.covariance, covariance)
    np.testing.assert_allclose(found.specific, specific)
    assert found.blacklist == {"N03"}
    assert read_risk_model(tmp_path, DAY + pd.Timedelta(days=1)) is None


def test_a_specific_risk_that_is_not_known_is_the_greatest(tmp_path):
    folder = write_risk(tmp_path, DAY)
    pd.DataFrame({"risk": [0.1, 0.2]}, ["N01", "N05"]).to_parquet(folder / "specific_risk.parquet")
    assert read_risk_model(tmp_path, DAY).specific.tolist() == [0.2, 0.1, *[0.2] * 10]


def test_files_may_have_other_names_but_no_pickles(tmp_path):
    folder = write_risk(tmp_path, DAY)
    (folder / "factor_exp.parquet").rename(folder / "barra.parquet")
    with pytest.raises(DataError, match=r"there is no .*factor_exp\.parquet(.|\n)*turn pickles"):
        read_risk_model(tmp_path, DAY)
    assert read_risk_model(tmp_path, DAY, {"factor_exp": "barra.parquet"}).instruments == tuple(NAMES)
    (folder / "barra.parquet").rename(folder / "barra.pkl")
    with pytest.raises(DataError, match="neither Parquet nor CSV"):
        read_risk_model(tmp_path, DAY, {"factor_exp": "barra.pkl"})
    with pytest.raises(ConfigError, match=r"no file `factor_exps`(.|\n)*`factor_exp`"):
        read_risk_model(tmp_path, DAY, {"factor_exps": "x.csv"})


def test_factors_that_do_not_fit_are_refused(tmp_path):
    folder = write_risk(tmp_path, DAY)
    pd.DataFrame(np.eye(2), ["size", "beta"], ["size", "beta"]).to_parquet(folder / "factor_cov.parquet")
    with pytest.raises(DataError, match="not of the factors of factor_exp"):
        read_risk_model(tmp_path, DAY)


# --- back-tests ------------------------------------------------------------------------------------------------------


@pytest.fixture
def market(tmp_path):
    pytest.importorskip("clarabel")
    rng = np.random.default_rng(8)
    shape = (10, 12)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=0))
    volume = np.full(shape, 1e6)
    volume[4, 2] = 0  # not traded on that session, so held as it is on the next
    source = ArraySource(
        {
            "close": close,
            "factor": np.ones(shape),
            "change": np.zeros(shape),
            "volume": volume,
            "csi500_weight": np.full(shape, 1 / 12),
        },
        NAMES,
    )
    days = source.calendar().to_index()
    for number, day in enumerate(days):
        if number != 6:
            write_risk(tmp_path, day, seed=number, blacklist=["N03"] if number >= 3 else ())
    frame = pd.DataFrame(rng.normal(size=shape), days, NAMES)
    return source, frame.rename_axis(index="datetime", columns="instrument").stack().rename("score"), tmp_path


def test_it_is_back_tested(market, caplog):
    source, pred, root = market
    strategy = EnhancedIndexingStrategy(
        riskmodel_root=root, optimizer_kwargs={"b_dev": 0.04, "delta": 0.5}, verbose=True, risk_degree=0.9
    )
    made = backtest(strategy, pred, source, account=1e6)
    days = made.report.index
    weights = made.positions["weight"]
    assert weights.loc[days[1]].sum() == pytest.approx(0.9, abs=0.01)
    assert np.abs(weights.loc[days[1]] / 0.9 - 1 / 12).max() < 0.045
    assert "N03" in weights.loc[days[3]].index
    assert "N03" not in weights.loc[days[4]].index  # on the blacklist of the session before
    assert "backtest.risk_model_missing session=2020-01-09 action=nothing_traded" in caplog.text
    assert days[7] not in made.trades.index
    before, after = weights.loc[days[4]].get("N02", 0.0), weights.loc[days[5]].get("N02", 0.0)
    assert after == pytest.approx(before, rel=0.03)


def test_a_configuration_names_it(market):
    source, pred, root = market
    days = source.calendar().to_index()
    config = {
        "class": "EnhancedIndexingStrategy",
        "module_path": "qlib.contrib.strategy",
        "kwargs": {"signal": pred, "riskmodel_root": str(root)},
    }
    report, _ = backtest_daily(days[1], days[5], config, account=1e6, benchmark=None, source=source)
    assert report["value"].iloc[-1] > 0.8e6


def test_it_goes_by_nothing_of_the_session_itself(market):
    source, pred, root = market
    days = source.calendar().to_index()
    strategy = EnhancedIndexingStrategy(riskmodel_root=root)
    whole = backtest(strategy, pred, source, account=1e6)
    values = {name: source.load([name], NAMES, 0, 10)[0].copy() for name in source.fields}
    values["volume"][5:] = 0
    values["csi500_weight"][5:] = 0.5
    changed = backtest(strategy, pred, ArraySource(values, NAMES), account=1e6)
    cut = days[5]
    pd.testing.assert_frame_equal(whole.positions.loc[:cut], changed.positions.loc[:cut])
    assert not whole.positions.loc[days[6]].equals(changed.positions.loc[days[6]])


def test_instruments_of_the_risk_model_must_be_in_the_predictions(market):
    source, pred, root = market
    few = pred[pred.index.get_level_values("instrument") != "N07"]
    with pytest.raises(ConfigError, match="1 instruments that the predictions do not name: N07"):
        backtest(EnhancedIndexingStrategy(riskmodel_root=root), few, source)
    unknown = pred.where(pred.index.get_level_values("instrument") != "N07")
    assert len(backtest(EnhancedIndexingStrategy(riskmodel_root=root), unknown, source).trades)


def test_what_does_nothing_is_refused(market):
    _, _, root = market
    with pytest.raises(ConfigError, match=r"turn_limit = 0\.1: nothing goes by it"):
        EnhancedIndexingStrategy(riskmodel_root=root, turn_limit=0.1)
    with pytest.raises(ConfigError, match="back-test the strategy"):
        EnhancedIndexingStrategy(riskmodel_root=root).generate_target_weight_position(None, None, None, None)
