"""The daily back-test beside Qlib's, its growth with the market, the sensitivity surface, and the overfitting test.

    python benchmarks/backtest.py [--peer-python PATH] [--repeats 5] [--only NAME ...] [--json FILE]

500 names and 900 sessions of the demo market, the top 50, at most 5 replaced a day, random scores, so that every day
trades as much as it may. Both sides give the account, the holdings of every day, the trades and the trade indicators;
ours also the reasons of what was not traded. Each repeat is a process of its own, by turns; timed is the CPU of the
call, from opening the market's files to the tables, without imports. The accounts of both sides, ours in Qlib's mode,
have to be the same. The peer takes half a minute a repeat.

The rest is ours alone: a simulation of four times the sessions, a market of 5,000 names and 2,500 sessions from a frame
of predictions to all tables, the surface over top-k, sales a day, costs and delay from a frame of predictions to its
table, and the probability of overfitting.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import machine
import numpy as np
import pandas as pd
import report

from rollwright.analysis.honesty.overfitting import probability_of_backtest_overfitting
from rollwright.analysis.indicators import list_orders, trade_indicators
from rollwright.analysis.portfolio_tables.sensitivity import SensitivityGrid, sensitivity_surface
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest
from rollwright.backtest.inputs import load_inputs
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import TradingCalendar
from rollwright.market.demo import INDEX_CODE, make_demo_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.testing.market import ArraySource

CHILD: Final = Path(__file__).with_name("backtest_child.py")
QLIB: Final = "pyqlib 0.9.7"
NAMES, SESSIONS = 500, 900
STRATEGY: Final = TopkDropoutStrategy(topk=50, n_drop=5)
COSTS: Final = Costs(trade_unit=100, limit_threshold=0.095)
PARTS: Final = ("peer", "sessions", "large", "surface", "overfitting")


def prepare(folder: Path) -> None:
    """Write the market, and predictions of 900 of its sessions."""
    make_demo_market(folder / "market", instruments=NAMES, sessions=SESSIONS + 2, seed=14)
    source = QlibProvider(folder / "market")
    names = [name for name in source.instruments() if name != INDEX_CODE]
    close = source.load(["close"], names, 0, SESSIONS + 2)[0]
    days = pd.DatetimeIndex(source.calendar().values[: SESSIONS + 2], name="datetime")
    table = np.where(np.isnan(close), np.nan, np.random.default_rng(14).normal(size=close.shape))
    frame = pd.DataFrame(table, index=days, columns=pd.Index(names, name="instrument"))
    frame.stack().rename("score").to_frame().to_parquet(folder / "pred.parquet")


def run(python: str | Path, side: str, folder: Path) -> dict[str, Any]:
    """Return what a child of that side prints as its last line."""
    done = subprocess.run([str(python), str(CHILD), side, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def beside_peer(peer: Path | None, repeats: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows beside Qlib, and what both sides took."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        prepare(folder)
        sides: dict[str, Callable[[], Any]] = {"ours": lambda: run(sys.executable, "ours", folder)}
        if peer is not None:
            sides["peer"] = lambda: run(peer, "peer", folder)
        found = machine.interleaved(sides, repeats)
    shown = {side: machine.summary([each["cpu"] for each in several]) for side, several in found.items()}
    shown["core"] = machine.summary([each["core"] for each in found["ours"]])
    for side, cpu in shown.items():
        print(f"  {side}: {cpu['median']} s of CPU [{cpu['low']}, {cpu['high']}]", flush=True)
    if peer is None:
        return [], shown
    pairs = list(zip(found["ours"], found["peer"], strict=True))
    for own, their in pairs:
        apart = abs(own["account"] / their["account"] - 1)
        if own["sessions"] != their["sessions"] or apart > 1e-6:
            raise SystemExit(f"the two sides made different accounts: {own} {their}")
    rows = [
        report.row(
            f"{work}: Qlib's CPU over ours",
            [their["cpu"] / own[part] for own, their in pairs],
            target, at_least=True, unit="x", case=f"{NAMES} x {SESSIONS}", against=QLIB,
        )
        for work, part, target in (("back-test with all tables", "cpu", 100), ("the simulation alone", "core", 200))
    ]  # fmt: skip
    return rows, shown


def random_market(names: int, sessions: int) -> tuple[MarketPrices, np.ndarray[Any, Any]]:
    """Return prices with suspensions, and scores."""
    rng = np.random.default_rng(14)
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, (sessions, names)), axis=0))
    close[rng.random(close.shape) < 0.01] = np.nan
    ends = np.full(names, np.iinfo(np.int64).max)
    return MarketPrices(close=close, factor=np.full(close.shape, 0.5), ends=ends), rng.normal(size=close.shape)


def cpu_of(call: Callable[[], Any], repeats: int) -> list[float]:
    """Return the CPU of each call."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return taken


def growth(repeats: int) -> list[dict[str, Any]]:
    """Return how time grows with the sessions: a session of many beside one of few."""
    few, many = (random_market(NAMES, count) for count in (SESSIONS, 4 * SESSIONS))
    sides = {
        name: lambda given=given: cpu_of(lambda: simulate(STRATEGY, given[1], given[0], costs=COSTS), 1)[0]
        for name, given in (("few", few), ("many", many))
    }
    found = machine.interleaved(sides, repeats)
    shares = [many / few / 4 for few, many in zip(found["few"], found["many"], strict=True)]
    work = f"a session of {4 * SESSIONS} / a session of {SESSIONS}"
    return [report.row(work, shares, 1.15, at_least=False, unit="x", case=f"{NAMES} names")]


def memory_market(names: int, sessions: int) -> tuple[ArraySource, pd.DataFrame]:
    """Return a market in memory, and predictions of all of it."""
    market, scores = random_market(names, sessions)
    codes = [f"N{place:05d}" for place in range(names)]
    days = pd.bdate_range("2014-01-01", periods=sessions, name="datetime")
    fields = {"close": market.close, "factor": np.full(market.close.shape, 0.5)}
    index = pd.MultiIndex.from_product([days, codes], names=["datetime", "instrument"])
    return ArraySource(fields, codes, calendar=TradingCalendar(days)), pd.DataFrame({"score": scores.ravel()}, index)


def large(repeats: int) -> list[dict[str, Any]]:
    """Return what a large market takes, from a frame of predictions to all tables."""
    source, pred = memory_market(5000, 2500)

    def call() -> None:
        made = backtest(STRATEGY, pred, source, costs=COSTS)
        trade_indicators(list_orders(made), made.report.index)

    work, case = "back-test with all tables, CPU", "5,000 x 2,500"
    return [report.row(work, cpu_of(call, repeats), 4, at_least=False, unit=" s", case=case)]


def surface(repeats: int) -> list[dict[str, Any]]:
    """Return what the surface around a back-test takes, from a frame of predictions."""
    source, pred = memory_market(NAMES, SESSIONS)
    cells = len(SensitivityGrid.around(STRATEGY).cells())

    def call() -> None:
        sensitivity_surface(load_inputs(STRATEGY, pred, source, costs=COSTS, benchmark="mean"), periods=252)

    work, case = f"sensitivity surface of {cells} cells, CPU", f"{NAMES} x {SESSIONS}"
    return [report.row(work, cpu_of(call, repeats), 15, at_least=False, unit=" s", case=case)]


def overfitting(repeats: int) -> list[dict[str, Any]]:
    """Return what the probability of overfitting takes."""
    returns = np.random.default_rng(14).normal(size=(2520, 100))
    taken = cpu_of(lambda: probability_of_backtest_overfitting(returns, blocks=16), repeats)
    work = "probability of overfitting, 16 blocks, CPU"
    return [report.row(work, taken, 1, at_least=False, unit=" s", case="2,520 x 100")]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, help="the interpreter of an environment with pyqlib 0.9.7")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    if "peer" in given.only:
        rows, figures = beside_peer(given.peer_python, given.repeats)
    others = {"sessions": growth, "large": large, "surface": surface, "overfitting": overfitting}
    for name in given.only:
        if name in others:
            rows += others[name](given.repeats)
    return report.finish(
        "backtest", rows, path=given.json, repeats=given.repeats, peer_python=given.peer_python, figures=figures
    )


if __name__ == "__main__":
    sys.exit(main())
