"""Qlib's workflow of three records runs to the letter: its universe, benchmark, dates and data folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.app.runs import list_runs
from rollwright.cli.root import run
from rollwright.config.settings import load_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "qlib_workflow.yaml"
STOCKS = 60
ACCOUNT = ("excess_return_without_cost", "excess_return_with_cost")
RISK = ("mean", "std", "annualized_return", "information_ratio", "max_drawdown")


def write_prices(folder: Path) -> None:
    """Write prices of sixty stocks, whose returns partly turn back after two days, and an index of them."""
    days = pd.bdate_range("2008-01-01", "2020-08-05", name="date")
    rng = np.random.default_rng(5)
    noise = 0.015 * rng.normal(size=(len(days) + 2, STOCKS))
    gains = noise[2:] - 0.4 * noise[:-2]  # what is known on a day, of the return that the label is
    close = 20 * np.exp(np.cumsum(gains, axis=0))
    codes = [f"SH{600000 + number}" for number in range(STOCKS)]
    for name, prices, symbols in (("stocks", close, codes), ("index", 100 * close.mean(axis=1)[:, None], ["SH000300"])):
        rows = pd.MultiIndex.from_product([days, symbols], names=["date", "symbol"])
        spread = np.exp(0.003 * np.abs(rng.normal(size=prices.shape)))
        fields = {"open": prices / spread, "high": prices * spread, "low": prices / spread**2, "close": prices}
        fields |= {"vwap": prices, "factor": np.ones_like(prices), "volume": 1e6 * spread}
        table = pd.DataFrame({field: values.ravel() for field, values in fields.items()}, index=rows)
        table.reset_index().to_parquet(folder / f"{name}.parquet")


@pytest.mark.slow
def test_the_example_runs_as_it_stands_and_records_what_qlib_records(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))  # the file names ~/.qlib/qlib_data/cn_data
    write_prices(tmp_path)
    data = str(tmp_path / ".qlib" / "qlib_data" / "cn_data")
    assert run(["data", "import", str(tmp_path / "stocks.parquet"), "--out", data, "--universe", "csi300"]) == 0
    assert run(["data", "import", str(tmp_path / "index.parquet"), "--out", data]) == 0
    capsys.readouterr()

    assert run(["run", str(EXAMPLE)]) == 0

    (made,) = list_runs(load_settings())
    recorder = made.recorder
    metrics = recorder.list_metrics()
    expected = {"IC", "ICIR", "Rank IC", "Rank ICIR", "1day.pa", "1day.pos", "1day.ffr"}
    expected |= {f"1day.{account}.{measure}" for account in ACCOUNT for measure in RISK}
    assert expected <= set(metrics)
    assert metrics["IC"] > 0.02  # what turns back is there to be learnt
    gap = metrics["1day.excess_return_without_cost.mean"] - metrics["1day.excess_return_with_cost.mean"]
    assert gap > 0

    pred = recorder.load_object("pred.pkl")
    assert list(pred.columns) == ["score"]
    assert pred.index.names == ["datetime", "instrument"]
    assert "SH000300" not in pred.index.get_level_values("instrument")  # of the market, not of csi300
    assert recorder.load_object("label.pkl").index.equals(pred.index)
    ic, ric = (recorder.load_object(f"sig_analysis/{name}.pkl") for name in ("ic", "ric"))
    assert ic.mean() == pytest.approx(metrics["IC"])
    assert ric.mean() == pytest.approx(metrics["Rank IC"])
    report = recorder.load_object("portfolio_analysis/report_normal_1day.pkl")
    assert {"account", "return", "total_turnover", "turnover", "cost", "value", "cash", "bench"} <= set(report.columns)
    assert report["bench"].abs().sum() > 0  # the index was read
    days = pred.index.get_level_values("datetime").unique()
    assert report.index[0] == days[0]
    risk = recorder.load_object("portfolio_analysis/port_analysis_1day.pkl")["risk"]
    for account in ACCOUNT:
        for measure in RISK:
            assert risk[(account, measure)] == pytest.approx(metrics[f"1day.{account}.{measure}"])
    indicators = recorder.load_object("portfolio_analysis/indicator_analysis_1day.pkl")
    assert indicators.loc["ffr"].iloc[0] == pytest.approx(metrics["1day.ffr"])
    assert len(recorder.load_object("portfolio_analysis/indicators_normal_1day.pkl")) == len(report)
    for name in ("positions_normal_1day", "indicators_normal_1day_obj"):
        assert recorder.load_object(f"portfolio_analysis/{name}.pkl") is not None
