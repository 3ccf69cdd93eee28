"""A small market and its predictions, made by a formula: the same here and under the interpreter that has Qlib."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["CALENDAR", "CONFIGS", "NAMES", "make_labels", "make_market", "make_predictions"]

SESSIONS, WIDTH = 60, 12
NAMES = [f"S{place:02d}" for place in range(WIDTH)] + ["SH000300"]
CALENDAR = pd.bdate_range("2021-01-04", periods=SESSIONS)

_STRATEGY = {"class": "TopkDropoutStrategy", "module_path": "qlib.contrib.strategy"}
_TERMS = {"limit_threshold": 0.095, "deal_price": "close", "open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5}
_WHOLE = {"start_time": CALENDAR[10], "end_time": CALENDAR[-2], "account": 1e6, "benchmark": "SH000300"}
CONFIGS = {
    "plain": {
        "strategy": {**_STRATEGY, "kwargs": {"signal": "<PRED>", "topk": 4, "n_drop": 1}},
        "backtest": {**_WHOLE, "exchange_kwargs": _TERMS},
    },
    "no dates, small account, dear trades": {
        "strategy": {**_STRATEGY, "kwargs": {"signal": "<PRED>", "topk": 6, "n_drop": 2, "risk_degree": 1.0}},
        "backtest": {"start_time": None, "end_time": None, "account": 30000, "benchmark": "SH000300"},
    },
    "held, with an executor": {
        "strategy": {**_STRATEGY, "kwargs": {"signal": "<PRED>", "topk": 5, "n_drop": 2, "hold_thresh": 3}},
        "backtest": {**_WHOLE, "exchange_kwargs": {**_TERMS, "open_cost": 0.01, "close_cost": 0.02}},
        "executor": {
            "class": "SimulatorExecutor",
            "module_path": "qlib.backtest.executor",
            "kwargs": {"time_per_step": "day", "generate_portfolio_metrics": True},
        },
    },
}


def make_market() -> dict[str, np.ndarray]:
    """Return the fields as float32 arrays [sessions, instruments]; the last instrument is the index."""
    rng = np.random.default_rng(14)
    steps = rng.normal(0.0005, 0.015, size=(SESSIONS, len(NAMES))).clip(-0.08, 0.08)
    close = (rng.uniform(5, 40, size=len(NAMES)) * np.exp(np.cumsum(steps, axis=0))).astype(np.float32)
    factor = np.ones_like(close)
    factor[:, 3] = 0.25
    change = np.vstack([np.full(len(NAMES), np.nan), close[1:] / close[:-1] - 1]).astype(np.float32)
    volume = np.full_like(close, 1e7)
    return {"close": close, "open": close, "factor": factor, "change": change, "volume": volume}


def make_predictions() -> pd.DataFrame:
    """Return scores of every session but the first and the last three, no two equal."""
    rng = np.random.default_rng(41)
    index = pd.MultiIndex.from_product([CALENDAR[1:-3], NAMES[:-1]], names=["datetime", "instrument"])
    level = np.tile(rng.normal(size=WIDTH), SESSIONS - 4)
    return pd.DataFrame({"score": level + rng.normal(size=len(index))}, index=index)


def make_labels() -> pd.DataFrame:
    """Return a label of each prediction, of which a few are not known."""
    rng = np.random.default_rng(14)
    scores = make_predictions()["score"]
    label = 0.01 * (0.2 * scores + rng.normal(size=len(scores)))
    return label.where(rng.uniform(size=len(scores)) > 0.02).to_frame("LABEL0")
