"""Write the table of Qlib's back-tests that the tests compare with.

python benchmarks/parity/backtest_table.py --peer-python PATH tests/backtest/qlib_backtests.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from expression_market import write_market

from rollwright.testing.market import ArraySource

PEER = Path(__file__).with_name("backtest_peer.py")
SESSIONS = 40
NAMES = [f"SH60000{place}" for place in range(9)]
DEAR = "dear purchases"  # at last the cash does not even cover the cost
RULES: dict[str, dict[str, Any]] = {
    "plain": {"topk": 4, "n_drop": 1},
    "all dropped": {"topk": 3, "n_drop": 3},
    "held longer": {"topk": 4, "n_drop": 2, "hold_thresh": 4},
    "only tradable": {"topk": 4, "n_drop": 2, "only_tradable": True},
    "limits by side": {"topk": 5, "n_drop": 2, "forbid_all_trade_at_limit": False, "risk_degree": 1.0},
    "random purchases": {"topk": 4, "n_drop": 1, "method_buy": "random", "seed": 5},
    "random sales": {"topk": 4, "n_drop": 2, "method_sell": "random", "seed": 6},
    "all random": {"topk": 3, "n_drop": 1, "method_buy": "random", "method_sell": "random", "seed": 7},
    "nothing dropped": {"topk": 3, "n_drop": 0},
    "nothing dropped, only tradable": {"topk": 3, "n_drop": 0, "only_tradable": True},
    DEAR: {"topk": 5, "n_drop": 5, "risk_degree": 1.0},
}
TERMS: list[dict[str, Any]] = [
    {"open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5.0, "trade_unit": 100, "limit_threshold": 0.05},
    {"open_cost": 0.002, "close_cost": 0.003, "min_cost": 0.0, "trade_unit": 1, "limit_threshold": 0.03},
    {"open_cost": 0.001, "close_cost": 0.001, "min_cost": 1.0, "trade_unit": None, "limit_threshold": 10.0},
]
PRICES: list[Any] = ["close", "open", ["open", "close"]]
ACCOUNTS = (1e6, 2e4, 1e8)


def make_market(kind: str, rng: np.random.Generator) -> ArraySource:
    """Return a market: all listed; with late listings, ends, suspensions and limits; without factors.

    In ``suspended`` no series ends, and in ``limits`` nothing is suspended either.
    """
    shape = (SESSIONS, len(NAMES))
    close = rng.uniform(8, 40, len(NAMES)) * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    opened = close * np.exp(rng.normal(0, 0.01, shape))
    bounds = np.tile([0, SESSIONS], (len(NAMES), 1))
    if kind in ("hard", "suspended"):
        bounds[:3, 0] = (9, 15, 21)
        if kind == "hard":
            bounds[3:5, 1] = (17, 30)
        closed = rng.random(shape) < 0.08
        closed[12:19, 6] = True
        close[closed], opened[closed] = np.nan, np.nan
        opened[rng.random(shape) < 0.05] = np.nan
    inside = (np.arange(SESSIONS)[:, None] >= bounds[:, 0]) & (np.arange(SESSIONS)[:, None] < bounds[:, 1])
    close = np.where(inside, close, np.nan).astype(np.float32)
    factor = np.where(np.isnan(close), np.nan, np.round(rng.uniform(0.2, 2, len(NAMES)), 3))
    if kind == "unadjusted":
        factor[:] = np.nan
    last = np.full(len(NAMES), np.nan)
    change = np.full(shape, np.nan)
    for day in range(SESSIONS):
        change[day] = close[day] / last - 1
        last = np.where(np.isnan(close[day]), last, close[day])
    if kind in ("hard", "suspended", "limits"):
        change[rng.random(shape) < 0.1] = 0.05  # limits go by this field, whatever the closes say
    fields = {"close": close, "open": opened, "factor": factor, "change": change, "volume": np.full(shape, 1e9)}
    return ArraySource(fields, NAMES, bounds=bounds)


def make_settings(offset: int) -> dict[str, dict[str, Any]]:
    """Return the settings by name; each market meets each rule under other terms."""
    settings = {
        name: {
            "strategy": rule,
            "exchange": {**TERMS[(place + offset) % 3], "deal_price": PRICES[(place // 2 + offset) % 3]},
            "account": ACCOUNTS[(place + 2 * offset) % 3],
            "start": 2,
            "end": SESSIONS - 2,
        }
        for place, (name, rule) in enumerate(RULES.items())
    }
    settings[DEAR]["exchange"]["open_cost"] = 0.3
    return settings


def ask_peer(python: Path, source: ArraySource, scores: list, settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return Qlib's report and holdings of each setting."""
    with tempfile.TemporaryDirectory() as scratch:
        write_market(source, Path(scratch) / "market")
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        days = [str(day)[:10] for day in source.calendar().values]
        asked = {"provider": str(Path(scratch) / "market"), "days": days, "scores": scores, "settings": settings}
        request.write_text(json.dumps({**asked, "answer": str(answer)}))
        subprocess.run([str(python), str(PEER), str(request)], check=True)
        return json.loads(answer.read_text())


def _numbers(values: np.ndarray) -> list[float | None]:
    """Return single precision numbers in their shortest form, missing ones as None."""
    return [float(str(value)) if np.isfinite(value) else None for value in values.astype(np.float32).ravel()]


def write_table(
    source: ArraySource, scores: list, settings: dict[str, dict[str, Any]], found: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a market, what was asked of it, and what Qlib answered."""
    return {
        "bounds": source.bounds(NAMES).tolist(),
        "fields": {field: _numbers(source.load([field], NAMES, 0, SESSIONS)[0]) for field in source.fields},
        "scores": scores,
        "settings": settings,
        "found": dict(zip(settings, found, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(14)
    markets = {}
    for offset, kind in enumerate(("easy", "hard", "unadjusted")):
        source = make_market(kind, rng)
        close = source.load(["close"], NAMES, 0, SESSIONS)[0]
        days = [str(day)[:10] for day in source.calendar().values]
        table = np.round(rng.normal(size=close.shape), 6)
        bounds = source.bounds(NAMES)
        scores = [
            (days[day], name, float(table[day, column]))
            for day in range(SESSIONS)
            for column, name in enumerate(NAMES)
            if bounds[column, 0] <= day < bounds[column, 1] and day % 11 != 10
        ]
        settings = make_settings(offset)
        found = ask_peer(options.peer_python, source, scores, list(settings.values()))
        markets[kind] = write_table(source, scores, settings, found)
    text = json.dumps(
        {"made_by": "pyqlib 0.9.7", "names": NAMES, "sessions": SESSIONS, "markets": markets}, indent=None
    )
    options.table.write_text(text.replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
