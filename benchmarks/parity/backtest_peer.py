"""Back-test with Qlib, in the peer's environment: python backtest_peer.py REQUEST.json"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import qlib
from qlib.contrib.evaluate import backtest_daily
from qlib.contrib.strategy import TopkDropoutStrategy

_choice = np.random.choice


def _choose_names(names, count, replace):
    """Draw as NumPy does, but names that are `str`: Qlib fails where some are `numpy.str_` and others are not."""
    return [str(name) for name in _choice(names, count, replace=replace)]


def _shorten(value):
    """Return a number of ten digits: they are compared to six."""
    return float(f"{value:.10g}")


def main() -> None:
    np.random.choice = _choose_names
    request = json.loads(Path(sys.argv[1]).read_text())
    qlib.init(provider_uri=request["provider"], kernels=1, logging_level=50, region="us", expression_cache=None)
    rows = [(pd.Timestamp(day), name, score) for day, name, score in request["scores"]]
    scores = pd.DataFrame(rows, columns=["datetime", "instrument", "score"]).set_index(["datetime", "instrument"])
    benchmark = pd.Series(0.0, pd.DatetimeIndex(request["days"]))
    answers = []
    for setting in request["settings"]:
        strategy = dict(setting["strategy"])
        np.random.seed(strategy.pop("seed", 0))  # noqa: NPY002 - what Qlib draws from
        exchange = dict(setting["exchange"])
        if isinstance(exchange.get("deal_price"), list):
            exchange["deal_price"] = tuple(f"${field}" for field in exchange["deal_price"])
        report, positions = backtest_daily(
            request["days"][setting["start"]],
            request["days"][setting["end"]],
            TopkDropoutStrategy(signal=scores["score"], **strategy),
            account=setting["account"],
            benchmark=benchmark,
            exchange_kwargs=exchange,
        )
        held = [
            {code: _shorten(positions[day].get_stock_amount(code)) for code in sorted(positions[day].get_stock_list())}
            for day in report.index
        ]
        columns = {name: [_shorten(value) for value in report[name]] for name in report.columns if name != "bench"}
        answers.append({"report": columns, "positions": held})
    Path(request["answer"]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
