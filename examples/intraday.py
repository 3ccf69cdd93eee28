"""Five-minute bars, end to end: import them, compute Alpha158 on them, learn, and measure on days never seen.

    python examples/intraday.py --out intraday

The market is made up: every bar gives back a part of what the half hour before it moved, and the rest is chance. So
there is something to find, and it is known what. Put your own bars in place of `made_up_bars`: the columns are symbol,
date (with the time at which a bar ends), open, high, low, close, volume.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from rollwright import Alpha158, D, DatasetH, LGBModel, init
from rollwright.analysis.signal import calc_ic
from rollwright.market.ingest.importer import import_market

BARS_A_DAY = 48
HALF_HOUR = 6
REVERSAL = 0.1
# The return from the end of the next bar to half an hour later: it reads HALF_HOUR + 1 bars ahead.
LABEL = ([f"Ref($close, -{HALF_HOUR + 1})/Ref($close, -1) - 1"], ["LABEL0"])


def made_up_bars(days: int, stocks: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return bars of two sessions a day, 9:35 to 11:30 and 13:05 to 15:00."""
    morning = pd.timedelta_range("9h35min", "11h30min", freq="5min")
    afternoon = pd.timedelta_range("13h5min", "15h", freq="5min")
    times = pd.DatetimeIndex(
        [day + time for day in pd.bdate_range("2024-01-02", periods=days) for time in [*morning, *afternoon]]
    )
    logs = np.zeros((len(times) + 1, stocks))
    for bar in range(1, len(logs)):
        moved = logs[bar - 1] - logs[max(0, bar - 1 - HALF_HOUR)]
        logs[bar] = logs[bar - 1] - REVERSAL * moved + rng.normal(0, 0.001, stocks)
    close, before = 20 * np.exp(logs[1:]), 20 * np.exp(logs[:-1])
    reach = np.abs(rng.normal(0, 0.0005, close.shape))
    frames = [
        pd.DataFrame(
            {
                "symbol": f"S{number:03}",
                "date": times,
                "open": before[:, number],
                "high": np.maximum(close, before)[:, number] * (1 + reach[:, number]),
                "low": np.minimum(close, before)[:, number] * (1 - reach[:, number]),
                "close": close[:, number],
                "volume": rng.lognormal(8, 0.5, len(times)).round(),
                "vwap": (close + before)[:, number] / 2,
            }
        )
        for number in range(stocks)
    ]
    return pd.concat(frames, ignore_index=True)


def main(out: Path, *, days: int = 30, stocks: int = 30, rounds: int = 60) -> float:
    """Run it all and return the mean rank IC of the test days."""
    report = import_market(made_up_bars(days, stocks, np.random.default_rng(7)), out / "market", freq="5min")
    print(f"imported     {report.rows:,} bars of {report.instruments} stocks, {report.first} to {report.last}")
    init(provider_uri=str(out / "market"), freq="5min", store__path=str(out / "features"))

    bars = pd.DatetimeIndex(D.calendar(freq="5min"))
    first, cut = 60, len(bars) * 2 // 3 // BARS_A_DAY * BARS_A_DAY  # the longest look-back; whole days to learn from
    segments = {
        "train": (bars[first], bars[cut - HALF_HOUR - 2]),  # the label of the last one ends before the test begins
        "test": (bars[cut], bars[-HALF_HOUR - 2]),
    }
    dataset = DatasetH(Alpha158("all", freq="5min", label=LABEL), segments)
    model = LGBModel(num_boost_round=rounds, early_stopping_rounds=None, num_leaves=15, learning_rate=0.05)
    model.fit(dataset)

    scores = model.predict(dataset, "test")
    truth = dataset.prepare("test", col_set="label", data_key="raw")["LABEL0"]
    _, rank_ic = calc_ic(scores, truth)
    print(f"learnt from  {segments['train'][0]} to {segments['train'][1]}")
    print(f"tested on    {segments['test'][0]} to {segments['test'][1]}: {len(scores):,} scores")
    print(f"rank IC      {rank_ic.mean():.3f} a bar, {(rank_ic > 0).mean():.0%} of the bars above zero")
    return float(rank_ic.mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Learn from five-minute bars.")
    parser.add_argument("--out", type=Path, default=Path("intraday"), help="folder for the market and the features")
    main(parser.parse_args().out)
