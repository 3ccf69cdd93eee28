"""From predictions and a data source to a report."""

import logging

import numpy as np
import pandas as pd
import pytest

from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest, backtest_daily, backtest_topk
from rollwright.backtest.risk import periods_per_year, risk_analysis
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import init, using
from rollwright.config.settings import load_settings
from rollwright.errors import CalendarRangeError, ConfigError, DataError, UnknownInstrumentError

NAN = float("nan")
DAYS = pd.bdate_range("2020-01-01", periods=7)
# one session before the predictions, five with them, and a future one
CLOSE = {
    "A": [8.0, 10.0, 10.0, 11.0, 12.0, 12.0, NAN],
    "B": [16.0, 20.0, 20.0, 20.0, 22.0, 21.0, NAN],
    "C": [5.0, 5.0, 5.0, 6.0, 6.0, 6.6, NAN],
    "IX": [100.0, 110.0, 110.0, 121.0, 121.0, 121.0, NAN],
}
SCORES = {1: (3, 2, 1), 2: (3, 1, 2), 4: (1, 2, 3), 5: (9, 9, 9)}
TERMS = Costs(open_cost=0.001, close_cost=0.002, min_cost=5)


class Source:
    """As much of a data source as a back-test asks for."""

    freq = "day"
    generation = "1"

    def __init__(self, *, factor=1.0, ends=None, names=(), opens=None):
        self.opens = opens or {}
        self.factor = factor
        self.close = {dict(names).get(name, name): prices for name, prices in CLOSE.items()}
        self.ends = ends or {}

    def calendar(self):
        return TradingCalendar(DAYS, known=6)

    def instruments(self):
        return tuple(sorted(self.close))

    def bounds(self, instruments):
        return np.array([[0, self.ends.get(name, 6)] for name in instruments])

    def load(self, fields, instruments, start, stop):
        known = {"close": self.close, "factor": dict.fromkeys(self.close, [self.factor] * 7)}
        known["open"] = {name: self.opens.get(name, [NAN] * 7) for name in self.close}
        table = [[known[field][name] for name in instruments] for field in fields]
        found = np.array(table, dtype=np.float32).transpose(0, 2, 1)
        for column, name in enumerate(instruments):
            found[:, self.ends.get(name, 7) :, column] = NAN
        return found[:, start:stop]


def predictions(scores=SCORES):
    rows = [(DAYS[day], name, score) for day, row in scores.items() for name, score in zip("ABC", row, strict=True)]
    frame = pd.DataFrame(rows, columns=["datetime", "instrument", "score"])
    return frame.set_index(["datetime", "instrument"]).astype("float64")


def run(pred=None, source=None, **kwargs):
    kwargs = {"topk": 2, "n_drop": 1, "costs": TERMS, "account": 10_000, **kwargs}
    return backtest_topk(predictions() if pred is None else pred, source or Source(), **kwargs)


def test_the_market_of_the_context_stands_in_for_a_source_that_nobody_gave():
    with using(market=Source()):
        found = backtest_topk(predictions(), topk=2, n_drop=1, costs=TERMS, account=10_000)
    pd.testing.assert_frame_equal(found.report, run().report)


def test_the_report_of_five_days_by_hand():
    report = run().report
    assert list(report.index) == list(DAYS[1:6])
    assert report.index.name == "datetime"
    np.testing.assert_allclose(report["account"], [10_000, 9_990, 10_450.52, 10_925.52, 11_405.271], atol=1e-3)
    np.testing.assert_allclose(
        report["return"], [0, 0, 475 / 9_990, 475 / 10_450.52, 496.8 / 10_925.52], rtol=1e-6, atol=1e-12
    )
    np.testing.assert_allclose(
        report["cost"], [0, 10 / 10_000, 14.48 / 9_990, 0, 17.049 / 10_925.52], rtol=1e-6, atol=1e-12
    )
    np.testing.assert_allclose(report["total_cost"], [0, 10, 24.48, 24.48, 41.529], rtol=1e-6)
    np.testing.assert_allclose(report["turnover"].iloc[2], 9_708 / 9_990, rtol=1e-9)
    np.testing.assert_allclose(report["cash"] + report["value"], report["account"])
    assert (report["bench"] == 0).all()
    assert (report.dtypes == "float64").all()


def test_net_and_excess_returns_come_from_the_report():
    made = run(benchmark="mean")
    pd.testing.assert_series_equal(
        made.net_return, made.report["return"] - made.report["cost"], check_names=False, check_exact=True
    )
    growth = (1 + made.net_return).prod()
    assert growth == pytest.approx(made.report["account"].iloc[-1] / 10_000)
    pd.testing.assert_series_equal(
        made.excess_return, made.net_return - made.report["bench"], check_names=False, check_exact=True
    )


def test_the_benchmarks():
    by_mean = run(benchmark="mean").report["bench"]
    np.testing.assert_allclose(by_mean.iloc[0], (0.25 + 0.25 + 0) / 3, rtol=1e-6)
    np.testing.assert_allclose(by_mean.iloc[2], (0.1 + 0 + 0.2) / 3, rtol=1e-6)
    # C leaves the universe: whom session 4 scored makes up the mean of session 5
    left = predictions({**SCORES, 4: (1, 2, NAN)})
    np.testing.assert_allclose(run(left, benchmark="mean").report["bench"].iloc[4], (0 - 1 / 22) / 2, rtol=1e-6)
    np.testing.assert_allclose(run(left, benchmark="mean").report["bench"].iloc[3], (1 / 11 + 0.1 + 0) / 3, rtol=1e-6)
    np.testing.assert_allclose(run(benchmark="IX").report["bench"], [0.1, 0, 0.1, 0, 0], rtol=1e-6, atol=1e-12)
    own = pd.Series([0.5, 0.25], index=[DAYS[2], DAYS[4]])
    assert list(run(benchmark=own).report["bench"]) == [0, 0.5, 0, 0.25, 0]


def test_positions_and_trades():
    made = run()
    assert made.positions.index.names == ["datetime", "instrument"]
    assert list(made.positions.loc[DAYS[3]].index) == ["A", "C"]
    assert made.positions.loc[(DAYS[3], "C"), "amount"] == 828
    assert made.positions.groupby("datetime")["weight"].sum().max() < 1
    assert list(made.trades["side"]) == ["buy", "buy", "sell", "buy", "sell", "buy"]
    assert list(made.trades.index.get_level_values("instrument")) == ["A", "B", "B", "C", "A", "B"]
    assert made.trades["cost"].sum() == pytest.approx(41.529, abs=1e-3)


def trade_at(deal_price, source):
    rule = TopkDropoutStrategy(topk=2, n_drop=1)
    return backtest(rule, predictions(), source, costs=TERMS, account=10_000, deal_price=deal_price)


def test_purchases_and_sales_each_have_their_price_and_the_close_where_it_is_missing(caplog):
    source = Source(opens={"A": [NAN, 9.0, 9.0, 9.0, 9.0, NAN, NAN]})
    both = trade_at(("$open", "close"), source)
    assert both.trades["price"].tolist() == [9.0, 20.0, 20.0, 6.0, 12.0, 21.0]
    assert "backtest.deal_price_missing field=open missing=11 prices=15 action=close" in caplog.text
    sold = trade_at(("close", "open"), source)
    assert sold.trades["price"].tolist()[-2:] == [12.0, 21.0]
    assert sold.trades["price"].tolist()[0] == 10.0
    report, _ = backtest_daily(
        None, None, TopkDropoutStrategy(topk=2, n_drop=1, signal=predictions()), account=10_000, benchmark=None,
        exchange_kwargs={"deal_price": "open", "trade_unit": 1}, source=source,
    )  # fmt: skip
    assert report["value"].iloc[1] > report["account"].iloc[0] * 0.95  # A, bought at 9, is worth 10 at the close
    with pytest.raises(DataError, match="has no `open` on any day"):
        trade_at("open", Source(opens={}))


def test_what_was_wanted_and_not_made_is_a_table_with_reasons():
    made = run(account=48)
    assert made.unfilled.index.names == ["datetime", "instrument"]
    assert list(made.unfilled.columns) == ["side", "reason", "wanted_amount", "wanted_value", "made_amount"]
    first = made.unfilled.loc[(DAYS[2], "B")]
    assert (first["side"], first["reason"], first["made_amount"]) == ("buy", "cash", 0.0)
    whole = run()
    assert whole.unfilled.empty
    pd.testing.assert_series_equal(whole.unfilled.dtypes, made.unfilled.dtypes)


def test_a_series_a_frame_and_any_order_of_rows_give_the_same():
    pred = predictions()
    expected = run(pred).report
    shuffled = pred.sample(frac=1, random_state=np.random.default_rng(3))
    for other in (pred["score"], shuffled, pred.assign(other=1.0)):
        pd.testing.assert_frame_equal(run(other).report, expected, check_exact=True)


def test_without_factors_adjusted_shares_are_traded_and_it_is_said(caplog):
    with caplog.at_level(logging.WARNING, logger="rollwright.backtest"):
        made = run(source=Source(factor=NAN))
    assert "backtest.factor_missing missing=" in caplog.text
    assert made.trades["amount"].iloc[1] == 237.5


def test_a_series_that_ended_is_settled_unless_it_is_to_be_kept():
    source = Source(ends={"B": 3})
    made = run(source=source)
    assert made.trades[made.trades["side"] == "settle"].index.tolist() == [(DAYS[3], "B")]
    kept = run(source=source, settle_delisted=False)
    assert "settle" not in set(kept.trades["side"])
    assert (DAYS[5], "B") in kept.positions.index


def test_start_and_end_cut_the_simulation():
    strategy = TopkDropoutStrategy(topk=2, n_drop=1)
    made = backtest(strategy, predictions(), Source(), account=10_000, start=DAYS[2], end=DAYS[4])
    assert list(made.report.index) == list(DAYS[2:5])
    assert made.trades.index[0][0] == DAYS[2]  # the scores of the session before, which are there
    later = backtest(strategy, predictions(), Source(), end="2030-01-01")
    assert later.report.index[-1] == DAYS[5]


SIMULATED = {"open_cost": 0.001, "close_cost": 0.002, "min_cost": 5, "deal_price": "close", "freq": "day"}


def strategy(**kwargs):
    return TopkDropoutStrategy(topk=2, n_drop=1, signal=predictions(), **kwargs)


def test_qlibs_function_takes_the_signal_from_the_strategy():
    init(region="us")
    report, positions = backtest_daily(
        DAYS[1], DAYS[5], strategy(), None, 10_000, None, SIMULATED, "Position", source=Source()
    )
    pd.testing.assert_frame_equal(report, run().report)
    pd.testing.assert_frame_equal(positions, run().positions)
    config = {"class": "TopkDropoutStrategy", "module_path": "qlib.contrib.strategy.signal_strategy"}
    config["kwargs"] = {"topk": 2, "n_drop": 1, "signal": predictions()}
    with using(market=Source()):
        again, _ = backtest_daily(
            DAYS[1], DAYS[5], config, account=10_000, benchmark="IX", exchange_kwargs={**SIMULATED, "deal_price": None}
        )
    pd.testing.assert_frame_equal(again, run(benchmark="IX").report)


@pytest.mark.parametrize("given", [{}, {"limit_threshold": None}])
@pytest.mark.parametrize("region", ["cn", "us", "tw"])
def test_what_exchange_kwargs_leave_out_is_the_regions(region, given):
    init(region=region)
    report, _ = backtest_daily(
        None, None, strategy(), account=200_000, benchmark=None, exchange_kwargs=given, source=Source()
    )
    expected = run(costs=Costs.for_region(region), account=200_000)
    pd.testing.assert_frame_equal(report, expected.report)
    lots = expected.trades["amount"] / Costs.for_region(region).trade_unit
    np.testing.assert_allclose(lots, lots.round())
    own, _ = backtest_daily(
        None, None, strategy(), account=200_000, benchmark=None, exchange_kwargs={"trade_unit": 7}, source=Source()
    )
    assert not own.equals(report)


def test_the_price_limit_of_the_region_holds_what_has_reached_it():
    # on the third day A is at its limit in cn, where a change of 10 % ends the trade
    trades = {}
    for region in ("cn", "us"):
        made = run(costs=Costs.for_region(region), account=200_000)
        trades[region] = [(day, code) for day, code in made.trades.index if day == DAYS[3]]
    assert trades["cn"] != trades["us"]


def test_qlibs_benchmark_is_an_index_that_must_be_there():
    with pytest.raises(
        UnknownInstrumentError, match=r"`SH000300`(.|\n)*hint: (.|\n)*benchmark=None compares with nothing"
    ):
        backtest_daily(None, None, strategy(), source=Source())
    with pytest.raises(UnknownInstrumentError, match=r"`IX0`(.|\n)*did you mean `IX`"):
        run(benchmark="IX0")
    with pytest.raises(ConfigError, match="a list is not a benchmark"):
        run(benchmark=["IX"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"executor": {"class": "SimulatorExecutor"}}, r"only the daily one(.|\n)*hint: leave `executor` out"),
        ({"pos_type": "InfPosition"}, r"`InfPosition`|InfPosition(.|\n)*hint: leave `pos_type` out"),
        ({"account": {"cash": 1e6}}, r"account is a dict(.|\n)*hint: give the cash"),
        ({"account": True}, "account is a bool"),
        ({"strategy": TopkDropoutStrategy()}, "no signal"),
        (
            {"strategy": {"class": "LinearModel", "module_path": "qlib.contrib.model.linear"}},
            r"cannot stand as `strategy`",
        ),
        ({"exchange_kwargs": {"deal_price": ("open",)}, "benchmark": None}, r"deal_price = \('open',\) is neither"),
        ({"exchange_kwargs": {"freq": None}}, "freq = None is not simulated"),
        ({"exchange_kwargs": {"volume_threshold": 1}}, "volume_threshold is not simulated"),
    ],
)
def test_what_is_not_simulated_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        backtest_daily(**{"start_time": None, "end_time": None, "strategy": strategy(), "source": Source(), **given})


class Fitted:
    """A model that predicts what it is given."""

    def predict(self, dataset):
        return dataset["test"]


@pytest.mark.parametrize(
    "given", [{"model": Fitted(), "dataset": {"test": predictions()}}, {"signal": (Fitted(), {"test": predictions()})}]
)
def test_a_model_and_a_dataset_make_the_signal(given):
    pd.testing.assert_frame_equal(TopkDropoutStrategy(**given).signal, predictions())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": Fitted()}, r"together(.|\n)*hint: give both"),
        ({"signal": (Fitted(), None)}, r"together(.|\n)*hint: give both"),
        ({"signal": (Fitted(),)}, r"together(.|\n)*hint: give both"),
        ({"signal": predictions(), "model": Fitted(), "dataset": {}}, "a signal and a model"),
        ({"signal": "<PRED>"}, "the signal is a str"),
        ({"method_sell": "random"}, r"method_sell = 'random' without a seed(.|\n)*hint: seed=0"),
        ({"method_buy": "random"}, r"method_buy = 'random' without a seed"),
        ({"method_sell": "top"}, r"method_sell = 'top'(.|\n)*hint: take bottom or random"),
        ({"method_buy": "best", "seed": 1}, r"method_buy = 'best'(.|\n)*hint: take top or random"),
        ({"seed": -1}, "seed = -1 is not between"),
        ({"trade_exchange": object()}, "trade_exchange is given"),
        ({"level_infra": object()}, "level_infra is given"),
        ({"common_infra": object()}, "common_infra is given"),
        ({"outer_trade_decision": object()}, "outer_trade_decision is given"),
    ],
)
def test_what_a_strategy_could_not_use_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        TopkDropoutStrategy(**given)


def test_predictions_that_are_none_are_refused():
    with pytest.raises(DataError, match="need rows"):
        run(predictions().iloc[:0])
    with pytest.raises(DataError, match="need rows"):
        run(predictions().reset_index("instrument"))
    with pytest.raises(DataError, match="1 predictions are there twice"):
        run(pd.concat([predictions(), predictions().iloc[:1]]))
    saturday = predictions().rename(index={DAYS[2]: pd.Timestamp("2020-01-04")}, level="datetime")
    with pytest.raises(CalendarRangeError, match=r"2020-01-04.*not a session"):
        run(saturday)
    with pytest.raises(DataError, match="has a price"):
        run(source=Source(ends={"A": 0, "B": 0, "C": 0}))
    with pytest.raises(DataError, match="nothing to simulate"):
        run(predictions({6: (1, 2, 3)}))


@pytest.mark.parametrize(
    "scores", [SCORES, dict.fromkeys(SCORES, (1, 1, 1)), {1: (2, 2, 1), 2: (1, 2, 2), 4: (3, 3, 3)}]
)
def test_renaming_the_instruments_changes_no_number_of_the_report(scores):
    plain = run(predictions(scores), benchmark="mean")
    for order in (("B", "C", "A"), ("C", "A", "B"), ("C", "B", "A")):
        names = dict(zip("ABC", order, strict=True))
        renamed = predictions(scores).rename(names, level="instrument")
        other = run(renamed, Source(names=names), benchmark="mean")
        pd.testing.assert_frame_equal(other.report, plain.report, rtol=1e-12)
        assert [names[name] for name in plain.trades.index.get_level_values(1)] == list(
            other.trades.index.get_level_values(1)
        )


def test_a_day_without_predictions_is_held_through():
    assert (run().trades.index.get_level_values("datetime") != DAYS[4]).all()


def test_risk_figures_of_three_days():
    risk = risk_analysis(pd.Series([0.01, -0.02, 0.03]))["risk"]
    assert list(risk.index) == ["mean", "std", "annualized_return", "information_ratio", "max_drawdown"]
    std = np.std([0.01, -0.02, 0.03], ddof=1)
    expected = [0.02 / 3, std, 0.02 / 3 * 238, 0.02 / 3 / std * np.sqrt(238), -0.02]
    np.testing.assert_allclose(risk, expected)


@pytest.mark.parametrize("mode", ["sum", "product"])
def test_a_loss_of_the_first_day_is_part_of_the_drawdown(mode):
    assert risk_analysis(pd.Series([-0.1, 0.05, 0.02]), mode=mode).loc["max_drawdown", "risk"] == pytest.approx(-0.1)
    assert risk_analysis(pd.Series([0.0, -0.1, 0.05]), mode=mode).loc["max_drawdown", "risk"] == pytest.approx(-0.1)
    assert risk_analysis(pd.Series([-0.1]), mode=mode).loc["max_drawdown", "risk"] == pytest.approx(-0.1)
    assert risk_analysis(pd.Series([0.1, 0.2]), mode=mode).loc["max_drawdown", "risk"] == 0.0


@pytest.mark.parametrize("mode", ["sum", "product"])
def test_no_ratio_is_taken_over_a_rounding_error(mode):
    returns = pd.Series([0.1 + 0.2, 0.3, 0.3])
    assert returns.std() > 0
    assert np.isnan(risk_analysis(returns, mode=mode).loc["information_ratio", "risk"])


def test_an_account_that_lost_everything_is_minus_one():
    risk = risk_analysis(pd.Series([0.1, -1.0, 0.5]), mode="product")["risk"]
    assert risk[["mean", "annualized_return", "max_drawdown"]].tolist() == [-1, -1, -1]
    assert risk[["std", "information_ratio"]].isna().all()


def test_an_infinite_return_and_a_year_without_periods_are_refused():
    with pytest.raises(DataError, match="1 of 2 returns are infinite"):
        risk_analysis(pd.Series([0.1, np.inf]))
    for year in (0, -1, NAN, np.inf):
        with pytest.raises(ConfigError, match="N = "):
            risk_analysis(pd.Series([0.1]), N=year)


def test_risk_figures_compounded():
    risk = risk_analysis(pd.Series([0.1, -0.5, 0.2]), N=3, mode="product")["risk"]
    assert risk["max_drawdown"] == pytest.approx(-0.5)
    assert risk["annualized_return"] == pytest.approx(1.1 * 0.5 * 1.2 - 1)
    assert risk["mean"] == pytest.approx((1.1 * 0.5 * 1.2) ** (1 / 3) - 1)
    std = np.std(np.log([1.1, 0.5, 1.2]), ddof=1)
    assert risk["std"] == pytest.approx(std)
    assert risk["information_ratio"] == pytest.approx(risk["mean"] / std * np.sqrt(3))


@pytest.mark.parametrize("mode", ["sum", "product"])
def test_risk_figures_that_are_not_defined_are_nan(mode):
    assert risk_analysis(pd.Series([], dtype="float64"), mode=mode)["risk"].isna().all()
    assert np.isnan(risk_analysis(pd.Series([0.01]), mode=mode).loc["information_ratio", "risk"])
    assert np.isnan(risk_analysis(pd.Series([0.0, 0.0]), mode=mode).loc["information_ratio", "risk"])
    some = risk_analysis(pd.Series([0.01, NAN, 0.02]), mode=mode)
    pd.testing.assert_frame_equal(some, risk_analysis(pd.Series([0.01, 0.02]), mode=mode))


def test_periods_per_year():
    found = [periods_per_year(freq) for freq in ("day", "1day", "week", "month", "5min", "2D")]
    assert found == [238, 238, 50, 12, 240 * 238 / 5, 119]
    with using(load_settings().with_values({"data.region": "us"}, origin="test")):
        assert [periods_per_year(freq) for freq in ("day", "min")] == [252, 252 * 390]
    with using(load_settings().with_values({"data.days_per_year": 244}, origin="test")):
        assert periods_per_year("day") == 244
        assert risk_analysis(pd.Series([0.01, 0.02])).loc["annualized_return", "risk"] == pytest.approx(0.015 * 244)
    for freq in ("", "year", "0day", "day5"):
        with pytest.raises(ConfigError, match="not a frequency"):
            periods_per_year(freq)
    with pytest.raises(ConfigError, match="neither `sum` nor `product`"):
        risk_analysis(pd.Series([0.1]), mode="other")
