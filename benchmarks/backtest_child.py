"""One side of `backtest.py`: a daily back-test with all its tables; prints one line of JSON.

It runs under both interpreters: that of this project (``ours``), and one that has pyqlib (``peer``). Timed is the CPU
of the call, after imports; opening the market's files belongs to it on both sides.
"""

# ruff: noqa: PLC0415 - each side imports what is its own
import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import pandas as pd

TERMS = {"open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5.0, "trade_unit": 100, "limit_threshold": 0.095}
RULE = {"topk": 50, "n_drop": 5}
ACCOUNT = 1e8


def scores(folder):
    """Return the predictions, and the sessions they are simulated on."""
    pred = pd.read_parquet(folder / "pred.parquet")["score"]
    days = pred.index.get_level_values("datetime").unique()
    return pred, days[1], days[-2]


def ours(folder):
    """Back-test here: report, positions, trades, reasons, indicators; and the simulation alone."""
    from rollwright.analysis.indicators import list_orders, trade_indicators
    from rollwright.backtest.costs import Costs
    from rollwright.backtest.daily import backtest, backtest_daily
    from rollwright.backtest.topk_dropout import TopkDropoutStrategy
    from rollwright.market.folder.provider import QlibProvider

    pred, start, end = scores(folder)
    strategy, costs = TopkDropoutStrategy(**RULE), Costs(**TERMS)
    began = time.process_time()
    source = QlibProvider(folder / "market")
    made = backtest(strategy, pred, source, costs=costs, account=ACCOUNT, start=start, end=end)
    indicators = trade_indicators(list_orders(made), made.report.index)
    whole = time.process_time() - began
    core = time_core(strategy, costs, pred, source, start, end)
    # the same numbers as the peer's, to show that both did the same work
    rule = TopkDropoutStrategy(**RULE, signal=pred)
    report, _ = backtest_daily(
        start, end, rule, account=ACCOUNT, benchmark=None, exchange_kwargs=TERMS, source=source, mode="qlib"
    )
    return {
        "cpu": whole,
        "core": core,
        "sessions": len(report),
        "account": float(report["account"].iloc[-1]),
        "rows": [len(table) for table in (made.positions, made.trades, made.unfilled, indicators)],
    }


def time_core(strategy, costs, pred, source, start, end):
    """Return the CPU of the simulation alone, its arrays given."""
    from rollwright.backtest.simulate import MarketPrices, simulate

    calendar = source.calendar()
    low, high = calendar.at_or_after(start), calendar.at_or_before(end)
    table = pred.unstack("instrument").loc[start:end]
    close, factor = source.load(["close", "factor"], list(table.columns), low, high + 1).astype("float64")
    market = MarketPrices(close=close, factor=factor)
    values = table.to_numpy(dtype="float64")
    began = time.process_time()
    simulate(strategy, values, market, costs=costs, account=ACCOUNT)
    return time.process_time() - began


def peer(folder):
    """Back-test with Qlib."""
    import qlib
    from qlib.backtest import backtest
    from qlib.backtest.executor import SimulatorExecutor
    from qlib.contrib.strategy import TopkDropoutStrategy

    pred, start, end = scores(folder)
    qlib.init(
        provider_uri=str(folder / "market"), kernels=1, logging_level=50, region="us", expression_cache=None,
        dataset_cache=None,
    )  # fmt: skip
    bench = pd.Series(0.0, pred.index.get_level_values("datetime").unique())
    began = time.process_time()
    portfolio, _indicators = backtest(
        start,
        end,
        TopkDropoutStrategy(signal=pred, **RULE),
        SimulatorExecutor(time_per_step="day", generate_portfolio_metrics=True),
        benchmark=bench,
        account=ACCOUNT,
        exchange_kwargs={"freq": "day", "deal_price": "close", **TERMS},
    )
    cpu = time.process_time() - began
    report, _positions = portfolio["1day"]
    return {"cpu": cpu, "sessions": len(report), "account": float(report["account"].iloc[-1])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["ours", "peer"])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps({"ours": ours, "peer": peer}[given.side](given.folder)) + "\n")
