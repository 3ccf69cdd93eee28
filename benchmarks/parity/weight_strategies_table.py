"""Write the table of Qlib's back-tests by weights that the tests compare with.

python benchmarks/parity/weight_strategies_table.py --peer-python PATH tests/backtest/qlib_weight_strategies.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from backtest_table import ACCOUNTS, NAMES, PRICES, SESSIONS, TERMS, ask_peer, make_market, write_table

GENERATORS = ("OrderGenWInteract", "OrderGenWOInteract")
RULES: dict[str, dict[str, Any]] = {
    "soft": {"class": "SoftTopkStrategy", "topk": 4},
    "soft, slowly": {"class": "SoftTopkStrategy", "topk": 4, "max_sold_weight": 0.1},
    "soft, alike": {"class": "SoftTopkStrategy", "topk": 3, "max_sold_weight": 0.2, "buy_method": "average_fill"},
    "weights": {"class": "FixedWeights", "weights": [0.5, 0.3, 0.15]},
    "all of it": {"class": "FixedWeights", "weights": [0.6, 0.4], "risk_degree": 1.0},
}


def make_settings(offset: int, kind: str) -> dict[str, dict[str, Any]]:
    """Return the settings by name: each rule with each generator, in each market under other terms.

    With interaction Qlib ends in a TypeError when a holding is suspended.
    """
    settings = {}
    for place, (name, rule) in enumerate(RULES.items()):
        for generator in GENERATORS[kind == "suspended" :]:
            count = len(settings)
            settings[f"{name}, {generator}"] = {
                "strategy": {**rule, "generator": generator},
                "exchange": {**TERMS[(place + offset) % 3], "deal_price": PRICES[(count // 2 + offset) % 3]},
                "account": ACCOUNTS[(place + 2 * offset) % 3],
                "start": 2,
                "end": SESSIONS - 2,
            }
    return settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(15)
    markets = {}
    for offset, kind in enumerate(("easy", "suspended", "unadjusted", "limits")):
        source = make_market(kind, rng)
        days = [str(day)[:10] for day in source.calendar().values]
        table = np.round(rng.normal(size=(SESSIONS, len(NAMES))), 6)
        bounds = source.bounds(NAMES)
        scores = [
            (days[day], name, float(table[day, column]))
            for day in range(SESSIONS)
            for column, name in enumerate(NAMES)
            if bounds[column, 0] <= day < bounds[column, 1] and day % 11 != 10
        ]
        settings = make_settings(offset, kind)
        found = ask_peer(options.peer_python, source, scores, list(settings.values()))
        markets[kind] = write_table(source, scores, settings, found)
    text = json.dumps({"made_by": "pyqlib 0.9.7", "names": NAMES, "sessions": SESSIONS, "markets": markets})
    options.table.write_text(text.replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
