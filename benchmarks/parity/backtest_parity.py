"""Compare back-tests in the mode of Qlib with Qlib's, over random rules, terms and markets.

python benchmarks/parity/backtest_parity.py --peer-python PATH [--seeds 3] [--settings 20]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from backtest_table import NAMES, PRICES, SESSIONS, TERMS, ask_peer, make_market

from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.testing.market import ArraySource

RELATIVE = 1e-6
KINDS = ("hard", "easy", "unadjusted")


def draw_setting(rng: np.random.Generator) -> dict[str, Any]:
    """Return a rule with all its arguments, terms, an account and a range of sessions."""
    topk = int(rng.integers(1, 7))
    rule = {
        "topk": topk,
        "n_drop": int(rng.integers(0, topk + 1)),
        "hold_thresh": int(rng.integers(0, 6)),
        "only_tradable": bool(rng.random() < 0.4),
        "forbid_all_trade_at_limit": bool(rng.random() < 0.5),
        "risk_degree": float(rng.choice([0.5, 0.95, 1.0])),
        "method_buy": str(rng.choice(["top", "top", "random"])),
        "method_sell": str(rng.choice(["bottom", "bottom", "random"])),
        "seed": int(rng.integers(99)),
    }
    exchange = {**TERMS[rng.integers(len(TERMS))], "deal_price": PRICES[rng.integers(len(PRICES))]}
    account = float(rng.choice([2e3, 2e4, 1e6]))
    return {
        "strategy": rule,
        "exchange": exchange,
        "account": account,
        "start": int(rng.integers(1, 4)),
        "end": SESSIONS - 2,
    }


def draw_scores(rng: np.random.Generator, memory: float, source: ArraySource) -> pd.Series:
    """Return scores of what is listed, each day's made of so much of the day before."""
    noise = rng.normal(size=(SESSIONS, len(NAMES)))
    table = noise.copy()
    for day in range(1, SESSIONS):
        table[day] = memory * table[day - 1] + np.sqrt(1 - memory**2) * noise[day]
    bounds, days = source.bounds(NAMES), np.arange(SESSIONS)[:, None]
    table[(days < bounds[:, 0]) | (days >= bounds[:, 1])] = np.nan
    frame = pd.DataFrame(np.round(table, 6), source.calendar().to_index(), NAMES)
    return frame.rename_axis(index="datetime", columns="instrument").stack().dropna()


def find_difference(setting: dict[str, Any], found: dict[str, Any], pred: pd.Series, source: ArraySource) -> str:
    """Return where the two differ first; empty where they do not."""
    exchange = dict(setting["exchange"])
    price = exchange.pop("deal_price")
    calendar = source.calendar()
    made = backtest(
        TopkDropoutStrategy(**setting["strategy"]),
        pred,
        source,
        costs=Costs(**exchange),
        account=setting["account"],
        deal_price=price if isinstance(price, str) else tuple(price),
        mode="qlib",
        start=calendar[setting["start"]],
        end=calendar[setting["end"]],
    )
    held = made.positions["amount"]
    for day, theirs in zip(made.report.index, found["positions"], strict=True):
        ours = held.xs(day, level="datetime").to_dict() if day in held.index else {}
        if ours.keys() != theirs.keys() or not np.allclose(
            [ours[name] for name in theirs], list(theirs.values()), rtol=RELATIVE, atol=0
        ):
            return f"holdings of {day:%Y-%m-%d}: {ours}, Qlib {theirs}"
    account = np.abs(made.report["account"].to_numpy() / np.array(found["report"]["account"]) - 1).max()
    return "" if account <= RELATIVE else f"the account by {account:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", type=int, default=20)
    options = parser.parse_args()
    differing = 0
    for seed in range(options.seeds):
        rng = np.random.default_rng(seed)
        source = make_market(KINDS[seed // 3 % len(KINDS)], rng)
        pred = draw_scores(rng, (0.0, 0.95, 0.99)[seed % 3], source)
        settings = [draw_setting(rng) for _ in range(options.settings)]
        rows = [(f"{day:%Y-%m-%d}", name, float(score)) for (day, name), score in pred.items()]
        for setting, found in zip(settings, ask_peer(options.peer_python, source, rows, settings), strict=True):
            difference = find_difference(setting, found, pred, source)
            differing += bool(difference)
            if difference:
                print(f"seed {seed}: {setting}: {difference}")
    print(f"{differing} of {options.seeds * options.settings} back-tests differ from Qlib's")
    raise SystemExit(differing > 0)


if __name__ == "__main__":
    main()
