"""Records that back-test: what they leave, how it compares with Qlib's, and what they refuse before anything runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from portfolio_market import CALENDAR, CONFIGS, make_predictions
from rollwright.analysis.indicators import indicator_analysis, list_orders, trade_indicators
from rollwright.analysis.portfolio import PortfolioPlan
from rollwright.analysis.records import MultiPassPortAnaRecord, PortAnaRecord
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest_topk
from rollwright.dataset.contract import ReadScope
from rollwright.errors import ArtifactNotFoundError, ConfigError, DataError, RollwrightError, UnknownInstrumentError

pytestmark = pytest.mark.usefixtures("portfolio_market")
TABLE = Path(__file__).with_name("qlib_portfolio.json")
PEER = os.environ.get("QLIB_PYTHON")  # an interpreter that has pyqlib 0.9.7
ARTIFACTS = {
    "report_normal_1day.pkl",
    "positions_normal_1day.pkl",
    "indicators_normal_1day.pkl",
    "indicators_normal_1day_obj.pkl",
    "port_analysis_1day.pkl",
    "indicator_analysis_1day.pkl",
}


def changed(name="plain", **sections):
    config = CONFIGS[name]
    return {**config, **{key: {**config.get(key, {}), **value} for key, value in sections.items()}}


def made_by_qlib(name):
    return json.loads(TABLE.read_text())[name]


@pytest.mark.skipif(PEER is None, reason="QLIB_PYTHON names no interpreter that has Qlib")
def test_the_table_is_what_qlib_makes():
    project = Path(__file__).parents[2]
    script = project / "benchmarks" / "parity" / "portfolio_peer.py"
    environment = {**os.environ, "PYTHONPATH": str(project / "tests" / "helpers")}
    told = subprocess.run([PEER, script], capture_output=True, text=True, check=True, env=environment).stdout
    assert json.loads(told) == json.loads(TABLE.read_text())


@pytest.mark.parametrize("mode", ["strict", "qlib"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_record_equals_qlibs(name, mode, predicted):
    config = {**CONFIGS[name], "backtest": {**CONFIGS[name]["backtest"], "mode": mode}}
    if mode == "strict":  # difference 7, where `hold_thresh` forbids a sale
        kwargs = {**config["strategy"]["kwargs"], "exceed_topk": True}
        config = {**config, "strategy": {**config["strategy"], "kwargs": kwargs}}
    PortAnaRecord(predicted, config).generate()
    found = {path.removeprefix("portfolio_analysis/"): value for path, value in predicted.objects.items()}
    wanted = made_by_qlib(name)
    report = found["report_normal_1day.pkl"]
    assert [f"{day:%Y-%m-%d}" for day in report.index] == wanted["sessions"]
    for kind, table in (("report", report), ("indicators", found["indicators_normal_1day.pkl"])):
        assert list(table.columns) == list(wanted[kind])
        for column, values in wanted[kind].items():
            expected = np.array(values, dtype=np.float64)
            exact = 2e-7 if column == "bench" else 1e-12  # Qlib's benchmark is a change in single precision
            np.testing.assert_allclose(table[column], expected, rtol=1e-6, atol=exact, err_msg=f"{kind} {column}")
    amounts = found["positions_normal_1day.pkl"]["amount"]
    days = set(amounts.index.get_level_values("datetime"))
    for day, held in wanted["positions"].items():
        mine = amounts.xs(pd.Timestamp(day)).to_dict() if pd.Timestamp(day) in days else {}
        assert mine == pytest.approx(held, rel=1e-6), day
    metrics = dict(wanted["metrics"])
    assert set(predicted.metrics) == set(metrics)
    for part in ("with", "without"):  # Qlib leaves a loss of the first session out of the drawdown: difference 11
        del metrics[f"1day.excess_return_{part}_cost.max_drawdown"]
    assert {key: predicted.metrics[key] for key in metrics} == pytest.approx(metrics, rel=1e-5, abs=1e-12)


def test_another_mode_is_refused_when_the_file_is_read():
    with pytest.raises(ConfigError, match="the portfolio's mode is 'fast'"):
        PortAnaRecord.check_arguments({"config": changed(backtest={"mode": "fast"})})


def test_all_artifacts_are_those_that_it_lists(predicted):
    record = PortAnaRecord(predicted, CONFIGS["plain"])
    assert record.generate() is not None
    saved = {path for path in predicted.objects if path.startswith("portfolio_analysis/")}
    assert saved == {f"portfolio_analysis/{name}" for name in ARTIFACTS} == {record.get_path(n) for n in record.list()}
    assert PortAnaRecord(predicted, CONFIGS["plain"], skip_existing=True).generate() is None
    risk = predicted.objects["portfolio_analysis/port_analysis_1day.pkl"]["risk"]
    assert predicted.metrics["1day.excess_return_with_cost.annualized_return"] == pytest.approx(
        risk["excess_return_with_cost", "annualized_return"]
    )


def test_only_the_predictions_are_needed_and_their_absence_is_told(recorder):
    with pytest.raises(ArtifactNotFoundError, match=r"has no pred\.pkl(.|\n)*put SignalRecord before PortAnaRecord"):
        PortAnaRecord(recorder, CONFIGS["plain"]).generate()
    assert not recorder.objects
    PortAnaRecord(recorder, CONFIGS["plain"]).generate(pred=make_predictions())
    assert "portfolio_analysis/report_normal_1day.pkl" in recorder.objects


def test_the_last_prediction_is_traded_on_the_session_after_it(predicted):
    open_end = changed(backtest={"start_time": None, "end_time": None})
    PortAnaRecord(predicted, open_end).generate()
    report = predicted.objects["portfolio_analysis/report_normal_1day.pkl"]
    assert (report.index[0], report.index[-1]) == (CALENDAR[1], CALENDAR[-3])
    last = make_predictions().rename(index={CALENDAR[-4]: CALENDAR[-1]}, level="datetime")
    PortAnaRecord(predicted, open_end).generate(pred=last)
    report = predicted.objects["portfolio_analysis/report_normal_1day.pkl"]
    assert report.index[-1] == CALENDAR[-1], "the end may be the last session; Qlib has an IndexError there"


def test_a_benchmark_is_optional_and_one_that_is_absent_is_told_before_predictions_are_read(predicted):
    gone = changed(backtest={"benchmark": "SH000905"})
    with pytest.raises(UnknownInstrumentError, match=r"no instrument `SH000905`(.|\n)*benchmark=None compares"):
        PortAnaRecord.check_market({"config": gone})
    with pytest.raises(UnknownInstrumentError, match="SH000905"):
        PortAnaRecord(predicted, gone).generate()
    PortAnaRecord(predicted, changed(backtest={"benchmark": None})).generate()
    assert not predicted.objects["portfolio_analysis/report_normal_1day.pkl"]["bench"].any()
    PortAnaRecord.check_market({"config": CONFIGS["plain"]})


EXECUTOR = {"class": "SimulatorExecutor", "kwargs": {"time_per_step": "day", "generate_portfolio_metrics": True}}
REFUSED = {
    "section": ({"config": {"strategy": {}}}, "no section backtest"),
    "key": ({"config": changed() | {"executer": {}}}, "did you mean `executor`"),
    "key of the back-test": ({"config": changed(backtest={"acount": 1})}, "did you mean `account`"),
    "terms": ({"config": changed(backtest={"exchange_kwargs": {"volume_threshold": 1}})}, "volume_threshold"),
    "executor": ({"config": changed(executor={"class": "NestedExecutor"})}, "`NestedExecutor` is not simulated"),
    "minutes": (
        {"config": changed(executor=EXECUTOR | {"kwargs": EXECUTOR["kwargs"] | {"time_per_step": "30min"}})},
        "time_per_step = '30min'",
    ),
    "no report": (
        {"config": changed(executor=EXECUTOR | {"kwargs": {"time_per_step": "day"}})},
        "no `generate_portfolio_metrics`",
    ),
    "parallel": (
        {"config": changed(executor=EXECUTOR | {"kwargs": EXECUTOR["kwargs"] | {"trade_type": "parallel"}})},
        "trade_type = 'parallel'",
    ),
    "frequency": ({"config": changed(), "risk_analysis_freq": ["week"]}, "risk_analysis_freq = 'week'"),
    "method": ({"config": changed(), "indicator_analysis_method": "median"}, "'median' is unknown"),
    "no mapping": ({"config": ["strategy"]}, "is list, not a mapping"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_simulated_is_refused_when_the_file_is_read(name):
    arguments, said = REFUSED[name]
    with pytest.raises(ConfigError, match=said):
        PortAnaRecord.check_arguments(arguments)


def test_a_record_of_ones_own_is_checked_without_being_made():
    class Mine(PortAnaRecord):
        def __init__(self, recorder, model, **kwargs):
            raise NotImplementedError

    Mine.check_arguments({"config": CONFIGS["plain"], "model": "<MODEL>"})
    with pytest.raises(ConfigError, match="did you mean `account`"):
        Mine.check_arguments({"config": changed(backtest={"acount": 1})})
    with pytest.raises(ConfigError, match="pass_num = 0"):
        MultiPassPortAnaRecord.check_arguments({"config": CONFIGS["plain"], "pass_num": 0})


def test_a_strategys_arguments_and_its_signal_are_checked(predicted):
    wrong = changed(strategy={"kwargs": {"signal": "<PRED>", "topk": 4, "n_drop": 9}})
    with pytest.raises(RollwrightError, match="n_drop = 9"):
        PortAnaRecord.check_market({"config": wrong})
    with pytest.raises(ConfigError, match="nothing fills the placeholder <PRDE>"):
        PortAnaRecord(predicted, changed(strategy={"kwargs": {"signal": "<PRDE>"}})).generate()
    with pytest.raises(ConfigError, match="no signal to trade"):
        PortAnaRecord(predicted, changed(strategy={"kwargs": {"topk": 4, "n_drop": 1}})).generate()


def test_without_a_configuration_it_is_qlibs():
    plan = PortfolioPlan.from_config(None)
    assert (plan.account, plan.benchmark, plan.start, plan.end) == (1e8, "SH000300", None, None)
    assert plan.strategy["kwargs"] == {"signal": "<PRED>", "topk": 50, "n_drop": 5}
    assert plan.exchange_kwargs["close_cost"] == 0.0015
    bare = PortfolioPlan.from_config({"strategy": plan.strategy, "backtest": {}})
    assert (bare.account, bare.exchange_kwargs) == (1e9, {"open_cost": 0.0015, "close_cost": 0.0025, "min_cost": 5.0})


def test_the_configuration_is_left_as_it_was(predicted):
    config = changed(backtest={"start_time": None})
    before = repr(config)
    PortAnaRecord(predicted, config).generate()
    assert repr(config) == before


def test_it_tells_which_prices_it_read(predicted, portfolio_market):
    class Told:
        def scope_until(self, stop):
            return ReadScope(
                generation=portfolio_market.generation, freq="day", stop=stop, until="then", calendar="c", rows="r"
            )

    record = PortAnaRecord(predicted, CONFIGS["plain"], dataset=Told())
    assert record.reads() == ()
    record.generate()
    assert [scope.stop for scope in record.reads()] == [len(CALENDAR) - 1], "one past the end it names"
    record = PortAnaRecord(predicted, CONFIGS["no dates, small account, dear trades"], dataset=Told())
    record.generate()
    assert [scope.stop for scope in record.reads()] == [len(CALENDAR) - 2]
    alone = PortAnaRecord(predicted, CONFIGS["plain"])
    alone.generate()
    assert alone.reads() == (ReadScope(generation=portfolio_market.generation, freq="day"),)


def test_orders_are_those_that_reached_the_market(portfolio_market):
    lots = Costs(trade_unit=100)
    made = backtest_topk(make_predictions(), portfolio_market, topk=6, n_drop=2, costs=lots, account=6000)
    orders = list_orders(made)
    reached = made.unfilled["reason"].isin(["cash", "below_lot"])
    assert {"below_lot"} <= set(made.unfilled["reason"])
    assert len(orders) == len(made.trades) + int((reached & (made.unfilled["made_amount"] == 0)).sum())
    assert orders["deal_amount"].sum() == pytest.approx(made.trades["amount"].sum())
    nothing = orders[orders["amount"] == 0]
    assert len(nothing)
    assert nothing["ffr"].isna().all()
    daily = trade_indicators(orders, pd.DatetimeIndex(made.report.index))
    assert daily["count"].sum() == len(orders)
    assert daily["value"].sum() == pytest.approx(made.report["total_turnover"].iloc[-1])


def test_indicators_are_weighted_as_asked():
    table = pd.DataFrame(
        {
            "ffr": [1.0, 0.5, np.nan],
            "pa": [0.0, 0.2, np.nan],
            "pos": [0.0, 1.0, np.nan],
            "deal_amount": [10.0, -30.0, 0.0],
            "value": [100.0, 100.0, 0.0],
            "count": [1.0, 3.0, 0.0],
        }
    )
    assert indicator_analysis(table)["value"].tolist() == pytest.approx([2.5 / 4, 0.6 / 4, 3 / 4])
    assert indicator_analysis(table, "amount_weighted")["value"].tolist() == pytest.approx([25 / 40, 6 / 40, 3 / 4])
    assert indicator_analysis(table, method="value_weighted")["value"].tolist() == pytest.approx([0.75, 0.1, 3 / 4])
    assert indicator_analysis(table.iloc[2:])["value"].isna().all()
    with pytest.raises(ConfigError, match=r"'amount_weight'(.|\n)*did you mean `amount_weighted`"):
        indicator_analysis(table, "amount_weight")
    with pytest.raises(DataError, match="lack ffr"):
        indicator_analysis(table.drop(columns="ffr"))


def test_several_passes_shuffle_the_first_scores_under_a_seed(predicted):
    before = predicted.objects["pred.pkl"].copy()
    arguments = {"config": CONFIGS["plain"], "pass_num": 4}
    (made,) = MultiPassPortAnaRecord(predicted, **arguments).generate().values()
    assert predicted.objects["pred.pkl"].equals(before)
    assert list(made.columns) == ["mean", "std", "mean_std"]
    assert set(made.index.get_level_values(1)) == {"annualized_return", "information_ratio"}
    assert (made["std"] > 0).all()
    assert np.allclose(made["mean_std"], made["mean"] / made["std"])
    assert predicted.metrics["mean.excess_return_with_cost.annualized_return"] == pytest.approx(
        made.loc[("excess_return_with_cost", "annualized_return"), "mean"]
    )
    assert not any(name.startswith("1day") for name in predicted.metrics)
    (again,) = MultiPassPortAnaRecord(predicted, **arguments).generate().values()
    assert again.equals(made)
    (other,) = MultiPassPortAnaRecord(predicted, **arguments, seed=1).generate().values()
    assert not other.equals(made)
    assert "portfolio_analysis/multi_pass_port_analysis_1day.pkl" in predicted.objects


def test_what_is_shuffled_are_the_scores_that_make_the_first_holdings(predicted):
    two_days = changed(
        strategy={"kwargs": {"signal": "<PRED>", "topk": 3, "n_drop": 0}},
        backtest={"end_time": CALENDAR[11]},
    )
    (made,) = MultiPassPortAnaRecord(predicted, 5, config=two_days).generate().values()
    assert made.loc[("excess_return_without_cost", "annualized_return"), "std"] > 0, "bought on the start, held after"
    late = changed(backtest={"start_time": CALENDAR[-2], "end_time": CALENDAR[-1]})
    with pytest.raises(DataError, match="no prediction at or after 2021-03"):
        MultiPassPortAnaRecord(predicted, 5, config=late).generate()


def test_passes_without_shuffling_are_the_one_back_test(predicted):
    PortAnaRecord(predicted, CONFIGS["plain"]).generate()
    one = predicted.objects["portfolio_analysis/port_analysis_1day.pkl"]["risk"]
    (made,) = (
        MultiPassPortAnaRecord(predicted, config=CONFIGS["plain"], pass_num=2, shuffle_init_score=False)
        .generate()
        .values()
    )
    assert made["mean"].to_dict() == pytest.approx(one[made.index].to_dict())
    assert (made["std"] == 0).all()
    assert made["mean_std"].isna().all()


def test_passes_of_another_signal_cannot_be_shuffled(predicted):
    other = changed(strategy={"kwargs": {"signal": -make_predictions(), "topk": 4, "n_drop": 1}})
    with pytest.raises(ConfigError, match="trades another signal"):
        MultiPassPortAnaRecord(predicted, config=other, pass_num=2).generate()
    with pytest.raises(ConfigError, match="pass_num = 0"):
        MultiPassPortAnaRecord(predicted, 0, config=other)
